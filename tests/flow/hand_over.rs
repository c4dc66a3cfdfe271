//! What ends in one worker lets go on what waits in another.

use std::fs;

use jobctl::run::{RunId, State};

use crate::invariants;
use crate::world::{World, until};

/// The look around of a worker that nobody wakes comes once a second.
const TICK_MS: i64 = 1_000;

/// Proves (flow): an end in one worker wakes the workers whose lanes it opens, and idle workers wake nobody.
#[test]
fn an_end_in_one_worker_wakes_another_whose_lane_it_opens() {
    let world = World::with_catalogue(
        r#"
        [defaults]
        cwd = "."
        [limit.one]
        concurrency = 1
        [job.first]
        command = "until [ -e go.$JOBCTL_RUN_ID ]; do sleep 0.01; done"
        timeout = "2m"
        queue = "high"
        limits = ["one"]
        [job.second]
        command = ["/bin/true"]
        queue = "low"
        limits = ["one"]
        "#,
    );
    let store = world.store();
    let state = |run| store.state_of(run).unwrap().unwrap();
    let enqueue = |job: &str, queue: &str| {
        let enqueued = world.enqueue_as(|run| {
            run.job = job.into();
            run.queue = queue.into();
        });
        enqueued.run
    };
    let workers = ["high", "low"]
        .map(|queue| world.start(&format!("-q run-worker --slots 2 --queue {queue}")));
    let conn = invariants::open(&world);
    let attempt = |what: &str, run: RunId| {
        let sql = format!("SELECT {what} FROM attempt WHERE run = {}", run.0);
        invariants::number(&conn, &sql)
    };
    let mut gaps_ms = Vec::new();
    for _ in 0..10 {
        let first = enqueue("first", "high");
        until("the first runs", || state(first) == State::Running);
        let second = enqueue("second", "low");
        fs::write(world.root().join(format!("go.{first}")), "").unwrap();
        until("the second ran", || state(second) == State::Succeeded);
        gaps_ms.push(attempt("started_ms", second) - attempt("ended_ms", first));
    }
    for worker in workers {
        worker.signal("TERM");
        assert_eq!(worker.end().code, Some(0));
    }
    println!("from an end to the start in another worker: {gaps_ms:?} ms");
    assert!(gaps_ms.iter().all(|gap_ms| *gap_ms >= 0), "{gaps_ms:?}");
    // A round begins with the start before it: if only looks around started runs, each would come almost a whole one later. A
    // machine that is busy otherwise may delay some.
    let woken = gaps_ms.iter().filter(|gap_ms| **gap_ms < TICK_MS / 2);
    assert!(woken.count() > 5, "{gaps_ms:?}");
    invariants::hold(&world);
}
