//! Periods that are due while earlier runs of their schedule have not ended.

use jobctl::run::{RunId, State};
use jobctl::scheduler::Planner;

use super::lab::{
    HOUR, exactly_once, instant, planner, recorded, right, rows, succeed, tick, world,
};
use crate::invariants;
use crate::world::World;

const START: &str = "2026-11-02T00:00:00Z";

fn hourly(overlap: &str) -> (World, Planner) {
    let world = world(&[(
        "sync",
        &format!("cron = '0 * * * *'\noverlap = '{overlap}'"),
    )]);
    let planner = planner(&world, right(instant(START)));
    (world, planner)
}

fn hour(planner: &mut Planner, hour: i64) {
    tick(planner, right(instant(START) + hour * HOUR));
}

fn set_running(world: &World, run: i64) {
    let conn = invariants::open(world);
    let sql = "UPDATE run SET state = 'running', ready = 0, worker = 1, fence = 9 WHERE id = ?1 AND gates = 0";
    assert_eq!(conn.execute(sql, [run]), Ok(1));
}

fn run(world: &World, run: i64) -> (State, i64) {
    let conn = invariants::open(world);
    let sql = "SELECT state, gates FROM run WHERE id = ?1";
    let row = conn.query_row(sql, [run], |row| {
        Ok((row.get::<_, String>(0)?, row.get(1)?))
    });
    let (state, gates) = row.unwrap();
    (State::from_word(&state).unwrap(), gates)
}

#[test]
fn overlap_queue_lets_one_run_wait_and_merges_later_periods_into_it() {
    let (world, mut planner) = hourly("queue");
    hour(&mut planner, 1);
    set_running(&world, 1);
    for n in 2..=4 {
        hour(&mut planner, n);
    }
    assert_eq!(
        recorded(&world, "sync"),
        [
            "2026-11-02T01:00:00Z opened",
            "2026-11-02T02:00:00Z opened",
            "2026-11-02T03:00:00Z to 2026-11-02T04:00:00Z x2 merged overlap into 2026-11-02T02:00:00Z",
        ]
    );
    // It waits for the running one, also when that one is retried.
    assert_eq!(run(&world, 2), (State::Waiting, 1));
    succeed(&world, 1);
    assert_eq!(run(&world, 2), (State::Waiting, 0));
    exactly_once(&world);
}

#[test]
fn overlap_skip_skips_periods_that_overlap() {
    let (world, mut planner) = hourly("skip");
    hour(&mut planner, 1);
    hour(&mut planner, 2);
    succeed(&world, 1);
    hour(&mut planner, 3);
    assert_eq!(
        recorded(&world, "sync"),
        [
            "2026-11-02T01:00:00Z opened",
            "2026-11-02T02:00:00Z skipped overlap",
            "2026-11-02T03:00:00Z opened",
        ]
    );
}

#[test]
fn overlap_allow_lets_runs_overlap() {
    let (world, mut planner) = hourly("allow");
    for n in 1..=3 {
        hour(&mut planner, n);
    }
    assert_eq!(recorded(&world, "sync").len(), 3);
    assert!((1..=3).all(|id| run(&world, id) == (State::Waiting, 0)));
}

/// Proves (sequence): a run that follows another starts after the other ended, however that ended.
#[test]
fn overlap_replace_cancels_waiting_runs_and_waits_for_running_ones() {
    let (world, mut planner) = hourly("replace");
    hour(&mut planner, 1);
    hour(&mut planner, 2);
    assert_eq!(run(&world, 1).0, State::Cancelled);
    assert_eq!(run(&world, 2), (State::Waiting, 0));
    set_running(&world, 2);
    hour(&mut planner, 3);
    // The old one is asked to end; the new one cannot be claimed before its processes are gone.
    assert_eq!(run(&world, 2).0, State::Running);
    let conn = invariants::open(&world);
    let asked = "SELECT count(*) FROM run WHERE id = 2 AND cancel_ms IS NOT NULL AND cancel_by = 'schedule'";
    assert_eq!(invariants::number(&conn, asked), 1);
    assert_eq!(run(&world, 3), (State::Waiting, 1));
    succeed(&world, 2);
    assert_eq!(run(&world, 3), (State::Waiting, 0));
    exactly_once(&world);
}

#[test]
fn manual_and_dead_runs_do_not_count() {
    let (world, mut planner) = hourly("skip");
    world.run("enqueue sync").ok();
    hour(&mut planner, 1);
    let first = rows(&world, "sync")[0].run.unwrap();
    invariants::open(&world)
        .execute(
            "UPDATE run SET state = 'dead', ready = 0, ended_ms = 1 WHERE id = ?1",
            [first.0],
        )
        .unwrap();
    hour(&mut planner, 2);
    assert!(rows(&world, "sync").iter().all(|row| row.run.is_some()));
}

/// Proves: as `overlap_replace_cancels_waiting_runs_and_waits_for_running_ones`.
#[test]
fn a_cancelled_predecessor_opens_the_gate_too() {
    let (world, mut planner) = hourly("queue");
    hour(&mut planner, 1);
    set_running(&world, 1);
    hour(&mut planner, 2);
    assert_eq!(run(&world, 2), (State::Waiting, 1));
    invariants::open(&world)
        .execute(
            "UPDATE run SET state = 'cancelled', worker = NULL, ended_ms = 1 WHERE id = 1",
            [],
        )
        .unwrap();
    assert_eq!(run(&world, 2), (State::Waiting, 0));
}

/// Proves (periods): no period is given to a run that can no longer start; a period in time is not lost beside a chain
/// that catches up.
#[test]
fn a_run_that_waits_beyond_its_deadline_blocks_no_period() {
    for overlap in ["queue", "skip"] {
        let world = World::with_catalogue(&format!(
            "[defaults]\ntimezone = \"UTC\"\n[job.sync]\ncommand = [\"true\"]\ndeadline = \"10m\"\n\
             [job.sync.schedule]\ncron = '0 * * * *'\noverlap = '{overlap}'\n"
        ));
        let mut planner = planner(&world, right(instant(START)));
        for n in 1..=3 {
            hour(&mut planner, n);
        }
        let opened = rows(&world, "sync")
            .iter()
            .filter(|row| row.run.is_some())
            .count();
        assert_eq!(opened, 3, "{overlap}: {:?}", recorded(&world, "sync"));
        exactly_once(&world);
    }
}

#[test]
fn a_period_gets_its_run_beside_one_with_the_same_dedup_key() {
    let world = World::with_catalogue(
        "[defaults]\ntimezone = \"UTC\"\n[job.sync]\ncommand = [\"true\"]\n\
         [job.sync.dedup]\nkey = \"one\"\nwhile = \"active\"\n\
         [job.sync.schedule]\ncron = '0 * * * *'\noverlap = 'allow'\n",
    );
    let mut planner = planner(&world, right(instant(START)));
    world.run("enqueue sync").ok();
    for n in 1..=2 {
        hour(&mut planner, n);
    }
    let runs: Vec<_> = rows(&world, "sync").iter().map(|row| row.run).collect();
    assert_eq!(
        runs,
        [Some(RunId(2)), Some(RunId(3))],
        "{:?}",
        recorded(&world, "sync")
    );
    exactly_once(&world);
}
