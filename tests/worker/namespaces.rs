//! Two pid namespaces on one store: their numbers are never taken for each other's.
//!
//! Proves (leftovers): pids of another pid namespace are not taken for pids of ours.

use std::process::Command;

use jobctl::run::State;

use super::{enqueue, jobs, show, state, until_exists, world};
use crate::world::{Running, World, until};
use crate::{invariants, needs};

/// Whether this machine lets us make pid namespaces.
fn can_unshare() -> bool {
    let works = || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--pid", "--fork", "--mount-proc", "true"]);
        unshare.output().is_ok_and(|it| it.status.success())
    };
    needs::tool("unshare") && needs::met("pid namespaces", works())
}

/// A worker in a namespace of its own, started by this script (`$jobctl` is the binary).
fn elsewhere(world: &World, script: &str) -> Running {
    let inner = world.command(["--version"]);
    let mut command = Command::new("unshare");
    command
        .args([
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-c",
            script,
        ])
        .env("jobctl", inner.get_program());
    for (name, value) in inner.get_envs() {
        command.env(name, value.expect("a value"));
    }
    command.current_dir(world.root());
    World::start_command(command)
}

fn long() -> World {
    world(&jobs(
        "grace = '100ms'",
        &[
            (
                "long",
                "touch $HOME/started-$JOBCTL_RUN_ATTEMPT; exec sleep 60",
            ),
            ("ok", "true"),
        ],
    ))
}

#[test]
fn a_store_is_not_shared_with_a_worker_of_another_namespace() {
    if !can_unshare() {
        return;
    }
    let world = long();
    let run = enqueue(&world, "long");
    let other = elsewhere(&world, "exec $jobctl run-worker");
    until_exists(&world, "started-1");
    for words in ["run-worker", "run ok"] {
        let err = world.run(words).fails(69);
        assert!(
            err.contains("works on this store in another pid namespace"),
            "{err}"
        );
        assert!(
            err.contains("hint: run all workers of a store in one container"),
            "{err}"
        );
    }
    let err = world.run("workers kill 1").fails(4);
    assert!(err.contains("another pid namespace"), "{err}");
    let err = world.run("workers kill 1 --gone").fails(4);
    assert!(err.contains("it is alive"), "{err}");
    assert_eq!(state(&world, run), State::Running);
    // It was pid 1 of its namespace, so the kernel ended all its processes: its runs continue here.
    drop(other);
    until("all of it is gone", || {
        invariants::marked_processes(&world).is_empty()
    });
    let second = world.start("run-worker --slots 1");
    until_exists(&world, "started-2");
    assert_eq!(show(&world, run).row.crashes, 1);
    drop(second);
    // The runs that did not start have left nothing.
    invariants::hold(&world);
}

#[test]
fn runs_of_a_dead_worker_wait_while_its_namespace_may_live() {
    if !can_unshare() {
        return;
    }
    let world = long();
    let run = enqueue(&world, "long");
    // The worker is killed, and its command lives on beside the first process.
    let script = "$jobctl run-worker & echo $! > worker; until [ -e kill ]; do sleep 0.02; done; \
        kill -9 $(cat worker); touch killed; until [ -e end ]; do sleep 0.02; done";
    let other = elsewhere(&world, script);
    until_exists(&world, "started-1");
    std::fs::write(world.root().join("kill"), "").unwrap();
    until("it is killed", || world.root().join("killed").exists());
    until("its lock is free", || {
        let err = world.run("run-worker").fails(69);
        err.contains("its commands may live on there")
    });
    // A scheduler recovers, too, and leaves it alone.
    let mut scheduler = world.command(["schedule"]);
    let log = world.root().join("scheduler.log");
    scheduler.stderr(std::fs::File::create(&log).unwrap());
    let scheduler = World::start_command(scheduler);
    until("it is told", || {
        std::fs::read_to_string(&log)
            .unwrap()
            .contains("event=worker_died")
    });
    assert_eq!(state(&world, run), State::Running);
    assert_eq!(
        invariants::marked_processes(&world).len(),
        1,
        "its command lives"
    );
    scheduler.signal("TERM");
    scheduler.end();
    // Who knows that the container is gone says so.
    drop(other);
    until("its command is gone", || {
        invariants::marked_processes(&world).is_empty()
    });
    let said = world.run("workers kill 1 --gone");
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), "worker 1 is gone with all its processes\n")
    );
    let worker = world.start("run-worker");
    until_exists(&world, "started-2");
    drop(worker);
    assert!(!world.home().join("started-3").exists());
}

#[test]
fn a_proc_of_another_namespace_is_refused() {
    if !can_unshare() {
        return;
    }
    let world = long();
    let inner = world.command(["run-worker", "--drain"]);
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork"])
        .arg(inner.get_program())
        .args(inner.get_args());
    for (name, value) in inner.get_envs() {
        command.env(name, value.expect("a value"));
    }
    let said = command.output().expect("it ends");
    let err = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(69), "{err}");
    assert!(err.contains("`/proc` shows another pid namespace"), "{err}");
}
