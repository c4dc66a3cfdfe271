//! Supervises one attempt, from its start to its outcome.
//!
//! Rule: an outcome without a process proves that the command did not run; whatever was started is ended or reported as
//! stuck before this returns.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags};

use super::capture::Capture;
use super::command::Argv;
use super::control::Control;
use super::environment::Environment;
use super::stuck::Stuck;
use super::watch::{Watch, Why};
use super::{command, proc_fs, spawn};
use crate::attempt::{Ending, NotStarted, Report, Said, Shortage};
use crate::catalogue::Leftovers;
use crate::clock;
use crate::local::marks::Spawned;

/// What is started.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Program and arguments.
    pub argv: &'a Argv,
    /// All variables that the command sees.
    pub environment: &'a Environment<'a>,
    /// Working directory, absolute.
    pub cwd: &'a CStr,
    /// Standard input; `None` is `/dev/null`.
    pub stdin: Option<BorrowedFd<'a>>,
    /// Value of `JOBCTL_RUN_MARK`.
    pub mark: &'a str,
}

/// When the command may start, how long it may run, and what becomes of what it leaves.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// It is not started at this time of the wall clock or later, milliseconds UTC.
    pub deadline_ms: Option<i64>,
    /// SIGTERM after this time; `None` is never.
    pub timeout: Option<Duration>,
    /// SIGKILL this long after SIGTERM, for the whole tree.
    pub grace: Duration,
    /// What happens to processes that outlive a command which ended by itself. After a timeout or a command of
    /// [`Control`] they are always ended.
    pub leftovers: Leftovers,
}

/// What became of an attempt.
#[derive(Debug)]
pub struct Outcome {
    /// Start, wall clock, milliseconds.
    pub started_ms: i64,
    /// How long it took, milliseconds; time that the machine was suspended counts.
    pub ran_ms: i64,
    /// How it ended.
    pub ending: Ending,
    /// The process, if one was started. `None` proves that the command did not run.
    pub spawned: Option<Spawned>,
    /// The last 4 KiB of stdout and stderr as one stream, secrets redacted.
    pub output_tail: Vec<u8>,
    /// Bytes printed in all, also those that were dropped.
    pub output_bytes: u64,
    /// Bytes printed that are not in the log file.
    pub output_dropped: u64,
    /// Processes that outlived the command, ended or left alone according to `leftovers`.
    pub leaked: u32,
    /// Processes that could not be ended (no permission, or hung in the kernel): the run must not start again while they
    /// live, and its ending is known when they are gone.
    pub stuck: Option<Stuck>,
}

impl Outcome {
    /// The report of the attempt, with what the command said itself.
    pub fn into_report(self, said: Said) -> Report {
        Report {
            started_ms: self.started_ms,
            ran_ms: self.ran_ms,
            ending: self.ending,
            output_tail: self.output_tail,
            output_bytes: self.output_bytes,
            leaked: self.leaked,
            said,
        }
    }
}

/// Runs one attempt to its end. Blocks; to be called from a slot's thread, never from the main thread.
///
/// `control` must have been armed for this attempt; a command that arrived before the start prevents it. `on_spawn` is
/// called right after the start and should be quick, since nobody reads the output meanwhile.
///
/// # Errors
/// What the host lacked to run the command, which then certainly did not run.
pub fn supervise(
    launch: &Launch<'_>,
    limits: &Limits,
    control: &Control,
    capture: &mut Capture,
    on_spawn: impl FnOnce(&Spawned),
) -> Result<Outcome, Shortage> {
    let (started_ms, begun_ms) = (clock::wall_ms(), clock::boottime_ms());
    let begun = clock::monotonic();
    let stopped_before = Why::of(control.received());
    let started = match stopped_before {
        Some(why) => Err(NotStarted::Ended(why.ending(None))),
        // It waited for a slot, or the worker was stopped. The same reading is stored as the start.
        None if limits.deadline_ms.is_some_and(|it| started_ms >= it) => {
            Err(NotStarted::Ended(Ending::Released {
                exit_code: None,
                signal: None,
            }))
        }
        None => start(launch),
    };
    let (ending, spawned, leaked, stuck) = match started {
        Err(NotStarted::Shortage(shortage)) => return Err(shortage),
        Err(NotStarted::Ended(ending)) => (ending, None, 0, None),
        Ok(child) => {
            let spawned = child.spawned;
            on_spawn(&spawned);
            let mut watch = Watch::new(child, launch.mark, limits, control, capture, begun);
            let exited = watch.until_exit();
            let (leaked, others) = watch.end_tree();
            let command = (!exited).then(|| watch.stuck());
            let stuck = Stuck::new(command, others, begun_ms);
            let ending = match watch.ending(exited) {
                Ok(ending) | Err(NotStarted::Ended(ending)) => ending,
                Err(NotStarted::Shortage(shortage)) => return Err(shortage),
            };
            (ending, Some(spawned), leaked, stuck)
        }
    };
    let captured = capture.finish();
    Ok(Outcome {
        started_ms,
        ran_ms: clock::boottime_ms() - begun_ms,
        ending,
        spawned,
        output_tail: captured.tail,
        output_bytes: captured.bytes,
        output_dropped: captured.dropped,
        leaked,
        stuck,
    })
}

