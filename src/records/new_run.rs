//! A new run as it is stored, the settings that an enqueue needs, and the answer to the enqueue.

use std::collections::BTreeMap;

use super::labels::Labels;
use crate::catalogue::{Catalogue, Coalesce, SequenceOnDead};
use crate::run::{Guarantee, RunId, RunPeriod, State, Trigger};

/// The settings of a catalogue that an enqueue needs besides the job.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Settings {
    /// Zone of times without an offset.
    pub timezone: Option<chrono_tz::Tz>,
    /// `[store] min_free`, bytes.
    pub min_free: u64,
    /// `[store] max_size`, bytes.
    pub max_size: Option<u64>,
    /// Rank of each queue.
    pub ranks: BTreeMap<String, i64>,
}

impl Settings {
    /// The settings of a catalogue.
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

/// Runs are ordered by due time plus priority times this, milliseconds: one step of priority equals a wait of a minute. So a run
/// of priority 1000 waits for later runs of priority 0 at most 1000 minutes.
pub const PRIORITY_STEP_MS: i64 = 60_000;

/// A run to be stored.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Job of the catalogue.
    pub job: String,
    /// Queue.
    pub queue: String,
    /// Tenant; empty for none.
    pub tenant: String,
    /// Order inside the queue, smaller first.
    pub priority: i64,
    /// Earliest start, milliseconds.
    pub due_ms: i64,
    /// If the wait until `due_ms` is relative: the time at which it began, milliseconds. When the wall clock steps back, the wait
    /// starts again.
    pub wait_set_ms: Option<i64>,
    /// Latest start, milliseconds.
    pub deadline_ms: Option<i64>,
    /// Number of failures after which the run is dead.
    pub max_attempts: i64,
    /// Number of deaths of workers after which the run is poison.
    pub max_crashes: i64,
    /// How often its command may be started.
    pub guarantee: Guarantee,
    /// JSON object of strings.
    pub params: Option<String>,
    /// Standard input of the command.
    pub payload: Option<Vec<u8>>,
    /// Random; the same for all attempts.
    pub idempotency_key: [u8; 16],
    /// Its dedup key and rules, if the job has any.
    pub dedup: Option<NewDedup>,
    /// Its sequence, if the job has one.
    pub sequence: Option<NewSequence>,
    /// What created it.
    pub trigger: Trigger,
    /// The run that caused this one.
    pub parent: Option<RunId>,
    /// Labels that the caller gave it.
    pub labels: Labels,
    /// The period of its schedule, if a schedule created it.
    pub period: Option<RunPeriod>,
    /// Runs that must end before this one may start.
    pub after: Vec<RunId>,
}

/// The dedup key of a new run, with at least one of the two rules; either makes a run with an equal key a duplicate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDedup {
    /// The key, unique per job.
    pub key: String,
    /// How long after the enqueue an equal key is a duplicate, milliseconds.
    pub window_ms: Option<i64>,
    /// What happens to an enqueue with an equal key while this run has not ended.
    pub coalesce: Option<Coalesce>,
}

/// The sequence of a new run, which waits for all earlier runs of its job with this key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSequence {
    /// The key, unique per job.
    pub key: String,
    /// The effect of its death on later runs of the sequence.
    pub on_dead: SequenceOnDead,
}

/// The answer to an enqueue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enqueued {
    /// The new run, or the existing one.
    pub run: RunId,
    /// Whether it existed before.
    pub duplicate: bool,
    /// Whether it existed and got the parameters of this enqueue.
    pub replaced: bool,
    /// Its state now.
    pub state: State,
    /// Its earliest start, milliseconds.
    pub due_ms: i64,
}
