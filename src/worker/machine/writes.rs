//! Pending writes: ends of attempts, claims to give back, starts, rebased delays, rules, and the next claim, in one transaction at
//! a time.
//!
//! Rule: a submitted intent moves from its field into `under_way`, and back if its write fails. So no intent is lost before it is
//! stored.

use std::sync::Arc;
use std::time::Duration;

use super::{Action, LINGER, Machine, NOTE_AFTER, Now, View, Written};
use crate::error::{Error, Kind, Result};
use crate::observe::event::LogEvent;
use crate::records::{Answer, EndedAttempt, Outcome};
use crate::run::{Fence, RunId, State};
use crate::worker::batch::{Batch, Write};

/// Delay before failed writes are retried.
const RETRY_WRITE: Duration = Duration::from_millis(500);

/// A write that fails this often with an internal error, or for any reason during a forced stop, is given up: the run is left to
/// recovery.
const REFUSED_MAX: u32 = 5;

/// Interval at which given-up writes are retried: the cause may have passed.
const RETRY_GIVEN_UP: Duration = Duration::from_secs(10);

/// How often a write was refused; see [`REFUSED_MAX`] for the failures that count.
type Refused = u32;

#[derive(Debug)]
pub(super) struct Writes {
    ended: Vec<(Arc<EndedAttempt>, Refused)>,
    ended_since: Option<Duration>,
    returns: Vec<(RunId, Fence, Refused)>,
    /// Ends and returns that were given up. Their claims stay in `held`, so that no other write about them is made.
    given_up: Vec<Write>,
    retry_given_up_at: Duration,
    /// The wall clock was set back: restart relative delays whose start is now in the future.
    pub(super) rebase: bool,
    /// Save the rules of our catalogue.
    pub(super) rules: bool,
    /// Give back claims that the store calls ours and that we do not know.
    pub(super) reconcile: bool,
    reconcile_refused: Refused,
    retry_at: Option<Duration>,
    under_way: Option<Arc<Batch>>,
}

impl Writes {
    pub(super) fn new() -> Self {
        Self {
            ended: Vec::new(),
            ended_since: None,
            returns: Vec::new(),
            given_up: Vec::new(),
            retry_given_up_at: Duration::ZERO,
            rebase: true,
            rules: false,
            reconcile: false,
            reconcile_refused: 0,
            retry_at: None,
            under_way: None,
        }
    }

    /// No write is under way or pending that would be lost if the worker ended now. (Rules do not count: the next worker loads them.)
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_none()
            && self.ended.is_empty()
            && self.returns.is_empty()
            && !self.reconcile
    }

    pub(super) fn given_up(&self) -> usize {
        self.given_up.len()
    }

    pub(super) fn end(&mut self, ended: Arc<EndedAttempt>, now: Now) {
        self.ended.push((ended, 0));
        self.ended_since.get_or_insert(now.steady);
    }

    pub(super) fn give_back(&mut self, run: RunId, fence: Fence) {
        self.returns.push((run, fence, 0));
    }

    pub(super) fn wakes_at(
        &self,
        comfortable: bool,
        view: &View,
        now: Now,
        at: &mut dyn FnMut(Duration),
    ) {
        if self.under_way.is_some() {
            return;
        }
        if let Some(retry_at) = self.retry_at {
            return at(retry_at);
        }
        if let Some(since) = self.ended_since {
            at(since + LINGER);
        } else if comfortable {
            at(now.steady + LINGER);
        }
        if view.unnoted {
            at(now.steady + NOTE_AFTER);
        }
        if !self.given_up.is_empty() {
            at(self.retry_given_up_at);
        }
    }
}

impl Machine {
    /// Queues the return of claims that were not started.
    pub(super) fn give_back(&mut self, runs: Vec<(RunId, Fence)>) {
        if runs.is_empty() {
            return;
        }
        self.claiming.uncount(runs.len());
        self.claiming.should_claim = true;
        for (run, fence) in runs {
            self.writes.give_back(run, fence);
        }
    }

