//! Orders: the writes of a worker as data, so that a store may perform many of one kind at once.
//!
//! Rule: an order is stored completely or not at all, together with its follow-up; a failed order does not affect the others of its
//! group. No SQL here: an order is composed of verbs.

use std::sync::Arc;

use super::{Store, Turns, Tx};
use crate::catalogue::Catalogue;
use crate::error::Result;
use crate::records::{
    Answer, ClaimAnswer, ClaimOrder, ClaimRequest, EndedAttempt, ForegroundRun, Holder, Only,
    Outcome, RunLocation, Start,
};
use crate::run::{Fence, RunId, State, WorkerId};

/// One write of a group.
pub enum Order {
    /// End an attempt. The verdict is decided when the order is performed, because delays begin then.
    Finish {
        /// The attempt.
        ended: Arc<EndedAttempt>,
        /// The worker of the attempt.
        worker: WorkerId,
        /// Whether the run stays reserved for that worker if it goes back to waiting.
        reserve: bool,
    },
    /// Record that an attempt of this worker has started.
    NoteStart(WorkerId, Start),
    /// Give back a claim whose command was not started.
    Unclaim {
        /// Its run.
        run: RunId,
        /// The claim.
        fence: Fence,
        /// The worker for which the run stays reserved.
        reserve_for: Option<WorkerId>,
    },
    /// Claim runs.
    Claim {
        /// The worker that claims.
        worker: WorkerId,
        /// Its catalogue.
        catalogue: Arc<Catalogue>,
        /// The parameters of the claim.
        claim: Arc<ClaimOrder>,
    },
    /// Any other write.
    Other(Other),
}

/// Any write off the hot path; the closure gets the present time, milliseconds.
type Other = Box<dyn FnOnce(&mut Tx<'_>, i64) -> Result<Answer> + Send>;

/// Writes that follow from an answer, such as the `on_dead` runs of dead runs. Its parameters are the place of the order in its group,
/// the answer, and the present time in milliseconds. If it fails, so does the order.
pub type Then<'a> = dyn FnMut(&mut Tx<'_>, usize, &Answer, i64) -> Result<()> + 'a;

impl Order {
    /// Any other write; the closure gets the present time, milliseconds.
    pub fn other(write: impl FnOnce(&mut Tx<'_>, i64) -> Result<Answer> + Send + 'static) -> Self {
        Self::Other(Box::new(write))
    }
}

impl Store {
    /// Performs orders one after another in one transaction. `turns` are those of the claiming worker; `clock` is read once, when the
    /// transaction has begun. Returns one answer for each order, in the same order; they are durable once this returns.
    pub fn perform(
        &mut self,
        orders: Vec<Order>,
        turns: &mut Turns,
        clock: &dyn Fn() -> i64,
        then: &mut Then<'_>,
    ) -> Vec<Result<Answer>> {
        let mut now_ms = None;
        let orders = orders.into_iter().enumerate().collect();
        self.write_group(orders, |tx, (place, order)| {
            let now_ms = *now_ms.get_or_insert_with(clock);
            let answer = tx.perform(order, turns, now_ms)?;
            then(tx, place, &answer, now_ms)?;
            Ok(answer)
        })
    }
}

impl Tx<'_> {
    fn perform(&mut self, order: Order, turns: &mut Turns, now_ms: i64) -> Result<Answer> {
        match order {
            Order::Finish {
                ended,
                worker,
                reserve,
            } => {
                let EndedAttempt {
                    claimed, report, ..
                } = &*ended;
                let holder = Holder {
                    run: claimed.run,
                    fence: claimed.fence,
                    worker,
                    attempt: claimed.attempt,
                };
                let (judged, verdict) = ended.decide(now_ms);
                let finished = self.finish(holder, report, &judged, verdict, reserve, now_ms)?;
                Ok(Answer::Finished {
                    finished,
                    judged,
                    verdict,
                })
            }
            Order::NoteStart(worker, start) => {
                self.note_start(worker, &start)?;
                Ok(Answer::Done { more: false })
            }
            Order::Unclaim {
                run,
                fence,
                reserve_for,
            } => {
                let outcome = self.give_back(run, fence, reserve_for)?;
                Ok(Answer::Unclaimed(outcome))
            }
            Order::Claim {
                worker,
                catalogue,
                claim,
            } => {
                let answer = self.claim_as_ordered(worker, &catalogue, &claim, turns, now_ms)?;
                Ok(Answer::Claimed(Box::new(answer)))
            }
            Order::Other(write) => write(self, now_ms),
        }
    }

