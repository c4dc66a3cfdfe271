//! A dead worker's runs are handed out again at once, by proof of its death and never by a clock.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use jobctl::run::{Guarantee, RunId, State};

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::invariants;
use crate::world::{Running, World, until};

fn running(world: &World, run: RunId) -> bool {
    let conn = invariants::open(world);
    let sql =
        format!("SELECT count(*) FROM run WHERE id = {run} AND state = 'running' AND attempts > 0");
    invariants::number(&conn, &sql) == 1
}

fn state(world: &World, run: RunId) -> State {
    world.store().state_of(run).unwrap().unwrap()
}

fn column(world: &World, run: RunId, name: &str) -> i64 {
    invariants::number(
        &invariants::open(world),
        &format!("SELECT {name} FROM run WHERE id = {run}"),
    )
}

/// A job that says which attempt it is and runs until its file exists.
const UNTIL_FILE: &str = r#"
    [job.wait]
    command = "echo $JOBCTL_RUN_ATTEMPT >> starts; until [ -e go ]; do sleep 0.01; done"
    cwd = "."
    grace = "1s"
    [job.other]
    command = "until [ -e go ]; do sleep 0.01; done"
    cwd = "."
"#;

/// Proves (death): a worker that is stopped by SIGSTOP keeps its runs.
/// Fault (processes): SIGSTOP of a worker, of a leader, and of a process that holds the store.
#[test]
fn a_stopped_worker_keeps_its_runs() {
    let world = World::with_catalogue(UNTIL_FILE);
    let run = world.enqueue("wait");
    let first = world.start("run-worker --slots 1");
    until("it runs", || running(&world, run));
    first.signal("STOP");
    let second = world.start("run-worker --slots 1");
    // The second worker runs and checks other workers meanwhile: a run that it ends proves a check.
    let other = world.enqueue("other");
    fs::write(world.root().join("go"), "").unwrap();
    until("the other ended", || {
        state(&world, other) == State::Succeeded
    });
    assert_eq!(state(&world, run), State::Running);
    assert_eq!(column(&world, run, "crashes"), 0);
    first.signal("CONT");
    until("it ended", || state(&world, run) == State::Succeeded);
    assert_eq!(column(&world, run, "attempts"), 1);
    drop((first, second));
    invariants::hold(&world);
}

/// A run that may start once at most; it runs, and its worker is killed.
fn begun_once_by_a_worker_that_is_dead(world: &World) -> RunId {
    let run = world
        .enqueue_as(|run| {
            run.job = "wait".into();
            run.guarantee = Guarantee::AtMostOnce;
            run.max_attempts = 1;
        })
        .run;
    let first = world.start("run-worker --slots 1");
    until("it runs", || running(world, run));
    first.signal("KILL");
    drop(first);
    run
}

/// Proves (death): an at-most-once run is never started twice.
#[test]
fn at_most_once_is_not_started_again_after_a_crash() {
    let world = World::with_catalogue(UNTIL_FILE);
    let run = begun_once_by_a_worker_that_is_dead(&world);
    assert_eq!(world.run("run-worker --drain").code, Some(0));
    assert_eq!(state(&world, run), State::Dead);
    let conn = invariants::open(&world);
    let crashed = "SELECT count(*) FROM dead_letter WHERE reason = 'crashed'";
    assert_eq!(invariants::number(&conn, crashed), 1);
    invariants::hold(&world);
}

/// A run that may start once at most runs, and its worker is killed before it noted the start; `meanwhile` has its store and its
/// start marks before it is recovered. If they prove nothing, the run must not start again.
fn is_not_started_again(meanwhile: impl Fn(&rusqlite::Connection, &Path)) {
    let world = World::with_catalogue(UNTIL_FILE);
    let run = begun_once_by_a_worker_that_is_dead(&world);
    let conn = invariants::open(&world);
    let unnoted = "UPDATE run SET attempts = 0, started_ms = NULL; DELETE FROM attempt";
    conn.execute_batch(unnoted).unwrap();
    meanwhile(&conn, &world.state().join("workers/1.started"));
    // A wrong second start would end.
    fs::write(world.root().join("go"), "").unwrap();
    assert_eq!(world.run("run-worker --drain").code, Some(0));
    assert_eq!(state(&world, run), State::Dead);
    let starts = fs::read_to_string(world.root().join("starts")).unwrap();
    assert_eq!(starts, "1\n");
    invariants::hold(&world);
}

/// Proves: as `only_a_free_lock_or_an_ended_process_proves_a_death`.
#[test]
fn start_marks_that_cannot_be_read_prove_nothing() {
    is_not_started_again(|_, marks| {
        fs::remove_file(marks).unwrap();
        fs::create_dir(marks).unwrap();
    });
}

/// Proves: as `only_a_free_lock_or_an_ended_process_proves_a_death`.
#[test]
fn start_marks_behind_a_link_prove_nothing() {
    is_not_started_again(|_, marks| {
        let forged = marks.with_file_name("forged");
        fs::write(&forged, "").unwrap();
        fs::remove_file(marks).unwrap();
        std::os::unix::fs::symlink(&forged, marks).unwrap();
    });
}

