//! The catalogue: TOML text in, a validated [`Catalogue`] out.
//!
//! Rule: every complaint has file, line and column, and all complaints are reported at once.

mod alike;
mod calendars;
mod command;
mod complaint;
#[cfg(test)]
mod documents;
mod environment;
mod exit;
mod file;
mod flow;
mod intake;
mod job;
mod keys;
mod load;
mod reader;
mod references;
mod retry;
mod schedule;
mod settings;
mod source;
mod starvation;
mod template;
#[cfg(test)]
mod tests;
mod trust;
mod value;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

use regex::bytes::Regex;
use serde::{Deserialize, Serialize};

use crate::attempt::Class;
use crate::flow::{JobRules, LimitRules, QueueRules, Tenants};
use crate::run::Guarantee;
use crate::schedule::{Rule, Zones};

pub use alike::{Coalesce, Dedup, DedupWhile, OnDuplicate, Sequence, SequenceOnDead};
pub use complaint::{Complaint, Excerpt, Level, LoadError};
pub use environment::refused_variable;
pub use file::{Stamp, stamp};
pub use intake::{PARAM_MAX, PAYLOAD_MAX, check_dedup_key, check_sequence_key};
pub use template::KEY_MAX;
pub use trust::FILE_MAX;

/// A parsed and validated `jobs.toml` (with its `jobs.d/*.toml`).
#[derive(Debug, Clone)]
pub struct Catalogue {
    /// Absolute path of the main file.
    pub path: PathBuf,
    /// Identity of all its files when they were read.
    pub stamp: String,
    /// The time zone data at the time of loading.
    pub zones: Arc<Zones>,
    /// `[defaults] timezone`: zone of times without an offset.
    pub timezone: Option<chrono_tz::Tz>,
    /// `[store]`
    pub store: StoreSettings,
    /// `[worker]`
    pub worker: WorkerSettings,
    /// `[queue.*]`, with the three built-in queues.
    pub queues: BTreeMap<String, QueueRules>,
    /// `[limit.*]`
    pub limits: BTreeMap<String, LimitRules>,
    /// `[tenants]`
    pub tenants: Tenants,
    /// `[job.*]`
    pub jobs: BTreeMap<String, Arc<Job>>,
}

impl Catalogue {
    /// Guarantee and attempts of a job.
    pub fn terms(&self, job: &str) -> Option<(Guarantee, i64)> {
        let intake = &self.jobs.get(job)?.intake;
        Some((intake.guarantee, intake.attempts))
    }

    /// The first job whose name sorts after `name`.
    pub fn job_after(&self, name: &str) -> Option<&str> {
        let after = (Bound::Excluded(name), Bound::Unbounded);
        let mut jobs = self.jobs.range::<str, _>(after);
        jobs.next().map(|(name, _)| name.as_str())
    }
}

/// `[store]`
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// Free bytes of the file system below which enqueue refuses the least important queues.
    pub min_free: u64,
    /// Bytes in use in the database from which on enqueue refuses all queues; from nine tenths on, the least important ones.
    pub max_size: Option<u64>,
    /// What the worker prunes in idle time.
    pub retention: Retention,
}

/// How long ended runs are kept. Open dead letters are always kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Age after which they are pruned, milliseconds; `None` keeps all.
    pub age_ms: Option<i64>,
    /// At most this many ended runs; `None` keeps all.
    pub runs: Option<u64>,
}

/// `[worker]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerSettings {
    /// Slots of a worker; `None` is the number of cores.
    pub slots: Option<u32>,
    /// How long a stopping worker lets its runs continue before it stops them, milliseconds.
    pub stop_after_ms: i64,
}

