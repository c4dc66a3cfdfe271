//! What a worker stores in one transaction and the answers to it, as plain values; `write` performs it.

use std::collections::HashSet;
use std::sync::Arc;

use crate::catalogue::Catalogue;
use crate::records::{Claims, Handover, Lacking, Outcome, ServedQueue, Start};
use crate::run::{Fence, RunId, WorkerId};

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
    /// The run that it is about, where it is about one.
    pub(super) fn run(&self) -> Option<RunId> {
        match self {
            Write::End { ended, .. } => Some(ended.claimed.run),
            Write::Return { run, .. } => Some(*run),
            _ => None,
        }
    }
}
