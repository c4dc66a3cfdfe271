//! The interface of the machine. Input: clocks, a view of the slots, events. Output: actions.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::WaitingRuns;
use crate::attempt::{Shortage, StopCommand};
use crate::catalogue::Catalogue;
use crate::error::{Error, Result};
use crate::flow::FlowEvent;
use crate::observe::event::LogEvent;
use crate::policy::{Judged, Verdict};
use crate::records::{Answer, Claimed, EndedAttempt, Only, Outcome, ServedQueue, Start, Waiting};
use crate::run::{Fence, RunId, WorkerId};
use crate::worker::batch::Batch;

/// The clocks, read once for each turn of the loop.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The monotonic clock, since an arbitrary fixed moment.
    pub steady: Duration,
    /// The wall clock, milliseconds UTC.
    pub wall_ms: i64,
    /// The clock that counts since boot, suspended time included, milliseconds.
    pub boot_ms: i64,
}

/// The state of the slots and of the runs queued for them.
#[derive(Debug, Default)]
pub struct View {
    /// Slots without work.
    pub idle: usize,
    /// Claimed runs that wait for a slot.
    pub queued: usize,
    /// Whether a queued run has waited for more than 20 ms and no idle slot is about to take it.
    pub overdue: bool,
    /// Attempts that have run for more than 100 ms and whose start is not stored.
    pub starts: Vec<Start>,
    /// Whether any attempt, however young, has a start that is not stored.
    pub unnoted: bool,
}

/// An input of the machine.
#[derive(Debug)]
pub enum Event {
    /// An attempt has ended.
    Ended(Box<EndedAttempt>),
    /// The results of the batch under way, one for each write.
    Answered(Vec<Result<Answer>>),
    /// The answer to [`Action::TakeBack`]: the runs taken back from the queue of the slots.
    TakenBack(Vec<(RunId, Fence)>),
    /// An attempt has ended and its processes survived SIGKILL: its run stays claimed until [`Event::Ended`] comes.
    Stuck {
        /// The run of the attempt.
        run: RunId,
        /// Its claim.
        fence: Fence,
        /// The surviving processes.
        pids: Vec<i32>,
    },
    /// The separate worker that a slot started for one claimed run has ended, or could not be started.
    AloneEnded {
        /// The run.
        run: RunId,
        /// The claim; stale if that worker took the run over.
        fence: Fence,
        /// Its job.
        job: String,
        /// How it ended.
        end: AloneEnd,
    },
    /// The housekeeper checked every other worker.
    OthersChecked {
        /// Runs of dead workers became claimable.
        freed: bool,
        /// No dead worker is left to recover.
        all_recovered: bool,
        /// The number of the latest [`Action::CheckOthers`] that preceded this check; 0 if there was none.
        check: u64,
    },
    /// Another process committed something.
    Commits,
    /// Requests of operators to this worker, read from the store.
    Requests {
        /// Running runs to cancel.
        cancels: Vec<(RunId, Fence)>,
        /// Whether the worker is to stop.
        stop: bool,
    },
    /// The row of this worker is gone, so its runs belong to other workers.
    Unregistered,
    /// The path of our lock file names another file.
    LockTampered,
    /// A read failed; the reader retries it.
    ReadFailed(Error),
    /// The answer to [`Action::ReadRemaining`].
    Remaining(Result<Remaining>),
    /// SIGHUP was received, or another process loaded a newer catalogue.
    Reload,
    /// The answer to [`Action::Load`].
    Loaded(Result<Arc<Catalogue>>),
    /// SIGTERM or SIGINT was received.
    Terminate,
    /// The database is gone or damaged, or a thread panicked.
    Lost(Error),
}

/// Waiting runs that a drain may have to wait for.
#[derive(Debug, Default)]
pub struct Remaining {
    /// Waiting runs by queue and job.
    pub waiting: WaitingRuns,
    /// Paused jobs.
    pub paused: HashSet<String>,
    /// Queues and jobs of runs that wait for a running run.
    pub behind: Vec<(String, String)>,
}

