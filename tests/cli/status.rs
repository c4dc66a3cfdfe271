//! `status`, the bare command, `queues list`, `completions`.

use jobctl::policy::Reading;
use jobctl::scheduler::Planner;
use serde_json::{Value, json};

use super::{drain, enqueue, items, world};
use crate::invariants;
use crate::scheduler::lab;
use crate::world::{World, until};

#[test]
fn the_bare_command_is_status() {
    let world = world();
    enqueue(&world, "bad");
    drain(&world);
    enqueue(&world, "ok --queue low --delay 1h");
    let expected = "QUEUE    RANK  READY  DELAYED  RUNNING  OLDEST\n\
                    high       10      0        0        0       -\n\
                    default    50      0        0        0       -\n\
                    low        90      0        1        0       -\n\
                    \n\
                    no worker: `jobctl run-worker` starts one\n\
                    1 dead letter: `jobctl dlq list`\n";
    world.run("").is(0, expected, "");
    world.run("status").is(0, expected, "");
    let status = world.run("--json").json(0);
    assert_eq!(status["schema"], "jobctl.status/1");
    assert_eq!(status["dead"], 1);
    assert_eq!(status["queues"][2]["delayed"], 1);
    for (name, value) in [("workers", "[]"), ("alerts", "[]")] {
        assert_eq!(status[name].to_string(), value);
    }
    let nothing = json!({
        "alive": false,
        "pid": null,
        "host": null,
        "since": null,
        "schedules": 0,
        "next": null,
        "held": null,
        "overdue": 0, "ahead": [],
    });
    assert_eq!(status["scheduler"], nothing);
}

/// The line of `status` that begins with this, and the object of `status --json`.
fn scheduler(world: &World, begin: &str) -> (String, Value) {
    let out = world.run("status").ok();
    let line = out.lines().find(|line| line.starts_with(begin));
    let line = line.unwrap_or_else(|| panic!("{out}")).to_owned();
    let document = world.run("status --json").json(0);
    (line, document["scheduler"].clone())
}

