//! Every named point, reached by a real process that is killed there; then the invariants, and all work gets done.
//!
//! `cargo test --features fail-points points::`
//!
//! Proves (death): killed at any named point (claimed, marked, spawned, ended, around each COMMIT, twice during
//! recovery) a worker loses nothing (feature `fail-points`).
//! Fault (processes): kill -9 at named points: claimed, marked, spawned, ended, around COMMITs, twice during recovery,
//! in a prune (feature `fail-points`).

use std::fs;

use jobctl::run::{RunId, State};

use crate::invariants;
use crate::world::{World, until};

const JOBS: &str = "
[worker]
slots = 2
[job.trace]
command = \"echo $JOBCTL_RUN_ID >> $HOME/ran\"
retry.max_crashes = 9
[job.tick]
command = [\"/bin/true\"]
schedule = { every = '1s', timezone = 'UTC', overlap = 'allow' }
";

/// Runs `jobctl` until it comes to a point for the n-th time; whether it came there.
fn killed_at(world: &World, point: &str, n: u64, words: &str) -> bool {
    let mut command = world.command(words.split_whitespace());
    command.env("JOBCTL_FAIL_POINT", format!("{point}:{n}"));
    let said = World::start_command(command).end();
    assert!(
        said.code.is_none() || said.code == Some(0),
        "{point}:{n} {words}: {}",
        said.err
    );
    said.code.is_none()
}

fn ran(world: &World) -> Vec<i64> {
    let text = fs::read_to_string(world.home().join("ran")).unwrap_or_default();
    text.lines()
        .map(|line| line.parse().expect("a run"))
        .collect()
}

/// Everything is worked to its end by an undisturbed worker, and everything holds.
fn settle(world: &World, point: &str) {
    let said = world.run("-q run-worker --drain=all");
    assert_eq!(said.code, Some(0), "{point}: {}", said.err);
    let store = world.store();
    for run in store.existing(RunId(0), RunId(i64::MAX)).expect("runs") {
        let state = store.run_location(run).expect("a run").expect("a run").0;
        assert_eq!(state, State::Succeeded, "{point}: run {run}");
    }
    assert_eq!(store.verify().expect("an answer"), [], "{point}");
    invariants::hold(world);
    assert_eq!(invariants::marked_processes(world), [0u32; 0], "{point}");
}

#[test]
fn a_worker_killed_at_any_point_of_a_run_loses_nothing() {
    for point in [
        "claimed",
        "marked",
        "spawned",
        "ended",
        "in_transaction",
        "before_commit",
        "after_commit",
    ] {
        for n in 1..=6 {
            let world = World::with_catalogue(JOBS);
            for _ in 0..3 {
                world.run("-q enqueue trace").ok();
            }
            let killed = killed_at(&world, point, n, "-q run-worker --slots 1 --drain");
            if point == "claimed" && n == 1 {
                assert_eq!(ran(&world), [0i64; 0], "nothing was started");
            }
            settle(&world, point);
            let mut times = ran(&world);
            times.sort_unstable();
            if point == "claimed" && n == 1 {
                assert_eq!(times, [1, 2, 3], "what was not started is started once");
            }
            times.dedup();
            assert_eq!(times, [1, 2, 3], "{point}:{n}");
            if !killed {
                break;
            }
        }
    }
}

#[test]
fn an_enqueue_killed_around_its_commit_is_whole_or_nothing() {
    for (point, stored) in [("before_commit", 0), ("after_commit", 1)] {
        let world = World::with_catalogue(JOBS);
        drop(world.store());
        assert!(killed_at(&world, point, 1, "-q enqueue trace"));
        let conn = invariants::open(&world);
        assert_eq!(
            invariants::number(&conn, "SELECT count(*) FROM run"),
            stored,
            "{point}"
        );
        drop(conn);
        settle(&world, point);
        // The same request again is the same run, whether it was stored or not.
        let world = World::with_catalogue(JOBS);
        drop(world.store());
        assert!(killed_at(
            &world,
            point,
            1,
            "-q enqueue trace --request-id r"
        ));
        world
            .run("-q enqueue trace --request-id r")
            .is(0, "1\n", "");
        settle(&world, point);
        assert_eq!(ran(&world), [1], "{point}");
    }
}

#[test]
fn a_recovery_killed_twice_is_done_by_the_third() {
    for point in ["left_ended", "before_commit", "after_commit", "recovered"] {
        let world = World::with_catalogue(JOBS);
        for _ in 0..3 {
            world.run("-q enqueue trace").ok();
        }
        assert!(killed_at(&world, "ended", 1, "-q run-worker --drain"));
        for n in [1, 2] {
            killed_at(&world, point, n, "-q run-worker --drain");
        }
        settle(&world, point);
        let mut times = ran(&world);
        times.sort_unstable();
        times.dedup();
        assert_eq!(times, [1, 2, 3], "{point}");
    }
}

#[test]
fn a_scheduler_killed_around_its_commits_opens_each_period_once() {
    let world = World::with_catalogue(JOBS);
    world.run("-q schedule --once").ok();
    for n in 1..=4 {
        for point in ["before_commit", "after_commit", "in_transaction"] {
            killed_at(&world, point, n, "-q schedule --once");
        }
    }
    let periods = || {
        invariants::number(
            &invariants::open(&world),
            "SELECT coalesce(sum(count), 0) FROM period",
        )
    };
    until("a period", || {
        world.run("-q schedule --once").ok();
        periods() > 0
    });
    assert_eq!(world.run("periods audit").code, Some(0));
    settle(&world, "schedule");
}

#[test]
fn a_prune_killed_around_its_commits_removes_whole_runs() {
    for point in ["before_commit", "after_commit"] {
        let world = World::with_catalogue(JOBS);
        for _ in 0..5 {
            world.run("-q enqueue trace").ok();
        }
        world.run("-q run-worker --drain").ok();
        for n in 1..=3 {
            killed_at(&world, point, n, "-q prune --all-but 1");
        }
        settle(&world, point);
    }
}

/// A panic in one thread: the worker continues or ends with exit 70; in either case all runs are completed.
/// Fault (processes): a panic in one thread of a worker (feature `fail-points`).
#[test]
fn a_panicking_thread_loses_no_run_and_hangs_no_process() {
    // The ledger answers that it failed, and what failed is tried again; at the birth of a worker nothing is.
    let ledger = ["in_transaction", "before_commit", "after_commit"];
    let others = ["claimed", "marked", "spawned", "ended", "housekeeping"];
    for point in ledger.into_iter().chain(others) {
        let mut ends = Vec::new();
        for n in 1..=4 {
            let world = World::with_catalogue(JOBS);
            for _ in 0..3 {
                world.run("-q enqueue trace").ok();
            }
            let mut command = world.command(["run-worker", "--drain", "--slots", "1"]);
            command.env("JOBCTL_FAIL_POINT", format!("{point}:{n}:panic"));
            let said = World::start_command(command).end();
            assert!(
                matches!(said.code, Some(0 | 70)),
                "{point}:{n}: {}",
                said.err
            );
            if said.err.contains("the test wants it") {
                ends.extend(said.code);
            }
            settle(&world, point);
            let mut times = ran(&world);
            times.sort_unstable();
            times.dedup();
            assert_eq!(times, [1, 2, 3], "{point}:{n}");
        }
        let wanted = if ledger.contains(&point) { 0 } else { 70 };
        assert_eq!(ends.last(), Some(&wanted), "{point}: {ends:?}");
    }
}
