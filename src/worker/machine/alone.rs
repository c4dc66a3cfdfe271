//! Runs that must be alone: what follows from the end of the worker of its own that such a run was handed over to.
//!
//! Rule: the claim is held until its return is stored. One that was taken over has another fence, and then the return changes nothing.

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
                self.shortages.meet(&shortage, &job, now);
                self.claiming.uncount(1);
            }
            AloneEnd::Worked => {
                self.shortages.start(&job);
                self.summary.attempts += 1;
            }
            AloneEnd::Killed => {
                self.summary.attempts += 1;
                self.killed_alone.insert(fence, job);
            }
        }
        // It may be dead: then a drain waits until its run is recovered.
        let look = self.draining.look_again();
        self.actions.push(Action::LookAtOthers(look));
        self.claiming.look = true;
        self.writes.give_back(run, fence);
    }

    /// The return of a claim is stored. What killed a worker before it took the run over would do so again at once.
    pub(super) fn on_returned(&mut self, fence: Fence, outcome: Outcome, now: Now) {
        self.held.remove(&fence);
        let killed = self.killed_alone.remove(&fence);
        if let (Some(job), Outcome::Moved(State::Waiting)) = (killed, outcome) {
            let shortage = Shortage {
                scope: ShortageScope::Job,
                message: "the worker of its own was killed before it took the run over".to_owned(),
            };
            self.shortages.meet(&shortage, &job, now);
        }
    }
}
