//! What readers of the store get: runs, attempts, dead letters, queues, and what they may ask for.
//!
//! Rule: plain data as it is stored; how it looks is decided in `document` and `cli`.

use crate::run::{Guarantee, Reason, RunId, RunPeriod, Shown, State, Trigger, WorkerId};

/// A run, as lists show it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// Its id.
    pub run: RunId,
    /// Job of the catalogue.
    pub job: String,
    /// Queue that it waits in.
    pub queue: String,
    /// Unit of fairness; empty for none.
    pub tenant: String,
    /// Order inside the queue, smaller first.
    pub priority: i64,
    /// Stored state.
    pub state: State,
    /// What the operator reads.
    pub shown: Shown,
    /// Starts.
    pub attempts: i64,
    /// Bad endings.
    pub failures: i64,
    /// Failures that make it dead.
    pub max_attempts: i64,
    /// Deaths of its workers.
    pub crashes: i64,
    /// Times that a stopping worker gave it back.
    pub releases: i64,
    /// Times, milliseconds.
    pub created_ms: i64,
    /// Earliest start.
    pub due_ms: i64,
    /// First start.
    pub started_ms: Option<i64>,
    /// End of the run.
    pub ended_ms: Option<i64>,
    /// Latest useful start.
    pub deadline_ms: Option<i64>,
    /// When a cancel was requested, and by whom.
    pub cancel_ms: Option<i64>,
    /// See `cancel_ms`.
    pub cancel_by: Option<String>,
    /// Who runs it, or keeps it.
    pub worker: Option<WorkerId>,
    /// Why it is dead or cancelled.
    pub reason: Option<String>,
    /// Error of the last attempt that ended badly.
    pub last_error: Option<String>,
    /// Exit code of the last attempt.
    pub exit_code: Option<i64>,
    /// Refuses equal enqueues for a time.
    pub dedup_key: Option<String>,
    /// Joins it with what the caller was doing.
    pub correlation_id: Option<String>,
    /// The caller's own name for its subject.
    pub business_key: Option<String>,
    /// Who asked for it.
    pub initiator: Option<String>,
    /// The period of a schedule that it works.
    pub period: Option<RunPeriod>,
    /// Runs of its job with this key run one after another.
    pub sequence_key: Option<String>,
}

/// A run with all that is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunDetail {
    /// The run.
    pub row: RunRow,
    /// How often its command may be started.
    pub guarantee: Guarantee,
    /// What created it.
    pub trigger: Trigger,
    /// The run that caused this one.
    pub parent: Option<RunId>,
    /// W3C trace context of the caller.
    pub traceparent: Option<String>,
    /// Stable over attempts.
    pub idempotency_key: [u8; 16],
    /// JSON object of strings.
    pub params: Option<String>,
    /// Bytes of the payload, if there is one.
    pub payload_bytes: Option<i64>,
    /// JSON array of what the command left as results.
    pub results: Option<String>,
    /// The runs that have to end before it may start, and how they stand.
    pub waits_for: Vec<(RunId, State)>,
    /// All attempts in their order.
    pub attempts: Vec<AttemptRow>,
    /// All dead letters, the newest last.
    pub dead_letters: Vec<DeadLetter>,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRow {
    /// From 1.
    pub number: i64,
    /// Who started it.
    pub worker: WorkerId,
    /// Start, milliseconds.
    pub started_ms: i64,
    /// End; `None` while it runs.
    pub ended_ms: Option<i64>,
    /// [`crate::attempt::EndingKind`] in a word.
    pub ending: Option<String>,
    /// Exit code, where there was one.
    pub exit_code: Option<i64>,
    /// Signal that ended it.
    pub signal: Option<i64>,
    /// [`crate::attempt::Class`] in a word.
    pub class: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// The last 4 KiB of its output.
    pub output_tail: Option<Vec<u8>>,
    /// Bytes printed in all.
    pub output_bytes: i64,
    /// Processes that outlived the command.
    pub leaked: i64,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// The dead run.
    pub run: RunId,
    /// Its job.
    pub job: String,
    /// Why it died.
    pub reason: Reason,
    /// The last error.
    pub error: Option<String>,
    /// Equal for deaths that look alike.
    pub fingerprint: String,
    /// Starts until then.
    pub attempts: i64,
    /// End of the output of the last attempt.
    pub output_tail: Option<Vec<u8>>,
    /// When, milliseconds.
    pub died_ms: i64,
    /// Who closed it, when and how: `retried` or `discarded`.
    pub closed: Option<Closed>,
}