    /// Submits all pending writes and the next claim, unless a batch is under way.
    pub(super) fn submit(&mut self, view: &View, now: Now) {
        let waits = self.writes.retry_at.is_some_and(|at| now.steady < at);
        if self.end.is_some() || self.writes.under_way.is_some() || waits {
            return;
        }
        self.writes.retry_at = None;
        let since = self.writes.ended_since;
        let waited = since.is_some_and(|since| now.steady >= since + LINGER);
        let with_ends = !self.writes.ended.is_empty() && (waited || !self.has_backlog(view));
        let claim = self.next_claim(with_ends, view);
        let retry_given_up =
            !self.writes.given_up.is_empty() && now.steady >= self.writes.retry_given_up_at;
        let writes = &self.writes;
        let others = !writes.returns.is_empty()
            || !view.starts.is_empty()
            || writes.rebase
            || writes.rules
            || writes.reconcile
            || self.shortages.lacking() != self.shortages.stored.as_ref()
            || retry_given_up;
        if !with_ends && !others && claim.is_none() {
            return;
        }
        let mut list: Vec<Write> = Vec::new();
        self.writes.ended_since = None;
        // Ends that could still wait join the batch too.
        for (ended, refused) in std::mem::take(&mut self.writes.ended) {
            let reserve =
                self.foreground_run() == Some(ended.claimed.run) && !self.stop.is_forced();
            list.push(Write::End {
                ended,
                reserve,
                refused,
            });
        }
        if retry_given_up {
            list.append(&mut self.writes.given_up);
        }
        for (run, fence, refused) in std::mem::take(&mut self.writes.returns) {
            list.push(Write::Return {
                run,
                fence,
                reserve: self.stays_reserved(run),
                refused,
            });
        }
        list.extend(view.starts.iter().map(|start| Write::Start(*start)));
        if std::mem::take(&mut self.writes.rebase) {
            list.push(Write::Rebase);
        }
        if std::mem::take(&mut self.writes.rules) {
            list.push(Write::Rules);
        }
        if std::mem::take(&mut self.writes.reconcile) {
            list.push(Write::GiveBackUnknown {
                known: self.held.keys().copied().collect(),
                reserve: self
                    .foreground_run()
                    .filter(|&run| self.stays_reserved(run)),
            });
        }
        let lacking = self.shortages.lacking();
        if lacking != self.shortages.stored.as_ref() {
            list.push(Write::Lacks(lacking.cloned()));
        }
        list.extend(claim.map(|claim| Write::Claim(Arc::new(claim))));
        let batch = Arc::new(Batch {
            worker: self.worker,
            catalogue: Arc::clone(&self.catalogue),
            writes: list,
        });
        self.writes.under_way = Some(Arc::clone(&batch));
        self.actions.push(Action::Submit(batch));
    }

    /// Whether a run that is given back stays reserved for this worker: the run of `jobctl run`, unless we stop.
    fn stays_reserved(&self, run: RunId) -> bool {
        self.stop == super::Stop::No && self.foreground_run() == Some(run)
    }

    pub(super) fn on_answers(&mut self, answers: Vec<Result<Answer>>, now: Now) {
        let Some(batch) = self.writes.under_way.take() else {
            return;
        };
        let mut noted = Vec::new();
        let mut failure = None;
        for (write, answer) in batch.writes.iter().zip(answers) {
            match answer {
                Ok(answer) => {
                    if let Write::Start(start) = write {
                        noted.push(start.fence);
                    } else {
                        self.on_stored(write, answer, now);
                    }
                }
                Err(error) => {
                    self.on_refused(write, &error, now);
                    failure = failure.or(Some(error));
                }
            }
        }
        if !noted.is_empty() {
            self.actions.push(Action::Noted(noted));
        }
        match failure {
            Some(error) => {
                self.on_store_error(&error);
                self.writes.retry_at = Some(now.steady + RETRY_WRITE);
            }
            None => self.trouble = None,
        }
    }