/// A started command, with what it is watched by.
pub(super) struct Child {
    pub(super) pid: Pid,
    pub(super) spawned: Spawned,
    /// Missing only where descriptors ran out; then the exit is asked for every 10 ms.
    pub(super) pidfd: Option<OwnedFd>,
    pub(super) pipe: OwnedFd,
    /// Our own copy of the write end: without it each exit would wake the slot twice, by the closed pipe and by the pidfd.
    pub(super) pipe_writer: Option<OwnedFd>,
    /// Where the wrapper, if there is one, reports what it could not do.
    pub(super) report: Option<OwnedFd>,
}

fn start(launch: &Launch<'_>) -> Result<Child, NotStarted> {
    let shortage = |error: std::io::Error| command::cannot_start(&error, None);
    let stdin = match launch.stdin {
        Some(stdin) => stdin,
        None => spawn::dev_null().map_err(shortage)?,
    };
    let (pipe, writer) =
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|error| shortage(error.into()))?;
    rustix::fs::fcntl_setfl(&pipe, OFlags::NONBLOCK).map_err(|error| shortage(error.into()))?;
    let (report, report_writer) = if launch.argv.wrapped {
        let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
        let (reader, writer) =
            rustix::pipe::pipe_with(flags).map_err(|error| shortage(error.into()))?;
        (Some(reader), Some(writer))
    } else {
        (None, None)
    };
    let streams = Streams {
        stdin,
        output: writer.as_fd(),
        report: report_writer.as_ref().map(AsFd::as_fd),
    };
    let before_ms = clock::boottime_ms();
    let pid = start_argv(launch, &launch.argv.words, &streams).or_else(|failed| {
        match (&failed, &launch.argv.shell_instead) {
            // What the shell would have said and returned is the shell's to say. Of a shortage it would make an exit code.
            (NotStarted::Ended(_), Some(shell)) => start_argv(launch, shell, &streams),
            _ => Err(failed),
        }
    })?;
    let number = pid.as_raw_pid();
    let start_ticks = proc_fs::start_ticks(number, before_ms, clock::boottime_ms());
    Ok(Child {
        pid,
        spawned: Spawned {
            pid: number,
            start_ticks,
            session: number,
        },
        pidfd: rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok(),
        pipe,
        pipe_writer: Some(writer),
        report,
    })
}

/// The descriptors of a command.
struct Streams<'a> {
    stdin: BorrowedFd<'a>,
    output: BorrowedFd<'a>,
    report: Option<BorrowedFd<'a>>,
}

fn start_argv(
    launch: &Launch<'_>,
    words: &[CString],
    streams: &Streams<'_>,
) -> Result<Pid, NotStarted> {
    let explain = |error: &std::io::Error, path: &CStr| {
        let detail = command::explain(error, path, launch.cwd, words, launch.environment);
        command::cannot_start(error, detail)
    };
    let path = match command::resolve(&words[0], launch.environment.search_path()) {
        Ok(path) => path,
        Err(error) => return Err(explain(&error, &words[0])),
    };
    let program = spawn::Program {
        path: &path,
        argv: words,
        cwd: launch.cwd,
        stdin: streams.stdin,
        output: streams.output,
        report: streams.report,
    };
    spawn::spawn(&program, launch.environment.iter()).map_err(|error| explain(&error, &path))
}
