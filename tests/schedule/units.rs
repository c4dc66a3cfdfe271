//! Day rules: ordinals, units, keys, make-up days, adjusted days that meet.

use jobctl::schedule::{CalendarSpec, RuleSpec};

use super::helpers::{at, calendar, cron, keys, on, periods};

fn dates(spec: &RuleSpec, from: &str, count: usize) -> Vec<String> {
    let periods = periods(spec, from, count);
    periods
        .iter()
        .map(|period| period.business_date.to_string())
        .collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn ordinals_and_units_make_the_key() {
    let spec = |day: &str, adjust: &str| on(at(&["06:00"], "Asia/Almaty"), day, adjust);
    let from = "2026-01-01T12:00:00Z";
    let cases = [
        (
            "first business day of month",
            "",
            "2026-02/bd1T06:00[Asia/Almaty]",
            "2026-02-02",
        ),
        (
            "last business day of quarter",
            "",
            "2026-Q1/bd-1T06:00[Asia/Almaty]",
            "2026-03-31",
        ),
        (
            "business day 3 of year",
            "",
            "2026/bd3T06:00[Asia/Almaty]",
            "2026-01-05",
        ),
        (
            "first business day of week",
            "",
            "2026-W02/bd1T06:00[Asia/Almaty]",
            "2026-01-05",
        ),
        (
            "2nd monday of month",
            "",
            "2026-01/mon2T06:00[Asia/Almaty]",
            "2026-01-12",
        ),
        (
            "last friday of month",
            "",
            "2026-01/fri-1T06:00[Asia/Almaty]",
            "2026-01-30",
        ),
        (
            "first monday of quarter",
            "",
            "2026-Q1/mon1T06:00[Asia/Almaty]",
            "2026-01-05",
        ),
        (
            "day 15 of month",
            "following",
            "2026-01/d15T06:00[Asia/Almaty]",
            "2026-01-15",
        ),
        (
            "last day of month",
            "preceding",
            "2026-01/d-1T06:00[Asia/Almaty]",
            "2026-01-30",
        ),
        (
            "last day of month",
            "modified-preceding",
            "2026-01/d-1T06:00[Asia/Almaty]",
            "2026-01-30",
        ),
        (
            "last day of year",
            "",
            "2026/d-1T06:00[Asia/Almaty]",
            "2026-12-31",
        ),
        (
            "day 6 of week",
            "following",
            "2026-W01/d6T06:00[Asia/Almaty]",
            "2026-01-05",
        ),
        (
            "day 6 of week",
            "modified-following",
            "2026-W01/d6T06:00[Asia/Almaty]",
            "2026-01-02",
        ),
        (
            "fifth monday of month",
            "",
            "2026-03/mon5T06:00[Asia/Almaty]",
            "2026-03-30",
        ),
        (
            "day 31 of month",
            "following",
            "2026-01/d31T06:00[Asia/Almaty]",
            "2026-02-02",
        ),
    ];
    for (day, adjust, key, date) in cases {
        let found = &periods(&spec(day, adjust), from, 1)[0];
        assert_eq!(
            (found.key.as_str(), found.business_date.to_string().as_str()),
            (key, date),
            "{day}"
        );
    }
}

#[test]
fn a_holiday_added_later_does_not_change_the_key() {
    let with = |holidays: &[&str]| {
        let spec = RuleSpec {
            calendar: Some(calendar(&CalendarSpec {
                holidays: holidays.iter().map(ToString::to_string).collect(),
                ..CalendarSpec::default()
            })),
            ..on(
                at(&["06:00"], "Europe/Berlin"),
                "first business day of month",
                "",
            )
        };
        periods(&spec, "2026-01-31T00:00:00Z", 1).remove(0)
    };
    let (before, after) = (with(&[]), with(&["2026-02-02"]));
    assert_eq!(before.key, after.key);
    assert_ne!(before.business_date, after.business_date);
}

#[test]
fn make_up_days_are_business_days() {
    let kz = calendar(&CalendarSpec {
        name: "kz".to_owned(),
        holidays: vec!["2026-01-01".to_owned(), "2026-01-02".to_owned()],
        workdays: vec!["2026-01-03".to_owned()],
        ..CalendarSpec::default()
    });
    let spec = |day: &str| RuleSpec {
        calendar: Some(kz.clone()),
        ..on(cron("0 6 * * *", "Asia/Almaty"), day, "")
    };
    assert_eq!(
        dates(
            &spec("first business day of month"),
            "2025-12-31T12:00:00Z",
            1
        ),
        ["2026-01-03"]
    );
    let every = spec("every business day");
    assert_eq!(
        keys(&every, "2025-12-31T12:00:00Z", 2),
        [
            "2026-01-03T06:00[Asia/Almaty]",
            "2026-01-05T06:00[Asia/Almaty]"
        ]
    );
}

#[test]
fn every_business_day_goes_with_readings() {
    let spec = on(
        cron("*/30 9-10 * * *", "Asia/Almaty"),
        "every business day",
        "",
    );
    // Friday 10:30 in Almaty is 05:30Z.
    assert_eq!(
        keys(&spec, "2026-01-02T05:00:00Z", 2),
        ["2026-01-02T05:30:00Z", "2026-01-05T04:00:00Z"]
    );
}

#[test]
fn units_that_are_adjusted_onto_one_day_are_one_run() {
    let closed: Vec<String> = (1..=14).map(|day| format!("2026-06-{day:02}")).collect();
    let spec = RuleSpec {
        calendar: Some(calendar(&CalendarSpec {
            holidays: closed,
            ..CalendarSpec::default()
        })),
        ..on(at(&["06:00", "18:00"], "UTC"), "day 1 of week", "following")
    };
    let found = periods(&spec, "2026-05-26T00:00:00Z", 3);
    let found: Vec<(String, bool)> = found
        .into_iter()
        .map(|p| (p.key.clone(), p.is_due()))
        .collect();
    let key = |week: u32, hour: u32| format!("2026-W{week}/d1T{hour:02}:00[UTC]");
    assert_eq!(
        found,
        [
            (key(23, 6), true),
            (key(24, 6), false),
            (key(25, 6), false),
            (key(23, 18), true),
            (key(24, 18), false),
            (key(25, 18), false),
            (key(26, 6), true)
        ]
    );
}
