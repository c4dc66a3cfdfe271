//! When a worker ends by itself: stopped, its number of runs reached, or nothing left that it may wait for.

use super::{Action, Left, Machine, Stop};
use crate::error::Result;
use crate::worker::Drain;

/// How far the question is what is left.
#[derive(Debug)]
enum Asked {
    No,
    /// The reader was asked; the answer does not count where runs were claimed meanwhile.
    Waiting {
        stale: bool,
    },
    /// It counts at the next claim that finds nothing.
    Answered(Left),
    /// Something is left to wait for, as far as is known.
    Judged,
}

#[derive(Debug)]
pub(super) struct Draining {
    drain: Option<Drain>,
    /// Dead workers were looked for: before that nobody can say that nothing is left.
    others_looked_at: bool,
    /// The look that counts, by its number: one since a worker of ours has ended.
    look: u64,
    asked: Asked,
}

impl Draining {
    pub(super) fn new(drain: Option<Drain>) -> Self {
        Self {
            drain,
            others_looked_at: false,
            look: 0,
            asked: Asked::No,
        }
    }

    /// Time has passed, or another process has committed.
    pub(super) fn ask_again(&mut self) {
        if matches!(self.asked, Asked::Judged) {
            self.asked = Asked::No;
        }
    }

    /// Other workers were looked at, and none is dead and not yet recovered.
    pub(super) fn see_others(&mut self, look: u64) {
        self.others_looked_at |= look == self.look;
    }

    /// A worker of ours has ended, perhaps dead: only a look from now on counts. Its number.
    pub(super) fn look_again(&mut self) -> u64 {
        self.others_looked_at = false;
        self.look += 1;
        self.look
    }

    /// Runs were claimed.
    pub(super) fn forget(&mut self) {
        self.asked = match self.asked {
            Asked::Waiting { .. } => Asked::Waiting { stale: true },
            _ => Asked::No,
        };
    }
}

impl Machine {
    /// Nothing is claimed, and nothing is to be stored or under way, but for what is left to recovery.
    fn is_quiet(&self) -> bool {
        self.held.len() == self.stuck.len() + self.writes.given_up() && self.writes.is_idle()
    }

    /// Nothing can be claimed as far as we know.
    fn is_dry(&self) -> bool {
        self.is_quiet()
            && self.stuck.is_empty()
            && self.claiming.is_dry()
            // What one job lacks may be lacking for ever; what the host lacks passes.
            && !self.shortages.stops_all()
            && self.draining.others_looked_at
            && self.only.is_none()
    }

    pub(super) fn end_if_done(&mut self) {
        if self.end.is_some() || !self.is_quiet() {
            return;
        }
        // What cannot be ended stays claimed; whoever comes next sees the processes and waits for them.
        let stopped = self.stop != Stop::No;
        if stopped || (self.stuck.is_empty() && self.claiming.has_had_enough()) {
            return self.finish(Ok(()));
        }
        let (Some(drain), true) = (self.draining.drain, self.is_dry()) else {
            return;
        };
        match std::mem::replace(&mut self.draining.asked, Asked::Judged) {
            Asked::No => {
                self.draining.asked = Asked::Waiting { stale: false };
                self.actions.push(Action::ReadLeft);
            }
            Asked::Answered(left) => {
                let comes = || self.claiming.passed.comes || self.more_comes(&left);
                if drain == Drain::Now || !comes() {
                    self.summary.left = left.waiting;
                    self.finish(Ok(()));
                }
            }
            asked => self.draining.asked = asked,
        }
    }

    pub(super) fn on_left(&mut self, answer: Result<Left>) {
        let stale = matches!(self.draining.asked, Asked::Waiting { stale: true });
        self.draining.asked = match answer {
            Ok(left) if !stale => Asked::Answered(left),
            Ok(_) => Asked::No,
            Err(error) => {
                self.on_store_error(&error);
                // Asked again in the next tick.
                Asked::Judged
            }
        };
    }

    /// Whether something that this worker serves will become ready by itself: by time alone, or by the end of a run that is
    /// under way, which another worker has.
    fn more_comes(&self, left: &Left) -> bool {
        let serves = |queue: &String, job: &String| {
            self.claiming.queues.iter().any(|it| it.name == *queue)
                && self.catalogue.jobs.contains_key(job)
                && !left.paused.contains(job)
        };
        let mut later = left.waiting.iter().filter(|it| it.due_ms.is_some());
        later.any(|it| serves(&it.queue, &it.job))
            || left.behind.iter().any(|(queue, job)| serves(queue, job))
    }
}
