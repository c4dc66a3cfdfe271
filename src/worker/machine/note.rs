//! Log entries of the machine.

use std::sync::Arc;

use super::Stop;
use crate::error::Error;
use crate::flow::FlowEvent;
use crate::policy::{Judged, Verdict};
use crate::records::{EndedAttempt, Outcome};
use crate::run::{RunId, WorkerId};

/// One thing to log.
#[derive(Debug)]
pub enum Note {
    /// The end of an attempt is stored.
    Stored(Arc<EndedAttempt>, Written),
    /// The store refused the end of an attempt several times; from now on it is retried rarely.
    GivenUp {
        /// The run of the attempt.
        run: RunId,
        /// The last error.
        error: Error,
    },
    /// Processes of an attempt survived SIGKILL.
    Blocked {
        /// The run of the attempt.
        run: RunId,
        /// The surviving processes.
        pids: Vec<i32>,
    },
    /// A write or a read failed.
    StoreFailed(Error),
    /// An operator requested to cancel a running run.
    CancelRequested {
        /// The run.
        run: RunId,
    },
    /// The enqueue of `jobctl run` met a waiting duplicate, which is now reserved for this worker.
    DuplicateAdopted {
        /// The duplicate.
        run: RunId,
    },
    /// The enqueue of `jobctl run` met a duplicate that another worker has.
    DuplicateElsewhere {
        /// The duplicate.
        run: RunId,
        /// The worker that has it.
        worker: WorkerId,
    },
    /// A stop has begun or has reached its next stage.
    Stopping(Stop),
    /// The path of our lock file names another file.
    LockTampered {
        /// This worker.
        worker: WorkerId,
    },
    /// The wall clock was set back.
    ClockSteppedBack {
        /// How far, milliseconds.
        by_ms: i64,
    },
    /// A catalogue was loaded.
    Loaded {
        /// The number of its jobs.
        jobs: usize,
    },
    /// A catalogue was loaded, but the store refused its rules; the old rules stay in force.
    RulesNotSaved(Error),
    /// The rules that the store had refused are now in force.
    RulesSaved,
    /// The catalogue cannot be loaded; the old one stays in use.
    Refused(Error),
}

/// What was stored about the end of an attempt.
#[derive(Debug)]
pub struct Written {
    /// The state of the run afterwards.
    pub outcome: Outcome,
    /// The class and the verdict; `None` if the claim was given back.
    pub meaning: Option<(Judged, Verdict)>,
    /// Changes of limits and breakers.
    pub flow: Vec<FlowEvent>,
}
