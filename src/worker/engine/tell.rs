//! What the service manager is told: ready, status, signs of life, and that a stop takes its time.
//!
//! Rule: only the main loop comes here, so a worker whose main thread hangs falls silent, and one whose commands take long
//! does not.

use std::time::Duration;

use crate::catalogue::Catalogue;
use crate::clock;
use crate::error::Result;
use crate::observe::notify::Notify;
use crate::worker::machine::{Machine, NOTHING_RUNS, Now, Stop, View, longest_grace, stop_end};

/// How often the status is sent.
const TICK: Duration = Duration::from_secs(1);

/// How long a stop may go on after each turn that asks for it.
const EXTENSION: Duration = Duration::from_mins(1);

/// The service manager, and when to tell it again.
pub(super) struct Teller {
    notify: Notify,
    tell_at: Duration,
    /// The longest grace of any catalogue that we had.
    longest_grace: Duration,
    /// A stop that goes on after this is stuck.
    stop_ends: Option<Duration>,
}

impl Teller {
    pub(super) fn new(notify: Notify, catalogue: &Catalogue) -> Self {
        Self {
            notify,
            tell_at: Duration::ZERO,
            longest_grace: longest_grace(catalogue),
            stop_ends: None,
        }
    }

    pub(super) fn use_catalogue(&mut self, catalogue: &Catalogue) {
        self.longest_grace = self.longest_grace.max(longest_grace(catalogue));
    }

    /// At work: at the start, and again after a reload.
    pub(super) fn ready(&mut self, status: &str) {
        self.notify.ready(status);
    }

    /// A catalogue is being loaded.
    pub(super) fn reloading(&mut self) {
        self.notify.reloading();
    }

    /// A stop has begun, or come further.
    pub(super) fn stopping(&mut self, stop: Stop, now: Now) {
        if self.stop_ends.is_none() {
            self.notify.stopping();
        }
        self.stop_ends = stop_end(stop, now.steady, self.longest_grace);
        self.tell_at = now.steady;
    }

    /// The loop has ended; slots and threads still have to.
    pub(super) fn end(&mut self, result: &Result<()>) {
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
    pub(super) fn turn(&mut self, machine: &Machine, view: &View, now: Now) {
        if !self.notify.is_heard() {
            return;
        }
        self.notify.watchdog();
        if now.steady < self.tell_at {
            return;
        }
        self.tell_at = now.steady + TICK;
        self.notify.status(&machine.status(view, now));
        if let Some(end) = self.stop_ends {
            let left = end.saturating_sub(now.steady);
            self.notify.extend_timeout(EXTENSION.min(left));
        }
    }

    /// How long the manager may be left without a sign of life.
    pub(super) fn patience(&self) -> Option<Duration> {
        let at = self.notify.watchdog_at()?;
        Some(at.saturating_duration_since(clock::monotonic()))
    }
}
