//! The parameters of a worker's claim, and the answers of the store to the orders of a worker.

use std::collections::HashSet;
use std::sync::Arc;

use crate::policy::{Judged, Verdict};
use crate::run::{RunId, WorkerId};

use super::claims::{Claims, Finished, Handover, Outcome, ServedQueue};
use super::deaths::Burial;

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

/// The answer to an order that is stored.
#[derive(Debug)]
pub enum Answer {
    /// The attempt has ended, unless the claim was no longer valid.
    Finished {
        /// The stored end.
        finished: Finished,
        /// The class of the attempt.
        judged: Judged,
        /// The verdict. A cancel that was requested meanwhile overrides every verdict but success; see `finished` for the result.
        verdict: Verdict,
    },
    /// The claim was given back, unless it was no longer valid.
    Unclaimed(Outcome),
    /// Runs were claimed, or none could be.
    Claimed(Box<ClaimAnswer>),
    /// Any other write is stored.
    Done {
        /// The write is not complete; the order must be repeated.
        more: bool,
    },
}

impl Answer {
    /// The deaths of runs that the order stored.
    pub fn burials(&self) -> &[Burial] {
        match self {
            Self::Finished { finished, .. } => finished.burial.as_slice(),
            Self::Claimed(answer) => &answer.claims.buried,
            Self::Unclaimed(_) | Self::Done { .. } => &[],
        }
    }
}

/// The result of a claim.
#[derive(Debug, Default)]
pub struct ClaimAnswer {
    /// The claimed and the buried runs, and a summary of those passed over.
    pub claims: Claims,
    /// When the next run becomes due, milliseconds UTC; `None` if another claim follows at once.
    pub next_due_ms: Option<i64>,
    /// The state of the run of `jobctl run`.
    pub foreground: Option<ForegroundRun>,
}

/// The run of `jobctl run`, after a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForegroundRun {
    /// Whether it was an existing run that any worker could claim, and that this claim reserved for this worker.
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
