//! What goes into the machine and what comes out: clocks, a view of the slots, events; actions.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Note, WaitingRuns};
use crate::attempt::{Shortage, StopCommand};
use crate::catalogue::Catalogue;
use crate::error::{Error, Result};
use crate::records::{Claimed, ServedQueue, Start};
use crate::run::{Fence, RunId, WorkerId};
use crate::worker::Drain;
use crate::worker::batch::{Batch, Done, Only};
use crate::worker::ended::Ended;

/// The clocks, read once for each turn of the loop.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The monotonic clock, from any fixed moment.
    pub steady: Duration,
    /// The wall clock, milliseconds UTC.
    pub wall_ms: i64,
    /// The clock that counts since boot, suspended time included, milliseconds.
    pub boot_ms: i64,
}

/// What the slots are doing.
#[derive(Debug, Default)]
pub struct View {
    /// Slots without work.
    pub idle: usize,
    /// Claimed runs that wait for a slot.
    pub queued: usize,
    /// Whether one of them waits for longer than a short patience and no idle slot is about to take it.
    pub overdue: bool,
    /// Attempts that run for longer than a tenth of a second and are not in the store.
    pub starts: Vec<Start>,
    /// Whether an attempt, of whatever age, is not in the store.
    pub unnoted: bool,
}

/// What the loop hears.
#[derive(Debug)]
pub enum Event {
    /// A slot has ended an attempt.
    Ended(Box<Ended>),
    /// The batch under way was answered, write by write.
    Answered(Vec<Result<Done>>),
    /// Queued runs were taken back from the slots, as [`Action::TakeBack`] asked.
    TakenBack(Vec<(RunId, Fence)>),
    /// A slot has ended an attempt whose processes live on after SIGKILL: its run stays claimed until [`Event::Ended`] comes.
    Stuck {
        /// Whose attempt.
        run: RunId,
        /// Its claim.
        fence: Fence,
        /// The processes.
        pids: Vec<i32>,
    },
    /// The worker of its own that a slot started for a claimed run has ended, or was not started.
    AloneEnded {
        /// Which run.
        run: RunId,
        /// The claim; stale where that worker took the run over.
        fence: Fence,
        /// Its job.
        job: String,
        /// How.
        end: AloneEnd,
    },
    /// The housekeeper looked at every other worker.
    Looked {
        /// Runs of dead ones can be claimed again.
        freed: bool,
        /// No other worker is dead and not yet recovered.
        whole: bool,
        /// The last [`Action::LookAtOthers`] that was made before; 0 before the first.
        asked: u64,
    },
    /// Another process committed something.
    Commits,
    /// What operators want of this worker, as the store says it.
    Requests {
        /// Running runs that are to be cancelled.
        cancels: Vec<(RunId, Fence)>,
        /// The worker is to stop.
        stop: bool,
    },
    /// The row of this worker is gone: its runs belong to others.
    Unregistered,
    /// The path of our lock file names another file.
    LockTampered,
    /// A read failed; it is repeated by the reader itself.
    ReadFailed(Error),
    /// What waits in the store, as [`Action::ReadLeft`] asked.
    Left(Result<Left>),
    /// SIGHUP, or another process loaded a newer catalogue.
    Reload,
    /// The catalogue was loaded or refused, as [`Action::Load`] asked.
    Loaded(Result<Arc<Catalogue>>),
    /// SIGTERM or SIGINT.
    Terminate,
    /// The database is gone or damaged, or a thread is.
    Lost(Error),
}

/// What the store says about waiting runs.
#[derive(Debug, Default)]
pub struct Left {
    /// Waiting runs by queue and job.
    pub waiting: WaitingRuns,
    /// Paused jobs.
    pub paused: HashSet<String>,
    /// Queues and jobs of waiting runs that wait for one that runs.
    pub behind: Vec<(String, String)>,
}

/// How the worker of its own for a claimed run ended.
#[derive(Debug)]
pub enum AloneEnd {
    /// It made an attempt, or was not needed any more.
    Worked,
    /// It made none, or was not started.
    Lacks(Shortage),
    /// By a signal, or it hangs: perhaps before it took the run over.
    Killed,
}

/// Which queued runs are taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeBack {
    /// All of them.
    All,
    /// Those that wait for longer than a short patience and that no idle slot is about to take.
    Overdue,
}

/// What the loop is to do.
#[derive(Debug)]
pub enum Action {
    /// Store this in one transaction and answer with [`Event::Answered`].
    Submit(Arc<Batch>),
    /// Hand these runs to the slots.
    Offer(Vec<Claimed>),
    /// Hand these to the slots, each to be worked by a worker of its own: answer with [`Event::AloneEnded`].
    OfferAlone(Vec<Claimed>),
    /// The starts of these claims are stored.
    Noted(Vec<Fence>),
    /// Answer with [`Event::TakenBack`].
    TakeBack(TakeBack),
    /// End the attempt of this claim, or take it back where it is still queued.
    Cancel(Fence),
    /// Send this to every attempt.
    TellAll(StopCommand),
    /// The end of this claim is stored: its start mark is not needed any more.
    Forget(Fence),
    /// Look at every other worker soon; [`Event::Looked`] repeats this number.
    LookAtOthers(u64),
    /// Load the catalogue and answer with [`Event::Loaded`].
    Load,
    /// This catalogue is ours from now on.
    Use(Arc<Catalogue>),
    /// Answer with [`Event::Left`].
    ReadLeft,
    /// The store failed: release the reserve where the disk is full, and say [`Event::Lost`] if it cannot recover.
    Examine(Error),
    /// A second has passed: look at stuck attempts, and at what else is to be looked at now and then.
    Tick {
        /// Whether attempts run.
        busy: bool,
    },
    /// A catalogue is being loaded.
    TellReloading,
    /// The worker works with what it has, also after a reload.
    TellReady,
    /// A stop has begun, or come further.
    TellStop,
    /// Log this.
    Log(Note),
}

/// What a worker is, from its start to its end.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Which worker.
    pub worker: WorkerId,
    /// Attempts at a time.
    pub slots: usize,
    /// Queues; empty for all.
    pub queues: Vec<ServedQueue>,
    /// The catalogue to begin with; its rules are in force.
    pub catalogue: Arc<Catalogue>,
    /// Ends after so many attempts.
    pub max_runs: Option<u64>,
    /// Ends by itself.
    pub drain: Option<Drain>,
    /// Works this run and no other.
    pub only: Option<Only>,
    /// How long a stopping worker lets its runs go on, until a catalogue is loaded.
    pub stop_after: Duration,
}
