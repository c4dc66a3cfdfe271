//! Deaths: of a worker, with what is known of its runs, and of a run.

use std::collections::HashMap;

use crate::run::{Fence, Reason, RunId, WorkerId};

/// The known cause of a worker's death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Perhaps one of its runs ended it.
    Unknown,
    /// The host was rebooted; then every claimed run counts as started.
    Reboot,
    /// Its parent process was stopping it: a stop that took too long, or a watchdog.
    Parent,
}

impl Cause {
    /// The words for the log.
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
    /// Whether the death with a single started run proves that the run is the cause. Not if the parent worker died too: something
    /// else may have ended both.
    pub proves: bool,
    /// Start marks: start time in milliseconds, by (run, fence).
    pub started: HashMap<(RunId, Fence), i64>,
    /// Runs that must stay claimed because some of their processes cannot be ended.
    pub blocked: Vec<RunId>,
}

/// The death of a run.
#[derive(Debug, Clone)]
pub struct Burial {
    /// The run.
    pub run: RunId,
    /// Its job.
    pub job: String,
    /// Reason, as free text.
    pub reason: Reason,
}

/// What recovery did with the runs of a dead worker.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Not started; waiting again.
    pub unclaimed: u32,
    /// Started; waiting again.
    pub lost: u32,
    /// Started; dead, because they must not run again.
    pub buried: Vec<Burial>,
}
