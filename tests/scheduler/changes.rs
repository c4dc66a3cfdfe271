//! Changes of the catalogue while time passes: no past period is replayed, and none is doubled or lost.
//!
//! Proves (periods): a changed rule replays nothing; a period whose day moved is neither lost nor doubled.

use jobctl::policy::Reading;
use jobctl::scheduler::Planner;

use super::lab::{
    HOUR, MINUTE, at, catalogue, exactly_once, instant, planner, recorded, right, rows, tick,
    world, write,
};
use crate::world::World;

fn load(world: &World, planner: &mut Planner, now: Reading) {
    planner.load(&catalogue(world), now).expect("it loads");
}

/// Ticks each hour up to an instant.
fn until(planner: &mut Planner, from: &str, to: &str) {
    let mut now = instant(from);
    while now <= instant(to) {
        tick(planner, right(now));
        now += HOUR;
    }
}

#[test]
fn a_new_job_starts_at_its_first_load() {
    let world = world(&[("report", "cron = '0 6 * * *'")]);
    let mut planner = planner(&world, at("2026-11-02T06:00:00Z"));
    tick(&mut planner, at("2026-11-02T06:00:00Z"));
    assert!(recorded(&world, "report").is_empty());
    tick(&mut planner, at("2026-11-03T06:00:00Z"));
    assert_eq!(recorded(&world, "report"), ["2026-11-03T06:00[UTC] opened"]);
}

#[test]
fn a_changed_rule_starts_at_the_change() {
    let world = world(&[("report", "cron = '0 6 * * *'")]);
    let mut planner = planner(&world, at("2026-11-01T12:00:00Z"));
    until(&mut planner, "2026-11-02T00:00:00Z", "2026-11-02T09:00:00Z");
    // At nine o'clock it becomes eight o'clock: today's is not replayed.
    write(&world, &[("report", "cron = '0 8 * * *'")]);
    load(&world, &mut planner, at("2026-11-02T09:00:00Z"));
    until(&mut planner, "2026-11-02T10:00:00Z", "2026-11-03T09:00:00Z");
    // And back.
    write(&world, &[("report", "cron = '0 6 * * *'")]);
    load(&world, &mut planner, at("2026-11-03T09:00:00Z"));
    until(&mut planner, "2026-11-03T10:00:00Z", "2026-11-04T09:00:00Z");
    let keys: Vec<String> = recorded(&world, "report");
    assert_eq!(
        keys,
        [
            "2026-11-02T06:00[UTC] opened",
            "2026-11-03T08:00[UTC] merged overlap into 2026-11-02T06:00[UTC]",
            "2026-11-04T06:00[UTC] merged overlap into 2026-11-02T06:00[UTC]",
        ]
    );
    exactly_once(&world);
}

#[test]
fn a_rule_changed_while_nothing_ran_is_followed_up_to_the_change() {
    let world = world(&[("report", "cron = '0 6 * * *'")]);
    drop(planner(&world, at("2026-11-01T12:00:00Z")));
    write(&world, &[("report", "cron = '0 8 * * *'")]);
    let now = at("2026-11-04T07:00:00Z");
    let mut planner = planner(&world, now);
    until(&mut planner, "2026-11-04T08:00:00Z", "2026-11-04T09:00:00Z");
    assert_eq!(
        recorded(&world, "report"),
        [
            "2026-11-02T06:00[UTC] to 2026-11-03T06:00[UTC] x2 skipped late",
            "2026-11-04T06:00[UTC] caught_up",
            "2026-11-04T08:00[UTC] merged overlap into 2026-11-04T06:00[UTC]",
        ]
    );
    exactly_once(&world);
}

#[test]
fn a_change_beside_the_rule_does_not_change_periods() {
    let world = world(&[("report", "cron = '0 6 * * *'")]);
    let mut planner = planner(&world, at("2026-11-01T12:00:00Z"));
    write(
        &world,
        &[(
            "report",
            "cron = '0 6 * * *'\noverlap = 'allow'\nsplay = '5m'",
        )],
    );
    load(&world, &mut planner, at("2026-11-01T13:00:00Z"));
    assert_eq!(world.store().versions("report").unwrap().len(), 1);
    until(&mut planner, "2026-11-01T14:00:00Z", "2026-11-03T09:00:00Z");
    assert_eq!(
        recorded(&world, "report"),
        [
            "2026-11-02T06:00[UTC] opened",
            "2026-11-03T06:00[UTC] opened"
        ]
    );
}

