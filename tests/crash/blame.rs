//! Whose fault the death of a worker is: a run is not blamed for what the worker's parent did, and for all else it is.
//!
//! Here the test is the parent process, as a service manager is; a command or `kill` is not.
//!
//! Fault (processes): SIGTERM, SIGINT or SIGABRT to a worker, by its parent, by others or by its own command, then
//! kill -9.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use jobctl::run::{RunId, State};
use rustix::process::{Pid, Signal, kill_process};

use crate::invariants;
use crate::systemd::Manager;
use crate::world::{Running, World, until};

/// A job that ends when its file exists.
const JOBS: &str = r#"
    [worker]
    stop_after = "1h"
    [job.wait]
    command = "trap '' TERM; touch started; until [ -e go ]; do sleep 0.01; done"
    cwd = "."
"#;

fn column(world: &World, run: RunId, name: &str) -> i64 {
    invariants::number(
        &invariants::open(world),
        &format!("SELECT {name} FROM run WHERE id = {run}"),
    )
}

/// Sends a signal as the parent of the worker.
fn send(worker: &Running, signal: Signal) {
    let pid = Pid::from_raw(worker.pid().cast_signed()).expect("a pid");
    kill_process(pid, signal).expect("it is ours");
}

/// A worker whose command runs.
fn begin(world: &World) -> (Running, RunId) {
    let run = world.enqueue("wait");
    let worker = world.start("-q run-worker --slots 1");
    until("the command runs", || world.root().join("started").exists());
    (worker, run)
}

/// What the worker wrote when its parent began to end it.
fn last_words(world: &World) -> Option<String> {
    let words = fs::read_to_string(world.state().join("workers/1.lock")).expect("its lock");
    (!words.is_empty()).then_some(words)
}

/// Kills the worker, and has another one work the run to its end.
fn recover(world: &World, mut worker: Running, run: RunId) {
    worker.signal("KILL");
    let status = worker.child().wait().expect("it ends");
    assert_eq!(status.signal(), Some(9));
    fs::write(world.root().join("go"), "").expect("a file");
    assert_eq!(world.run("run-worker --drain").code, Some(0));
    assert_eq!(world.store().state_of(run).unwrap(), Some(State::Succeeded));
    assert_eq!(column(world, run, "attempts"), 2);
    invariants::hold(world);
}

/// Proves (poison): a run is not blamed for a stop by the parent process of its worker, and is blamed for every other
/// death.
#[test]
fn a_stop_that_the_parent_cuts_short_counts_nothing() {
    let world = World::with_catalogue(JOBS);
    let (worker, run) = begin(&world);
    send(&worker, Signal::TERM);
    until("it knows who ends it", || last_words(&world).is_some());
    recover(&world, worker, run);
    assert_eq!(column(&world, run, "crashes"), 0);
    let shown = world.run(&format!("runs show {run}")).ok();
    assert!(
        shown.contains("worker 1 was stopped by its parent process"),
        "{shown}"
    );
}

/// Proves: as `a_stop_that_the_parent_cuts_short_counts_nothing`.
#[test]
fn a_worker_that_hangs_and_is_aborted_by_its_parent_counts_nothing() {
    let world = World::with_catalogue(JOBS);
    let (mut worker, run) = begin(&world);
    // The worker is stopped when the signal comes; the service manager continues it afterwards.
    send(&worker, Signal::STOP);
    send(&worker, Signal::ABORT);
    send(&worker, Signal::CONT);
    let status = worker.child().wait().expect("it ends");
    assert_eq!(status.signal(), Some(6), "it dies of the signal");
    fs::write(world.root().join("go"), "").expect("a file");
    assert_eq!(world.run("run-worker --drain").code, Some(0));
    assert_eq!(column(&world, run, "crashes"), 0);
    invariants::hold(&world);
}

/// Proves: as `a_stop_that_the_parent_cuts_short_counts_nothing`.
#[test]
fn only_a_stop_by_the_parent_excuses_a_death() {
    let world = World::with_catalogue(JOBS);
    let manager = Manager::new(&world);
    let run = world.enqueue("wait");
    let worker = manager.start(&world, "-q run-worker --slots 1");
    until("the command runs", || world.root().join("started").exists());
    worker.signal("TERM");
    manager.until("STOPPING");
    assert_eq!(last_words(&world), None);
    recover(&world, worker, run);
    assert_eq!(column(&world, run, "crashes"), 1);
}

/// Proves: as `a_stop_that_the_parent_cuts_short_counts_nothing`.
#[test]
fn a_run_that_signals_its_worker_is_poison() {
    for kill in [
        "kill -ABRT $PPID",
        "kill -TERM $PPID; kill -KILL $PPID",
        "kill -INT $PPID; kill -ABRT $PPID",
    ] {
        let world = World::with_catalogue(&format!("[job.killer]\ncommand = \"{kill}\"\n"));
        let run = world.enqueue("killer");
        until("the killer is dead", || {
            drop(world.run("-q run-worker --drain --slots 1"));
            world.store().state_of(run).unwrap() == Some(State::Dead)
        });
        let poison = "SELECT count(*) FROM dead_letter WHERE reason = 'poison'";
        assert_eq!(
            invariants::number(&invariants::open(&world), poison),
            1,
            "{kill}"
        );
        assert_eq!(column(&world, run, "crashes"), 3, "{kill}");
        invariants::hold(&world);
    }
}
