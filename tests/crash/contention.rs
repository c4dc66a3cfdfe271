//! Many enqueuing processes beside many workers: none is refused, and no run is lost.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jobctl::run::{RunId, State};

use crate::invariants;
use crate::world::World;

/// Enqueues from this many concurrent processes beside this many workers; returns the sorted durations of the enqueues.
fn enqueue_beside(enqueuers: usize, workers: usize, during: Duration) -> Vec<Duration> {
    let world = World::with_catalogue("[job.a]\ncommand = [\"/bin/true\"]\n");
    drop(world.store());
    let working: Vec<_> = (0..workers)
        .map(|_| world.start("-q run-worker --slots 2"))
        .collect();
    let over = AtomicBool::new(false);
    let acknowledged: Mutex<Vec<(RunId, Duration)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..enqueuers {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    // Any exit code but 0, and any word of complaint, is a failure.
                    let out = world.run("-q enqueue a").ok();
                    let took = begun.elapsed();
                    let run = RunId(out.trim().parse().expect("an id"));
                    acknowledged.lock().expect("no panic").push((run, took));
                }
            });
        }
        std::thread::sleep(during);
        over.store(true, Ordering::Relaxed);
    });
    for worker in &working {
        worker.signal("TERM");
    }
    for worker in working {
        let said = worker.end();
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    }
    world.run("-q run-worker --drain=all").ok();
    let store = world.store();
    let acknowledged = acknowledged.into_inner().expect("no panic");
    for (run, _) in &acknowledged {
        let state = store
            .run_location(*run)
            .expect("a run")
            .expect("it is there")
            .0;
        assert_eq!(state, State::Succeeded, "run {run}");
    }
    assert_eq!(store.verify().expect("an answer"), []);
    invariants::hold(&world);
    let mut took: Vec<Duration> = acknowledged.into_iter().map(|(_, took)| took).collect();
    took.sort_unstable();
    took
}

/// Fault: as `thirty_two_at_once_with_one_key_are_one_run`.
#[test]
fn eight_enqueuing_processes_and_two_workers_do_not_block_each_other() {
    let took = enqueue_beside(8, 2, Duration::from_secs(3));
    assert!(took.len() > 8, "{}", took.len());
}

/// `cargo test --release -- --ignored --nocapture thirty_two_who_enqueue`: a minute; prints how long an enqueue took.
/// Fault: as `thirty_two_at_once_with_one_key_are_one_run`.
#[test]
#[ignore = "a soak of a minute"]
fn thirty_two_enqueuing_processes_and_eight_workers_do_not_block_each_other() {
    let took = enqueue_beside(32, 8, Duration::from_secs(60));
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    println!(
        "{build} build, {} enqueues ({} per second), whole processes: median {:?}, p99 {:?}, longest {:?}",
        took.len(),
        took.len() / 60,
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
