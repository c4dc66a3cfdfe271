//! A full disk loses nothing and acknowledges nothing falsely. The errors are injected into the real system calls.

use crate::invariants;
use crate::needs;
use crate::world::{Said, World};

const CATALOGUE: &str = "[job.a]\ncommand = [\"/bin/true\"]\n";

/// Runs jobctl under strace, which answers writes to the log with this error.
fn with_fault(world: &World, fault: &str, words: &str) -> Said {
    world.shell(&format!(
        "strace -f -qq -o strace.log -P {}/jobctl.db-wal -e trace=pwrite64,fdatasync -e inject={fault} $jobctl {words}",
        world.state().display()
    ))
}

/// Fault: as `a_worker_on_a_small_disk_goes_on_when_it_has_space_again`.
#[test]
fn an_enqueue_on_a_full_disk_is_exit_74_and_stores_nothing() {
    if !needs::tracing() {
        return;
    }
    let world = World::with_catalogue(CATALOGUE);
    world.enqueue("a");
    let _open = world.store();
    let said = with_fault(&world, "pwrite64:error=ENOSPC", "enqueue a");
    assert_eq!(said.code, Some(74), "{}", said.err);
    assert_eq!(said.out, "");
    assert!(
        said.err
            .starts_with("error: the disk is full; nothing was stored\n"),
        "{}",
        said.err
    );
    assert_eq!(
        invariants::number(&invariants::open(&world), "SELECT count(*) FROM run"),
        1
    );
    world.run("enqueue a").is(0, "2\n", "");
}

#[test]
fn a_worker_finishes_its_runs_once_there_is_space_again() {
    if !needs::tracing() {
        return;
    }
    let world = World::with_catalogue(CATALOGUE);
    for _ in 0..3 {
        world.enqueue("a");
    }
    let _open = world.store();
    // The first writes register the worker; those that fail come between its first claim and its last finish.
    let said = with_fault(
        &world,
        "pwrite64:error=ENOSPC:when=18..40",
        "run-worker --drain",
    );
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("event=store_failed"), "{}", said.err);
    let conn = invariants::open(&world);
    let done = "SELECT count(*) FROM run WHERE state = 'succeeded' AND attempts = 1";
    assert_eq!(invariants::number(&conn, done), 3);
    invariants::hold(&world);
}
