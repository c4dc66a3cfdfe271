//! The acts of operators on runs, jobs, queues, limits, periods and workers, as functions of plain values that any front end can call.
//!
//! Rule: no clock, no text about commands, and no output. The operator, the reason and the time are parameters; a refusal is a value
//! with the facts that its message needs. Each function writes in one transaction, except [`OnRuns`], which writes in slices.

mod names;
mod pauses;
mod periods;
mod runs;
mod settings;
#[cfg(test)]
mod tests;
mod workers;

pub use names::{ReadCatalogue, check_job, check_limit, check_queue, flow};
pub use pauses::{
    ResumedJob, ResumedQueue, pause_job, pause_limit, pause_queue, reset_limit, resume_job,
    resume_limit, resume_queue,
};
pub use periods::run_period;
pub use runs::{CurrentState, OnRuns, RunAct, RunAnswer, RunDone, RunRefusal, SLICE, dead_runs};
pub use settings::{BadSetting, CATALOGUE, Changes};
pub use workers::{StopAnswer, living_workers, stop_worker};

use crate::error::Error;
use crate::flow::Subject;

/// Why an act on a named job, queue or limit was not performed; nothing was changed.
#[derive(Debug, Clone)]
pub enum ActError {
    /// Neither the store nor the catalogue's file has this name.
    Unknown {
        /// The subject with the unknown name.
        subject: Subject,
        /// All existing names of this kind.
        known: Vec<String>,
    },
    /// The store failed, or refused.
    Failed(Error),
}

impl From<Error> for ActError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
