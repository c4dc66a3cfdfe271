//! Every row of the case files: lines on which independent implementations agree.
//!
//! Fault: as `tests/schedule/every_zone.rs`.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use jobctl::schedule::{Calendar, CalendarSpec, RuleSpec};

use super::helpers::{at, calendar, cron, due, ms, on, rule, text};

fn file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cases")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows below the header, as columns.
fn rows(name: &str) -> Vec<Vec<String>> {
    let rows: Vec<Vec<String>> = file(name)
        .lines()
        .skip(1)
        .map(|line| line.split('\t').map(str::to_owned).collect())
        .collect();
    assert!(!rows.is_empty());
    rows
}

fn check(name: &str, row: &[String], spec: &RuleSpec, from: &str, expected: &str) {
    let expected: Vec<&str> = expected.split(',').collect();
    let found = due(spec, from, expected.len());
    let expected: Vec<String> = expected.into_iter().map(|want| text(ms(want))).collect();
    assert_eq!(found, expected, "{name}: {row:?}");
}

#[test]
fn crontab_lines() {
    for name in ["cron.tsv", "cron_dst.tsv", "cron_extended.tsv"] {
        for row in rows(name) {
            check(name, &row, &cron(&row[0], &row[2]), &row[3], &row[4]);
        }
    }
}

#[test]
fn explicit_gap_and_fold() {
    let value = |text: &str| match text {
        "any" => None,
        "gap_end" => Some("next".to_owned()),
        other => Some(other.to_owned()),
    };
    for row in rows("cron_policy.tsv") {
        let spec = RuleSpec {
            gap: value(&row[4]),
            fold: value(&row[5]),
            ..cron(&row[0], &row[2])
        };
        check("cron_policy.tsv", &row, &spec, &row[3], &row[6]);
    }
}

fn business_calendar(weekend: &str, holidays: &str) -> Arc<Calendar> {
    let weekend = match weekend {
        "sat_sun" => vec!["sat", "sun"],
        "fri_sat" => vec!["fri", "sat"],
        "fri_only" => vec!["fri"],
        "sun_only" => vec!["sun"],
        other => panic!("{other}"),
    };
    calendar(&CalendarSpec {
        name: holidays.to_owned(),
        weekend: Some(weekend.into_iter().map(str::to_owned).collect()),
        holidays_file: (holidays != "none").then(|| file(&format!("holidays_{holidays}.txt"))),
        ..CalendarSpec::default()
    })
}

/// The day rule of a row: `on` and `adjust`.
fn day_rule(rule: &str, n: &str) -> (String, &'static str) {
    match rule {
        "first_business_day" => ("first business day of month".to_owned(), ""),
        "last_business_day" => ("last business day of month".to_owned(), ""),
        "nth_business_day" => (format!("business day {n} of month"), ""),
        "day_following" => (format!("day {n} of month"), "following"),
        "day_preceding" => (format!("day {n} of month"), "preceding"),
        "day_modified_following" => (format!("day {n} of month"), "modified-following"),
        "day_modified_preceding" => (format!("day {n} of month"), "modified-preceding"),
        other => panic!("{other}"),
    }
}

#[test]
fn business_days() {
    for row in rows("business_days.tsv") {
        let (day, adjust) = day_rule(&row[0], &row[1]);
        let spec = RuleSpec {
            calendar: Some(business_calendar(&row[2], &row[3])),
            ..on(at(&["12:00"], "UTC"), &day, adjust)
        };
        // The period of the month is found by its key, whatever its date is.
        let from = ms(&format!("{}-01T00:00:00Z", row[4])) - 40 * 86_400_000;
        let periods = rule(&spec)
            .periods(from, from + 120 * 86_400_000, 1000)
            .unwrap();
        let of_month: Vec<String> = periods
            .iter()
            .filter(|period| period.key.starts_with(&format!("{}/", row[4])))
            .map(|period| period.business_date.to_string())
            .collect();
        let expected: Vec<&str> = Some(row[5].as_str())
            .filter(|date| *date != "NONE")
            .into_iter()
            .collect();
        assert_eq!(of_month, expected, "{row:?}");
    }
}

#[test]
fn business_schedules() {
    for row in rows("business_schedules.tsv") {
        let (day, adjust) = day_rule(&row[0], &row[1]);
        let spec = RuleSpec {
            calendar: Some(business_calendar(&row[4], &row[5])),
            ..on(at(&[&row[2]], &row[3]), &day, adjust)
        };
        check("business_schedules.tsv", &row, &spec, &row[6], &row[7]);
        let count = row[8].split(',').count();
        let dates: Vec<String> = super::helpers::periods(&spec, &row[6], count)
            .iter()
            .map(|period| period.business_date.to_string())
            .collect();
        assert_eq!(dates.join(","), row[8], "{row:?}");
        // The same as a cron line.
        let (hour, minute) = row[2].split_once(':').unwrap();
        let line = RuleSpec {
            cron: Some(format!("{minute} {hour} * * *")),
            at: None,
            ..spec
        };
        check("business_schedules.tsv", &row, &line, &row[6], &row[7]);
    }
}