/// `[job.NAME]`
#[derive(Debug, Clone)]
pub struct Job {
    /// Name of the section.
    pub name: String,
    /// Description by the operator.
    pub description: Option<String>,
    /// The schedule, if it has one.
    pub schedule: Option<Schedule>,
    /// The part that `enqueue` uses.
    pub intake: Intake,
    /// The command to start.
    pub command: Command,
    /// Limit of one attempt, milliseconds; `None` is no limit.
    pub timeout_ms: Option<i64>,
    /// Time between SIGTERM and SIGKILL, milliseconds.
    pub grace_ms: i64,
    /// Waits between attempts.
    pub backoff: Backoff,
    /// How long a run may be rate limited in a row, milliseconds.
    pub rate_limited_for_ms: i64,
    /// Meaning of exit codes and of patterns in the output.
    pub exit: ExitRules,
    /// Job to enqueue when a run of this one dies.
    pub on_dead: Option<String>,
    /// Working directory, absolute; `None` is the run's own directory.
    pub cwd: Option<PathBuf>,
    /// File mode creation mask of the command.
    pub umask: Option<u32>,
    /// Resource limits of the command.
    pub rlimits: Vec<Rlimit>,
    /// Variables set for the command.
    pub env: BTreeMap<String, String>,
    /// Names passed on from the worker's environment.
    pub pass_env: Vec<String>,
    /// Variables whose value is read at spawn.
    pub secrets: BTreeMap<String, Secret>,
    /// Bytes of output kept per attempt, head and tail.
    pub output_max: u64,
    /// What happens to processes that outlive the command.
    pub leftovers: Leftovers,
    /// Limits, concurrency and breaker of its runs.
    pub flow: JobRules,
}

/// `[job.NAME.schedule]`
#[derive(Debug, Clone)]
pub struct Schedule {
    /// The rule that gives the periods; contains zone, calendar, `start`, `end`, `gap` and `fold`.
    pub rule: Arc<Rule>,
    /// The largest delay between the instant of a period and the earliest start of its run, milliseconds.
    pub splay_ms: i64,
    /// A period found within this of its instant is simply opened, milliseconds.
    pub late_grace_ms: i64,
    /// What happens to periods that are found later than that.
    pub catch_up: CatchUp,
    /// How old a missed period may be to be caught up, milliseconds; `None` is one spacing of the rule.
    pub catch_up_within_ms: Option<i64>,
    /// The most periods that are caught up at once.
    pub catch_up_max: i64,
    /// What happens to a period while runs of earlier ones have not ended.
    pub overlap: Overlap,
    /// Parameters of its runs, checked against the job; defaults are not among them.
    pub params: BTreeMap<String, String>,
}

impl Schedule {
    /// The delay of this period of `job`: always the same one, from 0 to `splay_ms`.
    pub fn splay_of(&self, job: &str, period_key: &str) -> i64 {
        crate::schedule::splay_ms(job, period_key, self.splay_ms)
    }
}

crate::run::words!(
    /// What happens to missed periods.
    CatchUp {
        /// They are skipped.
        None = "none",
        /// The latest one is run, the others are skipped.
        Latest = "latest",
        /// All are run, in order, one after another.
        All = "all",
    }
);

crate::run::words!(
    /// What happens to a period while runs of earlier ones of the same schedule are waiting or running.
    Overlap {
        /// One may wait; further periods are merged into it.
        Queue = "queue",
        /// It is skipped.
        Skip = "skip",
        /// It runs beside them.
        Allow = "allow",
        /// It cancels them, and runs when they are gone.
        Replace = "replace",
    }
);

/// The part of a job that `enqueue` uses. It is also cached in the store, so that an enqueue need not parse the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intake {
    /// Queue of its runs.
    pub queue: String,
    /// Order inside the queue, 0-1000, smaller first.
    pub priority: i64,
    /// Known parameters.
    pub params: BTreeMap<String, Param>,
    /// Largest payload, bytes.
    pub payload_max: u64,
    /// Makes enqueues with equal keys one run.
    pub dedup: Option<Dedup>,
    /// Makes runs with equal keys run one after another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<Sequence>,
    /// Failures after which the run is dead.
    pub attempts: i64,
    /// Deaths of workers after which the run is poison.
    pub max_crashes: i64,
    /// Latest useful start, milliseconds after the first due time.
    pub deadline_ms: Option<i64>,
    /// How often the command may be started.
    pub guarantee: Guarantee,
    /// Parameters that begin an argument of the command: a leading `-` is refused in their values.
    pub argument_params: Vec<String>,
}

