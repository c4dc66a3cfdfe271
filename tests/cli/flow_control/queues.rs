//! Queues and jobs: paused, resumed, set; who did it; what is refused.

use serde_json::{Value, json};

use super::{
    CATALOGUE, drain, drain_all, enqueue, fails, field, items, limit, ms, queue, says, show, state,
    timeless, world,
};
use crate::world::{by_me, until};

#[test]
fn a_queue_is_paused_with_who_why_and_until_when() {
    let world = world();
    let run = enqueue(&world, "probe --queue low");
    says(
        world.run_args([
            "queues",
            "pause",
            "low",
            "--reason",
            "disk moves",
            "--until",
            "2h",
        ]),
        "queue `low` is paused: its runs wait until T or `jobctl queues resume low`\n",
    );
    says(
        world.run("queues pause low --reason again"),
        &by_me("queue `low` was already paused by <me> now: disk moves; nothing was changed\n"),
    );
    drain(&world);
    assert_eq!(state(&world, run), "waiting");
    let low = queue(&world, "low");
    assert_eq!(low["paused"], true);
    assert_eq!(low["paused_by"], by_me("<me>"));
    assert_eq!(low["pause_reason"], "disk moves");
    let lasts_ms = ms(&low["paused_until"]) - ms(&low["paused_at"]);
    assert_eq!(lasts_ms, 7_200_000);
    let list = timeless(&world.run("queues list").ok());
    assert!(
        list.starts_with("QUEUE RANK READY DELAYED RUNNING OLDEST PAUSED\n"),
        "{list}"
    );
    assert!(
        list.contains(&by_me(" by <me>, T left: disk moves\n")),
        "{list}"
    );
    let status = timeless(&world.run("status").ok());
    let line = by_me("queue `low` is paused by <me> until T: disk moves\n");
    assert!(status.contains(&line), "{status}");
    let said = world.run("queues resume low --json").json(0);
    assert_eq!(said["schema"], "jobctl.queues.resume/1");
    assert_eq!(
        (&said["done"], &said["paused"]),
        (&json!(true), &json!(false))
    );
    says(
        world.run("queues resume low"),
        "queue `low` was not paused\n",
    );
    drain(&world);
    assert_eq!(state(&world, run), "succeeded");
    let said = world.run("queues pause low --json").json(0);
    assert_eq!(said["schema"], "jobctl.queues.pause/1");
    assert_eq!(
        (&said["done"], &said["paused_until"]),
        (&json!(true), &Value::Null)
    );
    says(world.run("queues resume low"), "queue `low` is resumed\n");
}

#[test]
fn a_queue_that_the_catalogue_pauses_is_resumed_over_it_and_given_back() {
    let world = world();
    let run = enqueue(&world, "kept");
    drain(&world);
    assert_eq!(queue(&world, "held")["paused_by"], "catalogue");
    let status = world.run("status").ok();
    assert!(
        status.contains("queue `held` is paused by the catalogue\n"),
        "{status}"
    );
    assert_eq!(state(&world, run), "waiting");
    says(
        world.run("queues resume held"),
        "queue `held` is resumed, although the catalogue pauses it, \
         until `jobctl queues set held paused=catalogue`\n",
    );
    drain(&world);
    assert_eq!(state(&world, run), "succeeded");
    let status = world.run("status").ok();
    assert!(
        status.contains(&by_me("queue `held` has paused=no by <me>\n")),
        "{status}"
    );
    says(
        world.run("queues set held paused=catalogue"),
        "queue `held`: paused=yes: back to the value of the catalogue\n",
    );
    assert_eq!(queue(&world, "held")["paused"], true);
}

