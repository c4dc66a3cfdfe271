//! The store's verbs in domain words and plain types; no SQL here.
//!
//! Rule: nothing above this module knows SQL or SQLite, and `now` is always a parameter.

use crate::catalogue::{Coalesce, SequenceOnDead};
use crate::local::Registration;
use crate::run::{Fence, Guarantee, Reason, RunId, RunPeriod, State, Trigger, WorkerId};

pub use crate::flow::explain::NO_QUEUES;

mod death;
pub mod decide;
mod ledger;
mod opening;
mod rows;
mod schedule_rows;
mod settings;
mod sqlite;

pub use death::{Cause, Death, Recovered};
pub use decide::Turns;
pub use ledger::{Done, Entry, Ledger, Write};
pub use opening::{Create, OpenOptions, Opened};
pub use rows::{
    ActRow, Asked, AttemptRow, Closed, DeadFilter, DeadLetter, Handled, ImportProgress, Lacking,
    Pause, PruneRule, QueueRow, ResetLimit, RunDetail, RunFilter, RunRow, UnknownLane, Violation,
};
pub use schedule_rows::{
    Agenda, ForeignRun, NewVersion, PeriodFilter, PeriodRow, ScheduleRow, SchedulerRow, UntoldRun,
    VersionRow, VersionRows,
};
pub use settings::Settings;
pub use sqlite::{
    Body, Finished, Holder, Pruned, Pruning, SCHEMA_VERSION, Store, Tx, Watch, is_begun,
    sqlite_version,
};

/// Ages a run by its due time: a step of priority weighs as much as this wait.
/// Linear ageing bounds starvation by construction: priority 0 overtakes 1000 by at most 1000 minutes.
pub const PRIORITY_STEP_MS: i64 = 60_000;

/// Who does something to queues, limits and jobs, when, why and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Act<'a> {
    /// Who.
    pub by: &'a str,
    /// Why.
    pub reason: Option<&'a str>,
    /// When, milliseconds.
    pub now_ms: i64,
    /// When it ends by itself, milliseconds.
    pub until_ms: Option<i64>,
}

/// A run to be stored.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Job of the catalogue.
    pub job: String,
    /// Queue that it waits in.
    pub queue: String,
    /// Unit of fairness; empty for none.
    pub tenant: String,
    /// Order inside the queue, smaller first.
    pub priority: i64,
    /// Earliest start, milliseconds.
    pub due_ms: i64,
    /// Set when the wait until `due_ms` is relative: the time it counts from. A wall clock that steps back restarts it.
    pub wait_set_ms: Option<i64>,
    /// Latest useful start, milliseconds.
    pub deadline_ms: Option<i64>,
    /// Failures that make it dead.
    pub max_attempts: i64,
    /// Deaths of workers that make it poison.
    pub max_crashes: i64,
    /// How often its command may be started.
    pub guarantee: Guarantee,
    /// JSON object of strings.
    pub params: Option<String>,
    /// Handed to the command on standard input.
    pub payload: Option<Vec<u8>>,
    /// Random; stable over attempts.
    pub idempotency_key: [u8; 16],
    /// When an equal run is a duplicate of it.
    pub dedup: Option<NewDedup>,
    /// The runs that it must not run beside.
    pub sequence: Option<NewSequence>,
    /// What created it.
    pub trigger: Trigger,
    /// The run that caused this one.
    pub parent: Option<RunId>,
    /// Joins it with what the caller was doing.
    pub correlation_id: Option<String>,
    /// Who asked for it.
    pub initiator: Option<String>,
    /// The caller's own name for its subject.
    pub business_key: Option<String>,
    /// W3C trace context of the caller.
    pub traceparent: Option<String>,
    /// The period of a schedule that it works.
    pub period: Option<RunPeriod>,
    /// Runs that must end before this one may start.
    pub after: Vec<RunId>,
}

/// The dedup key of a new run. One at least of the two rules is there; either makes an equal run a duplicate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDedup {
    /// Equal for equal work of a job.
    pub key: String,
    /// For how long from now an equal key is a duplicate, milliseconds.
    pub window_ms: Option<i64>,
    /// What becomes of an equal key while this run has not ended.
    pub coalesce: Option<Coalesce>,
}

/// The place of a new run in a sequence: behind all runs of its job with this key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSequence {
    /// Equal for runs of a job that must not run at once.
    pub key: String,
    /// What its death means for those behind it.
    pub on_dead: SequenceOnDead,
}

/// The answer to an enqueue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enqueued {
    /// The new run, or the existing one.
    pub run: RunId,
    /// Whether it existed before.
    pub duplicate: bool,
    /// Whether it existed and took over what was enqueued now.
    pub replaced: bool,
    /// Its state now.
    pub state: State,
    /// Its earliest start, milliseconds.
    pub due_ms: i64,
}

/// A queue that a worker serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedQueue {
    /// Its name.
    pub name: String,
    /// Runs that are taken from it in one turn beside other queues; without weights the order decides.
    pub weight: Option<i64>,
}

impl std::fmt::Display for ServedQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        self.weight.map_or(Ok(()), |weight| write!(f, "*{weight}"))
    }
}

impl ServedQueue {
    /// Names and weights, comma separated.
    pub fn list(queues: &[Self]) -> String {
        let words: Vec<String> = queues.iter().map(ToString::to_string).collect();
        words.join(",")
    }
}

impl From<&str> for ServedQueue {
    fn from(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            weight: None,
        }
    }
}

