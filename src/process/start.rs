//! Starts a command, with the descriptors that watch it.
//!
//! Rule: an error proves that the command did not run.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags};

use super::command::Argv;
use super::environment::Environment;
use super::not_started::{cannot_start, explain};
use super::program::resolve;
use super::{proc_fs, spawn};
use crate::attempt::{NotStarted, Spawned};
use crate::clock;

/// The command to start.
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

/// A started command, with the descriptors that watch it.
pub(super) struct Child {
    pub(super) pid: Pid,
    pub(super) spawned: Spawned,
    /// `None` only if descriptors ran out; then the exit is polled every 10 ms.
    pub(super) pidfd: Option<OwnedFd>,
    pub(super) pipe: OwnedFd,
    /// Our copy of the write end. Without it each exit would wake the slot twice, by the closed pipe and by the pidfd.
    pub(super) pipe_writer: Option<OwnedFd>,
    /// The pipe on which a wrapper reports an error.
    pub(super) report: Option<OwnedFd>,
}

/// Starts the command; on an error it certainly did not run.
pub(super) fn start(launch: &Launch<'_>) -> Result<Child, NotStarted> {
    let shortage = |error: std::io::Error| cannot_start(&error, None);
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
            // The shell then reports the error in its own way. Not for a shortage, of which it would make an exit code.
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
    let failed = |error: &std::io::Error, path: &CStr| {
        let detail = explain(error, path, launch.cwd, words, launch.environment);
        cannot_start(error, detail)
    };
    let path = match resolve(&words[0], launch.environment.search_path()) {
        Ok(path) => path,
        Err(error) => return Err(failed(&error, &words[0])),
    };
    let program = spawn::Program {
        path: &path,
        argv: words,
        cwd: launch.cwd,
        stdin: streams.stdin,
        output: streams.output,
        report: streams.report,
    };
    spawn::spawn(&program, launch.environment.iter()).map_err(|error| failed(&error, &path))
}
