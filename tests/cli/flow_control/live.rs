//! Workers that run meanwhile.

use serde_json::json;

use super::{enqueue, go, items, let_it_look, limit, ms, queue, show, state, worker, world};
use crate::world::until;

#[test]
fn a_running_worker_starts_a_resumed_queue_within_a_second() {
    let world = world();
    world.run("queues pause batch").ok();
    let runs: Vec<i64> = (0..2).map(|_| enqueue(&world, "hold")).collect();
    let _worker = worker(&world);
    assert!(runs.iter().all(|&run| state(&world, run) == "waiting"));
    world.run("queues resume batch").ok();
    until("both run", || {
        runs.iter().all(|&run| state(&world, run) == "running")
    });
    let resumed = world.run("queues history batch -n 1 --json").json(0);
    let resumed_ms = ms(&items(&resumed, "queues.history")[0]["at"]);
    for run in runs {
        until("its start is noted", || {
            show(&world, run)["started"].is_string()
        });
        let waited_ms = ms(&show(&world, run)["started"]) - resumed_ms;
        assert!((0..1_000).contains(&waited_ms), "{waited_ms}");
        go(&world, run);
    }
}

#[test]
fn a_lowered_concurrency_holds_at_the_next_claim_and_ends_nothing_that_runs() {
    let world = world();
    let runs: Vec<i64> = (0..4).map(|_| enqueue(&world, "hold")).collect();
    let _worker = worker(&world);
    let states = || {
        runs.iter()
            .map(|&run| state(&world, run))
            .collect::<Vec<_>>()
    };
    until("two run", || {
        states() == ["running", "running", "waiting", "waiting"]
    });
    world.run("limits set api concurrency=1").ok();
    let api = limit(&world, "api");
    assert_eq!(
        (&api["running"], &api["concurrency"]),
        (&json!(2), &json!(1))
    );
    go(&world, runs[0]);
    until("one has ended", || state(&world, runs[0]) == "succeeded");
    let_it_look(&world);
    assert_eq!(states(), ["succeeded", "running", "waiting", "waiting"]);
    go(&world, runs[1]);
    until("the next runs", || state(&world, runs[2]) == "running");
    let_it_look(&world);
    assert_eq!(state(&world, runs[3]), "waiting");
    world.run("limits set api concurrency=catalogue").ok();
    until("it runs beside", || state(&world, runs[3]) == "running");
    assert_eq!(state(&world, runs[2]), "running");
    for &run in &runs {
        go(&world, run);
    }
    until("all have ended", || {
        states().iter().all(|state| state == "succeeded")
    });
    assert!(runs.iter().all(|&run| show(&world, run)["attempts"] == 1));
}

/// Proves: as `a_setting_applies_to_the_next_claim_and_stops_no_running_run`.
#[test]
fn an_override_expires_while_a_worker_sleeps() {
    let world = world();
    world.run("queues set batch max_running=1 --until 1s").ok();
    let change = queue(&world, "batch")["overrides"][0].clone();
    let runs: Vec<i64> = (0..2).map(|_| enqueue(&world, "hold")).collect();
    let _worker = world.start("run-worker -q");
    until("both run", || {
        runs.iter().all(|&run| state(&world, run) == "running")
    });
    until("its start is noted", || {
        show(&world, runs[1])["started"].is_string()
    });
    let late_ms = ms(&show(&world, runs[1])["started"]) - ms(&change["until"]);
    assert!(late_ms >= 0, "{late_ms}");
    assert_eq!(queue(&world, "batch")["overrides"], json!([]));
    for run in runs {
        go(&world, run);
    }
}
