//! Rows that the store returns: runs, attempts, dead letters, queues; and filters of queries.
//!
//! Rule: plain data as stored; `document` and `cli` decide how it is shown.

use super::labels::Labels;
use crate::run::{Guarantee, Reason, RunId, RunPeriod, Shown, State, Trigger, WorkerId};

/// A run, as lists show it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// Its id.
    pub run: RunId,
    /// Job of the catalogue.
    pub job: String,
    /// Queue.
    pub queue: String,
    /// Tenant; empty for none.
    pub tenant: String,
    /// Order inside the queue, smaller first.
    pub priority: i64,
    /// Stored state.
    pub state: State,
    /// State as operators see it, derived from the stored one.
    pub shown: Shown,
    /// Number of starts.
    pub attempts: i64,
    /// Number of failures.
    pub failures: i64,
    /// Number of failures after which the run is dead.
    pub max_attempts: i64,
    /// Number of deaths of its workers.
    pub crashes: i64,
    /// How often a stopping worker returned it.
    pub releases: i64,
    /// Creation, milliseconds.
    pub created_ms: i64,
    /// Earliest start, milliseconds.
    pub due_ms: i64,
    /// First start, milliseconds.
    pub started_ms: Option<i64>,
    /// End of the run, milliseconds.
    pub ended_ms: Option<i64>,
    /// Latest start, milliseconds.
    pub deadline_ms: Option<i64>,
    /// When a cancel was requested, milliseconds.
    pub cancel_ms: Option<i64>,
    /// Who requested the cancel.
    pub cancel_by: Option<String>,
    /// The worker that runs it, or for which it is reserved.
    pub worker: Option<WorkerId>,
    /// Why it is dead or cancelled.
    pub reason: Option<String>,
    /// Error of the last attempt that failed.
    pub last_error: Option<String>,
    /// Exit code of the last attempt.
    pub exit_code: Option<i64>,
    /// Dedup key.
    pub dedup_key: Option<String>,
    /// Labels that the caller gave it.
    pub labels: Labels,
    /// The period of its schedule, if a schedule created it.
    pub period: Option<RunPeriod>,
    /// Key of its sequence: runs of its job with the same key run one after another.
    pub sequence_key: Option<String>,
}

/// A run with all its details.
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
    /// The same for all attempts.
    pub idempotency_key: [u8; 16],
    /// JSON object of strings.
    pub params: Option<String>,
    /// Bytes of the payload, if there is one.
    pub payload_bytes: Option<i64>,
    /// JSON array of the results that the command reported.
    pub results: Option<String>,
    /// The runs that have to end before it may start, and their states.
    pub waits_for: Vec<(RunId, State)>,
    /// All attempts, in order.
    pub attempts: Vec<AttemptRow>,
    /// All dead letters, the newest last.
    pub dead_letters: Vec<DeadLetter>,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRow {
    /// Number of the attempt, from 1.
    pub number: i64,
    /// The worker that started it.
    pub worker: WorkerId,
    /// Start, milliseconds.
    pub started_ms: i64,
    /// End, milliseconds; `None` while it runs.
    pub ended_ms: Option<i64>,
    /// [`crate::attempt::EndingKind`] in a word.
    pub ending: Option<String>,
    /// Exit code, if the command exited.
    pub exit_code: Option<i64>,
    /// Signal that ended it.
    pub signal: Option<i64>,
    /// [`crate::attempt::Class`] in a word.
    pub class: Option<String>,
    /// Error message.
    pub error: Option<String>,
    /// The last 4 KiB of its output.
    pub output_tail: Option<Vec<u8>>,
    /// Total bytes of output.
    pub output_bytes: i64,
    /// Number of processes that outlived the command.
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
    /// Equal for similar deaths: same job, reason and error, apart from numbers.
    pub fingerprint: String,
    /// Number of starts before the death.
    pub attempts: i64,
    /// End of the output of the last attempt.
    pub output_tail: Option<Vec<u8>>,
    /// Time of the death, milliseconds.
    pub died_ms: i64,
    /// How it was closed; `None` if it is open.
    pub closed: Option<Closed>,
}

/// How a dead letter was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// `retried` or `discarded`.
    pub how: String,
    /// Name of the operator.
    pub by: String,
    /// Time, milliseconds.
    pub at_ms: i64,
}

/// Which runs to list, the newest first.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only these shown states; empty for all. `Ready`, `Delayed`, `Retrying`, `Blocked` together are `waiting`.
    pub shown: Vec<Shown>,
    /// Only of this job.
    pub job: Option<String>,
    /// Only in this queue.
    pub queue: Option<String>,
    /// Only of this tenant.
    pub tenant: Option<String>,
    /// Only runs created at this time or later, milliseconds.
    pub since_ms: Option<i64>,
    /// Only runs with a smaller id: the page after this run.
    pub before: Option<i64>,
    /// Maximum number of rows.
    pub limit: i64,
}

/// Filter for open dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadFilter {
    /// Only of this job.
    pub job: Option<String>,
    /// Only this reason.
    pub reason: Option<Reason>,
    /// Only this fingerprint.
    pub fingerprint: Option<String>,
}

/// A resource that the host lacks, so that a worker cannot start runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// Message: which runs cannot be started, and why.
    pub words: String,
    /// When the worker tries again, milliseconds UTC.
    pub until_ms: i64,
}

