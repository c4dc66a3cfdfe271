//! Advice and explanations.

use jobctl::schedule::{CalendarSpec, LintKind, RuleSpec};

use super::helpers::{at, calendar, cron, ms, on, periods, rule};

const NOW: &str = "2026-11-01T12:00:00Z";

fn lints(spec: &RuleSpec) -> Vec<LintKind> {
    rule(spec)
        .lints(ms(NOW))
        .into_iter()
        .map(|lint| lint.kind)
        .collect()
}

#[test]
fn check_says_what_people_get_wrong() {
    let with = |holidays: &[&str], spec: RuleSpec| RuleSpec {
        calendar: Some(calendar(&CalendarSpec {
            name: "kz".to_owned(),
            holidays: holidays.iter().map(ToString::to_string).collect(),
            ..CalendarSpec::default()
        })),
        ..spec
    };
    let first = || {
        on(
            cron("0 6 * * *", "Asia/Almaty"),
            "first business day of month",
            "",
        )
    };
    let cases = [
        (cron("0 6 * * *", "Asia/Almaty"), vec![]),
        (cron("* 0 * * *", "UTC"), vec![LintKind::EveryMinuteOfHour]),
        (cron("0 6 */2 * *", "UTC"), vec![LintKind::SteppedDays]),
        (cron("*/90 * * * *", "UTC"), vec![LintKind::LongStep]),
        (cron("0 6 1 * MON", "UTC"), vec![LintKind::BothDayFields]),
        (
            cron("30 2 * * *", "Europe/Berlin"),
            vec![LintKind::InsideGap],
        ),
        (cron("30 2 1 * *", "Europe/Berlin"), vec![]),
        // The next gap is on 2027-03-28.
        (
            RuleSpec {
                start: Some("2027-03-29".to_owned()),
                ..cron("30 2 * * *", "Europe/Berlin")
            },
            vec![],
        ),
        (
            RuleSpec {
                end: Some("2027-03-28T01:00:00Z".to_owned()),
                ..cron("30 2 * * *", "Europe/Berlin")
            },
            vec![LintKind::InsideGap],
        ),
        (
            RuleSpec {
                end: Some("2027-03-28T00:00:00Z".to_owned()),
                ..cron("30 2 * * *", "Europe/Berlin")
            },
            vec![],
        ),
        (cron("30 * * * *", "Europe/Berlin"), vec![]),
        (
            RuleSpec {
                end: Some("2026-01-01".to_owned()),
                ..at(&["06:00"], "UTC")
            },
            vec![LintKind::NeverFires],
        ),
        (
            with(
                &["2028-12-25"],
                on(at(&["06:00"], "UTC"), "day 31 of quarter", ""),
            ),
            vec![LintKind::CalendarUnused],
        ),
        (with(&["2026-12-25"], first()), vec![LintKind::HolidaysEnd]),
        (with(&["2025-12-25"], first()), vec![LintKind::HolidaysEnd]),
        (with(&["2027-12-25"], first()), vec![]),
        (first(), vec![LintKind::NoCalendar]),
        (
            with(&["2027-12-25"], cron("0 6 * * *", "UTC")),
            vec![LintKind::CalendarUnused],
        ),
        (
            with(
                &["2027-12-25"],
                on(cron("0 6 1 * *", "UTC"), "first business day of month", ""),
            ),
            vec![LintKind::DaysTwice],
        ),
        (
            with(
                &["2027-12-25"],
                on(cron("0 6 9 * *", "UTC"), "first business day of week", ""),
            ),
            vec![LintKind::DaysTwice],
        ),
        (
            with(
                &["2027-12-25"],
                on(cron("0 6 31 1 *", "UTC"), "first business day of month", ""),
            ),
            vec![LintKind::DaysTwice, LintKind::NeverFires],
        ),
    ];
    for (spec, kinds) in cases {
        assert_eq!(lints(&spec), kinds, "{spec:?}");
    }
    let message = &rule(&with(&["2026-12-16"], first())).lints(ms(NOW))[0].message;
    assert_eq!(message, "calendar kz knows no holidays after 2026-12-31");
}

#[test]
fn notes_explain_shifts() {
    let notes = |spec: &RuleSpec, from: &str| {
        let found = periods(spec, from, 2);
        let rule = rule(spec);
        let mut notes = rule.notes(&found[0], None);
        notes.extend(rule.notes(&found[1], Some(&found[0])));
        notes
    };
    assert_eq!(
        notes(&cron("30 2 * * *", "Europe/Berlin"), "2027-03-27T12:00:00Z"),
        ["02:30 does not exist on 2027-03-28 in Europe/Berlin: runs at 03:00"]
    );
    assert_eq!(
        notes(&cron("30 2 * * *", "Europe/Berlin"), "2027-03-27T00:00:00Z"),
        [
            "02:30 does not exist on 2027-03-28 in Europe/Berlin: runs at 03:00",
            "Europe/Berlin changed from UTC+01:00 to UTC+02:00"
        ]
    );
    assert_eq!(
        notes(&cron("30 2 * * *", "Europe/Berlin"), "2026-10-24T12:00:00Z"),
        [
            "02:30 exists twice on 2026-10-25 in Europe/Berlin: runs the first time",
            "Europe/Berlin changed from UTC+02:00 to UTC+01:00"
        ]
    );
    let spec = RuleSpec {
        calendar: Some(calendar(&CalendarSpec {
            holidays: vec!["2027-01-01".to_owned()],
            ..CalendarSpec::default()
        })),
        ..on(at(&["06:00"], "UTC"), "first business day of month", "")
    };
    assert_eq!(
        notes(&spec, "2026-12-15T00:00:00Z"),
        ["2027-01-01 is a holiday: the first business day of the month is 2027-01-04"]
    );
    let spec = on(at(&["06:00"], "UTC"), "day 15 of month", "following");
    assert_eq!(
        notes(&spec, "2026-08-01T00:00:00Z"),
        ["2026-08-15 is a Saturday: runs on 2026-08-17"]
    );
}
