//! Limits: paused and resumed, breakers and waits, in lists, `status` and the log.

use serde_json::{Value, json};

use super::{drain, enqueue, field, go, limit, ms, says, show, state, timeless, world};
use crate::world::{World, by_me};

#[test]
fn a_paused_limit_starts_nothing_until_it_is_resumed() {
    let world = world();
    let run = enqueue(&world, "hold");
    go(&world, run);
    says(
        world.run("limits pause api --reason outage --until 1h"),
        "limit `api` is paused: nothing under it starts until T or `jobctl limits resume api`\n",
    );
    says(
        world.run("limits pause api"),
        &by_me("limit `api` was already paused by <me> now: outage; nothing was changed\n"),
    );
    drain(&world);
    assert_eq!(state(&world, run), "waiting");
    let api = limit(&world, "api");
    assert_eq!(
        (&api["paused"], &api["paused_by"], &api["breaker"]),
        (&json!(true), &json!(by_me("<me>")), &Value::Null)
    );
    assert_eq!(ms(&api["paused_until"]) - ms(&api["paused_at"]), 3_600_000);
    assert_eq!(api["overrides"][0]["key"], "paused");
    assert_eq!(
        timeless(&world.run("limits list").ok()),
        by_me(
            "LIMIT RUNNING RATE NEXT BREAKER WAIT PAUSED CHANGED\n\
             api 0/2 - - - - by <me>, T left: outage -\n\
             smtp 0/3 600/min, burst 5 now closed - - -\n"
        )
    );
    let status = timeless(&world.run("status").ok());
    let line = by_me("limit `api` is paused by <me> until T, nothing under it starts: outage\n");
    assert!(status.contains(&line), "{status}");
    says(
        world.run("limits reset api"),
        "limit `api` needs no reset: its breaker is not open, and no service asked it to wait\n",
    );
    says(
        world.run("limits resume api"),
        &by_me("limit `api` is resumed; it was paused by <me>: outage\n"),
    );
    says(
        world.run("limits resume api"),
        "limit `api` was not paused\n",
    );
    drain(&world);
    assert_eq!(state(&world, run), "succeeded");
    for (verb, done, paused) in [
        ("pause", true, true),
        ("pause", false, true),
        ("reset", false, true),
        ("resume", true, false),
    ] {
        let said = world.run(&format!("limits {verb} api --json")).json(0);
        assert_eq!(said["schema"], format!("jobctl.limits.{verb}/1"));
        assert_eq!(
            (&said["name"], &said["done"], &said["paused"]),
            (&json!("api"), &json!(done), &json!(paused))
        );
    }
}

#[test]
fn an_open_breaker_is_shown_and_closed_by_a_reset() {
    let world = world();
    let run = enqueue(&world, "mail");
    drain(&world);
    let smtp = limit(&world, "smtp");
    assert_eq!(smtp["breaker"], "open");
    assert_eq!(ms(&smtp["until"]) - ms(&smtp["since"]), 600_000);
    let status = timeless(&world.run("status").ok());
    assert!(
        status.contains("the breaker of limit `smtp` is open until T\n"),
        "{status}"
    );
    let document = world.run("status --json").json(0);
    assert_eq!(
        field(document["limits"].as_array().unwrap(), "name"),
        ["api", "smtp"]
    );
    assert_eq!(document["breakers"], json!([]));
    says(
        world.run("limits reset smtp"),
        "limit `smtp` is reset: its breaker is closed\n",
    );
    assert_eq!(limit(&world, "smtp")["breaker"], "closed");
    drain(&world);
    assert_eq!(show(&world, run)["attempts"], 2);
}