/// One entry of `params`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Param {
    /// Whether an enqueue must give it.
    pub required: bool,
    /// Value if none is given.
    pub default: Option<String>,
}

/// Text with placeholders `{name}`; `{{` and `}}` are braces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template(pub Vec<Segment>);

/// A piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Segment {
    /// Literal text.
    Text(String),
    /// The value of this parameter.
    Param(String),
}

/// What a job starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A list: program and arguments, no shell. The first has no placeholder.
    Argv(Vec<Template>),
    /// A string for the shell, without placeholders.
    Shell {
        /// The script text.
        script: String,
        /// The shell and its options; the script is its last argument.
        shell: Vec<String>,
    },
}

/// Waits between attempts.
#[derive(Debug, Clone, PartialEq)]
pub struct Backoff {
    /// How the wait grows.
    pub kind: BackoffKind,
    /// Longest wait before jitter, milliseconds.
    pub max_ms: i64,
    /// Randomness.
    pub jitter: Jitter,
}

/// How the wait depends on the number of failures.
#[derive(Debug, Clone, PartialEq)]
pub enum BackoffKind {
    /// Always the same, milliseconds.
    Fixed(i64),
    /// `base x factor^(n-1)`.
    Exponential {
        /// Wait after the first failure, milliseconds.
        base_ms: i64,
        /// Growth.
        factor: f64,
    },
    /// The waits, milliseconds; the last one repeats.
    List(Vec<i64>),
}

crate::run::words!(
    /// How a wait is randomised.
    Jitter {
        /// The wait itself.
        None = "none",
        /// Uniform between zero and the wait.
        Full = "full",
        /// Half of it, plus uniform up to the other half.
        Equal = "equal",
    }
);

crate::run::words!(
    /// What happens to processes that outlive the command.
    Leftovers {
        /// They are killed.
        Kill = "kill",
        /// They are left alone and counted.
        Allow = "allow",
    }
);

/// `exit = { ... }`
#[derive(Debug, Clone, Default)]
pub struct ExitRules {
    /// Exit codes of success; `None` is only 0.
    pub success: Option<Vec<i32>>,
    /// Exit codes that are worth another attempt.
    pub transient: Vec<i32>,
    /// Exit codes after which the run is dead.
    pub permanent: Vec<i32>,
    /// Exit codes that mean "refused by a rate limit".
    pub rate_limited: Vec<i32>,
    /// Patterns in the output, tried in order.
    pub patterns: Vec<Pattern>,
}

/// One of `exit.patterns`.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// Unanchored, over the output tail.
    pub regex: Regex,
    /// Class of the ending if it matches.
    pub class: Class,
    /// For `rate_limited` or `transient`: how long to wait, milliseconds.
    pub wait_ms: Option<i64>,
}

/// One of `rlimits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rlimit {
    /// Which resource.
    pub resource: Resource,
    /// Soft and hard limit in the unit of `setrlimit(2)`; `None` is unlimited.
    pub limit: Option<u64>,
}

crate::run::words!(
    /// Resources that a job may limit; names as in `setrlimit(2)` without `RLIMIT_`, in lower case.
    Resource {
        /// Address space, bytes.
        As = "as",
        /// Core file, bytes.
        Core = "core",
        /// CPU time, seconds.
        Cpu = "cpu",
        /// Data segment, bytes.
        Data = "data",
        /// Largest file written, bytes.
        Fsize = "fsize",
        /// Open files.
        Nofile = "nofile",
        /// Processes of the user.
        Nproc = "nproc",
        /// Stack, bytes.
        Stack = "stack",
    }
);

/// Where the value of a secret comes from, read when the command starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// Content of this file, absolute path, without one final newline.
    File(PathBuf),
    /// This variable of the worker's environment.
    Env(String),
}
