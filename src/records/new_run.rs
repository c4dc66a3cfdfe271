//! What is stored of a new run, the settings that decide about it, and the answer to its enqueue.

use std::collections::BTreeMap;

use crate::catalogue::{Catalogue, Coalesce, SequenceOnDead};
use crate::run::{Guarantee, RunId, RunPeriod, State, Trigger};

/// What `enqueue` needs besides the job.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Settings {
    /// Zone of times without an offset.
    pub timezone: Option<chrono_tz::Tz>,
    /// `[store] min_free`
    pub min_free: u64,
    /// `[store] max_size`
    pub max_size: Option<u64>,
    /// Rank of each queue.
    pub ranks: BTreeMap<String, i64>,
}

impl Settings {
    /// Those of a catalogue.
    pub fn of(catalogue: &Catalogue) -> Self {
        Self {
            timezone: catalogue.timezone,
            min_free: catalogue.store.min_free,
            max_size: catalogue.store.max_size,
            ranks: catalogue
                .queues
                .iter()
                .map(|(name, queue)| (name.clone(), queue.rank))
                .collect(),
        }
    }
}

/// Ages a run by its due time: a step of priority weighs as much as this wait.
/// Linear ageing bounds starvation by construction: priority 0 overtakes 1000 by at most 1000 minutes.
pub const PRIORITY_STEP_MS: i64 = 60_000;

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
