//! The writes of a worker in one transaction, as plain values; `write` turns them into orders of the store.

use std::collections::HashSet;
use std::sync::Arc;

use crate::catalogue::Catalogue;
use crate::records::{ClaimOrder, EndedAttempt, Lacking, Start};
use crate::run::{Fence, RunId, WorkerId};

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
    Claim(Arc<ClaimOrder>),
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