fn monthly(holidays: &str) -> String {
    format!(
        "[defaults]\ntimezone = \"Asia/Almaty\"\n[calendar.kz]\nholidays = [{holidays}]\n\
         [job.report]\ncommand = [\"true\"]\n[job.report.schedule]\ncron = '0 6 * * *'\n\
         on = 'first business day of month'\ncalendar = 'kz'\noverlap = 'allow'\n"
    )
}

#[test]
fn a_holiday_added_after_the_months_run_does_not_open_the_month_again() {
    let world = World::with_catalogue(&monthly(""));
    let mut planner = planner(&world, at("2026-11-20T00:00:00Z"));
    until(&mut planner, "2026-12-01T00:00:00Z", "2026-12-01T03:00:00Z");
    // On the day itself, after the run, it becomes a holiday: the first business day is tomorrow.
    world.write_catalogue(&monthly("'2026-12-01'"));
    load(&world, &mut planner, at("2026-12-01T04:00:00Z"));
    until(&mut planner, "2026-12-01T05:00:00Z", "2026-12-10T00:00:00Z");
    assert_eq!(
        recorded(&world, "report"),
        ["2026-12/bd1T06:00[Asia/Almaty] opened"]
    );
    exactly_once(&world);
}

#[test]
fn a_day_that_moves_into_the_past_is_not_lost() {
    let last = |holidays: &str| monthly(holidays).replace("first business", "last business");
    let world = World::with_catalogue(&last(""));
    let mut planner = planner(&world, at("2026-11-20T00:00:00Z"));
    // Monday the 30th is declared a holiday in its own small hours: the last business day was Friday.
    world.write_catalogue(&last("'2026-11-30'"));
    load(&world, &mut planner, at("2026-11-29T20:00:00Z"));
    until(&mut planner, "2026-11-29T20:00:00Z", "2026-12-05T00:00:00Z");
    assert_eq!(
        recorded(&world, "report"),
        ["2026-11/bd-1T06:00[Asia/Almaty] caught_up"]
    );
    exactly_once(&world);
}

#[test]
fn a_job_that_is_renamed_or_removed_and_added_again_doubles_no_period() {
    let world = world(&[("old", "cron = '0 * * * *'\noverlap = 'allow'")]);
    let mut planner = planner(&world, at("2026-11-01T00:30:00Z"));
    until(&mut planner, "2026-11-01T01:00:00Z", "2026-11-01T02:00:00Z");
    write(&world, &[("new", "cron = '0 * * * *'\noverlap = 'allow'")]);
    load(&world, &mut planner, at("2026-11-01T02:30:00Z"));
    until(&mut planner, "2026-11-01T03:00:00Z", "2026-11-01T04:00:00Z");
    write(&world, &[("old", "cron = '0 * * * *'\noverlap = 'allow'")]);
    load(&world, &mut planner, at("2026-11-01T04:30:00Z"));
    until(&mut planner, "2026-11-01T05:00:00Z", "2026-11-01T05:00:00Z");
    assert_eq!(
        recorded(&world, "old"),
        [
            "2026-11-01T01:00:00Z opened",
            "2026-11-01T02:00:00Z opened",
            "2026-11-01T05:00:00Z opened",
        ]
    );
    assert_eq!(
        recorded(&world, "new"),
        ["2026-11-01T03:00:00Z opened", "2026-11-01T04:00:00Z opened"]
    );
    exactly_once(&world);
}

#[test]
fn missed_periods_of_a_removed_job_are_recorded() {
    let world = world(&[("old", "cron = '0 * * * *'")]);
    drop(planner(&world, at("2026-11-01T00:30:00Z")));
    write(&world, &[("other", "")]);
    drop(planner(&world, at("2026-11-01T03:30:00Z")));
    assert_eq!(
        recorded(&world, "old"),
        ["2026-11-01T01:00:00Z to 2026-11-01T03:00:00Z x3 skipped removed"]
    );
    exactly_once(&world);
}