/// How a dead letter was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// `retried` or `discarded`.
    pub how: String,
    /// Who did it.
    pub by: String,
    /// When, milliseconds.
    pub at_ms: i64,
}

/// Which runs to list, the newest first.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Shown as one of these; empty for all. `Ready`, `Delayed`, `Retrying`, `Blocked` together are `waiting`.
    pub shown: Vec<Shown>,
    /// Of this job.
    pub job: Option<String>,
    /// In this queue.
    pub queue: Option<String>,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Created then or later, milliseconds.
    pub since_ms: Option<i64>,
    /// Only runs with a smaller id: the page behind this run.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: i64,
}

/// Which open dead letters are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadFilter {
    /// Of this job.
    pub job: Option<String>,
    /// Dead for this reason.
    pub reason: Option<Reason>,
    /// Looking alike.
    pub fingerprint: Option<String>,
}

/// What the host lacks to start the runs of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// Which runs cannot be started, and why.
    pub words: String,
    /// When the worker tries again, milliseconds UTC.
    pub until_ms: i64,
}

/// A queue and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRow {
    /// Its name.
    pub queue: String,
    /// Smaller is served first; `None` where no catalogue was loaded that knows it.
    pub rank: Option<i64>,
    /// Runs that may start now.
    pub ready: i64,
    /// Runs that wait for their time.
    pub delayed: i64,
    /// Runs in the hands of workers.
    pub running: i64,
    /// For how long the oldest ready run has been due, milliseconds.
    pub oldest_ready_ms: Option<i64>,
    /// Some lanes were not looked at: another run may be due for longer.
    pub oldest_cut: bool,
}

impl QueueRow {
    /// A queue in which nothing is.
    pub fn empty(queue: String, rank: Option<i64>) -> Self {
        Self {
            queue,
            rank,
            ready: 0,
            delayed: 0,
            running: 0,
            oldest_ready_ms: None,
            oldest_cut: false,
        }
    }

    /// Runs that wait, whatever for.
    pub fn waiting(&self) -> i64 {
        self.ready.saturating_add(self.delayed)
    }

    /// Sorts by rank, queues without one last, and by name.
    pub fn place(&self) -> (i64, String) {
        (self.rank.unwrap_or(i64::MAX), self.queue.clone())
    }
}

/// A paused job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Which job.
    pub job: String,
    /// Since when, milliseconds.
    pub paused_ms: i64,
    /// Who did it.
    pub paused_by: String,
    /// Why.
    pub reason: Option<String>,
    /// When it ends by itself, milliseconds.
    pub until_ms: Option<i64>,
}

/// What an operator did to a queue, a limit or a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActRow {
    /// `queue`, `limit` or `job`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What was done: `pause`, `resume`, `open`, `close`, or a setting.
    pub what: String,
    /// When, milliseconds.
    pub at_ms: i64,
    /// Who did it.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// Until when it was to hold, milliseconds.
    pub until_ms: Option<i64>,
}

/// What an operator's request about one run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// The run is now in this state.
    Moved(State),
    /// The run is running; its worker stops it.
    Requested,
    /// The open dead letter was closed; the run stays dead.
    Discarded,
    /// The state of the run forbids it; nothing was changed.
    Forbidden(State),
    /// The run has no open dead letter; nothing was changed.
    NoDeadLetter(State),
    /// There is no such run.
    Unknown,
}

/// Which ended runs are removed. Those with an open dead letter or a dedup key that still refuses enqueues always stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PruneRule {
    /// Those that ended before this, milliseconds.
    pub ended_before_ms: Option<i64>,
    /// Those with this id or a smaller one.
    pub upto: Option<RunId>,
}