#[test]
fn settings_override_the_catalogue_over_reloads_and_restarts_until_removed() {
    let world = world();
    says(
        world.run("queues set batch max_running=4 --reason slow --until 1h"),
        "queue `batch`: max_running=4 until T; the catalogue says 8\n",
    );
    says(
        world.run("limits set smtp concurrency=none rate=60/min"),
        "limit `smtp`: concurrency=none; the catalogue says 3\n\
         limit `smtp`: rate=60/min; the catalogue says 600/min, burst 5\n",
    );
    drain(&world);
    world.write_catalogue(&CATALOGUE.replace("max_running = 8", "max_running = 9"));
    drain(&world);
    let batch = queue(&world, "batch");
    assert_eq!(batch["max_running"], 4);
    let change = &batch["overrides"][0];
    assert_eq!(ms(&change["until"]) - ms(&change["since"]), 3_600_000);
    let told = (
        &change["key"],
        &change["value"],
        &change["by"],
        &change["reason"],
    );
    assert_eq!(
        told,
        (
            &json!("max_running"),
            &json!(4),
            &json!(by_me("<me>")),
            &json!("slow")
        )
    );
    let smtp = limit(&world, "smtp");
    assert_eq!(smtp["concurrency"], Value::Null);
    assert_eq!(
        (&smtp["rate"], &smtp["burst"]),
        (&json!("60/min"), &json!(5))
    );
    assert_eq!(smtp["overrides"][0]["value"], "none");
    let list = timeless(&world.run("queues list").ok());
    assert!(
        list.contains(&by_me(" 0/4 - - max_running=4 by <me>, T left: slow\n")),
        "{list}"
    );
    let status = timeless(&world.run("status").ok());
    for line in [
        "queue `batch` has max_running=4 by <me> until T: slow\n",
        "limit `smtp` has concurrency=none by <me>\n",
        "limit `smtp` has rate=60/min by <me>\n",
    ] {
        assert!(status.contains(&by_me(line)), "{status}");
    }
    let said = world
        .run("queues set batch max_running=catalogue --json")
        .json(0);
    assert_eq!(said["schema"], "jobctl.queues.set/1");
    assert_eq!(
        (&said["done"], &said["max_running"]),
        (&json!(true), &json!(9))
    );
    assert_eq!(said["overrides"], json!([]));
    says(
        world.run("queues set batch max_running=catalogue"),
        "queue `batch`: max_running=9: already the value of the catalogue\n",
    );
    says(
        world.run("limits set smtp rate=catalogue"),
        "limit `smtp`: rate=600/min, burst 5: back to the value of the catalogue\n",
    );
    let said = world
        .run("limits set smtp concurrency=catalogue --json")
        .json(0);
    assert_eq!(said["schema"], "jobctl.limits.set/1");
    assert_eq!(
        (&said["name"], &said["concurrency"]),
        (&json!("smtp"), &json!(3))
    );
}

#[test]
fn a_paused_job_continues_when_its_pause_expires() {
    let world = world();
    let run = enqueue(&world, "probe");
    says(
        world.run("jobs pause probe --until 1h --reason mending"),
        "job `probe` is paused: its runs wait until T or `jobctl jobs resume probe`\n",
    );
    let status = timeless(&world.run("status").ok());
    assert!(
        status.contains(&by_me("job `probe` is paused by <me> until T: mending\n")),
        "{status}"
    );
    drain(&world);
    assert_eq!(show(&world, run)["shown"], "blocked");
    let jobs = items(&world.run("jobs list --json").json(0), "jobs");
    let job = jobs.iter().find(|job| job["job"] == "probe").unwrap();
    assert_eq!(ms(&job["paused_until"]) - ms(&job["paused_at"]), 3_600_000);
    let shown = timeless(&world.run("jobs show probe").ok());
    assert!(
        shown.contains(&by_me("by <me> until T: mending\n")),
        "{shown}"
    );
    world.run("jobs resume probe").ok();
    world.run("jobs pause probe --until 300ms").ok();
    let _worker = world.start("run-worker -q");
    until("it runs by itself", || state(&world, run) == "succeeded");
    drain_all(&world);
}

