//! The status line of a worker for the service manager: its load or the stage of its stop, and its errors.

use std::time::Duration;

use super::{Machine, Now, Stop, View};
use crate::catalogue::Catalogue;
use crate::records::ServedQueue;
use crate::units::format_utc;

/// A stop needs this beyond the grace of its commands, to end leftover processes and to store the ends.
const MARGIN: Duration = Duration::from_mins(1);

/// The status when the last attempt of a stop has ended.
pub const NOTHING_RUNS: &str = "stopping: nothing runs any more";

/// The contents of the status line.
#[derive(Debug)]
struct StatusFacts<'a> {
    slots: usize,
    busy: usize,
    queues: &'a str,
    /// Runs whose attempt has ended and whose processes have not.
    blocked: usize,
    trouble: Option<&'a str>,
    refused: Option<&'a str>,
    not_saved: Option<&'a str>,
    /// The shortage that keeps runs from starting, in words.
    lacking: Option<&'a str>,
    stop: Stop,
    /// When a graceful stop signals its attempts, milliseconds UTC.
    until_ms: i64,
}

impl Machine {
    /// The status in one line.
    pub fn status(&self, view: &View, now: Now) -> String {
        let left = match self.stop {
            Stop::Graceful(end) => end.saturating_sub(now.steady),
            _ => Duration::ZERO,
        };
        text(&StatusFacts {
            slots: self.slots,
            busy: self.slots - view.idle,
            queues: &ServedQueue::list(&self.claiming.queues),
            blocked: self.stuck.len(),
            trouble: self.trouble.as_deref(),
            refused: self.reloading.refused.as_deref(),
            not_saved: self.reloading.not_saved.as_deref(),
            lacking: self.shortages.lacking().map(|it| it.words.as_str()),
            stop: self.stop,
            until_ms: now.wall_ms + left.as_millis() as i64,
        })
    }
}

/// The longest grace of a command in the catalogue.
pub fn longest_grace(catalogue: &Catalogue) -> Duration {
    let graces_ms = catalogue.jobs.values().map(|job| job.grace_ms.max(0));
    Duration::from_millis(graces_ms.max().unwrap_or(0) as u64)
}

/// When a stop at this stage should be over; after that the service manager may kill the worker.
pub fn stop_end(stop: Stop, now: Duration, longest_grace: Duration) -> Option<Duration> {
    match stop {
        Stop::No => None,
        Stop::Graceful(end) => Some(end.max(now) + longest_grace + MARGIN),
        Stop::Term => Some(now + longest_grace + MARGIN),
        Stop::Kill => Some(now + MARGIN),
    }
}

/// The load or the stage of the stop, then the errors, joined by `; `.
fn text(facts: &StatusFacts<'_>) -> String {
    let (attempts, go, were) = match facts.busy {
        1 => ("1 attempt".to_owned(), "goes", "was"),
        busy => (format!("{busy} attempts"), "go", "were"),
    };
    let load = match facts.stop {
        Stop::No => {
            let (busy, slots, queues) = (facts.busy, facts.slots, facts.queues);
            format!("{busy} of {slots} slots busy; queues {queues}")
        }
        _ if facts.busy == 0 => NOTHING_RUNS.to_owned(),
        Stop::Graceful(_) => {
            let until = seconds(facts.until_ms);
            format!("stopping: {attempts} {go} on until {until}")
        }
        Stop::Term => format!("stopping: {attempts} {were} told to end"),
        Stop::Kill => format!("stopping: {attempts} {were} killed"),
    };
    let blocked = (facts.blocked > 0).then(|| {
        format!(
            "runs blocked by processes that cannot be ended: {}",
            facts.blocked
        )
    });
    let trouble = facts.trouble.map(|why| format!("the store fails: {why}"));
    let refused = facts
        .refused
        .map(|why| format!("the newest catalogue was refused: {why}"));
    let not_saved = facts
        .not_saved
        .map(|why| format!("the rules of the newest catalogue are not in force: {why}"));
    let lacking = facts.lacking.map(str::to_owned);
    let parts = [Some(load), blocked, lacking, trouble, refused, not_saved];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// `2026-11-05T06:00:00Z`, rounded to the nearest second so that repeated calls return the same text.
fn seconds(ms: i64) -> String {
    let rounded_ms = (ms + 500).div_euclid(1000) * 1000;
    format_utc(rounded_ms).replace(".000Z", "Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(busy: usize, stop: Stop) -> String {
        text(&StatusFacts {
            slots: 4,
            busy,
            queues: "high,default",
            blocked: 0,
            trouble: None,
            refused: None,
            not_saved: None,
            lacking: None,
            stop,
            until_ms: 1_794_000_030_499,
        })
    }

    #[test]
    fn the_status_names_the_load_or_the_stage_of_a_stop_and_every_error() {
        let end = Stop::Graceful(Duration::from_secs(1000));
        for (busy, stop, words) in [
            (3, Stop::No, "3 of 4 slots busy; queues high,default"),
            (
                2,
                end,
                "stopping: 2 attempts go on until 2026-11-06T21:20:30Z",
            ),
            (
                1,
                end,
                "stopping: 1 attempt goes on until 2026-11-06T21:20:30Z",
            ),
            (2, Stop::Term, "stopping: 2 attempts were told to end"),
            (1, Stop::Kill, "stopping: 1 attempt was killed"),
            (0, end, NOTHING_RUNS),
        ] {
            assert_eq!(said(busy, stop), words);
        }
        let wrong = StatusFacts {
            slots: 1,
            busy: 0,
            queues: "a",
            blocked: 2,
            trouble: Some("disk full"),
            refused: Some("jobs.toml:1: no"),
            not_saved: Some("busy"),
            lacking: Some("runs cannot be started for now: no memory"),
            stop: Stop::No,
            until_ms: 0,
        };
        assert_eq!(
            text(&wrong),
            "0 of 1 slots busy; queues a; runs blocked by processes that cannot be ended: 2; \
             runs cannot be started for now: no memory; the store fails: disk full; the newest catalogue was refused: jobs.toml:1: no; \
             the rules of the newest catalogue are not in force: busy"
        );
    }

    #[test]
    fn a_stop_may_take_the_longest_grace_and_a_margin() {
        let now = Duration::from_secs(1000);
        let secs = Duration::from_secs;
        let left = |stop| stop_end(stop, now, secs(10)).map(|end| end.saturating_sub(now));
        assert_eq!(left(Stop::No), None);
        let patient = Stop::Graceful(now + secs(30));
        assert_eq!(left(patient), Some(secs(40) + MARGIN));
        assert_eq!(left(Stop::Term), Some(secs(10) + MARGIN));
        assert_eq!(left(Stop::Kill), Some(MARGIN));
    }
}
