//! Short ways to make rules and to read instants.

use std::sync::{Arc, LazyLock};

use jobctl::schedule::{Calendar, CalendarSpec, Period, Rule, RuleSpec, Zones};

pub(crate) static ZONES: LazyLock<Zones> = LazyLock::new(Zones::bundled);

/// A rule of a cron line.
pub(crate) fn cron(line: &str, zone: &str) -> RuleSpec {
    RuleSpec {
        cron: Some(line.to_owned()),
        timezone: Some(zone.to_owned()),
        ..RuleSpec::default()
    }
}

/// A rule of times of day.
pub(crate) fn at(times: &[&str], zone: &str) -> RuleSpec {
    RuleSpec {
        at: Some(times.iter().map(ToString::to_string).collect()),
        timezone: Some(zone.to_owned()),
        ..RuleSpec::default()
    }
}

/// With this day rule and adjustment.
pub(crate) fn on(spec: RuleSpec, on: &str, adjust: &str) -> RuleSpec {
    RuleSpec {
        on: Some(on.to_owned()),
        adjust: (!adjust.is_empty()).then(|| adjust.to_owned()),
        ..spec
    }
}

pub(crate) fn rule(spec: &RuleSpec) -> Rule {
    Rule::new(spec, &ZONES).unwrap_or_else(|error| panic!("{spec:?}: {error:?}"))
}

pub(crate) fn calendar(spec: &CalendarSpec) -> Arc<Calendar> {
    Arc::new(Calendar::new(spec).unwrap())
}

/// UTC milliseconds of `2026-01-01T00:00:00Z`.
pub(crate) fn ms(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .timestamp_millis()
}

/// `2026-01-01T00:00:00Z`.
pub(crate) fn text(ms: i64) -> String {
    jobctl::schedule::utc_text(ms)
}

/// The instants of the next due periods.
pub(crate) fn due(spec: &RuleSpec, from: &str, count: usize) -> Vec<String> {
    let periods = rule(spec).upcoming(ms(from), count).unwrap();
    let due = periods.iter().filter(|period| period.is_due());
    due.map(|period| text(period.instant_ms)).collect()
}

/// The keys of the next due periods.
pub(crate) fn keys(spec: &RuleSpec, from: &str, count: usize) -> Vec<String> {
    periods(spec, from, count)
        .into_iter()
        .filter(Period::is_due)
        .map(|period| period.key)
        .collect()
}

/// The next periods, skipped and merged ones too.
pub(crate) fn periods(spec: &RuleSpec, from: &str, count: usize) -> Vec<Period> {
    rule(spec).upcoming(ms(from), count).unwrap()
}
