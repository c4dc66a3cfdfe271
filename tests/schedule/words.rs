//! Rules in words, and their normalised text.

use jobctl::schedule::{CalendarSpec, RuleSpec};

use super::helpers::{at, calendar, cron, on, rule};

#[test]
fn rules_are_said_in_words() {
    let almaty = |line: &str| cron(line, "Asia/Almaty");
    let cases = [
        (
            on(almaty("0 6 * * *"), "first business day of month", ""),
            "at 06:00 on the first business day of each month, Asia/Almaty",
        ),
        (almaty("*/15 * * * *"), "every 15 minutes, Asia/Almaty"),
        (almaty("* * * * *"), "every minute, Asia/Almaty"),
        (
            almaty("0 * * * *"),
            "at minute 0 of every hour, Asia/Almaty",
        ),
        (
            almaty("0 9-17 * * 1-5"),
            "at minute 0 of hours 9 to 17 on Monday to Friday, Asia/Almaty",
        ),
        (almaty("30 2 * * *"), "at 02:30 every day, Asia/Almaty"),
        (
            almaty("0 0 13 * 5"),
            "at 00:00 on day 13 of the month or on Friday, Asia/Almaty",
        ),
        (
            almaty("0 0 1,15 1,7 *"),
            "at 00:00 on days 1 and 15 of the month in January and July, Asia/Almaty",
        ),
        (
            almaty("0 0 */2 * 6,0"),
            "at 00:00 on Saturday and Sunday if it is days 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29 and 31 of the month, Asia/Almaty",
        ),
        (
            almaty("0 0 * * 5L"),
            "at 00:00 on the last Friday of the month, Asia/Almaty",
        ),
        (
            almaty("0 0 * * FRI#2"),
            "at 00:00 on the second Friday of the month, Asia/Almaty",
        ),
        (
            almaty("0 0 L * *"),
            "at 00:00 on the last day of the month, Asia/Almaty",
        ),
        (
            almaty("*/10 9-17 * * *"),
            "every 10 minutes of hours 9 to 17, Asia/Almaty",
        ),
        (almaty("*/5 * * * * *"), "every 5 seconds, Asia/Almaty"),
        (
            almaty("15 * * * * *"),
            "at second 15 of every minute, Asia/Almaty",
        ),
        (almaty("0 0 * 6 *"), "at 00:00 in June, Asia/Almaty"),
        (
            on(at(&["18:00", "06:00"], "UTC"), "every business day", ""),
            "at 06:00 and 18:00 on every business day, UTC",
        ),
        (
            on(at(&["06:00"], "UTC"), "day 15 of month", "following"),
            "at 06:00 on day 15 of each month or the next business day, UTC",
        ),
        (
            on(at(&["06:00"], "UTC"), "business day -2 of quarter", ""),
            "at 06:00 on the second business day of each quarter, counted from its end, UTC",
        ),
        (
            RuleSpec {
                fold: Some("both".to_owned()),
                gap: Some("skip".to_owned()),
                ..at(&["02:30"], "Europe/Berlin")
            },
            "at 02:30 every day, Europe/Berlin, not when the clock skips the time, both times when it comes twice",
        ),
        (
            RuleSpec {
                clock: Some("utc".to_owned()),
                ..almaty("0 6 * * *")
            },
            "at 06:00 every day, UTC (business date in Asia/Almaty)",
        ),
        (
            RuleSpec {
                every_ms: Some(300_000),
                timezone: Some("UTC".to_owned()),
                start: Some("2026-01-01".to_owned()),
                ..RuleSpec::default()
            },
            "every 5 minutes, UTC, from 2026-01-01",
        ),
    ];
    for (spec, words) in cases {
        assert_eq!(rule(&spec).words(), words);
    }
}

#[test]
fn a_normalised_rule_is_the_same_rule() {
    let kz = calendar(&CalendarSpec {
        name: "kz".to_owned(),
        weekend: Some(vec!["Friday".to_owned(), "sat".to_owned()]),
        holidays: vec!["2026-02-02".to_owned(), "2026-02-01".to_owned()],
        workdays: vec!["2026-02-06".to_owned()],
        ..CalendarSpec::default()
    });
    let spec = RuleSpec {
        calendar: Some(kz),
        fold: Some("both".to_owned()),
        start: Some("2026-01-15".to_owned()),
        end: Some("2030-01-01T06:00".to_owned()),
        ..on(
            at(&["18:00", "06:00:30"], "Europe/Berlin"),
            "the 3rd day of month",
            "modified-following",
        )
    };
    let normalised = rule(&spec).normalised();
    assert_eq!(
        normalised,
        "at=06:00:30,18:00\non=day 3 of month\nadjust=modified-following\ntimezone=Europe/Berlin\ngap=next\nfold=both\n\
         start=2026-01-15\nend=2030-01-01T05:00:00Z\nweekend=fri,sat\nholidays=2026-02-01,2026-02-02\nworkdays=2026-02-06\n"
    );
    let again = rule(&RuleSpec::from_normalised(&normalised).unwrap());
    assert_eq!(again.normalised(), normalised);
    assert_eq!(
        again.periods(0, i64::MAX, 1000),
        rule(&spec).periods(0, i64::MAX, 1000)
    );
    assert!(RuleSpec::from_normalised("colour=red").is_err());
}
