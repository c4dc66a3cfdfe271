//! Random rules: nothing panics or hangs, days agree with brute force, every answer is in order.
//!
//! Fault: as `no_command_line_panics`.

use chrono::{Datelike, NaiveDate};
use jobctl::schedule::{Calendar, CalendarSpec, Rule, RuleSpec, Zones, import_ics};
use proptest::prelude::*;

use super::helpers::{ZONES, cron, rule};

/// A field as people write it: star, steps, lists, ranges.
fn field(min: u32, max: u32) -> impl Strategy<Value = String> {
    let item = prop_oneof![
        4 => Just("*".to_owned()),
        2 => (1..max).prop_map(|step| format!("*/{step}")),
        4 => (min..=max).prop_map(|n| n.to_string()),
        2 => (min..=max, min..=max).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        2 => (min..=max, min..=max, 1..9u32).prop_map(|(a, b, step)| format!("{}-{}/{step}", a.min(b), a.max(b))),
        1 => (min..=max, 1..9u32).prop_map(|(a, step)| format!("{a}/{step}")),
    ];
    prop::collection::vec(item, 1..3).prop_map(|items| items.join(","))
}

pub(crate) fn line() -> impl Strategy<Value = String> {
    (
        field(0, 59),
        field(0, 23),
        field(1, 31),
        field(1, 12),
        field(0, 7),
    )
        .prop_map(|(minute, hour, day, month, weekday)| {
            format!("{minute} {hour} {day} {month} {weekday}")
        })
}

/// Whether a number matches a field, read again from its text.
fn matches(field: &str, value: u32, max: u32) -> bool {
    field.split(',').any(|item| {
        let (base, step) = item
            .split_once('/')
            .map_or((item, 1), |(base, step)| (base, step.parse().unwrap()));
        let stepped = item.contains('/');
        let number = |text: &str| text.parse::<u32>().unwrap();
        let (low, high) = match base.split_once('-') {
            _ if base == "*" => (u32::from(max == 31 || max == 12), max),
            Some((low, high)) => (number(low), number(high)),
            None => (number(base), if stepped { max } else { number(base) }),
        };
        let values = if max == 7 && value == 0 {
            vec![0, 7]
        } else {
            vec![value]
        };
        values
            .iter()
            .any(|value| (low..=high).contains(value) && (value - low) % step == 0)
    })
}

