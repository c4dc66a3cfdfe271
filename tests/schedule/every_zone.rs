//! Properties over all zones of the database, 2020 to 2040, for rules of every kind.
//!
//! Rule: what is expected is found by brute force over minutes and dates, never by the engine itself. Each run looks at
//! every zone and every kind of rule, but at one in nine of their pairs; all of them, for some minutes:
//! `cargo test --release every_zone -- --ignored`.
//!
//! Fault (time): clock changes in every zone, Lord Howe's half hour, Samoa's missing day, leap days.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use chrono::Datelike;
use jobctl::schedule::{CivilS, Period, PeriodKind, Resolved, Rule, RuleSpec, Zone, Zones};

use super::helpers::{ZONES, at, cron, ms, on, rule};

const DAY_MS: i64 = 86_400_000;

/// Which pairs of a zone and a kind of rule are looked at.
#[derive(Clone, Copy)]
enum Pairs {
    All,
    /// One in nine, so that each zone and each kind has some.
    Some,
}

impl Pairs {
    /// The kinds for the zone of this number.
    fn of<T>(self, zone: usize, kinds: impl IntoIterator<Item = T>) -> impl Iterator<Item = T> {
        let chosen =
            move |kind: usize| matches!(self, Self::All) || (zone + kind).is_multiple_of(9);
        let kinds = kinds.into_iter().enumerate();
        kinds.filter_map(move |(kind, value)| chosen(kind).then_some(value))
    }
}

/// One zone for each different course of offsets from 2020 to 2040.
fn different_zones() -> Vec<Arc<Zone>> {
    let (from, until) = years();
    let mut seen = HashSet::new();
    let mut zones = Vec::new();
    for name in Zones::names() {
        let zone = ZONES.zone(name).unwrap();
        let course: Vec<(i64, i32)> = zone
            .spans()
            .iter()
            .filter(|span| span.end_s > from / 1000 && span.start_s < until / 1000)
            .map(|span| (span.start_s, span.offset_s))
            .collect();
        if seen.insert(course) {
            zones.push(zone);
        }
    }
    assert!(zones.len() > 50, "{}", zones.len());
    zones
}

fn years() -> (i64, i64) {
    (ms("2020-01-01T00:00:00Z"), ms("2040-01-01T00:00:00Z"))
}

/// The instants of all changes of a zone in these years.
fn changes(zone: &Zone) -> Vec<i64> {
    let (from, until) = years();
    let starts = zone
        .spans()
        .iter()
        .map(|span| span.start_s.saturating_mul(1000));
    starts.filter(|at| (from..until).contains(at)).collect()
}

/// A fixed rule, as a specification and as a list of times on days that match.
struct Fixed {
    spec: RuleSpec,
    times: Vec<i64>,
    day: fn(chrono::NaiveDate) -> bool,
}

fn fixed_kinds(zone: &str) -> Vec<Fixed> {
    let every_day = |_| true;
    let quarters: Vec<i64> = (0..5 * 4).map(|n| n * 900).collect();
    let hours: Vec<i64> = (0..24).map(|n| n * 3600).collect();
    let mut kinds = Vec::new();
    for gap in ["next", "skip"] {
        for fold in ["first", "second", "both"] {
            let with = |spec| RuleSpec {
                gap: Some(gap.to_owned()),
                fold: Some(fold.to_owned()),
                ..spec
            };
            kinds.push(Fixed {
                spec: with(cron("0,15,30,45 0-4 * * *", zone)),
                times: quarters.clone(),
                day: every_day,
            });
            kinds.push(Fixed {
                spec: with(at(&["00:00", "00:30", "02:10:30", "23:45"], zone)),
                times: vec![0, 1800, 7830, 85_500],
                day: every_day,
            });
        }
    }
    kinds.push(Fixed {
        spec: cron("0 0-23 * * *", zone),
        times: hours,
        day: every_day,
    });
    kinds.push(Fixed {
        spec: cron("30 2 * * 0", zone),
        times: vec![9000],
        day: |date| date.weekday() == chrono::Weekday::Sun,
    });
    kinds.push(Fixed {
        spec: cron("30 0 L * *", zone),
        times: vec![1800],
        day: |date| date.succ_opt().unwrap().day() == 1,
    });
    kinds.push(Fixed {
        spec: on(cron("30 2 * * *", zone), "every business day", ""),
        times: vec![9000],
        day: |date| date.weekday().num_days_from_monday() < 5,
    });
    kinds.push(Fixed {
        spec: on(cron("30 0,2 * * *", zone), "last sunday of month", ""),
        times: vec![1800, 9000],
        day: |date| {
            date.weekday() == chrono::Weekday::Sun
                && (date + chrono::Days::new(7)).month() != date.month()
        },
    });
    kinds
}