/// A queue and its counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRow {
    /// Its name.
    pub queue: String,
    /// Rank, smaller first; `None` if no loaded catalogue has the queue.
    pub rank: Option<i64>,
    /// Number of runs that may start now.
    pub ready: i64,
    /// Number of other waiting runs.
    pub delayed: i64,
    /// Number of running runs.
    pub running: i64,
    /// How long the oldest ready run has been due, milliseconds.
    pub oldest_ready_ms: Option<i64>,
    /// Whether some lanes were not read, so that another run may have been due for longer.
    pub oldest_cut: bool,
}

impl QueueRow {
    /// An empty queue.
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

    /// Number of waiting runs.
    pub fn waiting(&self) -> i64 {
        self.ready.saturating_add(self.delayed)
    }

    /// Sort key: rank, queues without one last; then name.
    pub fn place(&self) -> (i64, String) {
        (self.rank.unwrap_or(i64::MAX), self.queue.clone())
    }
}

/// A paused job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Which job.
    pub job: String,
    /// Time of the pause, milliseconds.
    pub paused_ms: i64,
    /// Name of the operator.
    pub paused_by: String,
    /// Reason, as free text.
    pub reason: Option<String>,
    /// When it expires, milliseconds.
    pub until_ms: Option<i64>,
}

/// An operator's change to a queue, a limit or a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActRow {
    /// `queue`, `limit` or `job`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The change: `pause`, `resume`, `open`, `close`, or a setting.
    pub what: String,
    /// Time, milliseconds.
    pub at_ms: i64,
    /// Name of the operator.
    pub by: String,
    /// Reason, as free text.
    pub reason: Option<String>,
    /// Planned end, milliseconds.
    pub until_ms: Option<i64>,
}

/// Result of an operator's operation on one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// The run is now in this state.
    Moved(State),
    /// The run is running; its worker stops it.
    Requested,
    /// The open dead letter was closed; the run stays dead.
    Discarded,
    /// The operation is not allowed in this state; nothing was changed.
    Forbidden(State),
    /// The run has no open dead letter; nothing was changed.
    NoDeadLetter(State),
    /// The run does not exist.
    Unknown,
}

/// Which ended runs are removed. Runs with an open dead letter or an active dedup key are always kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PruneRule {
    /// Runs that ended before this time, milliseconds.
    pub ended_before_ms: Option<i64>,
    /// Runs with this id or a smaller one.
    pub upto: Option<RunId>,
}

/// An operator's change to a queue, a limit or a job: by whom, why, when and until when.
#[derive(Debug, Clone, Copy)]
pub struct Act<'a> {
    /// Name of the operator.
    pub by: &'a str,
    /// Reason, as free text.
    pub reason: Option<&'a str>,
    /// Time of the change, milliseconds.
    pub now_ms: i64,
    /// When it expires, milliseconds; `None` if it does not expire.
    pub until_ms: Option<i64>,
}

/// Waiting runs of one job in one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Their queue.
    pub queue: String,
    /// Their job.
    pub job: String,
    /// Number of runs.
    pub runs: i64,
    /// Earliest due time, milliseconds; `None` if they are due.
    pub due_ms: Option<i64>,
}

/// A registered worker.
#[derive(Debug, Clone)]
pub struct WorkerRow {
    /// Its id.
    pub worker: WorkerId,
    /// Process id.
    pub pid: i64,
    /// Start of that process in clock ticks since boot.
    pub pid_start: i64,
    /// Boot in which it was started.
    pub boot_id: String,
    /// Namespace of the process id; `None` for a worker of a version that did not store it.
    pub pid_ns: Option<i64>,
    /// Host name.
    pub host: String,
    /// User id.
    pub uid: i64,
    /// Queues that it serves, comma separated; empty for all, [`crate::flow::explain::NO_QUEUES`] for none.
    pub queues: String,
    /// Its slots.
    pub slots: i64,
    /// Start, milliseconds.
    pub started_ms: i64,
    /// When an operator asked it to stop, milliseconds.
    pub stop_ms: Option<i64>,
    /// The worker that started it to execute a single run; `None` for an independent worker.
    pub parent: Option<WorkerId>,
}

/// A lane whose runs no worker can take.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnknownLane {
    /// Their queue.
    pub queue: String,
    /// Their job.
    pub job: String,
    /// Whether no catalogue has the job; else no catalogue has the queue.
    pub is_job: bool,
}

/// A violated invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant, in words.
    pub invariant: &'static str,
    /// The first rows that violate it: run ids, or other keys.
    pub rows: Vec<String>,
}

/// The effect of a reset of a limit or a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reset {
    /// Whether its breaker was not closed.
    pub breaker: bool,
    /// Until when a service had asked to wait, milliseconds; `None` if there was no wait.
    pub waited_until_ms: Option<i64>,
}

/// Progress of an import.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportProgress {
    /// Lines that are stored or duplicates.
    pub lines_done: i64,
    /// New runs.
    pub accepted: i64,
    /// Lines that were duplicates.
    pub duplicates: i64,
    /// Digest of all lines done; `None` if an older jobctl stored them.
    pub digest: Option<[u8; 32]>,
}

/// The subject of a question.
#[derive(Debug, Clone, Copy)]
pub enum Asked<'a> {
    /// A run.
    Run(RunId),
    /// The next run of a job; if none waits, one that would wait in this queue.
    Job(&'a str, &'a str),
    /// The next run of a queue.
    Queue(&'a str),
}
