//! Runs our own binary once more, as a worker for one run, and passes on what the slot that waits for it is told.
//!
//! Rule: it is never killed from here. It ends its command, stores how that ended, and ends itself; a worker that was killed would
//! leave all this to recovery, and a crash to its run.
#![expect(
    clippy::disallowed_methods,
    reason = "it is no command of a job: it inherits our environment and standard error"
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

/// A worker that was told to kill its command and has not ended by then hangs; it is left behind.
const KILL_WAIT: Duration = Duration::from_secs(30);

/// How often it is looked at where it has no descriptor.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a service manager gave to us and to nobody else.
const OURS_ALONE: &[&str] = &["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// Runs it to its end; its exit code, or `None` where a signal ended it or it was left behind. `control` must have been armed.
///
/// # Errors
/// It could not be started.
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
            // It is gone already: the next look finds that.
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
            None => wait = Some(LOOK_EVERY),
        }
        let timeout = wait.map(|wait| Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: i64::from(wait.subsec_nanos()),
        });
        // A failed wait is a look.
        let _ = poll(&mut fds, timeout.as_ref());
    }
}

fn start(own_binary: &Path, arguments: &[OsString]) -> io::Result<Child> {
    let mut command = std::process::Command::new(own_binary);
    if let Some(limit) = descriptors::commands_limit() {
        // Its commands get the limit that ours get.
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
        // A terminal that interrupts its foreground interrupts us; what that means for this one we say.
        .process_group(0);
    for name in OURS_ALONE {
        command.env_remove(name);
    }
    command.spawn()
}

/// The signals that were sent: to a worker for one run the first means to end its command, the second to kill it.
#[derive(Debug, Default)]
struct Signals {
    term: bool,
    kill: bool,
}

impl Signals {
    /// Those to be sent now. Two of different numbers, since a second of the same would be lost where the first is not yet seen.
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
    fn each_stage_of_a_stop_is_passed_on_once_and_a_later_one_holds_the_earlier() {
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
    fn it_ends_with_an_exit_code_a_signal_or_not_at_all() {
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
        // Whatever it does before its traps are set, the command waits for it.
        assert_eq!(run("exec sleep 60", Some(StopCommand::Release)), None);
        assert_eq!(run("exec sleep 60", Some(StopCommand::Kill)), None);
        assert_eq!(run("exit 0", Some(StopCommand::Cancel)), Some(0));
        let none = run_own_binary(Path::new("/no/such"), &[], &Control::new().unwrap());
        assert_eq!(none.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
