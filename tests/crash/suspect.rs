//! Suspects: a run that would become poison with the next death of its worker runs in a separate worker and delays no other run.

use std::fs;
use std::time::{Duration, Instant};

use jobctl::clock;
use jobctl::run::{RunId, State, WorkerId};
use rusqlite::params;

use crate::invariants;
use crate::systemd::Manager;
use crate::world::{PATIENCE, World, signal, until};

/// Commands that say that they run, and end when their file is there.
const JOBS: &str = r#"
    [worker]
    stop_after = "1h"
    [job.long]
    command = "touch long; until [ -e long-go ]; do sleep 0.01; done"
    cwd = "."
    [job.suspect]
    command = "touch suspect; until [ -e suspect-go ]; do sleep 0.01; done"
    cwd = "."
    [job.killer]
    command = "touch killer; until [ -e killer-go ]; do sleep 0.01; done; kill -9 $PPID; sleep 60"
    cwd = "."
    [job.quick]
    command = "true"
    [job.limited]
    command = "true"
    limits = ["one"]
    [limit.one]
    concurrency = 1
"#;

/// A run that two dead workers had, of three that make it poison.
fn enqueue_suspect(world: &World, job: &str) -> RunId {
    let run = world.enqueue(job);
    let conn = invariants::open(world);
    let now_ms = clock::wall_ms();
    for number in 1..=2 {
        const SQL: &str = "
            INSERT INTO attempt (run, number, fence, worker, started_ms, ended_ms, ending, class, error)
            VALUES (?1, ?2, 0, 0, ?3, ?3, 'lost', 'transient', 'its worker died')";
        conn.execute(SQL, params![run.0, number, now_ms])
            .expect("an attempt");
    }
    let sql = "UPDATE run SET attempts = 2, crashes = 2 WHERE id = ?1";
    conn.execute(sql, [run.0]).expect("two crashes");
    run
}

fn state(world: &World, run: RunId) -> State {
    world.store().state_of(run).unwrap().expect("it is there")
}

fn column(world: &World, run: RunId, name: &str) -> i64 {
    let sql = format!("SELECT {name} FROM run WHERE id = {run}");
    invariants::number(&invariants::open(world), &sql)
}

fn is_poison(world: &World, run: RunId) -> bool {
    let sql = format!("SELECT count(*) FROM dead_letter WHERE run = {run} AND reason = 'poison'");
    invariants::number(&invariants::open(world), &sql) == 1
}

fn until_exists(world: &World, name: &str) {
    until(name, || world.root().join(name).exists());
}

fn touch(world: &World, name: &str) {
    fs::write(world.root().join(name), "").expect("a file");
}

/// The process of the worker that has a run.
fn pid_of_worker(world: &World, run: RunId) -> u32 {
    let store = world.store();
    let worker = WorkerId(column(world, run, "worker"));
    let row = store.worker(worker).unwrap().expect("it is registered");
    u32::try_from(row.pid).expect("a pid")
}

/// Proves: as `a_run_that_kills_its_worker_is_poison_only_when_alone`.
#[test]
fn a_suspect_delays_no_other_run_and_kills_only_its_own_worker() {
    let world = World::with_catalogue(JOBS);
    let long = world.enqueue("long");
    let killer = enqueue_suspect(&world, "killer");
    let worker = world.start("-q run-worker --slots 4");
    until_exists(&world, "long");
    until_exists(&world, "killer");
    let mut took: Vec<Duration> = (0..5).map(|_| quick(&world)).collect();
    took.sort();
    println!("quick runs beside a suspect and a long run took {took:?}");
    assert!(took[2] < Duration::from_secs(1), "{took:?}");
    touch(&world, "killer-go");
    until("the killer is poison", || is_poison(&world, killer));
    assert_eq!(state(&world, long), State::Running);
    quick(&world);
    touch(&world, "long-go");
    until("the long run ended", || state(&world, long).is_final());
    assert_eq!(state(&world, long), State::Succeeded);
    assert_eq!(column(&world, long, "attempts"), 1);
    worker.signal("TERM");
    assert_eq!(worker.end().code, Some(0));
    assert_eq!(world.store().workers().unwrap().len(), 0);
    assert_eq!(column(&world, killer, "crashes"), 3);
    invariants::hold(&world);
    assert_eq!(invariants::marked_processes(&world), [0u32; 0]);
}

/// How long a short run takes from its enqueue to its end.
fn quick(world: &World) -> Duration {
    let (begun, run) = (Instant::now(), world.enqueue("quick"));
    until("a quick run ended", || state(world, run).is_final());
    begun.elapsed()
}

