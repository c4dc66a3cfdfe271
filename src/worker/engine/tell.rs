//! What the service manager is told: ready, status, signs of life, and that a stop takes its time.
//!
//! Rule: only the main loop comes here, so a worker whose main thread hangs falls silent, and one whose commands take long
//! does not.

use std::time::{Duration, Instant};

use super::{Engine, Stop, TICK};
use crate::catalogue::Catalogue;
use crate::clock;
use crate::error::Result;
use crate::store::ServedQueue;
use crate::units::format_utc;

/// How long a stop may go on after each turn that asks for it. The loop may wait 30 s for the store in one turn.
const EXTENSION: Duration = Duration::from_mins(1);

/// Beyond the time that commands are left, a stop needs some to end what they left and to store how they ended.
const MARGIN: Duration = Duration::from_mins(1);

const NOTHING_RUNS: &str = "stopping: nothing runs any more";

/// What the status tells.
struct Facts<'a> {
    slots: usize,
    busy: usize,
    queues: &'a str,
    /// Runs that have ended and whose processes have not.
    blocked: usize,
    trouble: Option<&'a str>,
    refused: Option<&'a str>,
    stop: Stop,
    /// When a graceful stop loses its patience, milliseconds UTC.
    until_ms: i64,
}

impl Engine {
    /// Looking for work: at the start, and again after a reload.
    pub(super) fn tell_ready(&mut self) {
        if self.notify.is_heard() && self.stop == Stop::No {
            let status = self.status();
            self.notify.ready(&status);
        }
    }

    /// A catalogue is being loaded. A stop is not interrupted by that.
    pub(super) fn tell_reload(&mut self) {
        if self.stop == Stop::No {
            self.notify.reloading();
        }
    }

    /// A stop has begun, or come further.
    pub(super) fn tell_stop(&mut self) {
        let now = clock::monotonic();
        if self.stop_ends.is_none() {
            self.notify.stopping();
        }
        self.stop_ends = stop_end(self.stop, now, self.longest_grace);
        self.tell_at = now;
    }

    /// The loop has ended; slots and threads still have to.
    pub(super) fn tell_end(&mut self, result: &Result<()>) {
        if self.stop_ends.is_none() {
            self.notify.stopping();
        }
        match result {
            Ok(()) => self.notify.status(NOTHING_RUNS),
            Err(error) => self.notify.status(&format!("stopping: {error}")),
        }
        self.notify.extend_timeout(EXTENSION);
    }

    /// Each turn: a sign of life if it is time, and once in a tick the rest.
    pub(super) fn tell(&mut self) {
        if !self.notify.is_heard() {
            return;
        }
        self.notify.watchdog();
        let now = clock::monotonic();
        if now < self.tell_at {
            return;
        }
        self.tell_at = now + TICK;
        let status = self.status();
        self.notify.status(&status);
        if let Some(end) = self.stop_ends {
            let left = end.saturating_duration_since(now);
            self.notify.extend_timeout(EXTENSION.min(left));
        }
    }

    /// Remembers how long the commands of the catalogue may take to end.
    pub(super) fn note_graces(&mut self) {
        self.longest_grace = self.longest_grace.max(longest_grace(&self.catalogue));
    }

    fn status(&self) -> String {
        let left = match self.stop {
            Stop::Graceful(end) => end.saturating_duration_since(clock::monotonic()),
            _ => Duration::ZERO,
        };
        let slots = self.slots.len();
        text(&Facts {
            slots,
            busy: slots - self.shared.pool.load().0,
            queues: &ServedQueue::list(&self.queues),
            blocked: self.stuck.len(),
            trouble: self.trouble.as_deref(),
            refused: self.refused.as_deref(),
            stop: self.stop,
            until_ms: clock::wall_ms() + left.as_millis() as i64,
        })
    }
}

fn longest_grace(catalogue: &Catalogue) -> Duration {
    let graces_ms = catalogue.jobs.values().map(|job| job.grace_ms.max(0));
    Duration::from_millis(graces_ms.max().unwrap_or(0) as u64)
}

/// When a stop that has come so far is over if nothing is wrong; then the manager may end it.
fn stop_end(stop: Stop, now: Instant, longest_grace: Duration) -> Option<Instant> {
    match stop {
        Stop::No => None,
        Stop::Graceful(end) => Some(end.max(now) + longest_grace + MARGIN),
        Stop::Term => Some(now + longest_grace + MARGIN),
        Stop::Kill => Some(now + MARGIN),
    }
}

/// The status: the load, or how far a stop has come, and behind it what is wrong.
fn text(facts: &Facts<'_>) -> String {
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
    let parts = [Some(load), blocked, trouble, refused];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// `2026-11-05T06:00:00Z`, to the nearest second: asked again and again it stays the same.
fn seconds(ms: i64) -> String {
    let rounded_ms = (ms + 500).div_euclid(1000) * 1000;
    format_utc(rounded_ms).replace(".000Z", "Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(busy: usize, stop: Stop) -> String {
        text(&Facts {
            slots: 4,
            busy,
            queues: "high,default",
            blocked: 0,
            trouble: None,
            refused: None,
            stop,
            until_ms: 1_794_000_030_499,
        })
    }

    #[test]
    fn the_status_says_what_an_operator_wants_to_know() {
        let end = Stop::Graceful(clock::monotonic());
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
        let wrong = Facts {
            slots: 1,
            busy: 0,
            queues: "a",
            blocked: 2,
            trouble: Some("disk full"),
            refused: Some("jobs.toml:1: no"),
            stop: Stop::No,
            until_ms: 0,
        };
        assert_eq!(
            text(&wrong),
            "0 of 1 slots busy; queues a; runs blocked by processes that cannot be ended: 2; \
             the store fails: disk full; the newest catalogue was refused: jobs.toml:1: no"
        );
    }

    #[test]
    fn a_stop_has_as_long_as_its_commands_and_some_more() {
        let now = clock::monotonic();
        let secs = Duration::from_secs;
        let left = |stop| stop_end(stop, now, secs(10)).map(|end| end - now);
        assert_eq!(left(Stop::No), None);
        let patient = Stop::Graceful(now + secs(30));
        assert_eq!(left(patient), Some(secs(40) + MARGIN));
        assert_eq!(left(Stop::Term), Some(secs(10) + MARGIN));
        assert_eq!(left(Stop::Kill), Some(MARGIN));
    }
}