#[test]
fn changes_of_a_breaker_and_waits_are_logged() {
    let world = World::with_catalogue(
        r#"
        [defaults]
        retry = { attempts = 3, backoff = "fixed", base = "1ms", jitter = "none" }
        [limit.smtp]
        breaker = { failures = 1, within = "1m", cooldown = "50ms" }
        [job.mail]
        command = 'case "$JOBCTL_RUN_ATTEMPT" in 1) exit 75;; 2) echo busy; exit 9;; esac'
        limits = ["smtp"]
        exit = { patterns = [{ match = 'busy', class = 'rate_limited', wait = '100ms' }] }
        [job.call]
        command = '[ "$JOBCTL_RUN_ATTEMPT" != 1 ] || exit 75'
        breaker = { failures = 1, within = "1m", cooldown = "50ms" }
        "#,
    );
    enqueue(&world, "mail");
    enqueue(&world, "call");
    let log = world.run("run-worker --drain=all").err;
    for event in [
        "warn event=breaker_opened limit=smtp until=20",
        "info event=limit_paused limit=smtp until=20",
        "info event=breaker_closed limit=smtp\n",
        "warn event=breaker_opened job=call until=20",
        "info event=breaker_closed job=call\n",
    ] {
        assert_eq!(log.matches(event).count(), 1, "{event}: {log}");
    }
}

#[test]
fn the_breaker_of_a_job_is_shown_and_closed_with_a_resume() {
    let catalogue = "
        [job.call]
        command = 'exit 75'
        breaker = { failures = 1, within = '1m', cooldown = '10m' }";
    let world = World::with_catalogue(catalogue);
    drop(world.store());
    enqueue(&world, "call");
    drain(&world);
    let status = timeless(&world.run("status").ok());
    assert!(
        status.contains("the breaker of job `call` is open until T\n"),
        "{status}"
    );
    let breakers = world.run("status --json").json(0)["breakers"].clone();
    assert_eq!(
        (&breakers[0]["job"], &breakers[0]["breaker"]),
        (&json!("call"), &json!("open"))
    );
    says(
        world.run("jobs resume call"),
        "job `call` was not paused; its breaker is closed\n",
    );
    let status = world.run("status --json").json(0);
    assert_eq!(status["breakers"], json!([]));
}

#[test]
fn a_wait_that_a_service_asked_for_is_shown_and_forgotten_at_a_reset() {
    let catalogue = "
        [limit.smtp]
        concurrency = 1
        [job.mail]
        command = 'echo busy; exit 9'
        limits = ['smtp']
        exit = { patterns = [{ match = 'busy', class = 'rate_limited', wait = '1h' }] }";
    let world = World::with_catalogue(catalogue);
    drop(world.store());
    enqueue(&world, "mail");
    drain(&world);
    let left_ms = ms(&limit(&world, "smtp")["waits_until"]) - jobctl::clock::wall_ms();
    assert!((3_500_000..=3_600_000).contains(&left_ms), "{left_ms}");
    let list = timeless(&world.run("limits list").ok());
    assert!(list.contains("smtp 0/1 - - - T left -\n"), "{list}");
    let status = timeless(&world.run("status").ok());
    let line = "limit `smtp` waits until T, because a service asked for it\n";
    assert!(status.contains(line), "{status}");
    says(
        world.run("limits reset smtp"),
        "limit `smtp` is reset: the wait that a service asked for is over\n",
    );
    assert_eq!(limit(&world, "smtp")["waits_until"], Value::Null);
}

#[test]
fn names_added_to_the_catalogue_file_show_the_values_of_the_file() {
    let world = world();
    drain(&world);
    let text = std::fs::read_to_string(world.catalogue()).unwrap();
    world.write_catalogue(&format!(
        "{text}\n[limit.fresh]\nconcurrency = 7\n[queue.fresh]\nrank = 5\nmax_waiting = 9\n"
    ));
    says(
        world.run("limits set fresh concurrency=2"),
        "limit `fresh`: concurrency=2; the catalogue says 7\n",
    );
    says(
        world.run("queues set fresh max_waiting=3"),
        "queue `fresh`: max_waiting=3; the catalogue says 9\n",
    );
    drain(&world);
    assert_eq!(limit(&world, "fresh")["concurrency"], 2);
}
