//! Clock changes and `clock = "utc"`: the adjusted nominal times, and the keys of second passes.

use jobctl::schedule::{PeriodKind, Reading, RuleSpec};

use super::helpers::{at, cron, keys, ms, on, periods};

#[test]
fn the_clock_can_be_utc() {
    let spec = RuleSpec {
        clock: Some("utc".to_owned()),
        ..cron("30 0 * * *", "America/New_York")
    };
    let found = &periods(&spec, "2026-03-07T12:00:00Z", 1)[0];
    assert_eq!(found.key, "2026-03-08T00:30[UTC]");
    assert_eq!(found.business_date.to_string(), "2026-03-07");
    assert_eq!(found.nominal_local.to_string(), "2026-03-07 19:30:00");
    let monthly = RuleSpec {
        clock: Some("utc".to_owned()),
        ..on(
            cron("30 0 * * *", "America/New_York"),
            "first day of month",
            "",
        )
    };
    let found = &periods(&monthly, "2026-03-07T12:00:00Z", 1)[0];
    assert_eq!(
        (found.key.as_str(), found.business_date.to_string().as_str()),
        ("2026-04/d1T00:30[UTC]", "2026-03-31")
    );
}

/// Fault: as `tests/schedule/every_zone.rs`.
#[test]
fn gaps_merge_skip_and_keep_the_nominal_date() {
    let spec = cron("0,15,30 2,3 * * *", "Europe/Berlin");
    let found = periods(&spec, "2026-03-28T12:00:00Z", 1);
    let kinds: Vec<(&str, bool)> = found.iter().map(|p| (&p.key[11..16], p.is_due())).collect();
    assert_eq!(
        kinds,
        [
            ("02:00", true),
            ("02:15", false),
            ("02:30", false),
            ("03:00", false)
        ]
    );
    assert_eq!(
        found[1].kind,
        PeriodKind::Merged {
            into: found[0].key.clone()
        }
    );
    let skip = RuleSpec {
        gap: Some("skip".to_owned()),
        ..spec
    };
    let found = periods(&skip, "2026-03-28T12:00:00Z", 1);
    let kinds: Vec<bool> = found
        .iter()
        .map(|p| p.kind == PeriodKind::SkippedGap)
        .collect();
    assert_eq!(kinds, [true, true, true, false]);
    // Samoa had no 30 December 2011: the run of that date is the first instant of the 31st.
    let samoa = periods(
        &cron("0 9 30 12 *", "Pacific/Apia"),
        "2011-12-29T20:00:00Z",
        1,
    );
    assert_eq!(samoa[0].key, "2011-12-30T09:00[Pacific/Apia]");
    assert_eq!(
        (
            samoa[0].business_date.to_string().as_str(),
            samoa[0].instant_ms
        ),
        ("2011-12-30", ms("2011-12-30T10:00:00Z"))
    );
}

#[test]
fn second_passes_carry_their_offset() {
    let spec = |fold: &str| RuleSpec {
        fold: Some(fold.to_owned()),
        ..at(&["02:30"], "Europe/Berlin")
    };
    let from = "2026-10-24T12:00:00Z";
    let first = "2026-10-25T02:30[Europe/Berlin]";
    let second = "2026-10-25T02:30+01:00[Europe/Berlin]";
    assert_eq!(
        keys(&spec("first"), from, 2),
        [first, "2026-10-26T02:30[Europe/Berlin]"]
    );
    assert_eq!(
        keys(&spec("second"), from, 2),
        [second, "2026-10-26T02:30[Europe/Berlin]"]
    );
    assert_eq!(keys(&spec("both"), from, 2), [first, second]);
    let monthly = on(spec("both"), "day 25 of month", "");
    assert_eq!(
        keys(&monthly, from, 2),
        [
            "2026-10/d25T02:30[Europe/Berlin]",
            "2026-10/d25T02:30+01:00[Europe/Berlin]"
        ]
    );
    // Both passes come in the order of instants.
    let both = RuleSpec {
        fold: Some("both".to_owned()),
        ..at(&["02:00", "02:30"], "Europe/Berlin")
    };
    let readings: Vec<Reading> = periods(&both, from, 4).iter().map(|p| p.reading).collect();
    assert_eq!(
        readings,
        [
            Reading::First,
            Reading::First,
            Reading::Second,
            Reading::Second
        ]
    );
    let readings = periods(
        &cron("30 * * * *", "Europe/Berlin"),
        "2026-10-25T00:00:00Z",
        2,
    );
    assert_eq!(
        [readings[0].reading, readings[1].reading],
        [Reading::First, Reading::Second]
    );
    assert_eq!(readings[0].nominal_local, readings[1].nominal_local);
}
