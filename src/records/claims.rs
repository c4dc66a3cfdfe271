//! Claims: the request of a worker, the result, and the proof of a claim that its later writes contain.

use crate::flow::FlowEvent;
use crate::run::{Fence, Guarantee, RunId, RunPeriod, State, Trigger, WorkerId};

use super::deaths::Burial;
use super::labels::Labels;

/// A queue that a worker serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedQueue {
    /// Its name.
    pub name: String,
    /// Runs that are taken from it in one turn; `None` serves queues in the order of their ranks.
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

/// A worker's request for runs.
pub struct ClaimRequest<'a> {
    /// The worker.
    pub worker: WorkerId,
    /// Queues that it serves: in the order of the ranks in force, or by weight, if any has one.
    pub queues: &'a [ServedQueue],
    /// Whether this worker can run a job.
    pub knows: &'a dyn Fn(&str) -> bool,
    /// Guarantee and attempts of a job in this worker's catalogue; the stricter of these and the stored ones apply.
    pub terms: &'a dyn Fn(&str) -> Option<(Guarantee, i64)>,
    /// The first job after this name, in the order of names, that it can run; `None` if unknown.
    pub known_after: &'a dyn Fn(&str) -> Option<String>,
    /// At most this many runs, ...
    pub max: usize,
    /// ... of which only this many may be long; the rest are short runs, claimed before a slot is free.
    pub free: usize,
    /// Whether a job's runs are short enough to be claimed before a slot is free.
    pub is_short: &'a dyn Fn(&str) -> bool,
}

/// Result of a claim.
#[derive(Debug, Default)]
pub struct Claims {
    /// The claimed runs, now running.
    pub runs: Vec<Claimed>,
    /// Whether it stopped because it reached the maximum; more runs may be ready.
    pub full: bool,
    /// Ready runs that could not be claimed.
    pub passed: PassedOver,
    /// Runs that could not be used, now dead.
    pub buried: Vec<Burial>,
}

/// Summary of the ready runs that a claim could not take.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct PassedOver {
    /// Whether the end of a run may allow one of them to start.
    pub gated: bool,
    /// Whether time or the end of a run, without an operator, will allow one of them to start.
    pub comes: bool,
    /// When time alone may allow one of them to start, milliseconds.
    pub opens_ms: Option<i64>,
}

impl PassedOver {
    /// Adds what another claim could not take.
    pub fn add(&mut self, other: Self) {
        self.gated |= other.gated;
        self.comes |= other.comes;
        let opens_ms = [self.opens_ms, other.opens_ms];
        self.opens_ms = opens_ms.into_iter().flatten().min();
    }
}

/// A run that a worker has claimed, with everything that an attempt needs.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Which run.
    pub run: RunId,
    /// Proof of this claim.
    pub fence: Fence,
    /// Job of the catalogue.
    pub job: String,
    /// Queue.
    pub queue: String,
    /// Tenant; empty for none.
    pub tenant: String,
    /// Number of the next attempt, from 1.
    pub attempt: i64,
    /// Whether it was started since it was enqueued or last retried by an operator.
    pub started_before: bool,
    /// Number of failures so far.
    pub failures: i64,
    /// Number of deaths of its workers so far.
    pub crashes: i64,
    /// Number of failures after which the run is dead.
    pub max_attempts: i64,
    /// Number of deaths of workers after which the run is poison.
    pub max_crashes: i64,
    /// How often its command may be started.
    pub guarantee: Guarantee,
    /// Latest start, milliseconds.
    pub deadline_ms: Option<i64>,
    /// Time of the first of the latest rate-limited endings in a row, milliseconds.
    pub limited_ms: Option<i64>,
    /// JSON object of strings.
    pub params: Option<String>,
    /// Standard input of the command.
    pub payload: Option<Vec<u8>>,
    /// Random; the same for all attempts.
    pub idempotency_key: [u8; 16],
    /// What created it.
    pub trigger: Trigger,
    /// The run that caused this one.
    pub parent: Option<RunId>,
    /// Labels that the caller gave it.
    pub labels: Labels,
    /// Exit code of the previous attempt.
    pub last_exit_code: Option<i64>,
    /// Error of the previous attempt.
    pub last_error: Option<String>,
    /// The period of its schedule, if a schedule created it.
    pub period: Option<RunPeriod>,
    /// Instant of the last period of its job that succeeded, milliseconds.
    pub previous_success_ms: Option<i64>,
}

impl Claimed {
    /// Whether the next death of its worker would make it poison, so that it must run in a worker process of its own.
    pub fn must_be_alone(&self) -> bool {
        self.crashes > 0 && self.crashes >= self.max_crashes.saturating_sub(1)
    }
}

/// The claim of a running run, which every write about the run must contain.
#[derive(Debug, Clone, Copy)]
pub struct Holder {
    /// Which run.
    pub run: RunId,
    /// Proof of the claim.
    pub fence: Fence,
    /// The worker that holds it.
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

/// Result of a write about a claimed run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The run is now in this state.
    Moved(State),
    /// The claim is no longer valid; nothing was changed.
    Fenced,
}

/// Result of a stored end of an attempt.
#[derive(Debug)]
pub struct Finished {
    /// The state of the run, or that the claim was not valid.
    pub outcome: Outcome,
    /// The death of the run, which may enqueue an `on_dead` run.
    pub burial: Option<Burial>,
    /// Changes of limits and breakers.
    pub flow: Vec<FlowEvent>,
}

impl Finished {
    /// The end of a run that did not die.
    pub fn of(outcome: Outcome, flow: Vec<FlowEvent>) -> Self {
        Self {
            outcome,
            burial: None,
            flow,
        }
    }
}

/// A claimed run that its worker hands over to a child worker, which executes only this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handover {
    /// The worker that claimed it.
    pub parent: WorkerId,
    /// Which run.
    pub run: RunId,
    /// Proof of the claim; the new worker gets another one.
    pub fence: Fence,
}