#[test]
fn the_history_shows_user_and_reason() {
    let world = world();
    world
        .run("queues set batch max_running=4 --until 2030-01-01T00:00:00Z --reason slow")
        .ok();
    world.run("queues pause low").ok();
    world.run("queues resume low --reason done").ok();
    assert_eq!(
        timeless(&world.run("queues history").ok()),
        by_me(
            "WHEN NAME ACT BY UNTIL REASON\n\
             now low resume <me> - done\n\
             now low pause <me> - -\n\
             now batch max_running=4 <me> T slow\n"
        )
    );
    let low = items(
        &world.run("queues history low --json").json(0),
        "queues.history",
    );
    assert_eq!(field(&low, "act"), ["resume", "pause"]);
    assert_eq!(low[0]["reason"], "done");
    world.run("limits history").is(0, "", "no manual changes\n");
    world.run("jobs pause probe").ok();
    let jobs = items(
        &world.run("jobs history -n 1 --json").json(0),
        "jobs.history",
    );
    assert_eq!(
        (&jobs[0]["name"], &jobs[0]["by"]),
        (&json!("probe"), &json!(by_me("<me>")))
    );
}

#[test]
fn times_without_an_offset_are_in_the_zone_of_the_catalogue() {
    let world = world();
    let zone = "write for instance";
    let said = world
        .run("queues pause low --until 2030-07-01T12:00")
        .fails(2);
    assert!(
        said.contains("names no zone") && !said.contains(zone),
        "{said}"
    );
    world.write_catalogue(&CATALOGUE.replace("[defaults]", "[defaults]\ntimezone = 'Asia/Almaty'"));
    world.run("queues pause low --until 2030-07-01T12:00").ok();
    assert_eq!(
        queue(&world, "low")["paused_until"],
        "2030-07-01T07:00:00.000Z"
    );
}

#[test]
fn bad_input_changes_nothing() {
    let world = world();
    let queues = "the queues are batch, default, held, high, low";
    for words in [
        "queues pause btch",
        "queues resume btch",
        "queues set btch max_running=1",
        "queues history btch",
    ] {
        let err = format!(
            "error: unknown queue `btch`; nothing was changed\nhint: did you mean `batch`? {queues}\n"
        );
        fails(&world, words, 3, &err);
    }
    for words in [
        "limits pause smpt",
        "limits resume smpt",
        "limits reset smpt",
        "limits history smpt",
        "limits set smpt rate=1/s",
    ] {
        let err = "error: unknown limit `smpt`; nothing was changed\n\
                   hint: did you mean `smtp`? the limits are api, smtp\n";
        fails(&world, words, 3, err);
    }
    for (words, message) in [
        ("queues set low max_running=0", "bad `max_running` `0`"),
        ("queues set low max_running=-1", "bad `max_running` `-1`"),
        ("queues set low concurrency=1", "unknown key `concurrency`"),
        (
            "queues set low max_running=4 paused=no",
            "`paused` can only be",
        ),
        (
            "queues set low max_running=4 max_running=4",
            "`max_running` is given twice",
        ),
        ("queues set low", "missing `<KEY=VALUE>...`"),
        ("limits set smtp concurrency=4 rate=0/s", "bad rate `0/s`"),
        (
            "limits set smtp concurrency=4 rate=5/week",
            "bad rate `5/week`",
        ),
        ("limits set smtp rate", "bad setting `rate`"),
        (
            "queues pause low --until 0s",
            "`--until 0s` is not in the future",
        ),
        (
            "jobs pause probe --until 2020-01-01T00:00:00Z",
            "`--until 2020",
        ),
        (
            "limits pause smtp --until 2020-01-01T00:00:00Z",
            "`--until 2020",
        ),
        (
            "limits set smtp concurrency=4 --until soon",
            "bad duration `soon`",
        ),
        (
            "limits resume smtp --until 1h",
            "unknown argument `--until`",
        ),
        ("limits history -n 0", "bad"),
    ] {
        let said = world.run(words).fails(2);
        assert!(
            said.starts_with(&format!("error: {message}")),
            "{words}: {said}"
        );
        assert!(
            said.contains("\nhint: ") || words.ends_with("-n 0"),
            "{words}: {said}"
        );
    }
    for kind in ["queues", "limits", "jobs"] {
        let acts = world.run(&format!("{kind} history --json")).json(0);
        assert_eq!(acts["items"], json!([]), "{kind}");
    }
    assert_eq!(limit(&world, "smtp")["overrides"], json!([]));
    assert_eq!(queue(&world, "low")["overrides"], json!([]));
}
