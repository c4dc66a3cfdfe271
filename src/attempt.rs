//! What one attempt was: its process, how it was stopped, how it ended, and what the command said about itself.
//!
//! Rule: an [`Ending`] is a fact; what it means for the run is decided in `policy`.

use crate::run::{Fence, RunId, words};

/// A started command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spawned {
    /// Process id; also its group.
    pub pid: i32,
    /// Start time in clock ticks after boot, field 22 of `/proc/PID/stat`.
    pub start_ticks: u64,
    /// Session id, equal to the pid.
    pub session: i32,
}

/// One run that a worker started, or was about to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The run.
    pub run: RunId,
    /// The claim under which it was started.
    pub fence: Fence,
    /// Its process; `None` if the worker died between the mark and the start, or right after the start.
    pub process: Option<Spawned>,
}

/// A command to a slot about its attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCommand {
    /// The run was cancelled: SIGTERM, grace, SIGKILL.
    Cancel = 1,
    /// The worker stops: SIGTERM, grace, SIGKILL.
    Release = 2,
    /// SIGKILL now; the ending is that of an earlier command or timeout, else released.
    Kill = 4,
}

words!(
    /// How an attempt ended, in one word.
    EndingKind {
        /// The command exited; its code is known.
        Exited = "exited",
        /// A signal that jobctl did not send ended it.
        Signalled = "signalled",
        /// It ran longer than its timeout and was ended.
        TimedOut = "timed_out",
        /// An operator cancelled the run.
        Cancelled = "cancelled",
        /// The worker stopped before it was done.
        Released = "released",
        /// The command could not be started.
        CannotStart = "cannot_start",
        /// The worker or the host died.
        Lost = "lost",
    }
);

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The command exited with this code.
    Exited(i32),
    /// This signal, not sent by jobctl, ended it.
    Signalled(i32),
    /// It was ended at its timeout; the code or signal that it ended with.
    TimedOut {
        /// Exit code, if it exited by itself after SIGTERM.
        exit_code: Option<i32>,
        /// Signal that ended it.
        signal: Option<i32>,
    },
    /// It was ended because the run was cancelled; a command that exits 0 first is [`Ending::Exited`].
    Cancelled {
        /// Exit code, if it exited by itself after SIGTERM.
        exit_code: Option<i32>,
        /// Signal that ended it.
        signal: Option<i32>,
    },
    /// It was ended because the worker stops; a command that exits by itself first is [`Ending::Exited`].
    Released {
        /// Exit code, if it exited by itself after SIGTERM.
        exit_code: Option<i32>,
        /// Signal that ended it.
        signal: Option<i32>,
    },
    /// It could not be started, and no second attempt can help; what may pass is a [`Shortage`] and no ending.
    CannotStart {
        /// The operating system's words, for instance "no such file or directory".
        error: String,
    },
}

impl Ending {
    /// The one-word kind stored with the attempt.
    pub fn kind(&self) -> EndingKind {
        match self {
            Ending::Exited(_) => EndingKind::Exited,
            Ending::Signalled(_) => EndingKind::Signalled,
            Ending::TimedOut { .. } => EndingKind::TimedOut,
            Ending::Cancelled { .. } => EndingKind::Cancelled,
            Ending::Released { .. } => EndingKind::Released,
            Ending::CannotStart { .. } => EndingKind::CannotStart,
        }
    }

    /// The exit code, where there was one.
    pub fn exit_code(&self) -> Option<i32> {
        match *self {
            Ending::Exited(code) => Some(code),
            Ending::TimedOut { exit_code, .. }
            | Ending::Cancelled { exit_code, .. }
            | Ending::Released { exit_code, .. } => exit_code,
            Ending::Signalled(_) | Ending::CannotStart { .. } => None,
        }
    }

    /// The signal that ended it, where one did.
    pub fn signal(&self) -> Option<i32> {
        match *self {
            Ending::Signalled(signal) => Some(signal),
            Ending::TimedOut { signal, .. }
            | Ending::Cancelled { signal, .. }
            | Ending::Released { signal, .. } => signal,
            Ending::Exited(_) | Ending::CannotStart { .. } => None,
        }
    }
}

/// What the host lacked when a command was to be started. The command did not run and is not to blame: its claim is given back,
/// and nothing is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// Which other runs meet the same shortage.
    pub scope: ShortageScope,
    /// What failed, and the operating system's words.
    pub message: String,
}

/// Whose runs a shortage stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShortageScope {
    /// Every run of this worker: no descriptors, processes, memory or disk space.
    Worker,
    /// Runs of this job: its program is being written, a file of its secrets is missing.
    Job,
}

/// Why an attempt has no command that ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotStarted {
    /// The attempt is over.
    Ended(Ending),
    /// There was no attempt.
    Shortage(Shortage),
}

impl NotStarted {
    /// An ending for something that no second attempt can help.
    pub fn for_good(error: impl Into<String>) -> Self {
        let error = error.into();
        Self::Ended(Ending::CannotStart { error })
    }

    /// A shortage that every run of this worker meets.
    pub fn worker_lacks(message: impl Into<String>) -> Self {
        Self::lacks(ShortageScope::Worker, message.into())
    }

    /// A shortage that runs of this job meet.
    pub fn job_lacks(message: impl Into<String>) -> Self {
        Self::lacks(ShortageScope::Job, message.into())
    }

    fn lacks(scope: ShortageScope, message: String) -> Self {
        Self::Shortage(Shortage { scope, message })
    }
}

words!(
    /// What an ending means.
    Class {
        /// Done.
        Success = "success",
        /// Trying again may help.
        Transient = "transient",
        /// Trying again is useless.
        Permanent = "permanent",
        /// Refused for now by a rate limit; waits and is no failure.
        RateLimited = "rate_limited",
    }
);

/// When the command wants to be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// After this many milliseconds.
    In(i64),
    /// At this time, milliseconds UTC.
    At(i64),
}

/// What the command wrote into `$JOBCTL_RUN_OUTPUT`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// `error_class=...`
    pub class: Option<Class>,
    /// `retry_after=...`, seconds or an HTTP date.
    pub retry_after: Option<RetryAfter>,
    /// `message=...`
    pub message: Option<String>,
    /// `result=<JSON>` lines, each valid JSON.
    pub results: Vec<String>,
}

/// Everything about one ended attempt.
#[derive(Debug, Clone)]
pub struct Report {
    /// Start, wall clock, milliseconds.
    pub started_ms: i64,
    /// How long it took, milliseconds: by a clock that does not step, so it is no difference of two wall times.
    pub ran_ms: i64,
    /// How it ended.
    pub ending: Ending,
    /// The last 4 KiB of stdout and stderr as one stream.
    pub output_tail: Vec<u8>,
    /// Bytes printed in all, also those that were dropped.
    pub output_bytes: u64,
    /// Processes that outlived the command, ended or left alone according to `leftovers`.
    pub leaked: u32,
    /// What the command said itself.
    pub said: Said,
}

impl Report {
    /// One of a command that was never started.
    pub fn not_started(ending: Ending, now_ms: i64) -> Self {
        Self {
            started_ms: now_ms,
            ran_ms: 0,
            ending,
            output_tail: Vec::new(),
            output_bytes: 0,
            leaked: 0,
            said: Said::default(),
        }
    }

    /// End, in the wall clock of its start, milliseconds: never before it, even if the clock was set back meanwhile.
    pub fn ended_ms(&self) -> i64 {
        self.started_ms.saturating_add(self.ran_ms.max(0))
    }
}
