//! A worker whose store refuses something for a while: nothing that it meant to store is forgotten.

use std::fs;
use std::time::Duration;

use jobctl::run::State;

use super::stopping::{hold_writers, nothing_is_left};
use super::{enqueue, jobs, state, trace, worker, world};
use crate::invariants;
use crate::world::{World, until};

/// Refuses this move of runs.
fn refuse(world: &World, to: &str) {
    let sql = format!(
        "CREATE TRIGGER refuse_{to} BEFORE UPDATE ON run WHEN NEW.state = '{to}' AND OLD.state <> '{to}'
         BEGIN SELECT RAISE(ABORT, 'refused'); END"
    );
    invariants::open(world).execute(&sql, []).unwrap();
}

fn accept(world: &World, to: &str) {
    let sql = format!("DROP TRIGGER refuse_{to}");
    invariants::open(world).execute(&sql, []).unwrap();
}

/// Proves: as `every_event_at_every_stage_of_a_stop_keeps_every_promise`.
#[test]
fn a_run_whose_end_was_given_up_is_never_taken_for_one_that_did_not_start() {
    let once = "guarantee = \"at-most-once\"";
    let world = world(&jobs(
        once,
        &[("once", "echo x >> $HOME/effects"), ("other", "true")],
    ));
    let worker = worker(&world, "");
    refuse(&world, "succeeded");
    let run = enqueue(&world, "once");
    worker.until_logged("event=run_given_up");
    // A claim that fails makes the worker give back what is its own by the store and what it does not know of.
    refuse(&world, "running");
    let failed = worker.count("store_failed");
    let other = enqueue(&world, "other");
    until("a claim fails", || worker.count("store_failed") > failed);
    accept(&world, "running");
    accept(&world, "succeeded");
    until("both ends are stored", || {
        state(&world, run) == State::Succeeded && state(&world, other) == State::Succeeded
    });
    assert_eq!(trace(&world, "effects"), "x\n");
    worker.stop();
    nothing_is_left(&world);
}

/// Whether the limit of [`with_limit`] is in force.
fn is_limited(world: &World) -> bool {
    let sql = "SELECT count(*) FROM flow WHERE rules LIKE '%\"bank\"%'";
    invariants::number(&invariants::open(world), sql) == 1
}

fn with_limit(text: &str) -> String {
    format!("{text}\n[limit.bank]\nconcurrency = 1\n")
}

/// Proves (death): a reload whose rules the store refuses is repeated until they are in force.
#[test]
fn a_reload_whose_rules_are_refused_is_repeated_until_they_are_in_force() {
    let world = world(&jobs("", &[("say", "true")]));
    let text = fs::read_to_string(world.catalogue()).unwrap();
    let worker = worker(&world, "");
    let conn = invariants::open(&world);
    let refuse =
        "CREATE TRIGGER refuse BEFORE UPDATE ON flow BEGIN SELECT RAISE(ABORT, 'refused'); END";
    conn.execute(refuse, []).unwrap();
    world.write_catalogue(&with_limit(&text));
    worker.signal("HUP");
    worker.until_logged("event=rules_not_in_force");
    assert!(!is_limited(&world));
    conn.execute("DROP TRIGGER refuse", []).unwrap();
    worker.until_logged("event=rules_in_force");
    assert!(is_limited(&world));
    assert_eq!(worker.count("rules_not_in_force"), 1);
    worker.stop();
    nothing_is_left(&world);
}

/// Proves: as `a_reload_whose_rules_are_refused_is_repeated_until_they_are_in_force`.
#[test]
#[ignore = "holds the store for 40 s"]
fn a_reload_survives_a_store_that_is_busy_for_forty_seconds() {
    let world = world(&jobs("", &[("say", "true")]));
    let text = fs::read_to_string(world.catalogue()).unwrap();
    let worker = worker(&world, "");
    let lock = hold_writers(&world);
    world.write_catalogue(&with_limit(&text));
    worker.signal("HUP");
    worker.until_logged("event=catalogue_loaded");
    std::thread::sleep(Duration::from_secs(40));
    assert!(worker.count("rules_not_in_force") > 0);
    drop(lock);
    worker.until_logged("event=rules_in_force");
    assert!(is_limited(&world));
    worker.stop();
    nothing_is_left(&world);
}

/// Proves (death): a store that hangs delays no signal.
#[test]
fn signals_are_handled_while_the_store_is_busy() {
    let world = world(&jobs("", &[("wait", "touch $HOME/started; sleep 60")]));
    let worker = worker(&world, "");
    let run = enqueue(&world, "wait");
    super::until_exists(&world, "started");
    let lock = hold_writers(&world);
    worker.signal("TERM");
    worker.until_logged("event=worker_stopping how=drain");
    worker.signal("TERM");
    worker.until_logged("event=worker_stopping how=terminate");
    until("its command is gone", || {
        invariants::marked_processes(&world).is_empty()
    });
    drop(lock);
    let (code, log) = worker.end();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(state(&world, run), State::Waiting);
    nothing_is_left(&world);
}
