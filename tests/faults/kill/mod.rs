//! Kills a process before each of its system calls that change something, one after another, and looks at what is left.
//!
//! `strace` sends SIGKILL when a thread enters its n-th call of a kind, so the call is not done. Which calls there are is
//! counted first, in a run without faults. Each test takes some of them; all of them take minutes:
//! `cargo test -- --ignored --nocapture every_call_of_every_cycle`.
//!
//! Fault (processes): kill -9 before each call that changes something, of every command that writes and of each thread
//! of a worker.

mod cycle;
mod enqueues;
mod operators;
mod points;
mod story;
mod sweep;
mod upkeep;
mod workers;

use cycle::Cycle;
use enqueues::{FIRST, IMPORT, KEYED, NEXT};
use operators::{
    CANCEL, CANCEL_RUNNING, DISCARD, KILL, PAUSE, PERIOD, RESUME, RETRY, RETRY_RUNS, STOP,
};
use story::Story;
use sweep::Swept;
use upkeep::{ACCEPT, MIGRATE, PRUNE, SCHEDULE};
use workers::{BIRTH, END, RECOVER, RUN, WORK};

use crate::needs;

/// The commands, and at how many points the tests kill each.
const CYCLES: &[(&Cycle, usize)] = &[
    (&FIRST, 20),
    (&NEXT, 10),
    (&KEYED, 10),
    (&IMPORT, 12),
    (&BIRTH, 16),
    (&SCHEDULE, 10),
    (&MIGRATE, 16),
    (&PRUNE, 10),
    (&RETRY, 8),
    (&CANCEL, 8),
    (&RUN, 12),
    (&PERIOD, 6),
    (&CANCEL_RUNNING, 5),
    (&KILL, 4),
    (&DISCARD, 4),
    (&RETRY_RUNS, 3),
    (&STOP, 3),
    (&PAUSE, 3),
    (&RESUME, 3),
    (&ACCEPT, 4),
];

const STORIES: &[(&Story, usize)] = &[(&WORK, 24), (&RECOVER, 12), (&END, 6)];

/// Some points of these cycles, as many as the tables say.
fn sweep_some(cycles: &[&Cycle]) {
    if !needs::tracing() {
        return;
    }
    for cycle in cycles {
        let found = CYCLES.iter().find(|(other, _)| other.name == cycle.name);
        let (_, n) = found.expect("a row of the table");
        cycle.sweep(*n).is_proof();
    }
}

#[test]
fn the_samples_are_enough() {
    let cycles: usize = CYCLES.iter().map(|(_, n)| n).sum();
    let stories: usize = STORIES.iter().map(|(_, n)| n).sum();
    assert!(cycles + stories >= 120);
}

/// Proves (durable): killed before any call that changes something, an enqueue or import leaves a whole store or none,
/// and stores everything or nothing.
#[test]
fn an_enqueue_that_is_killed_makes_the_store_or_not() {
    sweep_some(&[&FIRST]);
}

/// Proves: as `an_enqueue_that_is_killed_makes_the_store_or_not`.
#[test]
fn an_enqueue_that_is_killed_stores_all_or_nothing() {
    sweep_some(&[&NEXT, &KEYED]);
}

/// Proves: as `an_enqueue_that_is_killed_makes_the_store_or_not`.
#[test]
fn an_import_that_is_killed_is_resumed() {
    sweep_some(&[&IMPORT]);
}

/// Proves: as `a_worker_that_is_killed_works_every_run_once_unless_it_began`.
#[test]
fn a_worker_that_is_killed_at_its_birth_leaves_nothing() {
    sweep_some(&[&BIRTH]);
}

/// Proves (durable): killed before any call that changes something, a scheduler, a migration, a prune or an operator's
/// command has done its step or not.
#[test]
fn a_scheduler_that_is_killed_opens_each_period_once() {
    sweep_some(&[&SCHEDULE]);
}

/// Proves: as `a_scheduler_that_is_killed_opens_each_period_once`.
/// Fault (storage): kill -9 during a migration.
#[test]
fn a_migration_that_is_killed_leaves_the_old_schema_or_the_new_one() {
    sweep_some(&[&MIGRATE]);
}

/// Proves: as `a_scheduler_that_is_killed_opens_each_period_once`.
#[test]
fn a_prune_that_is_killed_goes_on() {
    sweep_some(&[&PRUNE]);
}

/// Proves: as `a_scheduler_that_is_killed_opens_each_period_once`.
#[test]
fn an_operator_that_is_killed_did_it_or_not() {
    sweep_some(&[&RETRY, &CANCEL]);
}

/// Proves: as `a_scheduler_that_is_killed_opens_each_period_once`.
#[test]
fn an_operator_who_is_killed_while_others_work_did_it_or_not() {
    sweep_some(&[&CANCEL_RUNNING, &KILL, &STOP]);
}

/// Proves: as `a_scheduler_that_is_killed_opens_each_period_once`.
#[test]
fn an_operator_who_is_killed_can_do_it_again() {
    sweep_some(&[&DISCARD, &RETRY_RUNS, &PAUSE, &RESUME, &ACCEPT]);
}

/// Proves: as `a_scheduler_that_is_killed_opens_each_period_once`.
#[test]
fn a_period_worked_by_hand_is_worked_once_although_workers_are_killed() {
    sweep_some(&[&PERIOD]);
}

/// Proves: as `a_worker_that_is_killed_works_every_run_once_unless_it_began`.
#[test]
fn a_run_in_the_foreground_that_is_killed_is_left_to_workers() {
    sweep_some(&[&RUN]);
}

fn tell_some(n: usize) {
    if needs::tracing() {
        let (story, n) = STORIES[n];
        story.sweep(n).is_proof();
    }
}

/// Proves (durable): killed before any call that changes something, a worker leaves nothing behind, and each run is
/// executed once unless it had started.
#[test]
fn a_worker_that_is_killed_works_every_run_once_unless_it_began() {
    tell_some(0);
}

/// Proves: as `a_worker_that_is_killed_works_every_run_once_unless_it_began`.
#[test]
fn a_worker_that_is_killed_while_it_recovers_is_recovered() {
    tell_some(1);
}

/// Proves: as `a_worker_that_is_killed_works_every_run_once_unless_it_began`.
#[test]
fn a_worker_that_is_killed_while_it_ends_a_cancelled_run_loses_nothing() {
    tell_some(2);
}

/// All points of all cycles: `cargo test -- --ignored --nocapture every_call_of_every_cycle`.
#[test]
#[ignore = "takes many minutes"]
fn every_call_of_every_cycle() {
    if !needs::tracing() {
        return;
    }
    let mut all: Vec<Swept> = Vec::new();
    std::thread::scope(|scope| {
        let cycles = scope.spawn(|| CYCLES.iter().map(|(it, _)| it.sweep(usize::MAX)).collect());
        let stories = scope.spawn(|| STORIES.iter().map(|(it, _)| it.sweep(usize::MAX)).collect());
        for thread in [cycles, stories] {
            let swept: Vec<Swept> = thread.join().expect("a sweep");
            all.extend(swept);
        }
    });
    for swept in &all {
        println!("{swept}");
        swept.is_proof();
    }
    let died: usize = all.iter().map(|swept| swept.died).sum();
    println!("{died} processes were killed");
}
