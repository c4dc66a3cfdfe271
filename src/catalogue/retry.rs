//! `retry`, `guarantee` and `deadline` of a job: how often and when it is tried.
//!
//! Rule: a key of a job overrides the same key of `[defaults]`.

use super::reader::Table;
use super::source::Place;
use super::{Backoff, BackoffKind, Jitter, keys};
use crate::run::Guarantee;
use crate::units::format_duration;

const ATTEMPTS: i64 = 3;
const BASE_MS: i64 = 10_000;
const FACTOR: f64 = 2.0;
const MAX_MS: i64 = 3_600_000;
const MAX_CRASHES: i64 = 3;
const RATE_LIMITED_FOR_MS: i64 = 86_400_000;

/// `retry` as it was given in one table.
#[derive(Debug, Clone, Default)]
pub(super) struct RetryKeys<'a> {
    attempts: Option<(i64, Place<'a>)>,
    shape: Option<Shape>,
    base: Option<i64>,
    factor: Option<f64>,
    max: Option<i64>,
    jitter: Option<Jitter>,
    max_crashes: Option<i64>,
    rate_limited_for: Option<i64>,
}

#[derive(Debug, Clone)]
enum Shape {
    Fixed,
    Exponential,
    List(Vec<i64>),
}

/// `retry` with all defaults filled in.
pub(super) struct Retry {
    pub(super) attempts: i64,
    pub(super) backoff: Backoff,
    pub(super) max_crashes: i64,
    pub(super) rate_limited_for_ms: i64,
}

impl<'a> RetryKeys<'a> {
    /// Reads `retry` of a job or of `[defaults]`.
    pub(super) fn read(table: &Table<'a>) -> Self {
        let Some(retry) = table.table("retry", keys::RETRY) else {
            return Self::default();
        };
        let get = |key| retry.get(key);
        let read = Self {
            attempts: get("attempts").and_then(|v| Some((v.integer(1, 1_000_000)?, v.place))),
            shape: get("backoff").and_then(|v| shape(&v)),
            base: get("base").and_then(|v| v.duration()),
            factor: get("factor").and_then(|v| v.number(1.0, 1000.0)),
            max: get("max").and_then(|v| v.duration()),
            jitter: get("jitter").and_then(|v| v.word(Jitter::ALL, Jitter::word)),
            max_crashes: get("max_crashes").and_then(|v| v.integer(1, 1000)),
            rate_limited_for: get("rate_limited_for").and_then(|v| v.positive_duration()),
        };
        read.lint(&retry);
        read
    }

    fn lint(&self, retry: &Table<'_>) {
        let idle: &[&str] = match self.shape {
            Some(Shape::List(_)) => &["base", "factor"],
            Some(Shape::Fixed) => &["factor"],
            _ => &[],
        };
        for value in idle.iter().filter_map(|key| retry.get(key)) {
            let message = format!("`{}` has no effect with this `backoff`", value.name());
            value.place.warning(message, "remove it");
        }
        if let (Some(base), Some(max), Some(value)) = (self.base, self.max, retry.get("max"))
            && max < base
        {
            let hint = format!("no wait will be longer than {}", format_duration(max));
            value.place.warning("`max` is shorter than `base`", hint);
        }
    }

    /// Refuses more than one attempt with at-most-once.
    pub(super) fn check(&self, guarantee: Option<Guarantee>) {
        if let (Some(Guarantee::AtMostOnce), Some((attempts, place))) = (guarantee, self.attempts)
            && attempts > 1
        {
            let message = format!("`guarantee` is at-most-once, but `attempts` is {attempts}");
            place.error(
                message,
                "remove `attempts`, or take `guarantee = \"at-least-once\"`",
            );
        }
    }

    /// Adds the keys of the defaults, then the built-in values.
    pub(super) fn over(self, defaults: &Self, guarantee: Guarantee) -> Retry {
        self.check(Some(guarantee));
        let attempts = match guarantee {
            Guarantee::AtMostOnce => 1,
            Guarantee::AtLeastOnce => self
                .attempts
                .or(defaults.attempts)
                .map_or(ATTEMPTS, |(attempts, _)| attempts),
        };
        let base_ms = self.base.or(defaults.base).unwrap_or(BASE_MS);
        let kind = match self.shape.or_else(|| defaults.shape.clone()) {
            Some(Shape::Fixed) => BackoffKind::Fixed(base_ms),
            Some(Shape::List(waits)) => BackoffKind::List(waits),
            Some(Shape::Exponential) | None => {
                let factor = self.factor.or(defaults.factor).unwrap_or(FACTOR);
                BackoffKind::Exponential { base_ms, factor }
            }
        };
        // The built-in maximum never shortens a wait that is given.
        let longest = match &kind {
            BackoffKind::List(waits) => waits.iter().copied().max().unwrap_or_default(),
            BackoffKind::Fixed(_) | BackoffKind::Exponential { .. } => base_ms,
        };
        let max_ms = self.max.or(defaults.max).unwrap_or(MAX_MS.max(longest));
        let jitter = self.jitter.or(defaults.jitter).unwrap_or(Jitter::Full);
        let limited = self.rate_limited_for.or(defaults.rate_limited_for);
        Retry {
            attempts,
            backoff: Backoff {
                kind,
                max_ms,
                jitter,
            },
            max_crashes: self
                .max_crashes
                .or(defaults.max_crashes)
                .unwrap_or(MAX_CRASHES),
            rate_limited_for_ms: limited.unwrap_or(RATE_LIMITED_FOR_MS),
        }
    }
}

/// `"fixed"`, `"exponential"` or a list of durations.
fn shape(value: &super::value::Value<'_>) -> Option<Shape> {
    if !value.is_list() {
        if value.as_text().is_none() {
            value.expected("`\"fixed\"`, `\"exponential\"` or a list of durations");
            return None;
        }
        let shapes = [false, true];
        let word = |exponential| if exponential { "exponential" } else { "fixed" };
        let exponential = value.word(&shapes, word)?;
        return Some(if exponential {
            Shape::Exponential
        } else {
            Shape::Fixed
        });
    }
    let waits: Vec<_> = value
        .list()?
        .iter()
        .map(super::value::Value::duration)
        .collect();
    if waits.is_empty() {
        value
            .place
            .error("`backoff` is an empty list", "give at least one duration");
        return None;
    }
    Some(Shape::List(waits.into_iter().flatten().collect()))
}

/// Warns if no second attempt can start in time.
pub(super) fn lint_deadline(place: Place<'_>, deadline_ms: i64, retry: &Retry) {
    let first = match &retry.backoff.kind {
        BackoffKind::Fixed(ms) | BackoffKind::Exponential { base_ms: ms, .. } => *ms,
        BackoffKind::List(waits) => waits.first().copied().unwrap_or_default(),
    };
    let first = first.min(retry.backoff.max_ms);
    if retry.attempts > 1 && deadline_ms < first {
        let message = format!(
            "`deadline` passes before the first retry, which waits up to {}",
            format_duration(first)
        );
        place.warning(
            message,
            "give a longer `deadline`, a shorter `retry.base` or `retry.attempts = 1`",
        );
    }
}
