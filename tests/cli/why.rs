//! `runs why`: the real binary beside real workers.

use serde_json::{Value, json};

use super::{enqueue, show};
use crate::world::{Running, World, by_me, until};

/// Two jobs under a limit, one with a cap, and one in a queue that is paused; `wait` ends when the world does.
const CATALOGUE: &str = r#"
[limit.smtp]
concurrency = 2
[limit.slow]
rate = "1/d"
[queue.night]
rank = 70
paused = true
[queue.urgent]
rank = 5
reserve = 1
[job.mail]
command = ["/bin/sh", "-c", "while [ -d \"$0\" ]; do sleep 0.01; done", "ROOT"]
limits = ["smtp"]
[job.slow]
command = "true"
limits = ["slow"]
[job.report]
command = "true"
queue = "night"
[job.flaky]
command = "echo busy >&2; exit 75"
retry = { attempts = 5, backoff = "fixed", base = "1h", jitter = "none" }
[job.ok]
command = "true"
"#;

fn world() -> World {
    let world = World::new();
    let root = world.root().display().to_string();
    world.write_catalogue(&CATALOGUE.replace("ROOT", &root));
    world
}

fn why(world: &World, words: &str) -> Value {
    let said = world.run(&format!("runs why --json {words}")).json(0);
    assert_eq!(said["schema"], "jobctl.runs.why/1");
    said
}

/// The gates with this name, as `(open, detail)`.
fn gates(said: &Value, name: &str) -> Vec<(bool, String)> {
    let gates = said["gates"].as_array().expect("gates").iter();
    gates
        .filter(|gate| gate["gate"] == name)
        .map(|gate| {
            let detail = gate["detail"].as_str().expect("a text");
            (gate["open"] == true, detail.to_owned())
        })
        .collect()
}

#[track_caller]
fn gate(said: &Value, name: &str) -> (bool, String) {
    let found = gates(said, name);
    assert_eq!(found.len(), 1, "{name}: {said}");
    found[0].clone()
}

/// A worker that is registered and has put its catalogue in force.
fn worker(world: &World, words: &str) -> Running {
    let worker = world.start(&format!("run-worker -q {words}"));
    until("its catalogue is in force", || {
        let exists = world.state().join("jobctl.db").exists();
        exists && {
            let store = world.store();
            let path = world.catalogue();
            let generation = store.catalogue_generation(&path.to_string_lossy());
            generation.unwrap().is_some() && !store.workers().unwrap().is_empty()
        }
    });
    worker
}

fn until_state(world: &World, run: i64, state: &str) {
    until(state, || show(world, run)["state"] == state);
}

/// The spans that a clock decides.
fn masked(text: &str) -> String {
    let span = regex::Regex::new(r"\b(since|for) (\d+(ms|[smhd]))+").unwrap();
    span.replace_all(text, "$1 N").into_owned()
}

#[test]
fn a_run_without_a_worker_says_how_to_start_one() {
    let world = world();
    let run = enqueue(&world, "mail");
    let said = world.run(&format!("runs why {run}")).ok();
    assert_eq!(
        masked(&said),
        "run 1 of job `mail` waits in queue `default`: 1 of 6 gates is closed\n\
         \n\
         open    due            since N\n\
         open    job mail       0 running\n\
         open    limit smtp     0 of 2 running\n\
         open    queue default  0 running\n\
         closed  workers        no worker is alive\n\
         \u{20}       -> `jobctl run-worker` starts one\n\
         open    order          no run is ahead of it\n\
         \n\
         expected start: unknown (a closed gate has no known opening time)\n"
    );
}

/// Proves: as `the_answer_and_the_claim_agree`.
#[test]
fn a_full_limit_names_who_holds_it_and_a_dead_worker_is_reported() {
    let world = world();
    let process = worker(&world, "--slots 2 --queue default");
    let (first, second) = (enqueue(&world, "mail"), enqueue(&world, "mail"));
    until_state(&world, first, "running");
    until_state(&world, second, "running");
    let third = enqueue(&world, "mail --tenant acme");
    let said = world.run(&format!("runs why {third}")).ok();
    assert_eq!(
        masked(&said),
        "run 3 of job `mail` for tenant `acme` waits in queue `default`: 2 of 6 gates are closed\n\
         \n\
         open    due            since N\n\
         open    job mail       2 running\n\
         closed  limit smtp     2 of 2 running: 1, 2\n\
         \u{20}       -> it opens when one of them ends; `jobctl runs logs -f 1` follows the first\n\
         open    queue default  2 running\n\
         closed  workers        2 of 2 slots busy over 1 worker\n\
         \u{20}       -> `jobctl workers list`; `jobctl run-worker --queue default` starts another\n\
         open    order          no run is ahead of it\n\
         \n\
         expected start: unknown (a closed gate has no known opening time)\n"
    );
    let said = why(&world, &third.to_string());
    let limit = said["gates"]
        .as_array()
        .unwrap()
        .iter()
        .find(|gate| gate["gate"] == "limit smtp");
    assert_eq!(
        limit,
        Some(&json!({
            "gate": "limit smtp", "open": false, "detail": "2 of 2 running: 1, 2", "until": null,
            "hint": "it opens when one of them ends; `jobctl runs logs -f 1` follows the first",
        }))
    );
    let rest = [
        "run",
        "job",
        "queue",
        "tenant",
        "state",
        "expected_start",
        "not_before",
        "hint",
    ];
    let rest: Vec<&Value> = rest.iter().map(|name| &said[*name]).collect();
    assert_eq!(
        json!(rest),
        json!([3, "mail", "default", "acme", "waiting", null, null, null])
    );
    // Another queue: its own worker is missing.
    let low = enqueue(&world, "ok --queue low");
    let said = why(&world, &low.to_string());
    let none = "1 worker alive, but none serves queue `low`; served: default";
    assert_eq!(gate(&said, "workers"), (false, none.to_owned()));
    process.signal("KILL");
    process.end();
    let said = why(&world, &third.to_string());
    let dead = "2 of 2 running: 1, 2; held by worker 1, which is gone: 1, 2";
    assert_eq!(gate(&said, "limit smtp"), (false, dead.to_owned()));
    assert_eq!(
        gate(&said, "workers"),
        (false, "no worker is alive; 1 worker died".to_owned())
    );
    let said = world.run(&format!("runs why {first}")).ok();
    assert!(
        masked(&said).starts_with("run 1 was running on worker 1 (attempt 1 "),
        "{said}"
    );
}

