//! What the loop wants to be logged.

use std::sync::Arc;

use super::Stop;
use crate::error::Error;
use crate::run::{RunId, WorkerId};
use crate::worker::ended::{Ended, Written};

/// One thing to log.
#[derive(Debug)]
pub enum Note {
    /// The end of an attempt is stored.
    Stored(Arc<Ended>, Written),
    /// The store refuses the end of an attempt again and again; it is repeated rarely from now on.
    GivenUp {
        /// Whose end.
        run: RunId,
        /// Why it was refused last.
        error: Error,
    },
    /// Processes of an attempt live on after SIGKILL.
    Blocked {
        /// Whose attempt.
        run: RunId,
        /// The processes.
        pids: Vec<i32>,
    },
    /// A write or a read failed.
    StoreFailed(Error),
    /// An operator wants this run to end.
    CancelRequested {
        /// Which run.
        run: RunId,
    },
    /// What the foreground enqueued was waiting already: from now on it is worked here.
    DuplicateAdopted {
        /// Which run.
        run: RunId,
    },
    /// What the foreground enqueued is another worker's.
    DuplicateElsewhere {
        /// Which run.
        run: RunId,
        /// Who has it.
        worker: WorkerId,
    },
    /// A stop has begun or come further.
    Stopping(Stop),
    /// The path of our lock file names another file.
    LockTampered {
        /// Whose lock.
        worker: WorkerId,
    },
    /// The wall clock was set back.
    ClockSteppedBack {
        /// How far, milliseconds.
        by_ms: i64,
    },
    /// A catalogue was loaded.
    Loaded {
        /// Its jobs.
        jobs: usize,
    },
    /// A catalogue was loaded; its rules are not in force because the store refused them.
    RulesNotSaved(Error),
    /// They are, at last.
    RulesSaved,
    /// The catalogue cannot be loaded; the old one stays.
    Refused(Error),
}