    fn on_stored(&mut self, write: &Write, answer: Answer, now: Now) {
        match (write, answer) {
            (Write::End { ended, .. }, answer) => self.on_end_stored(ended, answer),
            (Write::Return { fence, .. }, Answer::Unclaimed(outcome)) => {
                self.on_returned(*fence, outcome, now);
            }
            (Write::Rebase, Answer::Done { more }) => self.writes.rebase |= more,
            (Write::Rules, _) => self.on_rules_saved(),
            (Write::Lacks(lacking), _) => self.shortages.stored.clone_from(lacking),
            (Write::GiveBackUnknown { .. }, _) => {
                self.writes.reconcile_refused = 0;
                self.claiming.should_claim = true;
            }
            (Write::Claim(_), Answer::Claimed(answer)) => self.on_claimed(*answer, now),
            _ => {}
        }
    }

    fn on_end_stored(&mut self, ended: &Arc<EndedAttempt>, answer: Answer) {
        let written = match answer {
            Answer::Finished {
                finished,
                judged,
                verdict,
            } => Written {
                outcome: finished.outcome,
                meaning: Some((judged, verdict)),
                flow: finished.flow,
            },
            Answer::Unclaimed(outcome) => Written {
                outcome,
                meaning: None,
                flow: Vec::new(),
            },
            Answer::Claimed(_) | Answer::Done { .. } => return,
        };
        let outcome = written.outcome;
        self.held.remove(&ended.claimed.fence);
        self.actions.push(Action::Forget(ended.claimed.fence));
        self.claiming.should_claim |= outcome == Outcome::Moved(State::Waiting)
            || self.foreground_run() == Some(ended.claimed.run);
        self.actions
            .push(Action::LogEnd(Arc::clone(ended), written));
    }

    /// Puts the intent of a failed write back to where it was.
    fn on_refused(&mut self, write: &Write, error: &Error, now: Now) {
        // A full disk or a busy store is temporary and does not count, except during a forced stop.
        let counts = u32::from(error.kind == Kind::Bug || self.stop.is_forced());
        match write {
            Write::End { refused, .. } | Write::Return { refused, .. }
                if refused + counts >= REFUSED_MAX =>
            {
                self.give_up(write, error, now);
            }
            Write::End { ended, refused, .. } => {
                let ended = Arc::clone(ended);
                self.writes.ended.push((ended, refused + counts));
                self.writes.ended_since.get_or_insert(now.steady);
            }
            Write::Return {
                run,
                fence,
                refused,
                ..
            } => {
                let entry = (*run, *fence, refused + counts);
                self.writes.returns.push(entry);
            }
            // The slots and the shortages still report these as not stored.
            Write::Start(_) | Write::Lacks(_) => {}
            Write::Rebase => self.writes.rebase = true,
            Write::Rules => self.on_rules_refused(error),
            Write::GiveBackUnknown { .. } => {
                self.writes.reconcile_refused += counts;
                self.writes.reconcile = self.writes.reconcile_refused < REFUSED_MAX;
            }
            Write::Claim(_) => self.on_claim_refused(error),
        }
    }

    /// Leaves the run to recovery, which reads the start mark. Until then the write is retried every 10 s.
    fn give_up(&mut self, write: &Write, error: &Error, now: Now) {
        let (again, refused) = match write {
            Write::End {
                ended,
                reserve,
                refused,
            } => {
                let again = Write::End {
                    ended: Arc::clone(ended),
                    reserve: *reserve,
                    refused: REFUSED_MAX,
                };
                (again, *refused)
            }
            Write::Return {
                run,
                fence,
                refused,
                ..
            } => {
                let again = Write::Return {
                    run: *run,
                    fence: *fence,
                    reserve: false,
                    refused: REFUSED_MAX,
                };
                (again, *refused)
            }
            _ => return,
        };
        if let (Some(run), true) = (again.run(), refused < REFUSED_MAX) {
            let error = error.message.clone().into();
            self.log(LogEvent::RunGivenUp { run, error });
        }
        self.writes.given_up.push(again);
        self.writes.retry_given_up_at = now.steady + RETRY_GIVEN_UP;
    }
}