/// How the separate worker for one claimed run ended.
#[derive(Debug)]
pub enum AloneEnd {
    /// It made an attempt, or found the claim gone.
    Worked,
    /// It made no attempt, or could not be started.
    Lacks(Shortage),
    /// A signal ended it, or it hangs; perhaps before it took the run over.
    Killed,
}

/// Which queued runs to take back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeBack {
    /// All of them.
    All,
    /// Those that have waited for more than 20 ms and that no idle slot is about to take.
    Overdue,
}

/// An output of the machine, which the loop must perform.
#[derive(Debug)]
pub enum Action {
    /// Store this batch in one transaction and answer with [`Event::Answered`].
    Submit(Arc<Batch>),
    /// Hand these runs to the slots.
    Offer(Vec<Claimed>),
    /// Hand these runs to the slots; each starts a separate worker for its run and answers with [`Event::AloneEnded`].
    OfferAlone(Vec<Claimed>),
    /// The starts of these claims are stored.
    Noted(Vec<Fence>),
    /// Take queued runs back and answer with [`Event::TakenBack`].
    TakeBack(TakeBack),
    /// End the attempt of this claim, or take the claim back if it is still queued.
    Cancel(Fence),
    /// Send this command to every attempt.
    SendAll(StopCommand),
    /// The end of this claim is stored: its start mark can be removed.
    Forget(Fence),
    /// Check every other worker soon; [`Event::OthersChecked`] repeats this number.
    CheckOthers(u64),
    /// Load the catalogue and answer with [`Event::Loaded`].
    Load,
    /// Use this catalogue from now on.
    Use(Arc<Catalogue>),
    /// Read the waiting runs from the store and answer with [`Event::Remaining`].
    ReadRemaining,
    /// The store failed: release the disk reserve if the disk is full; send [`Event::Lost`] if the store cannot recover.
    Examine(Error),
    /// A second has passed: do the periodic checks, such as that of stuck attempts.
    Tick {
        /// Whether attempts run.
        busy: bool,
    },
    /// Notify the service manager that a catalogue is being loaded.
    NotifyReloading,
    /// Notify the service manager that the worker is ready, also after a reload.
    NotifyReady,
    /// Notify the service manager that a stop has begun or has reached its next stage.
    NotifyStop,
    /// Log this.
    Log(LogEvent<'static>),
    /// Log that the end of this attempt is stored, and what that changed.
    LogEnd(Arc<EndedAttempt>, Written),
}

/// The configuration of the machine.
#[derive(Debug, Clone)]
pub struct Setup {
    /// This worker.
    pub worker: WorkerId,
    /// Attempts at a time.
    pub slots: usize,
    /// Queues to serve; empty for all.
    pub queues: Vec<ServedQueue>,
    /// The catalogue to begin with; its rules must be in force already.
    pub catalogue: Arc<Catalogue>,
    /// The worker ends after this many attempts.
    pub max_runs: Option<u64>,
    /// The worker ends when it has nothing left to do.
    pub drain: Option<Drain>,
    /// Works this run and no other.
    pub only: Option<Only>,
    /// How long a stopping worker lets its attempts continue; replaced by the value of each newly loaded catalogue.
    pub stop_after: Duration,
}

/// When a worker started with `--drain` ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// When its slots are empty and nothing can be claimed now.
    Now,
    /// When no waiting run will become claimable without an operator.
    All,
}

/// How a worker ended.
#[derive(Debug, Default)]
pub struct Summary {
    /// Attempts that ended.
    pub attempts: u64,
    /// The run that `jobctl run` enqueued.
    pub foreground: Option<RunId>,
    /// An attempt could not start because the host lacked something.
    pub lacks: bool,
    /// Whether a signal ended it.
    pub interrupted: bool,
    /// Runs that were still waiting when `--drain` ended the worker.
    pub left: Vec<Waiting>,
}

/// The stored end of an attempt.
#[derive(Debug)]
pub struct Written {
    /// The state of the run afterwards.
    pub outcome: Outcome,
    /// The class and the verdict; `None` if the claim was given back.
    pub meaning: Option<(Judged, Verdict)>,
    /// Changes of limits and breakers.
    pub flow: Vec<FlowEvent>,
}
