//! Requests that operators make through the store: cancels and a stop.

use super::{Action, Machine, Now, Stop};
use crate::error::{Error, Kind};
use crate::observe::event::LogEvent;
use crate::run::{Fence, RunId};

impl Machine {
    pub(super) fn on_requests(&mut self, cancels: Vec<(RunId, Fence)>, stop: bool, now: Now) {
        for (run, fence) in cancels {
            // The reader reports a stored cancel at each read; only the first is logged.
            let Some(held) = self.held.get_mut(&fence) else {
                continue;
            };
            if !std::mem::replace(&mut held.cancelled, true) {
                self.log(LogEvent::CancelRequested { run });
            }
            self.actions.push(Action::Cancel(fence));
        }
        if stop && self.stop == Stop::No {
            self.stop_gracefully(now);
        }
    }

    pub(super) fn on_unregistered(&mut self) {
        let worker = self.worker;
        self.finish(Err(Error::new(
            Kind::Failed,
            format!("worker {worker} is no longer registered; its runs belong to others"),
        )));
    }
}
