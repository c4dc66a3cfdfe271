//! A worker that has nothing to do does nothing.

use std::time::Duration;

use jobctl::run::State;

use crate::world::{World, until};

#[test]
fn a_worker_with_only_blocked_runs_rests() {
    let world = World::with_catalogue("[job.known]\ncommand = [\"/bin/true\"]\n");
    let unknown = world.enqueue("unknown");
    let known = world.enqueue("known");
    let worker = world.start("run-worker --slots 1");
    let store = world.store();
    until("it works", || {
        store.state_of(known).unwrap() == Some(State::Succeeded)
    });
    let watch = store.watch().unwrap();
    // Its last look may still be under way; after that every transaction would be one too many.
    watch.wait(Duration::from_millis(500)).unwrap();
    watch.drain();
    assert!(
        !watch.wait(Duration::from_millis(1500)).unwrap(),
        "it wrote without a reason"
    );
    assert_eq!(store.state_of(unknown).unwrap(), Some(State::Waiting));
    worker.signal("TERM");
    assert_eq!(worker.end().code, Some(0));
}
