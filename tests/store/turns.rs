//! Writers take turns; nobody is told BUSY before ten seconds.

use std::fs::{self, File};

use fs2::FileExt;

use crate::invariants;
use crate::world::{Running, World, signal, until};

/// Whether a process has this file open.
fn holds(process: &Running, name: &str) -> bool {
    let fds = format!("/proc/{}/fd", process.pid());
    let Ok(fds) = fs::read_dir(fds) else {
        return false;
    };
    fds.flatten()
        .filter_map(|fd| fs::read_link(fd.path()).ok())
        .any(|path| path.file_name().is_some_and(|file| file == name))
}

/// Fault (storage): a foreign writer; a reader that stays.
#[test]
fn an_enqueue_waits_for_a_foreign_writer() {
    let world = World::with_catalogue("[job.a]\ncommand = [\"/bin/true\"]\n");
    drop(world.store());
    let foreign = invariants::open(&world);
    foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
    let enqueue = world.start("enqueue a");
    // It has its turn and meets the foreign lock.
    until("it has its turn", || holds(&enqueue, "write.lock"));
    foreign.execute_batch("COMMIT").unwrap();
    enqueue.end().is(0, "1\n", "");
}

/// Fault: as `an_enqueue_waits_for_a_foreign_writer`.
#[test]
fn a_writer_that_never_lets_go_is_exit_75_and_nothing_is_stored() {
    let world = World::with_catalogue("[job.a]\ncommand = [\"/bin/true\"]\n");
    drop(world.store());
    let lock = File::create(world.state().join("write.lock")).unwrap();
    FileExt::lock_exclusive(&lock).unwrap();
    let said = world.run("enqueue a");
    assert_eq!(said.code, Some(75), "{}", said.err);
    let pid = std::process::id();
    let want = format!("error: the store was busy for 10 s: process {pid} (`");
    assert!(said.err.starts_with(&want), "{}", said.err);
    let rest =
        "holds it; nothing was stored\nhint: try again; if this persists, check what process";
    assert!(said.err.contains(rest), "{}", said.err);
    drop(lock);
    assert_eq!(
        invariants::number(&invariants::open(&world), "SELECT count(*) FROM run"),
        0
    );
    world.run("enqueue a").is(0, "1\n", "");
}

/// Fault: as `a_stopped_worker_keeps_its_runs`.
#[test]
fn a_stopped_process_that_holds_the_store_is_named() {
    let world = World::with_catalogue("[job.a]\ncommand = [\"/bin/true\"]\n");
    drop(world.store());
    drop(world.run("enqueue a"));
    let lock = world.state().join("write.lock");
    let script = format!("exec flock --no-fork {} sleep 60", lock.display());
    let mut holder = world.spawn_shell(&script);
    let pid = holder.id();
    let free = || FileExt::try_lock_exclusive(&File::open(&lock).unwrap()).is_ok();
    until("it is held", || !free());
    signal(pid, "STOP");
    let said = world.run("enqueue a");
    assert_eq!(said.code, Some(75), "{}", said.err);
    let want = format!("process {pid} (`sleep`), which is stopped, holds it; nothing was stored");
    assert!(said.err.contains(&want), "{}", said.err);
    assert!(
        said.err.contains(&format!("kill -CONT {pid}")),
        "{}",
        said.err
    );
    signal(pid, "KILL");
    drop(holder.wait());
    world.run("enqueue a").is(0, "2\n", "");
}

/// Fault: as `an_enqueue_waits_for_a_foreign_writer`.
#[test]
fn a_long_reader_does_not_block_writers() {
    let world = World::with_catalogue("[job.a]\ncommand = [\"/bin/true\"]\n");
    world.enqueue("a");
    let reader = invariants::open(&world);
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM run")
        .unwrap();
    world.run("enqueue a").is(0, "2\n", "");
    assert_eq!(world.run("run-worker --drain -q").code, Some(0));
    reader.execute_batch("COMMIT").unwrap();
    invariants::hold(&world);
}

/// A foreign program, such as `sqlite3` on the command line, holds the database this long, beside a worker and a process that
/// enqueues.
fn beside_a_foreign_writer(seconds: u64) {
    let world = World::with_catalogue("[job.a]\ncommand = [\"/bin/true\"]\n");
    drop(world.store());
    let worker = world.start("run-worker -q");
    until("it is there", || {
        invariants::number(&invariants::open(&world), "SELECT count(*) FROM worker") == 1
    });
    let foreign = invariants::open(&world);
    foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = jobctl::clock::monotonic();
    let enqueue = world.start("enqueue a");
    jobctl::clock::pause(std::time::Duration::from_secs(seconds).saturating_sub(begun.elapsed()));
    foreign.execute_batch("COMMIT").unwrap();
    let said = enqueue.end();
    let mut stored = 1;
    if said.code == Some(75) {
        // It has waited its ten seconds.
        assert!(seconds >= 10 && said.out.is_empty(), "{}", said.err);
        stored = 0;
    } else {
        said.is(0, "1\n", "");
    }
    world.run("-q enqueue a").ok();
    let conn = invariants::open(&world);
    let done = "SELECT count(*) FROM run WHERE state = 'succeeded' AND attempts = 1";
    until("all is done", || {
        invariants::number(&conn, done) == stored + 1
    });
    worker.signal("TERM");
    assert_eq!(worker.end().code, Some(0));
    invariants::hold(&world);
}

/// Fault: as `an_enqueue_waits_for_a_foreign_writer`.
#[test]
fn a_foreign_writer_delays_a_worker_and_breaks_nothing() {
    beside_a_foreign_writer(2);
}

/// `cargo test -- --ignored a_foreign_writer_for_thirty_seconds`
#[test]
#[ignore = "takes half a minute"]
fn a_foreign_writer_for_thirty_seconds_breaks_nothing() {
    beside_a_foreign_writer(32);
}