/// Proves: as `a_run_that_kills_its_worker_is_poison_only_when_alone`.
#[test]
fn an_innocent_suspect_succeeds_beside_others_and_keeps_its_crashes() {
    let world = World::with_catalogue(JOBS);
    let long = world.enqueue("long");
    let suspect = enqueue_suspect(&world, "suspect");
    let worker = world.start("-q run-worker --slots 2");
    until_exists(&world, "long");
    until_exists(&world, "suspect");
    let listed = world.run("workers list").ok();
    assert!(listed.contains("of worker 1"), "{listed}");
    let listed = world.run("workers list --json").json(0);
    assert_eq!(listed["items"][1]["parent"], 1, "{listed}");
    // It takes a slot of its worker: there is none for another run.
    let quick = world.enqueue("quick");
    let why = world.run(&format!("runs why {quick}")).out;
    assert!(why.contains("2 of 2 slots busy over 1 worker"), "{why}");
    touch(&world, "suspect-go");
    until("it ended", || state(&world, suspect).is_final());
    assert_eq!(state(&world, suspect), State::Succeeded);
    assert_eq!(column(&world, suspect, "crashes"), 2);
    assert_eq!(column(&world, suspect, "attempts"), 3);
    until("its slot is free", || state(&world, quick).is_final());
    touch(&world, "long-go");
    until("the long run ended", || state(&world, long).is_final());
    worker.signal("TERM");
    assert_eq!(worker.end().code, Some(0));
    invariants::hold(&world);
}

/// Proves (poison): a worker's death together with its parent worker proves nothing, and a run that always kills both
/// is stopped in the end.
#[test]
fn the_death_of_a_worker_and_its_child_at_once_proves_nothing() {
    let world = World::with_catalogue(JOBS);
    let long = world.enqueue("long");
    let suspect = enqueue_suspect(&world, "suspect");
    let worker = world.start("-q run-worker --slots 2");
    until_exists(&world, "long");
    until_exists(&world, "suspect");
    let child = pid_of_worker(&world, suspect);
    assert_ne!(child, worker.pid());
    // As a service manager ends what is left when the main process is gone.
    worker.signal("KILL");
    signal(child, "KILL");
    drop(worker);
    for name in ["long-go", "suspect-go"] {
        touch(&world, name);
    }
    assert_eq!(world.run("-q run-worker --drain").code, Some(0));
    assert_eq!(state(&world, suspect), State::Succeeded);
    assert_eq!(state(&world, long), State::Succeeded);
    assert_eq!(column(&world, suspect, "crashes"), 3);
    invariants::hold(&world);
}

/// Proves: as `a_stop_lets_a_suspect_go_on_and_a_second_signal_releases_it`.
#[test]
fn a_suspect_survives_the_death_of_the_worker_that_handed_it_over() {
    let world = World::with_catalogue(JOBS);
    let suspect = enqueue_suspect(&world, "suspect");
    let worker = world.start("-q run-worker --slots 2");
    until_exists(&world, "suspect");
    worker.signal("KILL");
    touch(&world, "suspect-go");
    until("it ended", || state(&world, suspect).is_final());
    assert_eq!(state(&world, suspect), State::Succeeded);
    assert_eq!(column(&world, suspect, "attempts"), 3);
    assert_eq!(column(&world, suspect, "crashes"), 2);
    drop(worker);
    assert_eq!(world.run("-q run-worker --drain").code, Some(0));
    until("no worker is left", || {
        world.store().workers().unwrap().is_empty()
    });
    invariants::hold(&world);
}

/// Proves: as `the_death_of_a_worker_and_its_child_at_once_proves_nothing`.
#[test]
fn a_run_that_kills_every_worker_becomes_dead() {
    let world = World::with_catalogue(&JOBS.replace("kill -9 $PPID", "sleep 60"));
    let killer = enqueue_suspect(&world, "killer");
    for crashes in 3..=6 {
        let worker = world.start("-q run-worker --slots 2");
        until_exists(&world, "killer");
        let child = pid_of_worker(&world, killer);
        worker.signal("KILL");
        signal(child, "KILL");
        drop(worker);
        fs::remove_file(world.root().join("killer")).expect("it was there");
        assert_eq!(world.run("jobs pause killer").code, Some(0));
        assert_eq!(world.run("-q run-worker --drain").code, Some(0));
        assert_eq!(column(&world, killer, "crashes"), crashes);
        assert_eq!(is_poison(&world, killer), crashes == 6, "{crashes}");
        assert_eq!(world.run("jobs resume killer").code, Some(0));
    }
    invariants::hold(&world);
    assert_eq!(invariants::marked_processes(&world), [0u32; 0]);
}

