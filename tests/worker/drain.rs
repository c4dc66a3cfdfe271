//! When a draining worker ends beside another worker.

use jobctl::run::State;

use super::{drain, enqueue, make, state, trace, until_exists, worker, world};
use crate::invariants;
use crate::world::until;

const JOBS: &str = r#"
[job.held]
command = "touch $HOME/begun-$JOBCTL_RUN_ID; while ! [ -e $HOME/go-$JOBCTL_RUN_ID ]; do sleep 0.01; done"
sequence = "all"

[job.index]
command = '''
  touch $HOME/begun-$JOBCTL_RUN_ID
  while ! [ -e $HOME/go-$JOBCTL_RUN_ID ]; do sleep 0.01; done
  echo "$JOBCTL_PARAM_REVISION" >> $HOME/indexed
'''
params = { revision = { required = true } }
dedup = { key = "page", while = "active", on_duplicate = "rerun" }

[job.shaky]
command = "exit 65"
sequence = "all"

[job.ok]
command = "true"
"#;

/// Proves (death): a drain of all queues waits for runs that wait for a run of another worker, and not for runs that
/// only an operator can release.
#[test]
fn drain_all_waits_for_successors_of_a_run_at_another_worker() {
    let world = world(JOBS);
    for [front, behind, last] in [
        ["held"; 3],
        [
            "index --param revision=1",
            "index --param revision=2",
            "index --param revision=3",
        ],
    ] {
        let front = enqueue(&world, front);
        // It takes nothing but this one.
        let other = worker(&world, "--slots 1 --max-runs 1");
        until_exists(&world, &format!("begun-{front}"));
        let behind = enqueue(&world, behind);
        let last = enqueue(&world, last);
        let mut draining = worker(&world, "--drain=all");
        for _ in 0..3 {
            // The other worker, which may run the next one, has not ended after the last.
            let ok = enqueue(&world, "ok");
            until("it is there still", || {
                state(&world, ok) == State::Succeeded
            });
        }
        assert!(!draining.has_ended());
        assert_eq!(state(&world, behind), State::Waiting);
        for run in [front, behind, last] {
            make(&world, &format!("go-{run}"));
        }
        let (code, log) = draining.end();
        assert_eq!(code, Some(0), "{log}");
        for run in [front, behind, last] {
            assert_eq!(state(&world, run), State::Succeeded, "{run}: {log}");
        }
        assert_eq!(other.end().0, Some(0));
        invariants::hold(&world);
    }
    // Two of them were one: the waiting run took over the newest parameters.
    assert_eq!(trace(&world, "indexed"), "1\n3\n");
}

/// Proves: as `drain_all_waits_for_successors_of_a_run_at_another_worker`.
#[test]
fn drain_all_does_not_wait_for_runs_that_need_an_operator() {
    let world = world(JOBS);
    let dead = enqueue(&world, "shaky");
    let behind = enqueue(&world, "shaky");
    drain(&world);
    assert_eq!(state(&world, dead), State::Dead);
    assert_eq!(state(&world, behind), State::Waiting);
}
