//! What a worker stores in one transaction, as plain values, and how each of them is written.
//!
//! Rule: each write stands in a savepoint of its own, so one that is refused costs the others nothing.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::catalogue::Catalogue;
use crate::error::Result;
use crate::recovery::follow_up;
use crate::run::{Fence, RunId, State, WorkerId};
use crate::store::{
    ClaimRequest, Claims, Handover, Lacking, Outcome, ServedQueue, Start, Turns, Tx,
};

use super::ended::{Ended, Written};

/// Writes that share a transaction.
#[derive(Debug)]
pub struct Batch {
    /// Who writes.
    pub worker: WorkerId,
    /// Its catalogue.
    pub catalogue: Arc<Catalogue>,
    /// In this order.
    pub writes: Vec<Write>,
}

/// One write.
#[derive(Debug)]
pub enum Write {
    /// The end of an attempt.
    End {
        /// How it ended.
        ended: Arc<Ended>,
        /// Whether its run stays ours where it goes back to waiting.
        keep: bool,
        /// How often this was refused.
        refused: u32,
    },
    /// A claim is given back unstarted.
    Return {
        /// Its run.
        run: RunId,
        /// The claim.
        fence: Fence,
        /// Whether the run stays ours.
        keep: bool,
        /// How often this was refused.
        refused: u32,
    },
    /// An attempt has started.
    Start(Start),
    /// Relative delays that began later than now begin now.
    Rebase,
    /// The rules of the catalogue come into force.
    Rules,
    /// What the host lacks to start runs is noted for those who ask.
    Lacks(Option<Lacking>),
    /// What is ours by the store and not among these claims is given back unstarted.
    GiveBackUnknown {
        /// Every claim that the worker knows of.
        known: HashSet<Fence>,
        /// The run that stays ours.
        keep: Option<RunId>,
    },
    /// Runs are claimed.
    Claim(ClaimOrder),
}

/// What a claim asks for.
#[derive(Debug)]
pub struct ClaimOrder {
    /// Queues that are served.
    pub queues: Arc<Vec<ServedQueue>>,
    /// At most so many runs, ..
    pub max: usize,
    /// .. of which those beyond this number must be short.
    pub free: usize,
    /// Jobs whose runs are short.
    pub short: Arc<HashSet<String>>,
    /// Jobs whose runs cannot be started for now.
    pub held_back: HashSet<String>,
    /// This run and no other.
    pub only: Option<Only>,
}

/// The one run that a worker works, and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// `run JOB`: the worker keeps it until it has ended.
    Kept(RunId),
    /// One attempt of a run that another worker has claimed for this one; then the run is everybody's.
    HandedOver(Handover),
}

impl Only {
    /// Which run.
    pub fn run(&self) -> RunId {
        match self {
            Only::Kept(run) | Only::HandedOver(Handover { run, .. }) => *run,
        }
    }
}

/// What a write came to.
#[derive(Debug)]
pub enum Done {
    /// The end is stored, or the claim was no longer ours.
    Ended(Written),
    /// The claim is given back, or was no longer ours.
    Returned(Outcome),
    /// The start is noted.
    Noted,
    /// Delays were rebased.
    Rebased {
        /// Not all of them: once more.
        more: bool,
    },
    /// The rules are in force.
    RulesSaved,
    /// What the host lacks is noted.
    LacksNoted,
    /// What was unknown is given back.
    GaveBack,
    /// What was claimed.
    Claimed(Box<ClaimAnswer>),
}

/// The answer to a claim.
#[derive(Debug, Default)]
pub struct ClaimAnswer {
    /// What was claimed.
    pub claims: Claims,
    /// When the next run becomes due, milliseconds UTC; unknown where another claim follows anyway.
    pub next_due_ms: Option<i64>,
    /// The run of the foreground.
    pub foreground: Option<Foreground>,
}

/// What a claim says of the run of the foreground.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreground {
    /// It was a duplicate that waited for anybody, until now.
    pub adopted: bool,
    /// Where it is now.
    pub place: Place,
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It waits for us.
    Ours {
        /// When it becomes due, milliseconds UTC.
        due_ms: i64,
    },
    /// It runs.
    Runs(Option<WorkerId>),
    /// It waits for another `jobctl run`.
    Kept(WorkerId),
    /// It has ended, or is gone.
    Over,
}

impl Place {
    /// Who else works it.
    pub fn elsewhere(self, own: WorkerId) -> Option<WorkerId> {
        match self {
            Self::Runs(worker) => worker.filter(|&it| it != own),
            Self::Kept(worker) => Some(worker),
            Self::Ours { .. } | Self::Over => None,
        }
    }
}

impl Write {
    /// Does it within a transaction.
    pub fn perform(
        &self,
        tx: &mut Tx<'_>,
        batch: &Batch,
        turns: &Mutex<Turns>,
        now_ms: i64,
    ) -> Result<Done> {
        let (worker, catalogue) = (batch.worker, &batch.catalogue);
        match self {
            Write::End { ended, keep, .. } => ended
                .write(tx, worker, catalogue, *keep, now_ms)
                .map(Done::Ended),
            Write::Return {
                run, fence, keep, ..
            } => give_back(tx, worker, *run, *fence, *keep).map(Done::Returned),
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
            Write::GiveBackUnknown { known, keep } => {
                for (run, fence, _) in tx.held_by(worker)? {
                    if !known.contains(&fence) {
                        give_back(tx, worker, run, fence, *keep == Some(run))?;
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

    /// The run that it is about, where it is about one.
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
    keep: bool,
) -> Result<Outcome> {
    let outcome = tx.unclaim(run, fence)?;
    if keep && outcome == Outcome::Moved(State::Waiting) {
        tx.reserve_for(run, worker)?;
    }
    Ok(outcome)
}

/// What follows the death of runs that nobody can work.
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
            Some(Only::Kept(run)) => {
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
        // Whoever claims again at once needs to know no time.
        Ok(ClaimAnswer {
            next_due_ms: if claims.full { None } else { tx.next_due()? },
            claims,
            foreground: None,
        })
    }
}

/// The run of the foreground. A duplicate that waits for anybody is ours from now on: without a worker nobody else would start it.
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
    let place = match tx.run_location(run)? {
        Some((State::Waiting, due_ms, Some(by))) if by == request.worker => Place::Ours { due_ms },
        Some((State::Waiting, _, Some(by))) => Place::Kept(by),
        Some((State::Running, _, by)) => Place::Runs(by),
        Some(_) | None => Place::Over,
    };
    Ok(ClaimAnswer {
        claims,
        next_due_ms: None,
        foreground: Some(Foreground { adopted, place }),
    })
}
