//! Advice about the next step as data, and texts that contain such advice.
//!
//! Rule: no commands here; each front end has its own words for an advice, as `cli/advice.rs` has commands.

use std::path::PathBuf;

use crate::run::{RunId, WorkerId};

/// An action that the reader of a message can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// Enqueue a run of some job.
    Enqueue,
    /// Enqueue a run of some job and execute it in the foreground.
    RunHere,
    /// Ask why a run does not start.
    WhyRun(RunId),
    /// Show the output of a run.
    ShowLogs(RunId),
    /// Follow the output of a run until it ends.
    FollowLogs(RunId),
    /// Wait until a run has ended and its processes are gone.
    WaitForRun(RunId),
    /// Cancel a run.
    CancelRun(RunId),
    /// Queue an ended run again.
    RetryRun(RunId),
    /// List the runs that have not ended.
    ListUnended,
    /// List the ready runs of this queue.
    ListReady(String),
    /// List the runs that failed, of this job or of all jobs.
    ListFailed(Option<String>),
    /// Show a dead letter.
    ShowDeadLetter(RunId),
    /// Queue a dead run again.
    RetryDeadLetter(RunId),
    /// Close a dead letter without a retry.
    DiscardDeadLetter(RunId),
    /// End the pause of this job.
    ResumeJob(String),
    /// End the pause of this limit.
    ResumeLimit(String),
    /// End the pause of this queue.
    ResumeQueue(String),
    /// Change the maximum of waiting runs of this queue.
    SetMaxWaiting(String),
    /// Start a worker for this queue, or for all queues.
    StartWorker(Option<String>),
    /// List the workers.
    ListWorkers,
    /// Declare a worker of another pid namespace dead.
    DeclareGone(WorkerId),
    /// Check the periods of this job for contradictions.
    AuditPeriods(String),
    /// Accept the clock after a jump.
    AcceptClock,
    /// Remove old ended runs.
    Prune,
    /// Migrate the store to the schema of this version.
    Migrate,
    /// Check the installation.
    Doctor,
    /// Check the catalogue in this file.
    CheckCatalogue(PathBuf),
    /// Do the same as this user: a name, or `#` and an id, quoted for a shell.
    AsUser(String),
}

/// A text that may contain advice, such as the hint of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Words(String),
    Advice(Advice),
}

impl Text {
    /// This text, followed by another one.
    #[must_use]
    pub fn and(mut self, more: impl Into<Self>) -> Self {
        self.parts.extend(more.into().parts);
        self
    }

    /// The whole text; `of_advice` returns the words for each advice.
    pub fn words(&self, of_advice: impl Fn(&Advice) -> String) -> String {
        let words = |part: &Part| match part {
            Part::Words(words) => words.clone(),
            Part::Advice(advice) => of_advice(advice),
        };
        self.parts.iter().map(words).collect()
    }

    /// The text if it contains no advice.
    pub fn plain(&self) -> Option<String> {
        let plain = self.parts.iter().map(|part| match part {
            Part::Words(words) => Some(words.as_str()),
            Part::Advice(_) => None,
        });
        plain.collect()
    }
}

impl From<&str> for Text {
    fn from(words: &str) -> Self {
        words.to_owned().into()
    }
}

impl From<String> for Text {
    fn from(words: String) -> Self {
        let parts = vec![Part::Words(words)];
        Self { parts }
    }
}

impl From<Advice> for Text {
    fn from(advice: Advice) -> Self {
        let parts = vec![Part::Advice(advice)];
        Self { parts }
    }
}
