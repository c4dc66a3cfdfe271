//! A clock that is set wrong and corrected, and a machine that is suspended: no period is lost or doubled, and no wait is endless.

use jobctl::policy::Reading;
use jobctl::scheduler::Planner;

use super::lab::{
    DAY, HOUR, MINUTE, exactly_once, instant, planner, recorded, right, rows, tick, world,
};
use crate::invariants;
use crate::world::World;

const SCHEDULES: &[(&str, &str)] = &[
    ("daily", "cron = '0 6 * * *'"),
    ("hourly", "cron = '0 * * * *'\noverlap = 'allow'"),
    ("elapsed", "every = '1m'\noverlap = 'allow'"),
];

const START: &str = "2026-11-28T05:30:30Z";

/// The wall clock is this far from where it should be while these minutes pass.
fn pass(planner: &mut Planner, boot_ms: &mut i64, offset_ms: i64, minutes: i64) {
    for _ in 0..minutes {
        *boot_ms += MINUTE;
        let now = Reading {
            wall_ms: *boot_ms + offset_ms,
            boot_ms: *boot_ms,
        };
        tick(planner, now);
    }
}

fn runs(world: &World, job: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM run WHERE job = '{job}'");
    invariants::number(&invariants::open(world), &sql)
}

/// From the right time to a wrong one.
fn wrong_by() -> [(&'static str, i64); 5] {
    let start = instant(START);
    [
        ("an hour back", -HOUR),
        ("a day forwards", DAY),
        ("1970", -start),
        ("the end of 9999", instant("9999-12-31T23:00:00Z") - start),
        ("two hours back", -2 * HOUR),
    ]
}

/// Fault (time): steps of the clock by -1 h, by +1 d, to 1970 and to 9999, undone or not.
#[test]
fn a_clock_that_is_wrong_for_four_minutes_opens_no_calendar_period_early() {
    for (name, by_ms) in wrong_by() {
        let world = world(SCHEDULES);
        let mut boot_ms = instant(START);
        let mut planner = planner(&world, right(boot_ms));
        pass(&mut planner, &mut boot_ms, 0, 2);
        let elapsed = runs(&world, "elapsed");
        pass(&mut planner, &mut boot_ms, by_ms, 4);
        assert_eq!(runs(&world, "daily") + runs(&world, "hourly"), 0, "{name}");
        assert_eq!(runs(&world, "elapsed"), elapsed + 4, "{name}");
        pass(&mut planner, &mut boot_ms, 0, 60);
        for job in ["daily", "hourly"] {
            assert_eq!(
                recorded(&world, job).len(),
                1,
                "{name}: {:?}",
                recorded(&world, job)
            );
            assert_eq!(runs(&world, job), 1, "{name}");
        }
        exactly_once(&world);
    }
}

/// Fault: as `a_clock_that_is_wrong_for_four_minutes_opens_no_calendar_period_early`.
#[test]
fn a_clock_that_stays_wrong_is_accepted_and_correcting_it_doubles_no_period() {
    for (name, by_ms) in wrong_by() {
        let world = world(SCHEDULES);
        let mut boot_ms = instant(START);
        let mut planner = planner(&world, right(boot_ms));
        pass(&mut planner, &mut boot_ms, 0, 2);
        pass(&mut planner, &mut boot_ms, by_ms, 20);
        if by_ms > DAY {
            // Nothing is computed for such a time, so time alone does not make it right.
            assert_eq!(runs(&world, "daily") + runs(&world, "hourly"), 0, "{name}");
        }
        // What was missed on the way is one run of each at most: `catch_up` is `latest`.
        assert!(runs(&world, "daily") <= 1, "{name}");
        assert!(runs(&world, "hourly") <= 2, "{name}");
        pass(&mut planner, &mut boot_ms, 0, 60);
        drop(planner);
        // Another process reads all that from the store.
        let mut other = super::lab::planner(&world, right(boot_ms));
        pass(&mut other, &mut boot_ms, 0, 10);
        assert!(rows(&world, "daily").len() <= 4, "{name}");
        exactly_once(&world);
    }
}

/// Fault (time): the machine is suspended.
#[test]
fn after_a_suspended_night_missed_periods_are_handled_like_those_of_a_late_start() {
    let world = world(SCHEDULES);
    let evening = instant("2026-11-27T22:10:00Z");
    let mut boot_ms = evening;
    let mut planner = planner(&world, right(boot_ms));
    pass(&mut planner, &mut boot_ms, 0, 5);
    let elapsed = runs(&world, "elapsed");
    // The boot clock includes suspended time, so a suspend is no jump.
    boot_ms += 9 * HOUR;
    pass(&mut planner, &mut boot_ms, 0, 1);
    assert_eq!(
        recorded(&world, "daily"),
        ["2026-11-28T06:00[UTC] caught_up"]
    );
    let hourly = recorded(&world, "hourly");
    assert_eq!(
        hourly.last().map(String::as_str),
        Some("2026-11-28T07:00:00Z caught_up")
    );
    assert_eq!(runs(&world, "hourly"), 1, "{hourly:?}");
    // The last that was missed, and the one of this minute.
    assert_eq!(runs(&world, "elapsed"), elapsed + 2);
    exactly_once(&world);
}

/// Fault (time): a clock that was accepted while it was ahead.
#[test]
fn periods_decided_by_a_clock_ahead_are_decided_again_after_its_acceptance() {
    let world = world(&[
        ("hourly", "cron = '0 * * * *'\noverlap = 'allow'"),
        ("minutely", "cron = '* * * * *'\noverlap = 'allow'"),
        ("daily", "cron = '0 6 * * *'"),
        ("elapsed", "every = '1m'\noverlap = 'allow'"),
    ]);
    let mut boot_ms = instant(START);
    let mut planner = planner(&world, right(boot_ms));
    pass(&mut planner, &mut boot_ms, 0, 2);
    // Six hours ahead for twenty minutes, which is believed; then right again, which is believed too.
    pass(&mut planner, &mut boot_ms, 6 * HOUR, 20);
    pass(&mut planner, &mut boot_ms, 0, 20);
    let opened = runs(&world, "minutely");
    pass(&mut planner, &mut boot_ms, 0, 30);
    assert_eq!(runs(&world, "minutely"), opened, "it waits for hours");
    let now = right(boot_ms);
    let mut store = world.store();
    let ahead = jobctl::scheduler::ahead(&store, now.wall_ms).expect("a look");
    let jobs: Vec<&str> = ahead.iter().map(|ahead| ahead.job.as_str()).collect();
    assert_eq!(jobs, ["hourly", "minutely"]);

    let accepted =
        jobctl::scheduler::accept(&mut store, super::lab::BOOT, now).expect("it is stored");
    assert_eq!((accepted.jump_ms, accepted.rewound), (None, ahead));
    let ahead = jobctl::scheduler::ahead(&store, now.wall_ms);
    assert_eq!(ahead.expect("a look"), []);
    exactly_once(&world);
    pass(&mut planner, &mut boot_ms, 0, 30);
    assert_eq!(runs(&world, "minutely"), opened + 30);
    assert_eq!(runs(&world, "hourly"), 2, "what has a run keeps it");
    pass(&mut planner, &mut boot_ms, 0, 8 * 60);
    exactly_once(&world);
    let again = jobctl::scheduler::accept(&mut store, super::lab::BOOT, right(boot_ms));
    assert_eq!(
        again.expect("a look"),
        jobctl::scheduler::Acceptance::default()
    );
}

#[test]
fn a_clock_that_moves_before_its_acceptance_is_seen_delays_nothing() {
    let world = world(&[("minutely", "cron = '* * * * *'\noverlap = 'allow'")]);
    let mut boot_ms = instant(START);
    let mut planner = planner(&world, right(boot_ms));
    pass(&mut planner, &mut boot_ms, 6 * HOUR, 20);
    pass(&mut planner, &mut boot_ms, 0, 20);
    let opened = runs(&world, "minutely");
    let mut store = world.store();
    let accepted = jobctl::scheduler::accept(&mut store, super::lab::BOOT, right(boot_ms));
    assert_eq!(accepted.expect("it is stored").rewound.len(), 1);
    // It is another clock already when the scheduler looks.
    pass(&mut planner, &mut boot_ms, 2 * MINUTE, 30);
    assert!(
        runs(&world, "minutely") >= opened + 30,
        "it waits for hours"
    );
    exactly_once(&world);
}
