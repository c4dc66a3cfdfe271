//! Wrong rules: which key is to blame, where, and what to do.

use jobctl::schedule::{Field, Rule, RuleError, RuleSpec};

use super::helpers::{ZONES, at, cron, on};

fn error(spec: &RuleSpec) -> RuleError {
    Rule::new(spec, &ZONES).expect_err(&format!("{spec:?}"))
}

#[test]
fn contradicting_keys_name_the_one_to_remove() {
    let berlin = "Europe/Berlin";
    let every = RuleSpec {
        every_ms: Some(60_000),
        timezone: Some(berlin.to_owned()),
        ..RuleSpec::default()
    };
    let gap = |spec: RuleSpec| RuleSpec {
        gap: Some("next".to_owned()),
        ..spec
    };
    let fold = |spec: RuleSpec| RuleSpec {
        fold: Some("both".to_owned()),
        ..spec
    };
    let utc = |spec: RuleSpec| RuleSpec {
        clock: Some("utc".to_owned()),
        ..spec
    };
    let cases = [
        (
            RuleSpec {
                at: Some(vec!["06:00".to_owned()]),
                ..cron("0 0 * * *", berlin)
            },
            Field::At,
        ),
        (
            RuleSpec {
                cron: Some("0 0 * * *".to_owned()),
                ..every.clone()
            },
            Field::Every,
        ),
        (
            RuleSpec {
                timezone: Some(berlin.to_owned()),
                ..RuleSpec::default()
            },
            Field::Cron,
        ),
        (
            RuleSpec {
                timezone: None,
                ..cron("0 0 * * *", berlin)
            },
            Field::Timezone,
        ),
        (on(every.clone(), "every business day", ""), Field::On),
        (
            RuleSpec {
                adjust: Some("following".to_owned()),
                ..every.clone()
            },
            Field::Adjust,
        ),
        (gap(every.clone()), Field::Gap),
        (fold(every), Field::Fold),
        (gap(cron("*/5 2 * * *", berlin)), Field::Gap),
        (fold(cron("30 * * * *", berlin)), Field::Fold),
        (fold(cron("0 */2 * * *", berlin)), Field::Fold),
        (gap(utc(cron("30 2 * * *", berlin))), Field::Gap),
        (
            on(
                cron("*/5 * * * *", berlin),
                "first business day of month",
                "",
            ),
            Field::On,
        ),
        (
            on(
                cron("0 6 * * *", berlin),
                "first business day of month",
                "following",
            ),
            Field::Adjust,
        ),
        (
            RuleSpec {
                adjust: Some("following".to_owned()),
                ..cron("0 6 15 * *", berlin)
            },
            Field::Adjust,
        ),
    ];
    for (spec, field) in cases {
        let error = error(&spec);
        assert_eq!(error.field, field, "{spec:?}: {error}");
        assert!(error.hint.is_some() || field == Field::End, "{error}");
    }
    // Explicit policies are fine where they mean something.
    assert!(Rule::new(&gap(fold(cron("0 0-23 * * *", berlin))), &ZONES).is_ok());
    assert!(Rule::new(&gap(fold(cron("* 30 2 * * *", berlin))), &ZONES).is_ok());
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn wrong_values_point_at_their_text() {
    let base = || at(&["06:00"], "Europe/Berlin");
    let some = |text: &str| Some(text.to_owned());
    let cases = [
        (
            at(&["06:00", "25:00"], "UTC"),
            Field::At,
            Some(1),
            "there is no time `25:00`: a day goes from 00:00:00 to 23:59:59",
        ),
        (
            at(&["06:00", "06:00"], "UTC"),
            Field::At,
            Some(1),
            "`06:00` is listed twice",
        ),
        (at(&[], "UTC"), Field::At, None, "`at` is empty"),
        (
            RuleSpec {
                timezone: some("Europe/Berln"),
                ..base()
            },
            Field::Timezone,
            None,
            "unknown time zone `Europe/Berln`",
        ),
        (
            RuleSpec {
                clock: some("UTC"),
                ..base()
            },
            Field::Clock,
            None,
            "`clock` cannot be `UTC`",
        ),
        (
            RuleSpec {
                gap: some("later"),
                ..base()
            },
            Field::Gap,
            None,
            "`gap` cannot be `later`",
        ),
        (
            RuleSpec {
                start: some("2026-02-30"),
                ..base()
            },
            Field::Start,
            None,
            "there is no day `2026-02-30` in the years 1900 to 2100",
        ),
        (
            RuleSpec {
                start: some("2026-02-03"),
                end: some("2026-02-02"),
                ..base()
            },
            Field::End,
            None,
            "`end` is before `start`",
        ),
        (
            RuleSpec {
                splay_ms: Some(-1),
                ..base()
            },
            Field::Splay,
            None,
            "`splay` is negative",
        ),
        (
            RuleSpec {
                splay_ms: Some(12 * 3_600_000),
                ..base()
            },
            Field::Splay,
            None,
            "`splay` must be less than half the shortest spacing of the rule, 86400 s",
        ),
        (
            RuleSpec {
                splay_ms: Some(30_000),
                ..cron("* * * * *", "UTC")
            },
            Field::Splay,
            None,
            "`splay` must be less than half the shortest spacing of the rule, 60 s",
        ),
        (
            RuleSpec {
                at: None,
                every_ms: Some(500),
                ..base()
            },
            Field::Every,
            None,
            "`every` is a whole number of seconds, at least 1",
        ),
    ];
    for (spec, field, index, message) in cases {
        let error = error(&spec);
        assert_eq!(
            (error.field, error.index, error.message.as_str()),
            (field, index, message)
        );
    }
    // Monthly rules may splay for hours.
    let monthly = on(at(&["06:00"], "UTC"), "first day of month", "");
    assert!(
        Rule::new(
            &RuleSpec {
                splay_ms: Some(13 * 24 * 3_600_000),
                ..monthly.clone()
            },
            &ZONES
        )
        .is_ok()
    );
    assert!(
        Rule::new(
            &RuleSpec {
                splay_ms: Some(14 * 24 * 3_600_000),
                ..monthly
            },
            &ZONES
        )
        .is_err()
    );
}
