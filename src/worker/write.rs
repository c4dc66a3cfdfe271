//! Performs the writes of a batch within its transaction.
//!
//! Rule: each write has its own savepoint, so a write that fails does not affect the others.

use std::sync::{Mutex, PoisonError};

use crate::catalogue::Catalogue;
use crate::error::Result;
use crate::recovery::follow_up;
use crate::run::{Fence, RunId, State, WorkerId};
use crate::store::{ClaimRequest, Claims, Outcome, Turns, Tx};

use super::batch::{Batch, ClaimAnswer, ClaimOrder, Done, ForegroundRun, Only, RunLocation, Write};

impl Write {
    /// Performs the write within a transaction.
    pub fn perform(
        &self,
        tx: &mut Tx<'_>,
        batch: &Batch,
        turns: &Mutex<Turns>,
        now_ms: i64,
    ) -> Result<Done> {
        let (worker, catalogue) = (batch.worker, &batch.catalogue);
        match self {
            Write::End { ended, reserve, .. } => ended
                .write(tx, worker, catalogue, *reserve, now_ms)
                .map(Done::Ended),
            Write::Return {
                run,
                fence,
                reserve,
                ..
            } => give_back(tx, worker, *run, *fence, *reserve).map(Done::Returned),
            Write::Start(start) => tx.note_start(worker, start).map(|_| Done::Noted),
            Write::Rebase => {
                let more = tx.rebase_relative_delays(now_ms)?;
                Ok(Done::Rebased { more })
            }
            Write::Rules => {
                tx.apply_catalogue(catalogue, now_ms)?;
                Ok(Done::RulesSaved)
            }
            Write::Lacks(lacking) => {
                tx.note_lacking(worker, lacking.as_ref())?;
                Ok(Done::LacksNoted)
            }
            Write::GiveBackUnknown { known, reserve } => {
                for (run, fence, _) in tx.held_by(worker)? {
                    if !known.contains(&fence) {
                        give_back(tx, worker, run, fence, *reserve == Some(run))?;
                    }
                }
                Ok(Done::GaveBack)
            }
            Write::Claim(order) => {
                let answer = order.claim(tx, batch, turns, now_ms)?;
                Ok(Done::Claimed(Box::new(answer)))
            }
        }
    }
}

/// Gives a claim back whose command was not started.
fn give_back(
    tx: &mut Tx<'_>,
    worker: WorkerId,
    run: RunId,
    fence: Fence,
    reserve: bool,
) -> Result<Outcome> {
    let outcome = tx.unclaim(run, fence)?;
    if reserve && outcome == Outcome::Moved(State::Waiting) {
        tx.reserve_for(run, worker)?;
    }
    Ok(outcome)
}

/// Enqueues the follow-up runs of claims that were buried because no worker can run them.
fn bury(tx: &mut Tx<'_>, claims: &Claims, catalogue: &Catalogue, now_ms: i64) -> Result<()> {
    let mut buried = claims.buried.iter();
    buried.try_for_each(|burial| follow_up(tx, burial, catalogue, now_ms))
}

impl ClaimOrder {
    fn claim(
        &self,
        tx: &mut Tx<'_>,
        batch: &Batch,
        turns: &Mutex<Turns>,
        now_ms: i64,
    ) -> Result<ClaimAnswer> {
        let catalogue = &batch.catalogue;
        let request = ClaimRequest {
            worker: batch.worker,
            queues: &self.queues,
            knows: &|job| catalogue.jobs.contains_key(job) && !self.held_back.contains(job),
            terms: &|job| catalogue.terms(job),
            known_after: &|job| catalogue.job_after(job).map(str::to_owned),
            max: self.max,
            free: self.free,
            is_short: &|job| self.short.contains(job),
        };
        match &self.only {
            Some(Only::Foreground(run)) => {
                return claim_foreground(tx, *run, &request, catalogue, now_ms);
            }
            Some(Only::HandedOver(from)) => {
                return Ok(ClaimAnswer {
                    claims: tx.take_over(from, &request, now_ms)?,
                    ..ClaimAnswer::default()
                });
            }
            None => {}
        }
        let more = tx.promote(now_ms)?;
        let burials = tx.expire(now_ms)?;
        for burial in &burials {
            follow_up(tx, burial, catalogue, now_ms)?;
        }
        let mut turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
        let mut claims = tx.claim(&request, &mut turns, now_ms)?;
        claims.full |= more || !burials.is_empty();
        bury(tx, &claims, catalogue, now_ms)?;
        // If another claim follows at once, the next due time is not needed.
        Ok(ClaimAnswer {
            next_due_ms: if claims.full { None } else { tx.next_due()? },
            claims,
            foreground: None,
        })
    }
}

/// Claims the run of `jobctl run`. A duplicate that is reserved for no worker is reserved for this one: perhaps no other worker runs.
fn claim_foreground(
    tx: &mut Tx<'_>,
    run: RunId,
    request: &ClaimRequest<'_>,
    catalogue: &Catalogue,
    now_ms: i64,
) -> Result<ClaimAnswer> {
    let adopted = matches!(tx.run_location(run)?, Some((State::Waiting, _, None)));
    if adopted {
        tx.reserve_for(run, request.worker)?;
    }
    if let Some(burial) = tx.expire_reserved(run, request.worker, now_ms)? {
        follow_up(tx, &burial, catalogue, now_ms)?;
    }
    let claims = tx.claim_reserved(run, request, now_ms)?;
    bury(tx, &claims, catalogue, now_ms)?;
    let location = match tx.run_location(run)? {
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