/// Proves: as `only_a_free_lock_or_an_ended_process_proves_a_death`.
#[test]
fn start_marks_of_an_unknown_boot_prove_nothing() {
    is_not_started_again(|conn, marks| {
        fs::write(marks, "").unwrap();
        let unknown = "UPDATE worker SET boot_id = 'unknown-1'";
        conn.execute_batch(unknown).unwrap();
    });
}

/// Proves (poison): a run is poison only after it was alone with a worker that died, so that its neighbours survive.
#[test]
fn a_run_that_kills_its_worker_is_poison_only_when_alone() {
    // The killer ends its worker at its start; the neighbour runs beside it and must not be blamed.
    let world = World::with_catalogue(
        r#"
        [job.killer]
        command = "kill -9 $PPID"
        [job.neighbour]
        command = "sleep 0.2"
        "#,
    );
    let killer = world.enqueue("killer");
    let neighbour = world.enqueue("neighbour");
    until("the killer is dead", || {
        drop(world.run("run-worker --drain --slots 2"));
        state(&world, killer) == State::Dead
    });
    until("the neighbour ended", || {
        drop(world.run("run-worker --drain --slots 2"));
        state(&world, neighbour).is_final()
    });
    assert_eq!(state(&world, neighbour), State::Succeeded);
    let conn = invariants::open(&world);
    let poison =
        format!("SELECT count(*) FROM dead_letter WHERE run = {killer} AND reason = 'poison'");
    assert_eq!(invariants::number(&conn, &poison), 1);
    assert_eq!(column(&world, killer, "crashes"), 3);
    invariants::hold(&world);
}

/// Proves (death): a claim that was not started counts nothing.
#[test]
fn a_claim_that_was_not_started_counts_nothing() {
    let world = World::with_catalogue(UNTIL_FILE);
    let run = world.enqueue("wait");
    let first = world.start("run-worker --slots 1");
    until("it runs", || running(&world, run));
    // Without the start mark the reaper finds no proof that the command ran.
    let conn = invariants::open(&world);
    conn.execute("DELETE FROM attempt", []).unwrap();
    conn.execute("UPDATE run SET attempts = 0", []).unwrap();
    let marks = fs::read_dir(world.state().join("workers"))
        .unwrap()
        .flatten();
    for entry in marks.filter(|entry| entry.path().extension().is_some_and(|ext| ext == "started"))
    {
        fs::write(entry.path(), "").unwrap();
    }
    first.signal("KILL");
    drop(first);
    fs::write(world.root().join("go"), "").unwrap();
    assert_eq!(world.run("run-worker --drain").code, Some(0));
    assert_eq!(state(&world, run), State::Succeeded);
    assert_eq!(
        (
            column(&world, run, "crashes"),
            column(&world, run, "attempts")
        ),
        (0, 1)
    );
}

/// Proves: as `runs_of_a_killed_worker_run_again_without_leftover_processes`.
#[test]
fn a_scheduler_recovers_the_runs_of_a_dead_worker_too() {
    let world = World::with_catalogue(
        "[job.long]\ncommand = \"touch $HOME/started; exec sleep 60\"\non_dead = \"page\"\nguarantee = \"at-most-once\"\n\
         [job.again]\ncommand = \"touch $HOME/again; exec sleep 60\"\n[job.page]\ncommand = [\"/bin/true\"]\n",
    );
    let (long, again) = (RunId(1), RunId(2));
    world.run("-q enqueue long").is(0, "1\n", "");
    world.run("-q enqueue again").is(0, "2\n", "");
    let worker = world.start("-q run-worker --slots 2");
    until("both run", || {
        ["started", "again"]
            .iter()
            .all(|name| world.home().join(name).exists())
    });
    worker.signal("KILL");
    drop(worker);
    let scheduler = world.start("-q schedule");
    until("one waits again", || state(&world, again) == State::Waiting);
    assert_eq!(state(&world, long), State::Dead);
    // What `on_dead` names waits too, and nothing of the dead worker is left.
    let paged = "SELECT count(*) FROM run WHERE job = 'page' AND state = 'waiting'";
    assert_eq!(invariants::number(&invariants::open(&world), paged), 1);
    assert_eq!(invariants::marked_processes(&world), [0u32; 0]);
    scheduler.signal("TERM");
    assert_eq!(scheduler.end().code, Some(0));
    invariants::hold(&world);
}

/// The lock of a worker, shared as by a child between its clone and its exec.
fn share_lock(worker: &Running) -> OwnedFd {
    let dir = format!("/proc/{}/fd", worker.pid());
    let is_lock = |fd: &fs::DirEntry| {
        fs::read_link(fd.path()).is_ok_and(|file| file.ends_with("workers/1.lock"))
    };
    let fd = fs::read_dir(dir).unwrap().flatten().find(is_lock).unwrap();
    let number = fd.file_name().to_str().unwrap().parse().unwrap();
    let pid = Pid::from_raw(worker.pid().cast_signed()).unwrap();
    let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    pidfd_getfd(process, number, PidfdGetfdFlags::empty()).unwrap()
}

