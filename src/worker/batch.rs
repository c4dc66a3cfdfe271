//! The writes that a worker stores in one transaction, as plain values, and how each is performed.
//!
//! Rule: each write has its own savepoint, so a write that fails does not affect the others.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::catalogue::Catalogue;
use crate::error::Result;
use crate::recovery::follow_up;
use crate::run::{Fence, RunId, State, WorkerId};
use crate::store::{
    ClaimRequest, Claims, Handover, Lacking, Outcome, ServedQueue, Start, Turns, Tx,
};

use super::ended::{EndedAttempt, Written};

/// Writes that share a transaction.
#[derive(Debug)]
pub struct Batch {
    /// The worker that writes.
    pub worker: WorkerId,
    /// The catalogue of that worker.
    pub catalogue: Arc<Catalogue>,
    /// Performed in this order.
    pub writes: Vec<Write>,
}

/// One write.
#[derive(Debug)]
pub enum Write {
    /// The end of an attempt.
    End {
        /// The attempt and how it ended.
        ended: Arc<EndedAttempt>,
        /// Whether its run stays reserved for this worker if it goes back to waiting.
        reserve: bool,
        /// How often this was refused.
        refused: u32,
    },
    /// A claim is given back unstarted.
    Return {
        /// Its run.
        run: RunId,
        /// The claim.
        fence: Fence,
        /// Whether the run stays reserved for this worker.
        reserve: bool,
        /// How often this was refused.
        refused: u32,
    },
    /// Store that an attempt has started.
    Start(Start),
    /// Restart relative delays whose start is in the future since the clock was set back.
    Rebase,
    /// Put the rules of the catalogue in force.
    Rules,
    /// Store which shortage keeps this worker from starting runs, for operators; `None` clears it.
    Lacks(Option<Lacking>),
    /// Give back, unstarted, each claim that the store has for this worker and that it does not know.
    GiveBackUnknown {
        /// Every claim that the worker knows.
        known: HashSet<Fence>,
        /// The run that stays reserved for this worker.
        reserve: Option<RunId>,
    },
    /// Claim runs.
    Claim(ClaimOrder),
}

/// The parameters of a claim.
#[derive(Debug)]
pub struct ClaimOrder {
    /// Queues to claim from.
    pub queues: Arc<Vec<ServedQueue>>,
    /// The most runs to claim.
    pub max: usize,
    /// Runs beyond this number must be of a short job.
    pub free: usize,
    /// Jobs whose runs may be claimed ahead of a free slot.
    pub short: Arc<HashSet<String>>,
    /// Jobs whose runs must not be claimed because the host lacks what their start needs.
    pub held_back: HashSet<String>,
    /// Claim this run and no other.
    pub only: Option<Only>,
}

/// The only run that a worker serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// `jobctl run`: the run is reserved for the worker until it has ended.
    Foreground(RunId),
    /// One attempt of a run that another worker claimed for this one; afterwards any worker may claim it.
    HandedOver(Handover),
}

impl Only {
    /// The run.
    pub fn run(&self) -> RunId {
        match self {
            Only::Foreground(run) | Only::HandedOver(Handover { run, .. }) => *run,
        }
    }
}

/// The result of a write.
#[derive(Debug)]
pub enum Done {
    /// The end is stored, unless the claim was no longer ours.
    Ended(Written),
    /// The claim is given back, unless it was no longer ours.
    Returned(Outcome),
    /// The start is stored.
    Noted,
    /// Delays were rebased.
    Rebased {
        /// Delays are left; the write must be repeated.
        more: bool,
    },
    /// The rules are in force.
    RulesSaved,
    /// The shortage is stored.
    LacksNoted,
    /// Unknown claims are given back.
    GaveBack,
    /// Runs were claimed, or none could be.
    Claimed(Box<ClaimAnswer>),
}

/// The result of a claim.
#[derive(Debug, Default)]
pub struct ClaimAnswer {
    /// The claimed runs, and what the claim passed over.
    pub claims: Claims,
    /// When the next run becomes due, milliseconds UTC; `None` if another claim follows at once.
    pub next_due_ms: Option<i64>,
    /// The state of the run of `jobctl run`.
    pub foreground: Option<ForegroundRun>,
}

/// The run of `jobctl run`, after a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForegroundRun {
    /// It was a duplicate that any worker could claim; this claim reserved it for this worker.
    pub adopted: bool,
    /// Where it is now.
    pub location: RunLocation,
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunLocation {
    /// It waits and is reserved for this worker.
    ReservedHere {
        /// When it becomes due, milliseconds UTC.
        due_ms: i64,
    },
    /// It runs at this worker.
    Running(Option<WorkerId>),
    /// It waits and is reserved for the worker of another `jobctl run`.
    ReservedFor(WorkerId),
    /// It has ended, or does not exist.
    Ended,
}

impl RunLocation {
    /// The worker that has it, if that is not `own`.
    pub fn other_worker(self, own: WorkerId) -> Option<WorkerId> {
        match self {
            Self::Running(worker) => worker.filter(|&it| it != own),
            Self::ReservedFor(worker) => Some(worker),
            Self::ReservedHere { .. } | Self::Ended => None,
        }
    }
}

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
                let more = tx.restart_waits(now_ms)?;
                Ok(Done::Rebased { more })
            }
            Write::Rules => {
                tx.keep_catalogue(catalogue, now_ms)?;
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

    /// The run whose end or return this is.
    pub(super) fn run(&self) -> Option<RunId> {
        match self {
            Write::End { ended, .. } => Some(ended.claimed.run),
            Write::Return { run, .. } => Some(*run),
            _ => None,
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
        tx.keep_for(run, worker)?;
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
            known_behind: &|job| catalogue.job_behind(job).map(str::to_owned),
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
    let adopted = matches!(tx.whereabouts(run)?, Some((State::Waiting, _, None)));
    if adopted {
        tx.keep_for(run, request.worker)?;
    }
    if let Some(burial) = tx.expire_kept(run, request.worker, now_ms)? {
        follow_up(tx, &burial, catalogue, now_ms)?;
    }
    let claims = tx.claim_kept(run, request, now_ms)?;
    bury(tx, &claims, catalogue, now_ms)?;
    let location = match tx.whereabouts(run)? {
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