#[test]
fn a_changed_every_rule_continues_without_a_duplicate() {
    let world = world(&[("sync", "every = '5m'\noverlap = 'allow'")]);
    let start = instant("2026-11-01T00:01:00Z");
    let mut planner = planner(&world, right(start));
    tick(&mut planner, right(start + 9 * MINUTE));
    write(&world, &[("sync", "every = '10m'\noverlap = 'allow'")]);
    load(&world, &mut planner, right(start + 9 * MINUTE));
    tick(&mut planner, right(start + 20 * MINUTE));
    write(&world, &[("sync", "every = '5m'\noverlap = 'allow'")]);
    load(&world, &mut planner, right(start + 20 * MINUTE));
    tick(&mut planner, right(start + 24 * MINUTE));
    let due: Vec<i64> = rows(&world, "sync")
        .iter()
        .map(|row| row.due_ms - start)
        .collect();
    assert_eq!(due, [4, 9, 19, 24].map(|minute| minute * MINUTE));
    exactly_once(&world);
}

/// A store whose schedule was put in force with zone data that give the zone these offsets.
fn with_zone_data(world: &World, job: &str, offsets: &str) {
    let conn = crate::invariants::open(world);
    conn.execute_batch(&format!(
        "INSERT INTO content (digest, body) VALUES ('other', CAST('{offsets}' AS BLOB));
         UPDATE schedule_version SET zone = 'other' WHERE job = '{job}';
         UPDATE schedule SET digest = 'other' WHERE job = '{job}';"
    ))
    .unwrap();
}

#[test]
fn new_zone_data_neither_lose_nor_double_a_day() {
    // Berlin in November is UTC+1. The old data say UTC+2: its 09:00 was at 07:00 UTC, with the new ones it is at 08:00.
    for (offset_s, now) in [
        (7200, "2026-11-03T07:30:00Z"),
        // The old data say UTC: 09:00 would have been at 09:00, with the new ones it was at 08:00.
        (0, "2026-11-03T08:30:00Z"),
    ] {
        let world = world(&[(
            "report",
            "cron = '0 9 * * *'\ntimezone = 'Europe/Berlin'\noverlap = 'allow'",
        )]);
        drop(planner(&world, at("2026-11-02T12:00:00Z")));
        with_zone_data(&world, "report", &format!("0 {offset_s}"));
        // The old rule opens what is due by it; then the new data come.
        let mut planner = planner(&world, at(now));
        tick(&mut planner, at("2026-11-03T12:00:00Z"));
        tick(&mut planner, at("2026-11-04T12:00:00Z"));
        let keys: Vec<String> = rows(&world, "report")
            .into_iter()
            .map(|row| row.period)
            .collect();
        assert_eq!(
            keys,
            [
                "2026-11-03T09:00[Europe/Berlin]",
                "2026-11-04T09:00[Europe/Berlin]"
            ]
        );
        exactly_once(&world);
    }
}

#[test]
fn a_key_inside_a_row_of_several_periods_is_not_decided_again() {
    let world = world(&[(
        "report",
        "at = ['02:00', '02:15', '02:30']\ncatch_up = 'none'\noverlap = 'allow'",
    )]);
    drop(planner(&world, at("2026-11-01T12:00:00Z")));
    // The old data say UTC+1, and that the clock was put from two to three on the third: all three were at 01:00 UTC.
    let change = instant("2026-11-03T01:00:00Z") / 1000;
    with_zone_data(&world, "report", &format!("0 3600\n{change} 7200"));
    // The new ones say UTC: they are still to come.
    let mut planner = planner(&world, at("2026-11-03T01:10:00Z"));
    tick(&mut planner, at("2026-11-03T02:00:00Z"));
    tick(&mut planner, at("2026-11-03T02:15:00Z"));
    tick(&mut planner, at("2026-11-03T02:30:00Z"));
    tick(&mut planner, at("2026-11-04T02:00:00Z"));
    assert_eq!(
        recorded(&world, "report"),
        [
            "2026-11-02T02:00[UTC] to 2026-11-02T02:30[UTC] x3 skipped late",
            "2026-11-03T02:00[UTC] skipped late",
            "2026-11-03T02:15[UTC] merged into 2026-11-03T02:00[UTC]",
            "2026-11-03T02:30[UTC] merged into 2026-11-03T02:00[UTC]",
            "2026-11-04T02:00[UTC] opened",
        ]
    );
    exactly_once(&world);
}