/// Proves (death): a worker with `--drain` does not end while a worker is dead and not yet recovered.
#[test]
fn a_drain_waits_until_a_dying_worker_is_recovered() {
    let world = World::with_catalogue(UNTIL_FILE);
    let run = world.enqueue("wait");
    let first = world.start("-q run-worker --slots 1");
    until("it runs", || running(&world, run));
    let child = share_lock(&first);
    first.signal("KILL");
    drop(first);
    fs::write(world.root().join("go"), "").unwrap();
    let drain = world.start("-q run-worker --drain");
    // Each proves that it is still there after the one before.
    for _ in 0..3 {
        let other = world.enqueue("other");
        until("another is worked", || {
            state(&world, other) == State::Succeeded
        });
    }
    assert_eq!(state(&world, run), State::Running);
    let said = world.run(&format!("runs show {run}")).ok();
    assert!(said.contains("running on worker 1"), "{said}");
    drop(child);
    assert_eq!(drain.end().code, Some(0));
    assert_eq!(state(&world, run), State::Succeeded);
    assert_eq!(column(&world, run, "crashes"), 1);
    invariants::hold(&world);
}

/// Proves (death): an attempt whose end could not be written is recovered as started.
#[test]
fn a_run_whose_end_cannot_be_written_is_left_to_recovery_as_started() {
    let world =
        World::with_catalogue("[job.quick]\ncommand = \"echo x >> effects\"\ncwd = \".\"\n");
    let run = world.enqueue("quick");
    let conn = invariants::open(&world);
    let trouble = "CREATE TRIGGER trouble BEFORE UPDATE ON run WHEN NEW.state = 'succeeded' \
                   BEGIN SELECT RAISE(ABORT, 'trouble'); END";
    conn.execute(trouble, []).unwrap();
    let worker = world.start("run-worker --slots 1");
    until("it ran", || world.root().join("effects").exists());
    worker.signal("TERM");
    let said = worker.end();
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("event=run_given_up"), "{}", said.err);
    conn.execute("DROP TRIGGER trouble", []).unwrap();
    assert_eq!(world.run("run-worker --drain").code, Some(0));
    assert_eq!(state(&world, run), State::Succeeded);
    let effects = fs::read_to_string(world.root().join("effects")).unwrap();
    assert_eq!(
        (effects.lines().count(), column(&world, run, "attempts")),
        (2, 2)
    );
    invariants::hold(&world);
}

/// Proves (death): a run whose worker is gone says so.
#[test]
fn a_run_of_a_worker_that_is_gone_says_why_it_waits() {
    let world = World::with_catalogue(UNTIL_FILE);
    let run = world.enqueue("wait");
    let first = world.start("-q run-worker --slots 1");
    until("it runs", || running(&world, run));
    let shown = || world.run(&format!("runs show {run}")).ok();
    assert!(shown().contains("running on worker 1"));
    first.signal("KILL");
    drop(first);
    let said = shown();
    assert!(
        said.contains("blocked: worker 1 is gone and its runs are not recovered yet"),
        "{said}"
    );
    // What is no lock of ours says nothing, and is not followed: the process decides.
    let lock = world.state().join("workers/1.lock");
    fs::remove_file(&lock).unwrap();
    std::os::unix::fs::symlink("elsewhere", &lock).unwrap();
    let said = shown();
    assert!(
        said.contains("blocked: worker 1 is gone and its runs are not recovered yet"),
        "{said}"
    );
    fs::write(world.root().join("go"), "").unwrap();
    assert_eq!(world.run("-q run-worker --drain").code, Some(0));
    assert_eq!(state(&world, run), State::Succeeded);
    invariants::hold(&world);
}

/// Proves (leftovers): the processes of a dead worker are found although its start marks were removed.
#[test]
fn a_command_that_removes_the_start_marks_is_found_by_its_environment() {
    let world = World::with_catalogue(UNTIL_FILE);
    let run = world.enqueue("wait");
    let first = world.start("-q run-worker --slots 1");
    until("it runs", || running(&world, run));
    fs::remove_file(world.state().join("workers/1.started")).unwrap();
    let old = invariants::marked_processes(&world);
    first.signal("KILL");
    drop(first);
    let second = world.start("-q run-worker --slots 1");
    until("it runs again", || {
        running(&world, run) && column(&world, run, "attempts") == 2
    });
    let left = invariants::marked_processes(&world);
    assert!(
        old.iter().all(|pid| !left.contains(pid)),
        "{old:?} {left:?}"
    );
    fs::write(world.root().join("go"), "").unwrap();
    until("it ended", || state(&world, run) == State::Succeeded);
    assert_eq!(column(&world, run, "crashes"), 1);
    drop(second);
    invariants::hold(&world);
}
