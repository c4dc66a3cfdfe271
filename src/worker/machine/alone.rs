//! Runs that must be alone: each was handed over to a separate worker, and the end of that worker is handled here.
//!
//! Rule: the claim is held until its return is stored. If the separate worker took the claim over, the fence is stale and the
//! return changes nothing.

use super::{Action, AloneEnd, Machine, Now};
use crate::attempt::{Shortage, ShortageScope};
use crate::records::Outcome;
use crate::run::{Fence, RunId, State};

impl Machine {
    pub(super) fn on_alone_ended(
        &mut self,
        (run, fence): (RunId, Fence),
        job: String,
        end: AloneEnd,
        now: Now,
    ) {
        match end {
            AloneEnd::Lacks(shortage) => {
                self.shortages.on_shortage(&shortage, &job, now);
                self.claiming.uncount(1);
            }
            AloneEnd::Worked => {
                self.shortages.on_started(&job);
                self.summary.attempts += 1;
            }
            AloneEnd::Killed => {
                self.summary.attempts += 1;
                self.killed_alone.insert(fence, job);
            }
        }
        // If that worker died, a drain must wait until its run is recovered.
        let check = self.draining.require_new_check();
        self.actions.push(Action::CheckOthers(check));
        self.claiming.should_claim = true;
        self.writes.give_back(run, fence);
    }

    /// The return of a claim is stored. If its separate worker was killed before it took the run over, the job is paused: an
    /// immediate retry would meet the same end.
    pub(super) fn on_returned(&mut self, fence: Fence, outcome: Outcome, now: Now) {
        self.held.remove(&fence);
        let killed = self.killed_alone.remove(&fence);
        if let (Some(job), Outcome::Moved(State::Waiting)) = (killed, outcome) {
            let shortage = Shortage {
                scope: ShortageScope::Job,
                message: "the worker of its own was killed before it took the run over".to_owned(),
            };
            self.shortages.on_shortage(&shortage, &job, now);
        }
    }
}