/// Proves (poison): a stop and a drain wait for the run that a worker handed to a worker of its own, and that run
/// survives the death of the first worker.
#[test]
fn a_stop_lets_a_suspect_go_on_and_a_second_signal_releases_it() {
    let world = World::with_catalogue(JOBS);
    let manager = Manager::new(&world);
    let suspect = enqueue_suspect(&world, "suspect");
    let mut worker = manager.start(&world, "-q run-worker --slots 2");
    until_exists(&world, "suspect");
    worker.signal("TERM");
    manager.until("STOPPING");
    manager.until_status("stopping: 1 attempt goes on until 2");
    assert_eq!(state(&world, suspect), State::Running);
    worker.signal("TERM");
    let (code, _) = manager.until_end(&mut worker, PATIENCE);
    assert_eq!(code, Some(0));
    assert_eq!(state(&world, suspect), State::Waiting);
    assert_eq!(column(&world, suspect, "releases"), 1);
    assert_eq!(column(&world, suspect, "crashes"), 2);
    assert_eq!(world.store().workers().unwrap().len(), 0);
    invariants::hold(&world);
    assert_eq!(invariants::marked_processes(&world), [0u32; 0]);
}

/// Proves: as `a_stop_lets_a_suspect_go_on_and_a_second_signal_releases_it`.
#[test]
fn a_drain_waits_for_a_suspect_and_for_the_recovery_of_its_worker() {
    let world = World::with_catalogue(JOBS);
    let suspect = enqueue_suspect(&world, "suspect");
    let killer = enqueue_suspect(&world, "killer");
    let worker = world.start("-q run-worker --slots 2 --drain");
    until_exists(&world, "suspect");
    until_exists(&world, "killer");
    touch(&world, "killer-go");
    until("the killer is poison", || is_poison(&world, killer));
    assert_eq!(state(&world, suspect), State::Running);
    touch(&world, "suspect-go");
    assert_eq!(worker.end().code, Some(0));
    assert_eq!(state(&world, suspect), State::Succeeded);
    // Also where nothing else is left to wait for.
    let killer = enqueue_suspect(&world, "killer");
    assert_eq!(world.run("-q run-worker --drain --slots 2").code, Some(0));
    assert!(is_poison(&world, killer));
    invariants::hold(&world);
}

#[test]
fn a_run_that_is_cancelled_while_it_is_alone_ends() {
    let world = World::with_catalogue(JOBS);
    let suspect = enqueue_suspect(&world, "suspect");
    let worker = world.start("-q run-worker --slots 2");
    until_exists(&world, "suspect");
    assert_eq!(world.run(&format!("runs cancel {suspect}")).code, Some(0));
    until("it ended", || state(&world, suspect).is_final());
    assert_eq!(state(&world, suspect), State::Cancelled);
    worker.signal("TERM");
    assert_eq!(worker.end().code, Some(0));
    invariants::hold(&world);
}

#[test]
fn suspects_under_a_limit_are_run_too() {
    let world = World::with_catalogue(JOBS);
    let mut runs: Vec<RunId> = (0..4).map(|_| enqueue_suspect(&world, "quick")).collect();
    runs.extend((0..4).map(|_| enqueue_suspect(&world, "limited")));
    runs.extend((0..4).map(|_| world.enqueue("limited")));
    assert_eq!(world.run("-q run-worker --drain --slots 8").code, Some(0));
    for run in runs {
        assert_eq!(state(&world, run), State::Succeeded);
    }
    invariants::hold(&world);
}

#[test]
fn a_separate_worker_that_cannot_load_the_catalogue_is_retried_later() {
    let world = World::with_catalogue(JOBS);
    let long = world.enqueue("long");
    let worker = world.start("-q run-worker --slots 1");
    until_exists(&world, "long");
    // It waits for the only slot until the catalogue is broken.
    let suspect = enqueue_suspect(&world, "suspect");
    world.write_catalogue("[job.long]\n");
    touch(&world, "long-go");
    until("it was tried, and waits again", || {
        column(&world, suspect, "fence") > column(&world, long, "fence") + 1
    });
    // Nobody else is held up.
    quick(&world);
    world.write_catalogue(JOBS);
    touch(&world, "suspect-go");
    until("it ended", || state(&world, suspect).is_final());
    assert_eq!(state(&world, suspect), State::Succeeded);
    assert_eq!(column(&world, suspect, "crashes"), 2);
    worker.signal("TERM");
    assert_eq!(worker.end().code, Some(0));
    invariants::hold(&world);
}

#[test]
fn a_worker_for_one_run_takes_no_options_of_a_worker_for_many() {
    let world = World::with_catalogue(JOBS);
    for option in ["--drain", "--slots 2", "--queue low", "--max-runs 3"] {
        let said = world.run(&format!("run-worker --handed-over 1.1.1 {option}"));
        assert!(said.fails(2).contains("cannot be used with"), "{option}");
    }
}