    /// Gives back a claim whose command was not started, and reserves its run for a worker if one is given.
    pub fn give_back(
        &mut self,
        run: RunId,
        fence: Fence,
        reserve_for: Option<WorkerId>,
    ) -> Result<Outcome> {
        let outcome = self.unclaim(run, fence)?;
        if let (Some(worker), Outcome::Moved(State::Waiting)) = (reserve_for, outcome) {
            self.reserve_for(run, worker)?;
        }
        Ok(outcome)
    }

    fn claim_as_ordered(
        &mut self,
        worker: WorkerId,
        catalogue: &Catalogue,
        claim: &ClaimOrder,
        turns: &mut Turns,
        now_ms: i64,
    ) -> Result<ClaimAnswer> {
        let request = ClaimRequest {
            worker,
            queues: &claim.queues,
            knows: &|job| catalogue.jobs.contains_key(job) && !claim.held_back.contains(job),
            terms: &|job| catalogue.terms(job),
            known_after: &|job| catalogue.job_after(job).map(str::to_owned),
            max: claim.max,
            free: claim.free,
            is_short: &|job| claim.short.contains(job),
        };
        match &claim.only {
            Some(Only::Foreground(run)) => self.claim_foreground(*run, &request, now_ms),
            Some(Only::HandedOver(from)) => Ok(ClaimAnswer {
                claims: self.take_over(from, &request, now_ms)?,
                ..ClaimAnswer::default()
            }),
            None => self.claim_any(&request, turns, now_ms),
        }
    }

    fn claim_any(
        &mut self,
        request: &ClaimRequest<'_>,
        turns: &mut Turns,
        now_ms: i64,
    ) -> Result<ClaimAnswer> {
        let more = self.promote(now_ms)?;
        let expired = self.expire(now_ms)?;
        let mut claims = self.claim(request, turns, now_ms)?;
        claims.buried.extend(expired);
        // The worker claims again at once, also to find the `on_dead` runs of buried runs; then it does not need the next due time.
        claims.full |= more || !claims.buried.is_empty();
        Ok(ClaimAnswer {
            next_due_ms: if claims.full { None } else { self.next_due()? },
            claims,
            foreground: None,
        })
    }

    /// Claims the run of `jobctl run`. An existing run that is not reserved yet is reserved for this worker: perhaps no other worker
    /// runs.
    fn claim_foreground(
        &mut self,
        run: RunId,
        request: &ClaimRequest<'_>,
        now_ms: i64,
    ) -> Result<ClaimAnswer> {
        let adopted = matches!(self.run_location(run)?, Some((State::Waiting, _, None)));
        if adopted {
            self.reserve_for(run, request.worker)?;
        }
        let expired = self.expire_reserved(run, request.worker, now_ms)?;
        let mut claims = self.claim_reserved(run, request, now_ms)?;
        claims.buried.extend(expired);
        let location = match self.run_location(run)? {
            Some((State::Waiting, due_ms, Some(by))) if by == request.worker => {
                RunLocation::ReservedHere { due_ms }
            }
            Some((State::Waiting, _, Some(by))) => RunLocation::ReservedFor(by),
            Some((State::Running, _, by)) => RunLocation::Running(by),
            Some(_) | None => RunLocation::Ended,
        };
        Ok(ClaimAnswer {
            claims,
            next_due_ms: None,
            foreground: Some(ForegroundRun { adopted, location }),
        })
    }
}
