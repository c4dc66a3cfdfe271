//! Deaths: of a worker, with what is known of its runs, and of a run.

use std::collections::HashMap;

use crate::run::{Fence, Reason, RunId, WorkerId};

/// Why a worker died, as far as anybody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Perhaps one of its runs ended it.
    Unknown,
    /// The host was booted since: then every claimed run counts as started.
    Reboot,
    /// Whoever started it was ending it: a stop that took too long, a watchdog.
    Parent,
}

impl Cause {
    /// As it stands in the log.
    pub fn word(self) -> &'static str {
        match self {
            Cause::Unknown => "unknown",
            Cause::Reboot => "reboot",
            Cause::Parent => "parent",
        }
    }
}

/// What is known of a dead worker.
#[derive(Debug, Clone)]
pub struct Death {
    /// Which worker.
    pub worker: WorkerId,
    /// Why; only an unknown cause counts as a crash.
    pub cause: Cause,
    /// Whether the death of this worker with one started run proves that this run ends workers. Not where the worker that started it
    /// died too: something else may have ended both.
    pub proves: bool,
    /// Start marks: (run, fence) and when, milliseconds.
    pub started: HashMap<(RunId, Fence), i64>,
    /// Runs that must stay claimed because something of them cannot be ended.
    pub blocked: Vec<RunId>,
}

/// Why and how a run goes to the dead-letter table.
#[derive(Debug, Clone)]
pub struct Burial {
    /// The run.
    pub run: RunId,
    /// Its job.
    pub job: String,
    /// Why.
    pub reason: Reason,
}

/// What became of the runs of a dead worker.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Not started; given back.
    pub unclaimed: u32,
    /// Started; will run again.
    pub lost: u32,
    /// Started and not to be run again.
    pub buried: Vec<Burial>,
}
