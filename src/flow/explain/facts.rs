//! The state of a run, its lane, the workers and all running runs at one instant, as plain data from one read of the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::flow::{Gates, Overridden, Paused, Running, Subject, Throttle};
use crate::run::{RunId, State, WorkerId};

/// The queues of a worker that serves only one run, in the foreground or alone. No queue has this name.
pub const NO_QUEUES: &str = "-";

/// Everything that decides whether a run gets a slot.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The instant, milliseconds.
    pub now_ms: i64,
    /// The lane where the run waits or, without a run, would wait.
    pub place: Place,
    /// The run; `None` if the question is about a job or a queue without a waiting run.
    pub run: Option<RunFacts>,
    /// Whether a loaded catalogue has the job; `None` if none was loaded yet.
    pub job_known: Option<bool>,
    /// The rules in force.
    pub rules: Arc<Overridden>,
    /// Stored states of limits and jobs.
    pub throttles: BTreeMap<Subject, Throttle>,
    /// Jobs that operators paused.
    pub paused_jobs: BTreeMap<String, Paused>,
    /// All running runs, by id.
    pub holders: Vec<HeldRun>,
    /// All registered workers, by id.
    pub workers: Vec<Worker>,
    /// First runs of the lanes of its queue and of queues of smaller rank, queue by queue.
    pub heads: Vec<Head>,
    /// Whether there are more lanes than were read.
    pub heads_cut: bool,
    /// Ready runs before it in the lanes of its tenant in its queue, lane by lane; at most [`AHEAD_MAX`] each.
    pub ahead: Vec<Ahead>,
}

/// More runs ahead than this are not counted.
pub const AHEAD_MAX: i64 = 10_000;

/// A lane; the job is empty if the question is about a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The queue.
    pub queue: String,
    /// Unit of fairness; empty for none.
    pub tenant: String,
    /// The job.
    pub job: String,
}

/// A run, as far as its start is concerned.
#[derive(Debug, Clone)]
pub struct RunFacts {
    /// Its id.
    pub run: RunId,
    /// Stored state.
    pub state: State,
    /// Earliest start, milliseconds.
    pub due_ms: i64,
    /// Latest useful start, milliseconds.
    pub deadline_ms: Option<i64>,
    /// The number of attempts.
    pub attempts: i64,
    /// The number of failures.
    pub failures: i64,
    /// Failures that make it dead.
    pub max_attempts: i64,
    /// Whether the last attempt was rate limited.
    pub limited: bool,
    /// The worker that runs it, or that it is reserved for.
    pub worker: Option<WorkerId>,
    /// The running attempt: number and start, milliseconds; unknown in its first moments.
    pub attempt: Option<(i64, i64)>,
    /// End of the run, milliseconds.
    pub ended_ms: Option<i64>,
    /// When a cancel was requested, milliseconds, and by whom.
    pub cancel: Option<(i64, Option<String>)>,
    /// Why it is dead or cancelled.
    pub reason: Option<String>,
    /// Error of the last failed attempt.
    pub last_error: Option<String>,
    /// Runs that must end before it may start: how many, ...
    pub gates: i64,
    /// ... and the first of them, with their states.
    pub after: Vec<(RunId, State)>,
}

/// A run that a worker holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRun {
    /// Its id.
    pub run: RunId,
    /// The worker that holds it.
    pub worker: WorkerId,
    /// Its lane.
    pub place: Place,
    /// The limits that it was claimed under.
    pub limits: String,
    /// The fence of its claim.
    pub fence: i64,
}

/// A registered worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Its id.
    pub worker: WorkerId,
    /// Queues that it serves: names with weights, comma separated; empty for all, `-` for none.
    pub queues: String,
    /// Its slots.
    pub slots: i64,
    /// Whether it was requested to stop.
    pub stopping: bool,
    /// The worker that started it for a run that must be alone; it occupies a slot of that worker.
    pub parent: Option<WorkerId>,
}

impl Worker {
    /// Whether it serves a queue.
    pub fn serves(&self, queue: &str) -> bool {
        self.queues.is_empty() || self.names().any(|name| name == queue)
    }

    /// The queues that it names, without weights.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let words = self.queues.split(',');
        words
            .filter_map(|word| word.split('*').next())
            .filter(|name| !name.is_empty() && *name != NO_QUEUES)
    }

    /// Whether it serves only one run, in the foreground or alone.
    pub fn is_foreground(&self) -> bool {
        self.queues == NO_QUEUES
    }

    /// Whether it serves its queues by weight; otherwise by rank.
    pub fn has_weights(&self) -> bool {
        self.queues.contains('*')
    }
}

/// The first ready run of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The lane.
    pub place: Place,
    /// The run.
    pub run: RunId,
    /// Its order inside the queue, smaller first.
    pub order_key: i64,
}

/// Ready runs of one lane that come before a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    /// The job of the lane.
    pub job: String,
    /// How many.
    pub runs: i64,
}

impl Facts {
    /// The gates as a claim would find them.
    pub fn gates(&self) -> Gates<'_> {
        let running = self.holders.iter().map(|held| Running {
            queue: &held.place.queue,
            tenant: &held.place.tenant,
            job: &held.place.job,
            limits: &held.limits,
            fence: held.fence,
        });
        Gates::new(
            &self.rules.rules,
            &running.collect::<Vec<_>>(),
            self.throttles.clone(),
            self.paused_jobs.clone(),
            self.now_ms,
        )
    }

    /// The rank of a queue; the last rank if the rules do not have the queue.
    pub fn rank(&self, queue: &str) -> i64 {
        self.rules.rules.rank(queue)
    }

    /// The first run of the queue, preferably of an open lane.
    pub fn first(&self, queue: &str) -> Option<RunId> {
        let mut gates = self.gates();
        let heads = self.heads.iter().filter(|head| head.place.queue == queue);
        let key = |head: &&Head| {
            let Place { queue, tenant, job } = &head.place;
            let lane = gates.lane(queue, tenant, job);
            (gates.closed(&lane).is_some(), head.order_key, head.run)
        };
        heads.min_by_key(key).map(|head| head.run)
    }
}