#[test]
fn a_paused_job_is_resumed_by_the_hint() {
    let world = world();
    let run = enqueue(&world, "ok");
    world
        .run_args(["jobs", "pause", "ok", "--reason", "the server moves"])
        .ok();
    let _worker = worker(&world, "");
    let said = why(&world, &run.to_string());
    assert_eq!(
        gate(&said, "job ok"),
        (false, by_me("paused by <me>: the server moves"))
    );
    assert!(gate(&said, "workers").0, "{said}");
    let closed = said["gates"]
        .as_array()
        .unwrap()
        .iter()
        .find(|gate| gate["open"] == false);
    let hint = closed.unwrap()["hint"].as_str().unwrap();
    world
        .run(hint.trim_matches('`').strip_prefix("jobctl ").unwrap())
        .ok();
    until_state(&world, run, "succeeded");
}

#[test]
fn gates_that_open_by_time_give_an_expected_start() {
    let world = world();
    let first = enqueue(&world, "slow");
    let (flaky, late) = (
        enqueue(&world, "flaky"),
        enqueue(&world, "ok --delay 1h --deadline 30m"),
    );
    let _worker = worker(&world, "--queue default");
    until_state(&world, first, "succeeded");
    let second = enqueue(&world, "slow");
    until("it failed", || show(&world, flaky)["failures"] == 1);
    let said = why(&world, &second.to_string());
    assert_eq!(
        gate(&said, "limit slow"),
        (
            false,
            "its rate of 1/d allows the next start later".to_owned()
        )
    );
    assert_eq!(gates(&said, "workers").len(), 1);
    assert!(said["expected_start"].is_string(), "{said}");
    assert_eq!(said["expected_start"], said["not_before"]);
    let said = why(&world, &flaky.to_string());
    assert_eq!(
        gate(&said, "due"),
        (
            false,
            "retried after failure 1 of 5: exit 75: busy".to_owned()
        )
    );
    assert_eq!(said["expected_start"], show(&world, flaky)["due"]);
    let text = world.run(&format!("runs why {flaky}")).ok();
    let start = text.lines().last().unwrap();
    assert!(start.starts_with("expected start: not before 20"), "{text}");
    assert!(start.ends_with(" (in 59m)"), "{text}");
    // A deadline counts from the due time of an enqueue; here it lies behind the delay.
    let said = why(&world, &late.to_string());
    assert!(gate(&said, "deadline").0, "{said}");
}

#[test]
fn a_deadline_that_comes_first_is_reported() {
    let world = world();
    let late = world.enqueue_as(|new| {
        new.due_ms += 3_600_000;
        new.deadline_ms = Some(new.due_ms - 1_800_000);
    });
    let said = why(&world, &late.run.to_string());
    let (open, detail) = gate(&said, "deadline");
    assert!(
        !open && detail.ends_with("the run will become a dead letter without a start"),
        "{detail}"
    );
    assert_eq!(said["expected_start"], Value::Null);
}

#[test]
fn pauses_ranks_and_reserved_slots_are_explained() {
    let world = world();
    let report = enqueue(&world, "report");
    let _worker = worker(&world, "--slots 1 --queue default,night,urgent");
    let said = why(&world, "--queue night");
    assert_eq!(said["run"], report);
    assert_eq!(
        gate(&said, "queue night"),
        (false, "paused by the catalogue".to_owned())
    );
    let kept = "worker 1: 1 free slot reserved for queue urgent";
    assert_eq!(gate(&said, "workers"), (false, kept.to_owned()));
    let said = why(&world, "--queue urgent");
    assert_eq!((&said["run"], &said["job"]), (&Value::Null, &Value::Null));
    assert_eq!(
        said["answer"],
        "no run waits in queue `urgent`; one would pass: every gate is open"
    );
    assert_eq!(
        gate(&said, "workers"),
        (true, "1 of 1 slots is free over 1 worker".to_owned())
    );
}