#[test]
fn schedules_without_a_scheduler_are_reported() {
    let world = lab::world(&[("report", "every = '1d'"), ("other", "")]);
    drop(world.store());
    // Nobody has read the catalogue but us.
    let (line, status) = scheduler(&world, "no scheduler");
    assert_eq!(
        line,
        "no scheduler: 1 schedule waits; `jobctl schedule` starts one"
    );
    assert_eq!(
        (&status["alive"], &status["schedules"]),
        (&json!(false), &json!(1))
    );
    assert_eq!(status["next"], Value::Null);
    lab::write(
        &world,
        &[("report", "every = '1d'"), ("other", "every = '2d'")],
    );
    assert_eq!(world.run("schedule --once").code, Some(0));
    let (line, status) = scheduler(&world, "no scheduler");
    assert_eq!(
        line,
        "no scheduler: 2 schedules wait; `jobctl schedule` starts one"
    );
    assert_eq!(
        (&status["schedules"], &status["overdue"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(status["pid"], Value::Null);
    let due = status["next"]["due"].as_str().unwrap();
    assert!(due.ends_with("T00:00:00.000Z"), "{due}");
    assert!(
        world
            .run("status --color always")
            .ok()
            .contains("\x1b[31mno scheduler: 2")
    );
}

#[test]
fn a_scheduler_that_runs_is_reported_with_what_is_next() {
    let world = lab::world(&[("report", "every = '366d'")]);
    let running = world.start("schedule");
    until("a scheduler leads", || {
        world.run("status --json").code == Some(0)
            && world.run("status --json").json(0)["scheduler"]["pid"] == running.pid()
    });
    let (line, status) = scheduler(&world, "scheduler: ");
    let begin = format!(
        "scheduler: pid {}, 1 schedule, next report in ",
        running.pid()
    );
    assert!(line.starts_with(&begin) && line.ends_with('d'), "{line}");
    assert_eq!(
        (&status["alive"], &status["overdue"]),
        (&json!(true), &json!(0))
    );
    assert_eq!(status["next"]["job"], "report");
    assert!(status["host"].is_string() && status["since"].is_string());
    assert_eq!(status["held"], Value::Null);
    // It does not look, and what it should have opened is long past.
    running.signal("STOP");
    let conn = invariants::open(&world);
    conn.execute("UPDATE schedule SET next_ms = next_ms - 366 * 86400000", [])
        .unwrap();
    let (line, status) = scheduler(&world, "scheduler: ");
    assert!(
        line.contains(", 1 schedule, 1 overdue, the first is report by "),
        "{line}"
    );
    assert_eq!(
        (&status["alive"], &status["overdue"]),
        (&json!(true), &json!(1))
    );
    assert!(
        world
            .run("status --color always")
            .ok()
            .contains("\x1b[31mscheduler: pid")
    );
    // Whatever it wrote about itself, it is dead.
    running.signal("KILL");
    drop(running);
    let (line, status) = scheduler(&world, "no scheduler");
    assert_eq!(
        line,
        "no scheduler: 1 schedule waits; `jobctl schedule` starts one"
    );
    assert_eq!(
        (&status["pid"], &status["since"]),
        (&Value::Null, &Value::Null)
    );
    // Without schedules there is nothing to say.
    lab::write(&world, &[("report", "")]);
    assert_eq!(world.run("schedule --once").code, Some(0));
    assert!(!world.run("status").ok().contains("schedule"));
}

#[test]
fn held_calendar_rules_are_reported_until_when() {
    let world = lab::world(&[("report", "cron = '0 6 * * *'")]);
    let now_ms = jobctl::clock::wall_ms();
    // The clock was two days behind until a moment ago.
    let before = Reading {
        wall_ms: now_ms - 2 * lab::DAY,
        boot_ms: jobctl::clock::boottime_ms(),
    };
    let boot_id = jobctl::clock::boot_id();
    let mut planner =
        Planner::start(world.opened(), &lab::catalogue(&world), &boot_id, before).unwrap();
    planner.tick(before, 0).unwrap();
    drop(planner);
    let (line, status) = scheduler(&world, "calendar schedules");
    assert!(
        line.starts_with("calendar schedules are on hold until ")
            && line.ends_with(
                ": the clock jumped forwards by 2d; if it is right now, run `jobctl schedule --accept-clock`"
            ),
        "{line}"
    );
    // Other than the tests' own slowness there is nothing between the two readings.
    let jump_ms = status["held"]["jump_ms"].as_i64().unwrap();
    assert!((jump_ms - 2 * lab::DAY).abs() < 10_000, "{jump_ms}");
    let until_ms = lab::instant(status["held"]["until"].as_str().unwrap());
    assert!(
        (until_ms - now_ms - 5 * lab::MINUTE).abs() < 60_000,
        "{status}"
    );
    // The tests' own slowness may change the minute.
    let jump =
        "the clock jumped forwards by 2d; if it is right now, run `jobctl schedule --accept-clock`";
    for words in ["next", "jobs show report", "runs why --job report"] {
        let said = world.run(words);
        assert!((said.out + &said.err).contains(jump), "{words}");
    }
    world.run("schedule --once").fails(75);
    world.run("schedule --accept-clock").ok();
    assert_eq!(world.run("schedule --once").code, Some(0));
    assert_eq!(scheduler(&world, "no scheduler").1["held"], Value::Null);
}

/// The lines of a text that speak of a clock.
fn about_the_clock(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| line.contains("accept-clock"))
        .collect()
}

#[test]
fn every_command_about_a_schedule_reports_holds_by_the_clock() {
    let world = lab::world(&[
        ("report", "cron = '0 6 * * *'"),
        ("elapsed", "every = '1h'"),
        ("other", ""),
    ]);
    world.run("schedule --once").ok();
    // As after three days of a clock that was ahead.
    let until_ms = jobctl::clock::wall_ms() + 3 * lab::DAY;
    let conn = crate::invariants::open(&world);
    conn.execute("UPDATE schedule SET watermark_ms = ?1", [until_ms])
        .unwrap();
    let status = world.run("status").ok();
    let told = about_the_clock(&status);
    assert!(
        told.len() == 1 && told[0].starts_with("1 schedule opened up to "),
        "{status}"
    );
    for words in [
        "doctor",
        "next",
        "next report",
        "jobs show report",
        "runs why --job report",
    ] {
        let said = world.run(words);
        let text = said.out + &said.err;
        assert!(text.contains(told[0]), "{words}: {text}");
    }
    for words in [
        "next elapsed",
        "jobs show elapsed",
        "runs why --job elapsed",
        "runs why --job other",
    ] {
        let said = world.run(words);
        assert_eq!(about_the_clock(&(said.out + &said.err)), [""; 0], "{words}");
    }
    let ahead = &scheduler(&world, "no scheduler").1["ahead"];
    for words in ["next", "jobs show report", "runs why --job report"] {
        let said = world.run(&format!("{words} --json")).json(0);
        assert_eq!(
            (&said["ahead"], &said["held"]),
            (ahead, &Value::Null),
            "{words}"
        );
    }
}

#[test]
fn queues_are_listed_by_rank_with_the_documented_fields() {
    let world = world();
    enqueue(&world, "ok");
    let queues = items(&world.run("queues list --json").json(0), "queues");
    let names: Vec<&str> = queues
        .iter()
        .map(|queue| queue["queue"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["high", "default", "low"]);
    let default = &queues[1];
    assert_eq!(
        (&default["ready"], &default["rank"]),
        (&1.into(), &50.into())
    );
    assert!(default["oldest_ready_ms"].as_i64().unwrap() < 60_000);
    assert!(queues[0]["oldest_ready_ms"].is_null() && queues[0]["max_waiting"].is_null());
}

#[test]
fn a_noun_without_a_verb_is_a_usage_error() {
    world().run("runs").is(
        2,
        "",
        "error: a command is missing; nothing was done\n\
         hint: call it as `jobctl runs [OPTIONS] <COMMAND>`\n",
    );
}

#[test]
fn completions_are_printed_for_each_shell() {
    let world = world();
    for shell in ["bash", "zsh", "fish"] {
        let script = world.run(&format!("completions {shell}")).ok();
        assert!(
            script.contains("jobctl") && script.contains("dlq"),
            "{shell}"
        );
    }
    assert!(!world.state().exists());
}

#[test]
fn runs_that_no_worker_can_take_are_named_and_shown_as_blocked() {
    let world = World::with_catalogue(
        "[queue.old]\nrank = 5\n[job.gone]\ncommand = 'true'\n[job.stays]\ncommand = 'true'\nqueue = 'old'\n",
    );
    drop(world.store());
    enqueue(&world, "gone");
    enqueue(&world, "stays");
    let shown = |world: &World| {
        let list = world.run("runs list --json").json(0);
        let items = list["items"].as_array().expect("items").clone();
        items
            .iter()
            .map(|run| run["shown"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(&world), ["ready", "ready"]);
    world.write_catalogue("[job.stays]\ncommand = 'true'\n");
    drain(&world);
    assert_eq!(shown(&world), ["blocked", "blocked"]);
    let status = world.run("status").ok();
    for line in [
        "runs of job `gone` wait in queue `default`, but no loaded catalogue has this job: `jobctl runs why --job gone`\n",
        "runs of job `stays` wait in queue `old`, but no loaded catalogue has this queue: `jobctl runs why --job stays`\n",
    ] {
        assert!(status.contains(line), "{status}");
        let doctor = world.run("doctor").out;
        assert!(doctor.contains(line.trim_end()), "{doctor}");
    }
    let unknown = world.run("status --json").json(0)["unknown"].clone();
    assert_eq!(unknown.as_array().map(Vec::len), Some(2), "{unknown}");
    let show = world.run("runs show 1").ok();
    let words = "blocked: no loaded catalogue has its job or its queue";
    assert!(show.contains(words), "{show}");
}

#[test]
fn a_catalogue_that_cannot_be_loaded_any_more_is_reported() {
    let world = world();
    drain(&world);
    assert_eq!(
        world.run("status --json").json(0)["catalogue_refused"],
        Value::Null
    );
    world.write_catalogue("[job.ok]\ncommand = 7\n");
    let out = world.run("status").ok();
    let line = out
        .lines()
        .find(|line| line.starts_with("the catalogue cannot be used"));
    let line = line.unwrap_or_else(|| panic!("{out}"));
    assert!(
        line.contains("jobs.toml:2:11: ")
            && line.ends_with("; the one that was loaded before stays in force"),
        "{line}"
    );
    let why = &world.run("status --json").json(0)["catalogue_refused"];
    assert!(why.as_str().unwrap().contains(":2:11: "), "{why}");
}
