//! When a worker ends: after a stop, after its number of attempts, or when it drains and nothing is left to wait for.

use super::{Action, Drain, Machine, Remaining, Stop};
use crate::error::Result;

/// The progress of the query for runs that are left.
#[derive(Debug)]
enum Query {
    NotAsked,
    /// The reader has not answered yet; the answer is stale if runs were claimed meanwhile.
    Pending {
        stale: bool,
    },
    /// The answer is used at the next claim that finds nothing.
    Answered(Remaining),
    /// Runs are left to wait for, by the last answer.
    MustWait,
}

#[derive(Debug)]
pub(super) struct Draining {
    drain: Option<Drain>,
    /// No dead worker is left to recover. Until then it is unknown whether runs are left.
    others_checked: bool,
    /// The number of the check that counts: one made after the latest end of a separate worker of ours.
    check: u64,
    query: Query,
}

impl Draining {
    pub(super) fn new(drain: Option<Drain>) -> Self {
        Self {
            drain,
            others_checked: false,
            check: 0,
            query: Query::NotAsked,
        }
    }

    /// Repeats the query, because time has passed or another process has committed.
    pub(super) fn ask_again(&mut self) {
        if matches!(self.query, Query::MustWait) {
            self.query = Query::NotAsked;
        }
    }

    /// A check of all other workers found no dead worker left to recover.
    pub(super) fn on_others_checked(&mut self, check: u64) {
        self.others_checked |= check == self.check;
    }

    /// A separate worker of ours has ended and may need recovery: only a check from now on counts. Returns its number.
    pub(super) fn require_new_check(&mut self) -> u64 {
        self.others_checked = false;
        self.check += 1;
        self.check
    }

    /// Discards the answer, because runs were claimed.
    pub(super) fn forget(&mut self) {
        self.query = match self.query {
            Query::Pending { .. } => Query::Pending { stale: true },
            _ => Query::NotAsked,
        };
    }
}

impl Machine {
    /// No claim is held and no write is pending, apart from claims that are left to recovery.
    fn is_quiet(&self) -> bool {
        self.held.len() == self.stuck.len() + self.writes.given_up() && self.writes.is_idle()
    }

    /// Whether this worker could do nothing more, as far as it knows.
    fn is_out_of_work(&self) -> bool {
        self.is_quiet()
            && self.stuck.is_empty()
            && self.claiming.nothing_claimable()
            // A shortage of one job may last for ever and is not waited for; a shortage of the host passes.
            && !self.shortages.stops_all()
            && self.draining.others_checked
            && self.only.is_none()
    }

    pub(super) fn end_if_done(&mut self) {
        if self.end.is_some() || !self.is_quiet() {
            return;
        }
        // Runs whose processes cannot be ended stay claimed; the worker that recovers them waits for these processes.
        let stopped = self.stop != Stop::No;
        if stopped || (self.stuck.is_empty() && self.claiming.has_reached_max_runs()) {
            return self.finish(Ok(()));
        }
        let (Some(drain), true) = (self.draining.drain, self.is_out_of_work()) else {
            return;
        };
        match std::mem::replace(&mut self.draining.query, Query::MustWait) {
            Query::NotAsked => {
                self.draining.query = Query::Pending { stale: false };
                self.actions.push(Action::ReadRemaining);
            }
            Query::Answered(remaining) => {
                let more_comes = || self.claiming.passed_over.comes || self.more_comes(&remaining);
                if drain == Drain::Now || !more_comes() {
                    self.summary.left = remaining.waiting;
                    self.finish(Ok(()));
                }
            }
            query => self.draining.query = query,
        }
    }

    pub(super) fn on_remaining(&mut self, answer: Result<Remaining>) {
        let stale = matches!(self.draining.query, Query::Pending { stale: true });
        self.draining.query = match answer {
            Ok(remaining) if !stale => Query::Answered(remaining),
            Ok(_) => Query::NotAsked,
            Err(error) => {
                self.on_store_error(&error);
                // The next tick repeats the query.
                Query::MustWait
            }
        };
    }

    /// Whether a run that this worker serves will become ready without an operator: at its due time, or at the end of a run that
    /// another worker has.
    fn more_comes(&self, remaining: &Remaining) -> bool {
        let serves = |queue: &String, job: &String| {
            self.claiming.queues.iter().any(|it| it.name == *queue)
                && self.catalogue.jobs.contains_key(job)
                && !remaining.paused.contains(job)
        };
        let mut later = remaining.waiting.iter().filter(|it| it.due_ms.is_some());
        later.any(|it| serves(&it.queue, &it.job))
            || remaining
                .behind
                .iter()
                .any(|(queue, job)| serves(queue, job))
    }
}
