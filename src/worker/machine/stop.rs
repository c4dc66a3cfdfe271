//! The stages of a stop. A stop only ever moves to a later stage.

use std::time::Duration;

use super::{Action, Machine, Note, Now, TakeBack};
use crate::process::control::Command;

/// How far stopping has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The worker is not stopping.
    No,
    /// No more claims; attempts continue until this moment of the monotonic clock.
    Graceful(Duration),
    /// Attempts got SIGTERM.
    Term,
    /// Attempts got SIGKILL.
    Kill,
}

impl Stop {
    /// The order of the stages. A new time limit for the same stage is ignored; otherwise it could postpone the end for ever.
    fn stage(self) -> u8 {
        match self {
            Stop::No => 0,
            Stop::Graceful(_) => 1,
            Stop::Term => 2,
            Stop::Kill => 3,
        }
    }

    /// Whether attempts were signalled to end. From then on a write that keeps failing is given up.
    pub(super) fn is_forced(self) -> bool {
        matches!(self, Stop::Term | Stop::Kill)
    }
}

impl Machine {
    /// Each signal moves the stop to its next stage.
    pub(super) fn on_terminate(&mut self, now: Now) {
        self.summary.interrupted = true;
        self.begin_stop(match self.stop {
            Stop::No if self.only.is_some() => Stop::Term,
            Stop::No => Stop::Graceful(now.steady + self.stop_after),
            Stop::Graceful(_) => Stop::Term,
            Stop::Term | Stop::Kill => Stop::Kill,
        });
    }

    pub(super) fn stop_gracefully(&mut self, now: Now) {
        self.begin_stop(Stop::Graceful(now.steady + self.stop_after));
    }

    pub(super) fn begin_stop(&mut self, stop: Stop) {
        if stop.stage() <= self.stop.stage() {
            return;
        }
        self.stop = stop;
        if self.only.is_none() {
            self.log(Note::Stopping(stop));
        }
        self.actions.push(Action::NotifyStop);
        match stop {
            Stop::Term => self.actions.push(Action::SendAll(Command::Release)),
            Stop::Kill => self.actions.push(Action::SendAll(Command::Kill)),
            Stop::No | Stop::Graceful(_) => {}
        }
        self.actions.push(Action::TakeBack(TakeBack::All));
    }

    pub(super) fn pass_time_of_stop(&mut self, now: Now) {
        if let Stop::Graceful(until) = self.stop
            && now.steady >= until
        {
            self.begin_stop(Stop::Term);
        }
    }

    pub(super) fn on_lock_tampered(&mut self, now: Now) {
        let worker = self.worker;
        if self.stop == Stop::No {
            self.log(Note::LockTampered { worker });
        }
        self.stop_gracefully(now);
    }
}