/// What a worker asks for.
pub struct ClaimRequest<'a> {
    /// Who asks.
    pub worker: WorkerId,
    /// Queues that are served: by the ranks of the rules in force; by weight, if any has one.
    pub queues: &'a [ServedQueue],
    /// Whether this worker can run a job.
    pub knows: &'a dyn Fn(&str) -> bool,
    /// Guarantee and attempts of a job in this worker's catalogue: of these and those stored with a run the stricter count.
    pub terms: &'a dyn Fn(&str) -> Option<(Guarantee, i64)>,
    /// The first job behind this name that it can run, where it can tell.
    pub known_behind: &'a dyn Fn(&str) -> Option<String>,
    /// At most this many, ...
    pub max: usize,
    /// ... of which those beyond this number must be short work, claimed ahead of a free slot.
    pub free: usize,
    /// Whether a job's runs are short enough to be claimed ahead.
    pub is_short: &'a dyn Fn(&str) -> bool,
}

/// What a worker gets.
#[derive(Debug, Default)]
pub struct Claims {
    /// The runs, now running.
    pub runs: Vec<Claimed>,
    /// It stopped because it had enough; more may be ready.
    pub full: bool,
    /// What was passed over.
    pub passed: PassedOver,
    /// Runs that could not be used, now dead.
    pub buried: Vec<Burial>,
    /// The fence of the next run taken; 0 before the first.
    pub(crate) fence: i64,
}

/// What a claim passed over, though it was ready.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct PassedOver {
    /// Something that the end of a run may let through.
    pub gated: bool,
    /// Something that needs nobody to let it through: time or ends of runs do.
    pub comes: bool,
    /// When time alone may let something through, milliseconds.
    pub opens_ms: Option<i64>,
}

/// A run in the hands of a worker.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Which run.
    pub run: RunId,
    /// Proof of this claim.
    pub fence: Fence,
    /// Job of the catalogue.
    pub job: String,
    /// Queue that it came from.
    pub queue: String,
    /// Unit of fairness; empty for none.
    pub tenant: String,
    /// Number of the attempt that a start will be.
    pub attempt: i64,
    /// It was started, and no operator let it start again since.
    pub started_before: bool,
    /// Bad endings so far.
    pub failures: i64,
    /// Worker deaths so far.
    pub crashes: i64,
    /// Failures that make it dead.
    pub max_attempts: i64,
    /// Deaths of workers that make it poison.
    pub max_crashes: i64,
    /// How often its command may be started.
    pub guarantee: Guarantee,
    /// Latest useful start, milliseconds.
    pub deadline_ms: Option<i64>,
    /// First of the rate-limited endings in a row.
    pub limited_ms: Option<i64>,
    /// JSON object of strings.
    pub params: Option<String>,
    /// Handed to the command on standard input.
    pub payload: Option<Vec<u8>>,
    /// Random; stable over attempts.
    pub idempotency_key: [u8; 16],
    /// What created it.
    pub trigger: Trigger,
    /// The run that caused this one.
    pub parent: Option<RunId>,
    /// Joins it with what the caller was doing.
    pub correlation_id: Option<String>,
    /// Who asked for it.
    pub initiator: Option<String>,
    /// The caller's own name for its subject.
    pub business_key: Option<String>,
    /// W3C trace context of the caller.
    pub traceparent: Option<String>,
    /// Exit code of the attempt before.
    pub last_exit_code: Option<i64>,
    /// Error of the attempt before.
    pub last_error: Option<String>,
    /// The period of a schedule that it works.
    pub period: Option<RunPeriod>,
    /// Instant of the last period of its job that succeeded, milliseconds.
    pub previous_success_ms: Option<i64>,
}

impl Claimed {
    /// Whether the next death of its worker would make it poison, so that it must run alone: in a worker of its own.
    pub fn must_be_alone(&self) -> bool {
        self.crashes > 0 && self.crashes >= self.max_crashes.saturating_sub(1)
    }
}

/// A started attempt that has not ended yet.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// Which run.
    pub run: RunId,
    /// Proof of the claim.
    pub fence: Fence,
    /// Number of the attempt.
    pub attempt: i64,
    /// Start, milliseconds.
    pub started_ms: i64,
}

/// What a write about a claimed run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The run is now in this state.
    Moved(State),
    /// The claim is no longer ours; nothing was changed.
    Fenced,
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

/// A claimed run that its worker hands over to a worker of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handover {
    /// The worker that claimed it.
    pub parent: WorkerId,
    /// Which run.
    pub run: RunId,
    /// Proof of the claim; the new worker gets another.
    pub fence: Fence,
}

/// Waiting runs of one job in one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Their queue.
    pub queue: String,
    /// Their job.
    pub job: String,
    /// How many.
    pub runs: i64,
    /// Earliest due time of those that are not yet due, milliseconds; `None` for those that are.
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
    /// The namespace of its process id; `None` for a worker of a version that did not store it.
    pub pid_ns: Option<i64>,
    /// Host name.
    pub host: String,
    /// User id.
    pub uid: i64,
    /// Queues that it serves, comma separated; empty for all, [`NO_QUEUES`] for none.
    pub queues: String,
    /// Its slots.
    pub slots: i64,
    /// Start, milliseconds.
    pub started_ms: i64,
    /// When an operator asked it to stop, milliseconds.
    pub stop_ms: Option<i64>,
    /// The worker that started it to work one run alone; `None` for one that works by itself.
    pub parent: Option<WorkerId>,
}

impl WorkerRow {
    /// The process that registered.
    pub fn registration(&self) -> Registration<'_> {
        Registration {
            worker: self.worker,
            host: &self.host,
            boot_id: &self.boot_id,
            pid_ns: self.pid_ns,
            pid: self.pid,
            pid_start: self.pid_start,
        }
    }
}
