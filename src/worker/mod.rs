//! The worker: claims runs for its slots, runs them, and reports how they ended.
//!
//! The state machine `machine` makes all decisions. Threads: the main thread feeds it (`engine`), each slot runs one attempt at a
//! time (`slot`), the ledger writes, one thread reads (`reader`), and the housekeeper (`housekeeper`) recovers dead workers, checkpoints
//! and prunes.

mod admit;
mod alone;
pub mod batch;
mod ended;
mod engine;
mod housekeeper;
mod identity;
mod inbox;
pub mod machine;
mod pool;
mod prepared;
mod pruner;
mod reader;
mod slot;
mod stuck;
mod write;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use crate::catalogue::Catalogue;
use crate::error::Result;
use crate::observe::notify::Notify;
use crate::store::{Handover, NewRun, OpenOptions, ServedQueue};

pub use admit::admit;
pub use alone::{alone_end, read_handover};
pub use engine::run;
pub use machine::{Drain, Summary};
pub use pool::{InLine, Line};

/// The configuration of a worker.
pub struct Options {
    /// How to open the store.
    pub open: OpenOptions,
    /// The catalogue to begin with.
    pub catalogue: Arc<Catalogue>,
    /// Queues to serve; empty for all. They are served by rank, or by weight if any has one.
    pub queues: Vec<ServedQueue>,
    /// Attempts at a time.
    pub slots: u32,
    /// The worker ends after this many attempts.
    pub max_runs: Option<u64>,
    /// The worker ends when it has nothing left to do.
    pub drain: Option<Drain>,
    /// How long a stopping worker lets its attempts continue.
    pub stop_after: Duration,
    /// The service manager that gets the status and the signs of life.
    pub notify: Notify,
    /// Enqueues and executes this run, and nothing else (`jobctl run`).
    pub foreground: Option<Foreground>,
    /// Makes one attempt of this run, which another worker has claimed, and nothing else.
    pub handed_over: Option<Handover>,
    /// Arguments of our own binary that start a worker for one run that must be alone; those of a [`Handover`] are added.
    pub own_arguments: Vec<OsString>,
}

/// The run of a `jobctl run`, which waits for its end.
pub struct Foreground {
    /// The run to enqueue.
    pub new: NewRun,
    /// Whether to copy its output to standard output.
    pub show_output: bool,
}

/// Reloads the catalogue; supplied by the caller, which knows its path.
pub type Reload = Arc<dyn Fn() -> Result<Catalogue> + Send + Sync>;