#[test]
fn why_of_a_job_explains_its_next_run_or_the_gates_of_a_new_one() {
    let world = world();
    let (first, second) = (enqueue(&world, "mail"), enqueue(&world, "mail"));
    let said = why(&world, "--job mail");
    assert_eq!(said["run"], first);
    let said = why(&world, &second.to_string());
    let one = "1 run of job `mail` ahead of it";
    assert_eq!(gate(&said, "order"), (false, one.to_owned()));
    let text = world.run("runs why --job report").ok();
    assert!(
        text.starts_with("no run of job `report` waits; one in queue `night` would pass: "),
        "{text}"
    );
}

#[test]
fn a_run_that_waits_for_others_names_them() {
    let world = world();
    let first = enqueue(&world, "ok");
    let second = world.enqueue_as(|new| {
        new.job = "ok".into();
        new.after = vec![jobctl::run::RunId(first)];
    });
    let said = why(&world, &second.run.to_string());
    let detail = format!("1 run must end first: {first} (waiting)");
    assert_eq!(gate(&said, "runs before it"), (false, detail));
    assert!(gates(&said, "order").is_empty());
    let text = world.run(&format!("runs show {}", second.run)).ok();
    let blocked = format!("blocked: waits for run {first} (waiting)\n");
    assert!(text.contains(&blocked), "{text}");
    assert!(
        text.contains(&format!("jobctl runs why {}\n", second.run)),
        "{text}"
    );
    assert!(
        !world
            .run(&format!("runs show {first}"))
            .ok()
            .contains("blocked")
    );
}

#[test]
fn a_foreground_run_is_reserved_and_its_process_serves_no_queue() {
    let world = world();
    world.run("enqueue -q ok --delay 1h").ok();
    let _foreground = world.start("run flaky");
    until("it failed", || {
        let said = world.run("runs list --json --state retrying");
        said.code == Some(0) && said.out.contains("\"failures\":1")
    });
    let said = why(&world, "2");
    let kept = "reserved for a `jobctl run` (worker 1); no other worker starts it";
    assert_eq!(gate(&said, "jobctl run"), (true, kept.to_owned()));
    assert!(gates(&said, "workers").is_empty(), "{said}");
    assert_eq!(said["expected_start"], show(&world, 2)["due"]);
    let said = why(&world, "1");
    assert_eq!(
        gate(&said, "workers"),
        (false, "no worker is alive".to_owned())
    );
    let workers = world.run("workers list --json").json(0);
    assert_eq!(workers["items"][0]["queues"], json!([]));
}

#[test]
fn running_and_ended_runs_are_explained() {
    let world = world();
    let _worker = worker(&world, "--queue default");
    let (runs, ended) = (enqueue(&world, "mail"), enqueue(&world, "ok"));
    until("it is noted", || {
        let shown = show(&world, runs);
        shown["attempt_list"]
            .as_array()
            .is_some_and(|list| list.len() == 1)
    });
    until_state(&world, ended, "succeeded");
    let cancelled = enqueue(&world, "ok --delay 1h");
    world.run(&format!("runs cancel {cancelled}")).ok();
    let text = world.run(&format!("runs why {runs}")).ok();
    assert_eq!(
        masked(&text),
        "run 1 is running on worker 1 (attempt 1 since N)\n\
         hint: `jobctl runs logs -f 1` follows it\n"
    );
    let said = why(&world, &ended.to_string());
    assert_eq!(
        (&said["state"], &said["gates"]),
        (&json!("succeeded"), &json!([]))
    );
    let text = world.run(&format!("runs why {cancelled}")).ok();
    assert!(text.starts_with("run 3 was cancelled "), "{text}");
    assert!(
        text.contains(&by_me(" ago by <me>\nhint: `jobctl runs retry 3` ")),
        "{text}"
    );
}

#[test]
fn unknown_names_are_exit_3_and_one_subject_is_required() {
    let world = world();
    enqueue(&world, "ok");
    world.run("runs why 99").is(
        3,
        "",
        "error: unknown run 99\n\
         hint: `jobctl runs list` shows the newest; ended runs are pruned after a time\n",
    );
    world.run("runs why --job mial").is(
        3,
        "",
        "error: unknown job `mial`\nhint: did you mean `mail`? `jobctl jobs list` shows all 5\n",
    );
    world.run("runs why --queue nihgt").is(
        3,
        "",
        "error: unknown queue `nihgt`\n\
         hint: did you mean `night`? the catalogue has `default`, `high`, `low`, `night`, `urgent`\n",
    );
    for words in ["runs why", "runs why 1 --job mail", "runs why x"] {
        world.run(words).fails(2);
    }
    let said = world.run("runs why 99 --json").json(3);
    assert_eq!(said["schema"], "jobctl.error/1");
    let empty = World::new();
    empty.run("runs why 1").fails(69);
}
