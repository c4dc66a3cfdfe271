//! Messages to the service manager: ready, status, watchdog, and how long a stop may still take.
//!
//! Rule: only the main loop calls this. So a worker whose main thread hangs stops sending the watchdog message, and one whose
//! commands take long does not.

use std::time::Duration;

use crate::catalogue::Catalogue;
use crate::clock;
use crate::error::Result;
use crate::observe::notify::Notify;
use crate::worker::machine::{Machine, NOTHING_RUNS, Now, Stop, View, longest_grace, stop_end};

/// How often the status is sent.
const TICK: Duration = Duration::from_secs(1);

/// The longest extension of the stop timeout that one message asks for.
const EXTENSION: Duration = Duration::from_mins(1);

/// Sends the state of the worker to the service manager.
pub(super) struct ManagerNotifier {
    notify: Notify,
    next_status: Duration,
    /// The longest grace in all catalogues since the start.
    longest_grace: Duration,
    /// When the stop should be over; a stop that lasts longer is stuck.
    stop_ends: Option<Duration>,
}

impl ManagerNotifier {
    pub(super) fn new(notify: Notify, catalogue: &Catalogue) -> Self {
        Self {
            notify,
            next_status: Duration::ZERO,
            longest_grace: longest_grace(catalogue),
            stop_ends: None,
        }
    }

    pub(super) fn use_catalogue(&mut self, catalogue: &Catalogue) {
        self.longest_grace = self.longest_grace.max(longest_grace(catalogue));
    }

    /// The worker is ready: after the start and after each reload.
    pub(super) fn ready(&mut self, status: &str) {
        self.notify.ready(status);
    }

    /// A catalogue is being loaded.
    pub(super) fn reloading(&mut self) {
        self.notify.reloading();
    }

    /// A stop has begun or has reached its next stage.
    pub(super) fn stopping(&mut self, stop: Stop, now: Now) {
        if self.stop_ends.is_none() {
            self.notify.stopping();
        }
        self.stop_ends = stop_end(stop, now.steady, self.longest_grace);
        self.next_status = now.steady;
    }

    /// The main loop has ended; slots and threads have not.
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

    /// To be called in each turn of the loop: sends the watchdog message when it is due, and the status once a second.
    pub(super) fn turn(&mut self, machine: &Machine, view: &View, now: Now) {
        if !self.notify.is_connected() {
            return;
        }
        self.notify.watchdog();
        if now.steady < self.next_status {
            return;
        }
        self.next_status = now.steady + TICK;
        self.notify.status(&machine.status(view, now));
        if let Some(end) = self.stop_ends {
            let left = end.saturating_sub(now.steady);
            self.notify.extend_timeout(EXTENSION.min(left));
        }
    }

    /// The time until the next watchdog message is due; `None` without a watchdog.
    pub(super) fn until_watchdog(&self) -> Option<Duration> {
        let at = self.notify.watchdog_at()?;
        Some(at.saturating_duration_since(clock::monotonic()))
    }
}
