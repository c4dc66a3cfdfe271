//! What a service asked for holds for everybody under its limit.

use std::fs;

use jobctl::run::State;

use crate::invariants;
use crate::world::{World, until};

/// Proves: as `a_breaker_opens_lets_one_try_and_closes`.
#[test]
fn a_retry_after_that_is_a_date_pauses_the_limit_for_all_its_jobs_until_then() {
    let world = World::with_catalogue(
        r#"
        [defaults]
        cwd = "."
        [limit.api]
        concurrency = 5
        [job.call]
        command = "[ $JOBCTL_RUN_ATTEMPT -gt 1 ] || { cat date > $JOBCTL_RUN_OUTPUT; exit 1; }"
        limits = ["api"]
        [job.ask]
        command = ["/bin/true"]
        limits = ["api"]
        [job.free]
        command = ["/bin/true"]
        "#,
    );
    let store = world.store();
    let state = |run| store.state_of(run).unwrap().unwrap();
    let worker = world.start("-q run-worker --slots 2");
    let waits_ms = || {
        store
            .flow(|| None, jobctl::clock::wall_ms())
            .unwrap()
            .limit("api")
            .and_then(|limit| limit.waits_until_ms)
    };
    let refused_until = |seconds: i64| {
        let at = chrono::DateTime::from_timestamp(jobctl::clock::wall_ms() / 1_000 + seconds, 0)
            .unwrap();
        let date = at
            .format("retry_after=%a, %d %b %Y %H:%M:%S GMT\n")
            .to_string();
        fs::write(world.root().join("date"), date).unwrap();
        (world.enqueue("call"), at.timestamp_millis())
    };
    // An hour: nothing under the limit starts, of other jobs neither, and all else does.
    let (call, until_ms) = refused_until(3_600);
    until("the limit waits", || waits_ms() == Some(until_ms));
    let ask = world.enqueue("ask");
    let free = world.enqueue("free");
    until("what is not under it ran", || {
        state(free) == State::Succeeded
    });
    assert_eq!([state(call), state(ask)], [State::Waiting; 2]);
    world.run("limits reset api").ok();
    until("an operator let it go on", || {
        state(ask) == State::Succeeded
    });
    assert_eq!(state(call), State::Waiting, "its own wait goes on");
    // Some seconds: they start by themselves, and not before. On a slow machine they may be over already.
    let (call, until_ms) = refused_until(3);
    until("it was refused", || {
        let row = store
            .show_run(call, jobctl::clock::wall_ms())
            .unwrap()
            .unwrap()
            .row;
        row.attempts == 1 && row.state != State::Running
    });
    let ask = world.enqueue("ask");
    until("both ran", || {
        [call, ask].map(state) == [State::Succeeded; 2]
    });
    let conn = invariants::open(&world);
    for run in [call, ask] {
        let sql = format!("SELECT max(started_ms) FROM attempt WHERE run = {}", run.0);
        let started_ms = invariants::number(&conn, &sql);
        assert!(
            started_ms >= until_ms,
            "{run}: {started_ms} before {until_ms}"
        );
    }
    worker.signal("TERM");
    assert_eq!(worker.end().code, Some(0));
    invariants::hold(&world);
}
