//! Claims: what a worker asks for, what it gets, and how its writes name a run that it holds.

use crate::run::{Fence, Guarantee, RunId, RunPeriod, State, Trigger, WorkerId};

use super::deaths::Burial;

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

/// A claim, as every write about a running run names it.
#[derive(Debug, Clone, Copy)]
pub struct Holder {
    /// Which run.
    pub run: RunId,
    /// Proof of the claim.
    pub fence: Fence,
    /// Who holds it.
    pub worker: WorkerId,
    /// Number of the attempt.
    pub attempt: i64,
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