/// Readings, and whether a wall clock time matches.
type Reading = (&'static str, fn(i64) -> bool);

const READINGS: [Reading; 5] = [
    ("*/15 * * * *", |minute| minute % 15 == 0),
    ("30 * * * *", |minute| minute % 60 == 30),
    ("0 */2 * * *", |minute| minute % 120 == 0),
    ("*/20 2 * * *", |minute| {
        minute / 60 == 2 && minute % 20 == 0
    }),
    ("* * * * *", |_| true),
];

/// Other rules, for the properties that need no expectation.
fn other_kinds(zone: &str) -> Vec<RuleSpec> {
    let day = |rule: &str, adjust: &str| on(at(&["00:15", "02:30"], zone), rule, adjust);
    vec![
        RuleSpec {
            every_ms: Some(300_000),
            timezone: Some(zone.to_owned()),
            ..RuleSpec::default()
        },
        RuleSpec {
            every_ms: Some(7 * 3_600_000),
            ..RuleSpec {
                start: Some("2020-03-01".to_owned()),
                timezone: Some(zone.to_owned()),
                ..RuleSpec::default()
            }
        },
        RuleSpec {
            clock: Some("utc".to_owned()),
            ..cron("30 2 * * *", zone)
        },
        RuleSpec {
            fold: Some("both".to_owned()),
            ..day("first business day of month", "")
        },
        day("business day -2 of quarter", ""),
        day("business day 3 of year", ""),
        day("first business day of week", ""),
        day("day 7 of week", "following"),
        day("day 7 of week", "modified-following"),
        day("day 31 of month", "preceding"),
        day("last day of month", "modified-preceding"),
        cron("0,20,40 30 2 * * *", zone),
        cron("30 2 1,15 * MON", zone),
    ]
}

/// The due instants that a fixed rule has by brute force: every date, every time, resolved on its own.
fn expected_fixed(kind: &Fixed, zone: &Zone, after: i64, until: i64) -> BTreeSet<i64> {
    let (gap, fold) = (
        kind.spec.gap.as_deref(),
        kind.spec.fold.as_deref().unwrap_or("first"),
    );
    let first_day = after.div_euclid(DAY_MS) - 2;
    let last_day = until.div_euclid(DAY_MS) + 2;
    let mut instants = BTreeSet::new();
    for day in first_day..=last_day {
        let date = chrono::DateTime::from_timestamp(day * 86_400, 0)
            .unwrap()
            .date_naive();
        if !(kind.day)(date) {
            continue;
        }
        for time in &kind.times {
            let civil: CivilS = day * 86_400 + time;
            match (zone.resolve(civil), gap, fold) {
                (Resolved::One(utc_s), ..) => instants.extend([utc_s]),
                (Resolved::Gap { .. }, Some("skip"), _) => {}
                (Resolved::Gap { end_s }, ..) => instants.extend([end_s]),
                (Resolved::Fold { first_s, .. }, _, "first") => instants.extend([first_s]),
                (Resolved::Fold { second_s, .. }, _, "second") => instants.extend([second_s]),
                (Resolved::Fold { first_s, second_s }, ..) => instants.extend([first_s, second_s]),
            }
        }
    }
    let within = |instant: &i64| *instant > after && *instant <= until;
    instants
        .into_iter()
        .map(|utc_s| utc_s * 1000)
        .filter(within)
        .collect()
}

fn due_instants(periods: &[Period]) -> Vec<i64> {
    let due = periods.iter().filter(|period| period.is_due());
    due.map(|period| period.instant_ms).collect()
}

fn all(rule: &Rule, after: i64, until: i64) -> Vec<Period> {
    rule.periods(after, until, usize::MAX).unwrap()
}

/// Sorted, due instants strictly increasing, no key twice, merged ones after their owner at its instant.
fn assert_in_order(periods: &[Period], what: &str) {
    let due = due_instants(periods);
    assert!(
        due.windows(2).all(|pair| pair[0] < pair[1]),
        "{what}: not increasing"
    );
    assert!(
        periods
            .windows(2)
            .all(|pair| pair[0].instant_ms <= pair[1].instant_ms),
        "{what}: not sorted"
    );
    let keys: HashSet<&str> = periods.iter().map(|period| period.key.as_str()).collect();
    assert_eq!(keys.len(), periods.len(), "{what}: a key twice");
    for period in periods {
        if let PeriodKind::Merged { into } = &period.kind {
            let owner = periods.iter().find(|other| other.key == *into);
            assert_eq!(
                owner.map(|owner| owner.instant_ms),
                Some(period.instant_ms),
                "{what}"
            );
        }
    }
}

/// Proves (periods): in every zone no period is lost or doubled, and they strictly increase.
#[test]
fn fixed_times_lose_and_double_nothing() {
    check_fixed_times(Pairs::Some);
}

#[test]
#[ignore = "takes minutes"]
fn fixed_times_lose_and_double_nothing_in_all_pairs() {
    check_fixed_times(Pairs::All);
}

fn check_fixed_times(pairs: Pairs) {
    let (from, until) = years();
    for (number, zone) in different_zones().into_iter().enumerate() {
        for kind in pairs.of(number, fixed_kinds(zone.name())) {
            let what = format!("{} {:?}", zone.name(), kind.spec.cron);
            let rule = rule(&kind.spec);
            // Dense rules around changes, sparse ones over all years.
            let windows: Vec<(i64, i64)> = if kind.times.len() > 4 {
                changes(&zone)
                    .into_iter()
                    .map(|at| (at - 2 * DAY_MS, at + 2 * DAY_MS))
                    .collect()
            } else {
                vec![(from, until)]
            };
            for (after, until) in windows {
                let periods = all(&rule, after, until);
                let expected: Vec<i64> = expected_fixed(&kind, &zone, after, until)
                    .into_iter()
                    .collect();
                assert_eq!(due_instants(&periods), expected, "{what} from {after}");
                if kind.times.len() > 4 {
                    assert_in_order(&periods, &what);
                }
            }
        }
    }
}

/// Proves: as `fixed_times_lose_and_double_nothing`.
#[test]
fn readings_are_every_instant_that_matches() {
    check_readings(Pairs::Some);
}

#[test]
#[ignore = "takes minutes"]
fn readings_are_every_instant_that_matches_in_all_pairs() {
    check_readings(Pairs::All);
}

fn check_readings(pairs: Pairs) {
    for (number, zone) in different_zones().into_iter().enumerate() {
        for (line, matches) in pairs.of(number, READINGS) {
            let rule = rule(&cron(line, zone.name()));
            for change in changes(&zone) {
                let (after, until) = (change - 2 * DAY_MS, change + 2 * DAY_MS);
                let minutes = (after / 60_000 + 1)..=(until / 60_000);
                let expected: Vec<i64> = minutes
                    .map(|minute| minute * 60_000)
                    .filter(|at| matches(zone.civil_at(*at).rem_euclid(86_400) / 60))
                    .collect();
                // All offsets of these years are whole minutes.
                let periods = all(&rule, after, until);
                assert_eq!(due_instants(&periods), expected, "{} {line}", zone.name());
            }
        }
    }
}

/// Proves (periods): a question from inside a clock change gives the same periods.
#[test]
fn asking_from_inside_a_change_gives_the_same_periods() {
    check_inside(Pairs::Some);
}

#[test]
#[ignore = "takes minutes"]
fn asking_from_inside_a_change_gives_the_same_periods_in_all_pairs() {
    check_inside(Pairs::All);
}

fn check_inside(pairs: Pairs) {
    let minute = 60_000;
    for (number, zone) in different_zones().into_iter().enumerate() {
        let name = zone.name();
        let fixed = fixed_kinds(name).into_iter().map(|kind| kind.spec);
        let readings = READINGS[..4].iter().map(|(line, _)| cron(line, name));
        let specs = fixed.chain(readings).chain(other_kinds(name));
        for spec in pairs.of(number, specs) {
            let rule = rule(&spec);
            for change in changes(&zone) {
                let (after, until) = (change - DAY_MS, change + DAY_MS);
                let whole = all(&rule, after, until);
                for shift in [-45, -1, 0, 1, 45] {
                    for inside in [change + shift * minute, change + shift * minute - 1] {
                        let rest = all(&rule, inside, until);
                        let skipped = whole
                            .iter()
                            .filter(|period| period.instant_ms <= inside)
                            .count();
                        assert_eq!(rest, whole[skipped..], "{name} {spec:?} from {inside}");
                    }
                }
            }
        }
    }
}

/// Proves: as `fixed_times_lose_and_double_nothing`.
#[test]
fn pieces_join_to_the_whole() {
    check_pieces(Pairs::Some);
}

#[test]
#[ignore = "takes minutes"]
fn pieces_join_to_the_whole_in_all_pairs() {
    check_pieces(Pairs::All);
}

fn check_pieces(pairs: Pairs) {
    let (from, until) = years();
    for (number, zone) in different_zones().into_iter().enumerate() {
        for spec in pairs.of(number, other_kinds(zone.name())) {
            let rule = rule(&spec);
            let until = if spec.every_ms == Some(300_000) {
                from + 20 * DAY_MS
            } else {
                until
            };
            let whole = all(&rule, from, until);
            assert_in_order(&whole[..whole.len().min(5000)], &format!("{spec:?}"));
            let (mut after, mut joined) = (from, Vec::new());
            loop {
                let piece = rule.periods(after, until, 97).unwrap();
                let Some(last) = piece.last() else { break };
                assert!(last.instant_ms > after);
                after = last.instant_ms;
                joined.extend(piece);
            }
            assert!(joined == whole, "{} {spec:?}", zone.name());
            let next = rule.next(from).unwrap();
            assert_eq!(next.as_ref(), whole.iter().find(|period| period.is_due()));
            assert_eq!(
                rule.next_instant(from).unwrap(),
                next.map(|period| period.instant_ms)
            );
        }
    }
}
