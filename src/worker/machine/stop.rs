//! Takes a stop from one stage to the next: by signals, by time, or because the worker lost its lock.

use crate::attempt::StopCommand;
use crate::observe::event::LogEvent;

use super::{Action, Machine, Now, Stop, TakeBack};

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
            self.log(LogEvent::WorkerStopping { how: stop.word() });
        }
        self.actions.push(Action::NotifyStop);
        match stop {
            Stop::Term => self.actions.push(Action::SendAll(StopCommand::Release)),
            Stop::Kill => self.actions.push(Action::SendAll(StopCommand::Kill)),
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
            self.log(LogEvent::LockFileTampered { worker });
        }
        self.stop_gracefully(now);
    }
}
