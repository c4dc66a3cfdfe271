//! What a worker stores in one transaction and the answers to it, as plain values; `write` performs it.

use std::collections::HashSet;
use std::sync::Arc;

use crate::catalogue::Catalogue;
use crate::records::{Claims, Handover, Lacking, Outcome, ServedQueue, Start};
use crate::run::{Fence, RunId, WorkerId};

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
    /// The run whose end or return this is.
    pub(super) fn run(&self) -> Option<RunId> {
        match self {
            Write::End { ended, .. } => Some(ended.claimed.run),
            Write::Return { run, .. } => Some(*run),
            _ => None,
        }
    }
}
