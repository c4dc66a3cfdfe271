//! What the case files do not cover: six fields, macros, steps, extensions, `every`, `start` and `end`.

use jobctl::schedule::RuleSpec;

use super::helpers::{at, cron, due, keys, periods, rule};

fn dates(spec: &RuleSpec, from: &str, count: usize) -> Vec<String> {
    let periods = periods(spec, from, count);
    periods
        .iter()
        .map(|period| period.business_date.to_string())
        .collect()
}

#[test]
fn six_fields_begin_with_seconds() {
    let spec = cron("30 5 4 * * *", "UTC");
    assert_eq!(
        keys(&spec, "2026-01-01T00:00:00Z", 1),
        ["2026-01-01T04:05:30[UTC]"]
    );
    let spec = cron("*/20 * * * * MON", "UTC");
    assert_eq!(
        due(&spec, "2026-01-04T23:59:59Z", 4),
        [
            "2026-01-05T00:00:00Z",
            "2026-01-05T00:00:20Z",
            "2026-01-05T00:00:40Z",
            "2026-01-05T00:01:00Z"
        ]
    );
    // A star in the seconds makes no reading: 02:30:00 to 02:30:59 are in the gap and run once.
    let spec = cron("* 30 2 * * *", "Europe/Berlin");
    assert_eq!(
        due(&spec, "2026-03-28T12:00:00Z", 2),
        ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
    );
}

#[test]
fn macros_and_steps() {
    let first = |line: &str| due(&cron(line, "UTC"), "2026-01-01T00:30:00Z", 1).remove(0);
    assert_eq!(first("@hourly"), "2026-01-01T01:00:00Z");
    assert_eq!(first("@daily"), "2026-01-02T00:00:00Z");
    assert_eq!(first("@midnight"), "2026-01-02T00:00:00Z");
    assert_eq!(first("@weekly"), "2026-01-04T00:00:00Z");
    assert_eq!(first("@Monthly"), "2026-02-01T00:00:00Z");
    assert_eq!(first("@yearly"), "2027-01-01T00:00:00Z");
    assert_eq!(first(" @annually "), "2027-01-01T00:00:00Z");
    assert_eq!(
        due(&cron("5/25 20/2 * * *", "UTC"), "2026-01-01T00:00:00Z", 5),
        [
            "2026-01-01T20:05:00Z",
            "2026-01-01T20:30:00Z",
            "2026-01-01T20:55:00Z",
            "2026-01-01T22:05:00Z",
            "2026-01-01T22:30:00Z"
        ]
    );
    // From Monday to 7, which is Sunday.
    assert_eq!(
        dates(&cron("0 0 * * 1/2", "UTC"), "2026-01-04T00:00:00Z", 4),
        ["2026-01-05", "2026-01-07", "2026-01-09", "2026-01-11"]
    );
}

#[test]
fn a_stepped_star_in_a_day_field_must_match_too() {
    // Odd days that are Mondays.
    assert_eq!(
        dates(&cron("0 0 */2 * MON", "UTC"), "2026-01-01T00:00:00Z", 3),
        ["2026-01-05", "2026-01-19", "2026-02-09"]
    );
    // 13 or 14 if it is a Sunday, Tuesday, Thursday or Saturday.
    assert_eq!(
        dates(&cron("0 0 13,14 * */2", "UTC"), "2026-01-01T00:00:00Z", 3),
        ["2026-01-13", "2026-02-14", "2026-03-14"]
    );
    // Without a star: 13 or any Friday.
    assert_eq!(
        dates(&cron("0 0 13 * FRI", "UTC"), "2026-01-08T00:00:00Z", 3),
        ["2026-01-09", "2026-01-13", "2026-01-16"]
    );
}

