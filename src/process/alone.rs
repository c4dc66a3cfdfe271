//! Runs our own binary as a separate worker for one run, and passes on the commands that the waiting slot gets.
//!
//! Rule: the separate worker is never killed from here. It ends its command, stores the end, and exits. If it were killed, its run would
//! be left to recovery and would count a crash.
#![expect(
    clippy::disallowed_methods,
    reason = "not a command of a job: it inherits our environment and standard error"
)]

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::control::Control;
use super::{descriptors, wrapper};
use crate::attempt::StopCommand;
use crate::clock;

/// A separate worker that has not ended this long after the order to kill its command hangs, and is left running.
const KILL_WAIT: Duration = Duration::from_secs(30);

/// How often the exit is polled if there is no pidfd.
const POLL_EVERY: Duration = Duration::from_millis(20);

/// Variables that a service manager set for this process only.
const NOT_INHERITED: &[&str] = &["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// Runs the separate worker to its end. Returns its exit code, or `None` if a signal ended it or it was left running. `control` must
/// have been armed.
///
/// # Errors
/// The process could not be started.
pub fn run_own_binary(
    own_binary: &Path,
    arguments: &[OsString],
    control: &Control,
) -> io::Result<Option<i32>> {
    let mut child = start(own_binary, arguments)?;
    let pid = Pid::from_child(&child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok();
    let (mut signals, mut leave_at) = (Signals::default(), None);
    loop {
        control.take_wake();
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        let received = control.received();
        for signal in signals.due(
            received.has(StopCommand::Release),
            received.has(StopCommand::Kill),
        ) {
            // On an error it is gone already, and `try_wait` finds that.
            let _ = kill_process(pid, signal);
        }
        let now = clock::steady();
        if received.has(StopCommand::Kill) && now >= *leave_at.get_or_insert(now + KILL_WAIT) {
            return Ok(None);
        }
        let mut wait = leave_at.map(|at| at.saturating_sub(now));
        let mut fds = vec![PollFd::from_borrowed_fd(control.as_fd(), PollFlags::IN)];
        match &pidfd {
            Some(pidfd) => fds.push(PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)),
            None => wait = Some(POLL_EVERY),
        }
        let timeout = wait.map(|wait| Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: i64::from(wait.subsec_nanos()),
        });
        // A failed wait counts as a timeout.
        let _ = poll(&mut fds, timeout.as_ref());
    }
}

fn start(own_binary: &Path, arguments: &[OsString]) -> io::Result<Child> {
    let mut command = std::process::Command::new(own_binary);
    if let Some(limit) = descriptors::commands_limit() {
        // Its commands must get the same limit as ours.
        let limit = OsString::from(limit.to_string());
        let words = [
            OsStr::new(wrapper::SUBCOMMAND),
            OsStr::new("--soft-nofile"),
            &limit,
        ];
        command.args(words).arg("--").arg(own_binary);
    }
    command
        .arg0("jobctl")
        .args(arguments)
        .stdin(Stdio::null())
        // Ctrl-C in a terminal must interrupt only us; we decide what that means for the separate worker.
        .process_group(0);
    for name in NOT_INHERITED {
        command.env_remove(name);
    }
    command.spawn()
}

/// The signals that were sent. For a worker of one run the first means to end its command, the second to kill it.
#[derive(Debug, Default)]
struct Signals {
    term: bool,
    kill: bool,
}

impl Signals {
    /// The signals to send now. The two stages use different signals: a second equal signal could be merged with a pending first one.
    fn due(&mut self, release: bool, kill: bool) -> impl Iterator<Item = Signal> + use<> {
        let term = (release || kill) && !std::mem::replace(&mut self.term, release || kill);
        let interrupt = kill && !std::mem::replace(&mut self.kill, kill);
        let term = term.then_some(Signal::TERM);
        term.into_iter().chain(interrupt.then_some(Signal::INT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_of_a_stop_is_passed_on_once_and_a_later_one_includes_the_earlier() {
        let mut signals = Signals::default();
        let mut due = |release, kill| signals.due(release, kill).collect::<Vec<_>>();
        assert_eq!(due(false, false), []);
        assert_eq!(due(true, false), [Signal::TERM]);
        assert_eq!(due(true, false), []);
        assert_eq!(due(true, true), [Signal::INT]);
        assert_eq!(due(true, true), []);
        let mut signals = Signals::default();
        let due = signals.due(false, true).collect::<Vec<_>>();
        assert_eq!(due, [Signal::TERM, Signal::INT]);
    }

    #[test]
    fn a_separate_worker_ends_with_an_exit_code_or_none_after_a_signal() {
        let shell = Path::new("/bin/sh");
        let run = |script: &str, command: Option<StopCommand>| {
            let control = Control::new().unwrap();
            let ticket = control.arm();
            command.map(|command| control.send(ticket, command));
            let arguments = ["-c", script].map(OsString::from);
            run_own_binary(shell, &arguments, &control).unwrap()
        };
        assert_eq!(run("exit 75", None), Some(75));
        assert_eq!(run("kill -9 $$", None), None);
        // A command that was sent before the start is passed on after it.
        assert_eq!(run("exec sleep 60", Some(StopCommand::Release)), None);
        assert_eq!(run("exec sleep 60", Some(StopCommand::Kill)), None);
        assert_eq!(run("exit 0", Some(StopCommand::Cancel)), Some(0));
        let none = run_own_binary(Path::new("/no/such"), &[], &Control::new().unwrap());
        assert_eq!(none.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