fn day_matches(fields: &[&str], date: NaiveDate) -> bool {
    let by_day = matches(fields[2], date.day(), 31);
    let by_weekday = matches(fields[4], date.weekday().num_days_from_sunday(), 7);
    let starred = fields[2].starts_with('*') || fields[4].starts_with('*');
    matches(fields[3], date.month(), 12)
        && if starred {
            by_day && by_weekday
        } else {
            by_day || by_weekday
        }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_agree_with_brute_force_in_utc(line in line(), from in 1_600_000_000i64..2_200_000_000) {
        let fields: Vec<&str> = line.split(' ').collect();
        let Ok(rule) = Rule::new(&cron(&line, "UTC"), &ZONES) else {
            // Refused only if it never matches: no such day in 8 years with a leap day.
            let days = (0..3000).map(|n| NaiveDate::from_ymd_opt(2024, 1, 1).unwrap() + chrono::Days::new(n));
            for date in days {
                prop_assert!(!day_matches(&fields, date), "{line} refused, {date} matches");
            }
            return Ok(());
        };
        let until = from + 3 * 86_400;
        let expected: Vec<i64> = ((from / 60 + 1)..=(until / 60)).map(|minute| minute * 60).filter(|at| {
            let moment = chrono::DateTime::from_timestamp(*at, 0).unwrap().naive_utc();
            let (minute, hour) = (at / 60 % 60, at / 3600 % 24);
            matches(fields[0], minute as u32, 59) && matches(fields[1], hour as u32, 23) && day_matches(&fields, moment.date())
        }).collect();
        let found: Vec<i64> = rule.periods(from * 1000, until * 1000, usize::MAX).unwrap()
            .iter().map(|period| period.instant_ms / 1000).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn no_text_panics_or_hangs(
        cron_text in "[ -~éL#W*/,0-9@-]{0,24}|([0-9*/,LW#?-]{1,4} ){4,6}[0-9*/,LW#?-]{1,4}",
        on in "[ -~é]{0,24}|(first|last|day|business day|-?[0-9]{1,4}|monday|every|of|month|week|quarter|year| ){1,8}",
        time in "[0-9:é]{0,9}",
        date in "[0-9TZ: -]{0,20}",
        zone in "[ -~é]{0,12}",
        after in any::<i64>(),
        until in any::<i64>(),
    ) {
        let some = |text: &str| Some(text.to_owned());
        let specs = [
            RuleSpec { cron: some(&cron_text), timezone: some("Europe/Berlin"), ..RuleSpec::default() },
            RuleSpec { cron: some("0 6 * * *"), on: some(&on), timezone: some("UTC"), ..RuleSpec::default() },
            RuleSpec { at: Some(vec![time]), timezone: some("UTC"), ..RuleSpec::default() },
            RuleSpec { every_ms: Some(after), start: some(&date), timezone: some("UTC"), ..RuleSpec::default() },
            RuleSpec { cron: some("@daily"), start: some(&date), end: some(&on), splay_ms: Some(until), timezone: some("UTC"), ..RuleSpec::default() },
            RuleSpec { cron: some("@daily"), timezone: some(&zone), ..RuleSpec::default() },
        ];
        for spec in specs {
            match Rule::new(&spec, &ZONES) {
                Ok(rule) => {
                    let _ = (rule.periods(after, until, 50), rule.next(after), rule.words(), rule.lints(after));
                }
                Err(error) => prop_assert!(!error.message.is_empty()),
            }
        }
        let calendar = CalendarSpec { holidays_file: some(&cron_text), weekend: Some(vec![on.clone()]), workdays: vec![date.clone()], ..CalendarSpec::default() };
        let _ = Calendar::new(&calendar);
        let _ = import_ics(&format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20260101\nRRULE:{on}\nEND:VEVENT\nEND:VCALENDAR"), i32::MIN, i32::MAX);
        let _ = import_ics(&on, 0, 0);
        let _ = jobctl::schedule::splay_ms(&on, &cron_text, after);
    }

    #[test]
    fn random_lines_are_in_order_in_every_zone(
        line in line(),
        zone in prop::sample::select(Zones::names().collect::<Vec<_>>()),
        after in 0i64..4_000_000_000,
    ) {
        let Ok(rule) = Rule::new(&cron(&line, zone), &ZONES) else { return Ok(()) };
        let after = after * 1000;
        let periods = rule.upcoming(after, 200).unwrap();
        let due: Vec<i64> = periods.iter().filter(|period| period.is_due()).map(|period| period.instant_ms).collect();
        prop_assert!(due.first().is_none_or(|first| *first > after));
        prop_assert!(due.windows(2).all(|pair| pair[0] < pair[1]));
        let stored = RuleSpec::from_normalised(&rule.normalised()).unwrap();
        prop_assert_eq!(&Rule::new(&stored, &ZONES).unwrap().upcoming(after, 200).unwrap(), &periods);
        // From the middle: the same rest.
        if let Some(middle) = due.get(due.len() / 2) {
            let rest = rule.upcoming(*middle, 20).unwrap();
            let behind: Vec<_> = periods.iter().filter(|period| period.instant_ms > *middle).take(20).collect();
            for (a, b) in rest.iter().zip(behind) {
                prop_assert_eq!(a, b);
            }
        }
    }
}

#[test]
fn the_ends_of_time_are_answered() {
    let rule = rule(&cron("0 0 * * *", "America/New_York"));
    for after in [
        i64::MIN,
        -1,
        0,
        i64::MAX / 2,
        i64::MAX,
        4_102_444_800_000,
        4_102_444_799_999,
    ] {
        for until in [i64::MIN, 0, after, i64::MAX] {
            let _ = rule.periods(after, until, 10);
        }
    }
    assert!(rule.next(i64::MAX).is_err());
    assert_eq!(rule.next(4_102_444_700_000), Ok(None));
    assert_eq!(
        rule.next(i64::MIN).unwrap().unwrap().key,
        "1970-01-01T00:00[America/New_York]"
    );
    assert!(rule.periods(0, i64::MAX, 0).unwrap().is_empty());
}