#[test]
fn extensions_of_quartz() {
    let all = |line: &str| dates(&cron(line, "UTC"), "2026-01-01T12:00:00Z", 3);
    assert_eq!(
        all("0 0 L-3 * *"),
        ["2026-01-28", "2026-02-25", "2026-03-28"]
    );
    assert_eq!(
        all("0 0 L-30 * *"),
        ["2026-03-01", "2026-05-01", "2026-07-01"]
    );
    assert_eq!(
        all("0 0 1W 8 *"),
        ["2026-08-03", "2027-08-02", "2028-08-01"]
    );
    assert_eq!(
        all("0 0 31W * *"),
        ["2026-01-30", "2026-03-31", "2026-05-29"]
    );
    assert_eq!(
        all("0 0 1,L * *"),
        ["2026-01-31", "2026-02-01", "2026-02-28"]
    );
    assert_eq!(
        all("0 0 * * friL"),
        ["2026-01-30", "2026-02-27", "2026-03-27"]
    );
    assert_eq!(
        all("0 0 * * 7#5"),
        ["2026-03-29", "2026-05-31", "2026-08-30"]
    );
    assert_eq!(
        all("0 0 LW 2 *"),
        ["2026-02-27", "2027-02-26", "2028-02-29"]
    );
}

#[test]
fn every_counts_elapsed_time_from_start_or_the_epoch() {
    let every = |ms, start: Option<&str>| RuleSpec {
        every_ms: Some(ms),
        start: start.map(str::to_owned),
        timezone: Some("Europe/Berlin".to_owned()),
        ..RuleSpec::default()
    };
    assert_eq!(
        keys(&every(300_000, None), "2026-10-25T00:57:00Z", 3),
        [
            "2026-10-25T01:00:00Z",
            "2026-10-25T01:05:00Z",
            "2026-10-25T01:10:00Z"
        ]
    );
    // Over the change in March the local hour moves, the distance does not.
    let daily = every(86_400_000, Some("2026-03-28T06:00"));
    assert_eq!(
        keys(&daily, "2026-01-01T00:00:00Z", 3),
        [
            "2026-03-28T05:00:00Z",
            "2026-03-29T05:00:00Z",
            "2026-03-30T05:00:00Z"
        ]
    );
    let from_date = every(7 * 3_600_000, Some("2026-07-01"));
    let first = &periods(&from_date, "2026-01-01T00:00:00Z", 1)[0];
    assert_eq!(
        (first.key.as_str(), first.business_date.to_string().as_str()),
        ("2026-06-30T22:00:00Z", "2026-07-01")
    );
    // Midnight of 1970-01-01 in Berlin is before the epoch: the steps are still counted from it.
    assert_eq!(
        keys(
            &every(86_400_000, Some("1970-01-01")),
            "2026-01-01T00:00:00Z",
            1
        ),
        ["2026-01-01T23:00:00Z"]
    );
    assert_eq!(
        keys(
            &every(7 * 86_400_000, Some("1969-12-28T06:00:00Z")),
            "1970-01-01T00:00:00Z",
            1
        ),
        ["1970-01-04T06:00:00Z"]
    );
}

#[test]
fn the_first_local_day_of_1970_is_no_border() {
    let spec = cron("30 20 * * *", "America/New_York");
    assert_eq!(
        keys(&spec, "1970-01-01T00:00:00Z", 2),
        [
            "1969-12-31T20:30[America/New_York]",
            "1970-01-01T20:30[America/New_York]"
        ]
    );
}

#[test]
fn start_and_end_are_inclusive_business_dates() {
    let spec = RuleSpec {
        start: Some("2026-01-02".to_owned()),
        end: Some("2026-01-03".to_owned()),
        ..at(&["00:00", "23:30"], "Pacific/Kiritimati")
    };
    let found = rule(&spec).periods(0, i64::MAX, 100).unwrap();
    let found: Vec<&str> = found.iter().map(|period| &period.key[..16]).collect();
    assert_eq!(
        found,
        [
            "2026-01-02T00:00",
            "2026-01-02T23:30",
            "2026-01-03T00:00",
            "2026-01-03T23:30"
        ]
    );
    let spec = RuleSpec {
        start: Some("2026-01-02T10:00:00Z".to_owned()),
        end: Some("2026-01-02T12:00:00Z".to_owned()),
        ..cron("0 * * * *", "UTC")
    };
    assert_eq!(rule(&spec).periods(0, i64::MAX, 100).unwrap().len(), 3);
}
