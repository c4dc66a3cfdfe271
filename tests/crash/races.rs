//! Races for the same runs, ends and dead letters, and a long queue.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::invariants;
use crate::world::{Running, World, new_run, until};

const CATALOGUE: &str = r#"
[job.note]
command = "echo $JOBCTL_RUN_ID >> effects"
cwd = "."
[job.bad]
command = "exit 65"
[job.quick]
command = ["/bin/true"]
"#;

fn store(world: &World, job: &str, runs: usize) {
    let now_ms = jobctl::clock::wall_ms();
    let runs: Vec<_> = (0..runs).map(|_| new_run(job, now_ms)).collect();
    for part in runs.chunks(10_000) {
        let stored = world.store().write(|tx| tx.enqueue_all(part, now_ms));
        stored.expect("they are stored");
    }
}

/// How often each run had its effect.
fn effects(world: &World) -> BTreeMap<i64, i64> {
    let mut effects = BTreeMap::new();
    let text = fs::read_to_string(world.root().join("effects")).unwrap_or_default();
    for line in text.lines() {
        *effects.entry(line.parse().expect("a run")).or_default() += 1;
    }
    effects
}

fn ends_well(workers: Vec<Running>) {
    for worker in workers {
        let said = worker.end();
        assert_eq!(said.code, Some(0), "{}", said.err);
    }
}

fn everything_holds(world: &World) {
    invariants::hold(world);
    assert_eq!(world.store().verify().expect("an answer"), []);
    assert_eq!(invariants::marked_processes(world), [0u32; 0]);
}

fn shared_by_sixteen(runs: usize) {
    let world = World::with_catalogue(CATALOGUE);
    store(&world, "note", runs);
    let workers = (0..16).map(|_| world.start("run-worker --drain -q --slots 1"));
    ends_well(workers.collect());
    let effects = effects(&world);
    assert_eq!(effects.len(), runs);
    assert!(effects.values().all(|times| *times == 1), "{effects:?}");
    let conn = invariants::open(&world);
    let once = "SELECT count(*) FROM run WHERE state = 'succeeded' AND attempts = 1";
    assert_eq!(invariants::number(&conn, once), runs as i64);
    everything_holds(&world);
}

/// Fault (races): 16 workers on one queue, with 400 and with 10,000 runs.
#[test]
fn sixteen_workers_do_each_run_once() {
    shared_by_sixteen(400);
}

/// `cargo test --release -- --ignored --nocapture sixteen_workers_do_ten_thousand`
/// Fault: as `sixteen_workers_do_each_run_once`.
#[test]
#[ignore = "takes a minute"]
fn sixteen_workers_do_ten_thousand_runs_once_each() {
    shared_by_sixteen(10_000);
}

/// Fault (races): a cancel against a finish; a retry of dead letters against a prune.
#[test]
fn of_a_cancel_and_a_finish_one_wins() {
    const RUNS: i64 = 120;
    let world = World::with_catalogue(CATALOGUE);
    store(&world, "note", RUNS as usize);
    let worker = world.start("run-worker -q --slots 2");
    // From both ends of the queue, so that some meet the run before its start, some in it, and some behind it.
    let said: Vec<String> = std::thread::scope(|scope| {
        let threads = [0, 1].map(|half| {
            let world = &world;
            scope.spawn(move || {
                let runs = (0..RUNS / 2).map(|n| if half == 0 { n + 1 } else { RUNS - n });
                let say = |run| world.run(&format!("runs cancel {run}")).out;
                runs.map(say).collect::<String>()
            })
        });
        threads
            .map(|thread| thread.join().expect("no panic"))
            .into()
    });
    let conn = invariants::open(&world);
    let left = "SELECT count(*) FROM run WHERE ended_ms IS NULL";
    until("all have ended", || invariants::number(&conn, left) == 0);
    worker.signal("TERM");
    ends_well(vec![worker]);
    let effects = effects(&world);
    let rows = crate::faults::runs_of(&conn);
    assert_eq!(rows.len(), RUNS as usize);
    for run in rows {
        let times = effects.get(&run.id).copied().unwrap_or(0);
        let fits = match run.state.as_str() {
            "succeeded" => times == 1 && run.attempts == 1,
            "cancelled" => times <= run.attempts && run.attempts <= 1,
            _ => false,
        };
        assert!(fits, "{run:?} had {times} effects");
        let answer = format!("run {} is cancelled\n", run.id);
        if said.iter().any(|said| said.contains(&answer)) {
            assert_eq!((run.state.as_str(), times), ("cancelled", 0), "{run:?}");
        }
    }
    everything_holds(&world);
}

/// Fault: as `of_a_cancel_and_a_finish_one_wins`.
#[test]
fn dead_letters_that_are_retried_while_all_is_pruned_are_kept() {
    const RUNS: i64 = 40;
    let world = World::with_catalogue(CATALOGUE);
    store(&world, "bad", RUNS as usize);
    store(&world, "quick", RUNS as usize);
    assert_eq!(world.run("run-worker --drain -q").code, Some(0));
    let worker = world.start("run-worker -q --slots 2");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                world.run("-q prune --age 0s").ok();
            }
        });
        for _ in 0..12 {
            // The letters that are open now; those of the last turn may not be back yet.
            let said = world.run("-q dlq retry --all");
            assert!(matches!(said.code, Some(0 | 1 | 4)), "{}", said.err);
        }
        over.store(true, Ordering::Relaxed);
    });
    worker.signal("TERM");
    ends_well(vec![worker]);
    assert_eq!(world.run("run-worker --drain -q").code, Some(0));
    let conn = invariants::open(&world);
    let open = "SELECT count(*) FROM dead_letter JOIN run ON run.id = run WHERE closed_ms IS NULL AND state = 'dead'";
    assert_eq!(invariants::number(&conn, open), RUNS);
    let others = "SELECT count(*) FROM run WHERE job = 'quick'";
    assert_eq!(invariants::number(&conn, others), 0);
    everything_holds(&world);
}

/// `cargo test --release -- --ignored --nocapture a_million_waiting`: prints how long each command took.
/// Fault (races): 1,000,000 runs wait.
#[test]
#[ignore = "stores a million runs"]
fn a_million_waiting_runs_make_no_command_slow() {
    let world = World::with_catalogue(CATALOGUE);
    store(&world, "quick", 1_000_000);
    for words in [
        "-q enqueue quick",
        "run-worker -q --max-runs 100",
        "status",
        "queues list",
        "runs list",
        "runs cancel 500000",
        "dlq list",
        "workers list",
    ] {
        let begun = std::time::Instant::now();
        assert_eq!(world.run(words).code, Some(0), "{words}");
        let took = begun.elapsed();
        println!("{took:>10.1?}  {words}");
        assert!(took.as_secs() < 10, "{words}: {took:?}");
    }
    let conn = invariants::open(&world);
    let done = "SELECT count(*) FROM run WHERE state = 'succeeded'";
    assert_eq!(invariants::number(&conn, done), 100);
    assert_eq!(world.store().verify().expect("an answer"), []);
}
