//! Backpressure: the error of an enqueue to a full queue or tenant.

use serde_json::{Map, json};

use super::subject::Subject;
use crate::advice::{Advice, Text};
use crate::error::{Error, Kind};
use crate::units::format_duration;

/// A queue or a tenant with its maximum of waiting runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Full {
    /// The queue or the tenant.
    pub subject: Subject,
    /// Waiting runs.
    pub waiting: i64,
    /// The maximum of waiting runs.
    pub max: i64,
    /// Running runs; each that ends makes room.
    pub running: i64,
    /// The end of its pause, milliseconds.
    pub paused_until_ms: Option<i64>,
}

/// `4 of 4 runs waiting`
pub fn waiting_words(waiting: i64, max: i64) -> String {
    format!("{waiting} of {max} runs waiting")
}

/// Retry delay while runs are running.
const SOON_MS: i64 = 1_000;

/// Retry delay while none is running: an operator has to act.
const LATER_MS: i64 = 30_000;

/// The longest retry delay.
const LATEST_MS: i64 = 300_000;

impl Full {
    /// When to retry the enqueue, in milliseconds from now.
    pub fn retry_after_ms(&self, now_ms: i64) -> i64 {
        match self.paused_until_ms {
            Some(until_ms) => until_ms.saturating_sub(now_ms).clamp(SOON_MS, LATEST_MS),
            None if self.running > 0 => SOON_MS,
            None => LATER_MS,
        }
    }

    /// The error for the caller.
    pub fn refusal(&self, now_ms: i64) -> Error {
        let Self {
            subject,
            waiting,
            max,
            ..
        } = self;
        let (kind, name) = (subject.kind(), subject.name());
        let retry_after_ms = self.retry_after_ms(now_ms);
        let raise = match subject {
            Subject::Queue(_) => Advice::SetMaxWaiting(name.to_owned()).into(),
            _ => Text::from(format!(
                "`max_waiting` in `[tenants]` or `[tenants.{name}]`"
            )),
        };
        let details = Map::from_iter([
            ("full".to_owned(), json!(subject.to_string())),
            ("waiting".to_owned(), json!(waiting)),
            ("max_waiting".to_owned(), json!(max)),
        ]);
        // Whole seconds, for people.
        let wait = format_duration(retry_after_ms.saturating_add(999) / 1_000 * 1_000);
        Error::new(
            Kind::TryAgain,
            format!(
                "{kind} `{name}` is full: {}; nothing was enqueued",
                waiting_words(*waiting, *max)
            ),
        )
        .hint(
            Text::from(format!("try again in {wait}; "))
                .and(raise)
                .and(" raises it"),
        )
        .retry_after_ms(retry_after_ms)
        .details(details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(running: i64, paused_until_ms: Option<i64>) -> Full {
        Full {
            subject: Subject::Queue("low".into()),
            waiting: 12,
            max: 10,
            running,
            paused_until_ms,
        }
    }

    #[test]
    fn the_retry_time_depends_on_how_room_is_made() {
        assert_eq!(full(1, None).retry_after_ms(5_000), 1_000);
        assert_eq!(full(0, None).retry_after_ms(5_000), 30_000);
        assert_eq!(full(1, Some(65_000)).retry_after_ms(5_000), 60_000);
        assert_eq!(full(0, Some(5_001)).retry_after_ms(5_000), 1_000);
        assert_eq!(full(0, Some(i64::MAX)).retry_after_ms(5_000), 300_000);
    }

    #[test]
    fn a_refusal_says_who_is_full_and_when_to_try_again() {
        let error = full(1, None).refusal(5_000);
        assert_eq!(error.kind, Kind::TryAgain);
        assert_eq!(
            error.message,
            "queue `low` is full: 12 of 10 runs waiting; nothing was enqueued"
        );
        assert_eq!(
            crate::cli::advice::hint_of(&error).as_deref(),
            Some("try again in 1s; `jobctl queues set low max_waiting=N` raises it")
        );
        assert_eq!(error.retry_after_ms, Some(1_000));
        assert_eq!(error.details.unwrap()["full"], "queue low");
    }
}