#[test]
fn a_merged_time_that_moves_into_the_past_is_not_lost() {
    let world = world(&[(
        "report",
        "at = ['02:00', '02:15', '02:30']\noverlap = 'allow'",
    )]);
    drop(planner(&world, at("2026-11-02T12:00:00Z")));
    // The old data say UTC-2, and that the clock is put from two to three on the third: all three are at 04:00 UTC.
    let change = instant("2026-11-03T04:00:00Z") / 1000;
    with_zone_data(&world, "report", &format!("0 -7200\n{change} -3600"));
    // The new ones say UTC: they have just passed.
    let mut planner = planner(&world, at("2026-11-03T02:30:30Z"));
    tick(&mut planner, at("2026-11-03T12:00:00Z"));
    assert_eq!(
        recorded(&world, "report"),
        [
            "2026-11-03T02:00[UTC] to 2026-11-03T02:15[UTC] x2 skipped late",
            "2026-11-03T02:30[UTC] opened",
        ]
    );
    exactly_once(&world);
}

#[test]
fn a_removed_job_does_not_skip_periods_decided_before_its_hour_moved() {
    let daily = "cron = '0 9 * * *'\ntimezone = 'Europe/Berlin'\noverlap = 'allow'";
    let world = world(&[("report", daily)]);
    drop(planner(&world, at("2026-11-02T12:00:00Z")));
    with_zone_data(&world, "report", "0 7200");
    // Opened at 07:00 by the old data; the new ones have it at 08:00 once more.
    drop(planner(&world, at("2026-11-03T07:30:00Z")));
    write(&world, &[("other", "")]);
    drop(planner(&world, at("2026-11-04T12:00:00Z")));
    assert_eq!(
        recorded(&world, "report"),
        [
            "2026-11-03T09:00[Europe/Berlin] caught_up",
            "2026-11-04T09:00[Europe/Berlin] skipped removed",
        ]
    );
    exactly_once(&world);
}

#[test]
fn a_job_that_comes_back_does_not_repeat_periods_decided_by_a_clock_ahead() {
    let daily = [("report", "cron = '0 6 * * *'\noverlap = 'allow'")];
    let world = world(&daily);
    let mut planner = planner(&world, at("2026-11-01T12:00:00Z"));
    let ahead = Reading {
        wall_ms: instant("2026-11-04T07:00:00Z"),
        boot_ms: instant("2026-11-01T13:00:00Z"),
    };
    planner.accept_clock(ahead);
    write(&world, &[("other", "")]);
    load(&world, &mut planner, ahead);
    let recorded_ahead = recorded(&world, "report");
    // It is right again, and so is the catalogue.
    let right_again = at("2026-11-01T14:00:00Z");
    planner.accept_clock(right_again);
    write(&world, &daily);
    load(&world, &mut planner, right_again);
    until(&mut planner, "2026-11-01T15:00:00Z", "2026-11-04T12:00:00Z");
    assert_eq!(recorded(&world, "report"), recorded_ahead);
    until(&mut planner, "2026-11-04T13:00:00Z", "2026-11-05T12:00:00Z");
    assert_eq!(
        recorded(&world, "report").last().unwrap(),
        "2026-11-05T06:00[UTC] opened"
    );
    exactly_once(&world);
}

#[test]
fn another_catalogue_in_between_makes_a_scheduler_stale() {
    let world = world(&[("report", "cron = '0 6 * * *'")]);
    let mut old = planner(&world, at("2026-11-01T12:00:00Z"));
    write(&world, &[("report", "cron = '0 7 * * *'")]);
    let mut new = planner(&world, at("2026-11-01T13:00:00Z"));
    let ticked = tick(&mut old, at("2026-11-02T06:00:00Z"));
    assert_eq!(ticked.stale, ["report"]);
    assert!(recorded(&world, "report").is_empty());
    tick(&mut new, at("2026-11-02T07:00:00Z"));
    assert_eq!(recorded(&world, "report"), ["2026-11-02T07:00[UTC] opened"]);
    exactly_once(&world);
}
