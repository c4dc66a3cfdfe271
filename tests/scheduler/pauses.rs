//! Periods of a paused job: what counts is whether it was paused at the instant of the period.

use jobctl::store::Act;

use super::lab::{at, exactly_once, instant, planner, recorded, right, tick, world};
use crate::world::World;

fn act(at: &str, until: Option<&str>) -> Act<'static> {
    Act {
        by: "test",
        reason: None,
        now_ms: instant(at),
        until_ms: until.map(instant),
    }
}

fn pause(world: &World, at: &str, until: Option<&str>) {
    let paused = world
        .store()
        .write(|tx| tx.pause_job("report", &act(at, until)));
    assert!(paused.expect("it is stored"));
}

fn resume(world: &World, at: &str) {
    let resumed = world
        .store()
        .write(|tx| tx.resume_job("report", &act(at, None)));
    resumed.expect("it is stored");
}

fn daily() -> World {
    let world = world(&[(
        "report",
        "cron = '0 6 * * *'\noverlap = 'allow'\ncatch_up = 'all'\ncatch_up_within = '30d'",
    )]);
    drop(planner(&world, at("2026-11-01T12:00:00Z")));
    world
}

#[test]
fn a_paused_job_opens_no_period_and_records_the_pause() {
    let world = daily();
    let mut planner = planner(&world, at("2026-11-01T12:00:00Z"));
    pause(&world, "2026-11-01T13:00:00Z", None);
    for day in 2..=4 {
        tick(&mut planner, at(&format!("2026-11-0{day}T06:00:00Z")));
    }
    resume(&world, "2026-11-04T12:00:00Z");
    tick(&mut planner, at("2026-11-05T06:00:00Z"));
    assert_eq!(
        recorded(&world, "report"),
        [
            "2026-11-02T06:00[UTC] to 2026-11-04T06:00[UTC] x3 skipped paused",
            "2026-11-05T06:00[UTC] opened",
        ]
    );
    exactly_once(&world);
}

/// Proves (periods): whether a job was paused is decided for the instant of the period.
#[test]
fn periods_that_are_found_late_were_paused_or_not_at_their_own_instants() {
    let world = daily();
    pause(&world, "2026-11-02T12:00:00Z", None);
    resume(&world, "2026-11-03T12:00:00Z");
    pause(&world, "2026-11-04T12:00:00Z", Some("2026-11-05T12:00:00Z"));
    // The one before ended by itself.
    pause(&world, "2026-11-06T12:00:00Z", None);
    let now = at("2026-11-07T12:00:00Z");
    tick(&mut planner(&world, now), now);
    assert_eq!(
        recorded(&world, "report"),
        [
            "2026-11-02T06:00[UTC] caught_up",
            "2026-11-03T06:00[UTC] skipped paused",
            "2026-11-04T06:00[UTC] caught_up",
            "2026-11-05T06:00[UTC] skipped paused",
            "2026-11-06T06:00[UTC] caught_up",
            "2026-11-07T06:00[UTC] skipped paused",
        ]
    );
    exactly_once(&world);
}

#[test]
fn pauses_of_decided_periods_are_forgotten_and_their_number_has_a_bound() {
    let world = daily();
    let past = || {
        let conn = crate::invariants::open(&world);
        crate::invariants::number(&conn, "SELECT count(*) FROM past_pause")
    };
    let mut store = world.store();
    let start = instant("2026-11-01T12:00:00Z");
    store
        .write(|tx| {
            for n in 1..=1_100 {
                let act = |now_ms| Act {
                    now_ms,
                    ..act("2026-11-01T12:00:00Z", None)
                };
                tx.pause_job("report", &act(start + 20 * n))?;
                tx.resume_job("report", &act(start + 20 * n + 10))?;
            }
            Ok(())
        })
        .expect("it is stored");
    assert_eq!(past(), 1_000);
    let now = right(instant("2026-11-02T06:00:00Z"));
    tick(&mut planner(&world, now), now);
    assert_eq!(past(), 0);
}
