//! The worker: claims runs for its slots, runs them, and reports how they ended.
//!
//! What is decided is a value (`machine`). Threads: the main thread feeds it (`engine`), each slot runs one attempt at a time
//! (`slot`), the ledger writes, one thread reads (`reader`), and one keeps house (`house`): dead workers, checkpoints, pruning.

mod admit;
mod alone;
pub mod batch;
mod ended;
mod engine;
mod house;
mod identity;
mod inbox;
pub mod machine;
mod pool;
mod prepared;
mod pruner;
mod reader;
mod slot;
mod write;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use crate::catalogue::Catalogue;
use crate::error::Result;
use crate::observe::notify::Notify;
use crate::run::RunId;
use crate::store::{Handover, NewRun, OpenOptions, ServedQueue, Waiting};

pub use admit::admit;
pub use alone::{alone_end, read_handover};
pub use ended::{Ended, Written, decide};
pub use engine::run;
pub use pool::{InLine, Line};

/// When a worker ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// When its slots are empty and nothing can be claimed now.
    Now,
    /// When nothing is left that will become claimable by itself.
    All,
}

/// What a worker is to do.
pub struct Options {
    /// How to open the store.
    pub open: OpenOptions,
    /// The catalogue to begin with.
    pub catalogue: Arc<Catalogue>,
    /// Queues; empty for all. They are served by rank, or by weight if any has one.
    pub queues: Vec<ServedQueue>,
    /// Runs at a time.
    pub slots: u32,
    /// Ends after so many attempts.
    pub max_runs: Option<u64>,
    /// Ends by itself.
    pub drain: Option<Drain>,
    /// How long a stopping worker lets its runs go on.
    pub stop_after: Duration,
    /// Who is told how the worker is.
    pub notify: Notify,
    /// Works this run and nothing else.
    pub foreground: Option<Foreground>,
    /// Works one attempt of this run, which another worker has claimed, and nothing else.
    pub handed_over: Option<Handover>,
    /// Arguments of our own binary, to which those of a [`Handover`] are added: they start a worker for one run that must be alone.
    pub own_arguments: Vec<OsString>,
}

/// A run that is worked where somebody watches.
pub struct Foreground {
    /// The run to enqueue.
    pub new: NewRun,
    /// Whether its output is copied to standard output.
    pub show_output: bool,
}

/// How a worker ended.
#[derive(Debug, Default)]
pub struct Summary {
    /// Attempts that ended.
    pub attempts: u64,
    /// The run of the foreground.
    pub foreground: Option<RunId>,
    /// The host lacked what the start of an attempt needs.
    pub lacks: bool,
    /// Whether a signal ended it.
    pub interrupted: bool,
    /// What `--drain` left waiting.
    pub left: Vec<Waiting>,
}

/// Loads the catalogue anew; given by whoever knows where it is.
pub type Reload = Arc<dyn Fn() -> Result<Catalogue> + Send + Sync>;
