//! Watches one started command: stops it in one loop, then ends its process tree and reaps it.
//!
//! Rule: the command stays a zombie until its group is killed, so that its pid cannot be reused. Every wait is bounded, except the
//! running time of a command without a timeout.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::capture::{Capture, Read};
use super::control::Control;
use super::exit::{Exit, StopReason};
use super::family::ProcessTree;
use super::limits::Limits;
use super::proc_fs::Stat;
use super::start::Child;
use super::{spawn, wrapper};
use crate::attempt::{Ending, NotStarted, StopCommand};
use crate::catalogue::Leftovers;
use crate::clock;

/// After the end of the command, how long the pipe is still read and leftover processes may end without a signal.
const LINGER: Duration = Duration::from_millis(100);

/// SIGKILL takes microseconds, unless the process hangs in the kernel (for example on a dead network file system).
const KILL_WITHIN: Duration = Duration::from_secs(10);

/// The phase of an attempt; each ends at its instant.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Running(Option<Instant>),
    Grace(Instant),
    Killed(Instant),
}

/// Watches one attempt from its start to its end.
pub(super) struct AttemptWatch<'a> {
    child: Child,
    processes: ProcessTree<'a>,
    limits: &'a Limits,
    control: &'a Control,
    capture: &'a mut Capture,
    phase: Phase,
    why: Option<StopReason>,
    /// When SIGTERM was sent, in milliseconds since boot.
    termed_ms: Option<i64>,
}

impl<'a> AttemptWatch<'a> {
    pub(super) fn new(
        child: Child,
        mark: &'a str,
        limits: &'a Limits,
        control: &'a Control,
        capture: &'a mut Capture,
        begun: Instant,
    ) -> Self {
        let processes = ProcessTree {
            leader: child.pid,
            leader_start_ticks: child.spawned.start_ticks,
            mark,
            pipe_inode: rustix::fs::fstat(&child.pipe).map_or(0, |stat| stat.st_ino),
            known: Vec::new(),
        };
        Self {
            child,
            processes,
            limits,
            control,
            capture,
            // A timeout beyond the clock's range counts as none.
            phase: Phase::Running(limits.timeout.and_then(|limit| begun.checked_add(limit))),
            why: None,
            termed_ms: None,
        }
    }

    /// Waits for the exit of the command and stops it when that is due. Returns false if even SIGKILL did not end it in time.
    pub(super) fn until_exit(&mut self) -> bool {
        // A command may have arrived, and its wake-up been taken, before this attempt was started.
        self.apply_commands();
        loop {
            let deadline = match self.phase {
                Phase::Running(deadline) => deadline,
                Phase::Grace(deadline) | Phase::Killed(deadline) => Some(deadline),
            };
            let ready = self.wait(deadline, true, true);
            if ready.exited {
                return true;
            }
            if ready.commanded {
                self.control.take_wake();
                self.apply_commands();
            }
            if ready.output && self.capture.read(self.child.pipe.as_fd()) == Read::End {
                // Cannot happen while we hold a write end; closing ours prevents a busy loop.
                self.child.pipe_writer = None;
            }
            if deadline.is_some_and(|deadline| clock::monotonic() >= deadline) {
                match self.phase {
                    Phase::Running(_) => self.terminate(StopReason::Timeout),
                    Phase::Grace(_) => self.kill(),
                    Phase::Killed(_) => return false,
                }
            }
        }
    }

    fn apply_commands(&mut self) {
        let received = self.control.received();
        if let Some(why) = StopReason::of(received) {
            match self.phase {
                Phase::Running(_) => self.terminate(why),
                // A cancel overrides a release; a timeout stays a timeout.
                _ if self.why == Some(StopReason::Release) => self.why = Some(why),
                _ => {}
            }
        }
        if received.has(StopCommand::Kill) && !matches!(self.phase, Phase::Killed(_)) {
            self.kill();
        }
    }

    fn terminate(&mut self, why: StopReason) {
        self.why = Some(why);
        self.phase = Phase::Grace(after(self.limits.grace));
        self.termed_ms = Some(clock::boottime_ms());
        self.processes.terminate();
    }

    fn kill(&mut self) {
        self.phase = Phase::Killed(after(KILL_WITHIN));
        self.processes.kill();
    }

    /// Waits for a command, for output if `read`, for the exit if `exit`, or for the deadline.
    fn wait(&self, deadline: Option<Instant>, read: bool, exit: bool) -> Ready {
        let now = clock::monotonic();
        let mut timeout = deadline.map(|deadline| deadline.saturating_duration_since(now));
        let read = read && !self.capture.is_blocked();
        if (exit && self.child.pidfd.is_none()) || self.capture.is_blocked() {
            let tick = Duration::from_millis(10);
            timeout = Some(timeout.map_or(tick, |timeout| timeout.min(tick)));
        }
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        });
        // The control is a placeholder for a descriptor that is not waited for; its result is ignored there.
        let control_fd = self.control.as_fd();
        let pipe_fd = read.then(|| self.child.pipe.as_fd());
        let exit_fd = self.child.pidfd.as_ref().filter(|_| exit).map(AsFd::as_fd);
        let mut fds = [
            control_fd,
            pipe_fd.unwrap_or(control_fd),
            exit_fd.unwrap_or(control_fd),
        ]
        .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        // An interrupted wait only ends early.
        let _ = rustix::event::poll(&mut fds, timeout.as_ref());
        let [commanded, output, exited] = fds.map(|fd| !fd.revents().is_empty());
        let peek = WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ready {
            commanded,
            output: read && output,
            exited: match exit_fd {
                Some(_) => exited,
                None => exit && exit_of(self.child.pid, peek).is_some(),
            },
        }
    }

    /// Reads the rest of the pipe and ends the leftover processes. Returns how many were found, and those that could not be ended.
    pub(super) fn end_tree(&mut self) -> (u32, Vec<Stat>) {
        let stopping = self.why.is_some();
        let allowed = !stopping && self.limits.leftovers == Leftovers::Allow;
        let mut survivors = self.processes.survivors();
        let mut silent = if spawn::is_subreaper() && survivors.is_empty() {
            // No process is left that could write, so the pipe holds the rest of the output. Its end may come later: a command that
            // another slot starts at this moment holds a copy of every descriptor until its exec.
            self.drain_until_empty(after(LINGER));
            true
        } else {
            self.child.pipe_writer = None;
            self.drain_until_empty(after(LINGER)) == Read::End
        };
        if !silent || !survivors.is_empty() {
            survivors = self.linger(&mut silent, allowed);
        }
        if allowed {
            return (survivors.len() as u32, Vec::new());
        }
        let mut ended = self.processes.end(survivors);
        if !silent {
            silent = self.drain_until(after(LINGER));
        }
        if !silent {
            let again = self.processes.end(self.processes.marked());
            ended.count += again.count;
            ended.stuck.extend(again.stuck);
            self.drain_until(after(LINGER));
        }
        (ended.count, ended.stuck)
    }

    /// Waits for leftover processes to end without a signal: for the rest of the grace if the command was stopped, otherwise for
    /// [`LINGER`] (`exec > >(tee log)` leaves such a process). Returns the processes that are left.
    fn linger(&mut self, silent: &mut bool, allowed: bool) -> Vec<Stat> {
        let begun = clock::monotonic();
        let mut resend_at = begun;
        let mut until = after(LINGER);
        match self.phase {
            Phase::Grace(grace_over) => until = until.max(grace_over),
            Phase::Killed(_) => until = clock::monotonic(),
            Phase::Running(_) => {}
        }
        let mut pause = Duration::from_millis(1);
        loop {
            let survivors = self.processes.survivors();
            let now = clock::monotonic();
            if now >= until || (*silent && (allowed || survivors.is_empty())) {
                return survivors;
            }
            // Without known survivors only the end of the pipe is awaited.
            let tick = if survivors.is_empty() { LINGER } else { pause };
            if let (Some(termed_ms), true) = (self.termed_ms, now >= resend_at) {
                ProcessTree::resend_term(&survivors, termed_ms);
                // Sent twice: the first signal may also have come between fork and exec.
                resend_at = if resend_at == begun {
                    begun + LINGER
                } else {
                    until
                };
            }
            pause = (pause * 2).min(Duration::from_millis(50));
            let ready = self.wait(Some((now + tick).min(until)), !*silent, false);
            if ready.commanded {
                self.control.take_wake();
                if self.control.received().has(StopCommand::Kill) {
                    until = clock::monotonic();
                }
            }
            if ready.output {
                *silent =
                    self.drain_until_empty((clock::monotonic() + LINGER).min(until)) == Read::End;
            }
        }
    }

    /// Reads until the pipe is empty or at its end, or until `deadline`.
    fn drain_until_empty(&mut self, deadline: Instant) -> Read {
        loop {
            match self.capture.read(self.child.pipe.as_fd()) {
                Read::Some if clock::monotonic() < deadline => {}
                Read::Some => return Read::Empty,
                end => return end,
            }
        }
    }

    /// Reads until the end of the pipe or until `deadline`; returns whether the end was reached.
    fn drain_until(&mut self, deadline: Instant) -> bool {
        loop {
            if self.drain_until_empty(deadline) == Read::End {
                return true;
            }
            if clock::monotonic() >= deadline {
                return false;
            }
            self.wait(Some(deadline), true, false);
        }
    }

    /// The command that even SIGKILL did not end, and why it was stopped.
    pub(super) fn stuck(&self) -> (Pid, StopReason) {
        // There is always a reason: SIGKILL is only sent to stop a command.
        (self.child.pid, self.why.unwrap_or(StopReason::Release))
    }

    /// Reaps the command and returns how it ended. The error is that of a wrapper that could not execute the command.
    pub(super) fn ending(&self, exited: bool) -> Result<Ending, NotStarted> {
        let exit = if exited {
            exit_of(self.child.pid, WaitIdOptions::empty())
        } else {
            None
        };
        let report = self.child.report.as_ref();
        if let Some(failed) = report.filter(|_| exited).and_then(wrapper::read_report) {
            return Err(failed);
        }
        Ok(match (self.why, exit) {
            (Some(why), exit) => why.ending(exit),
            (None, Some(Exit::Code(code))) => Ending::Exited(code),
            (None, Some(Exit::Signal(signal))) => Ending::Signalled(signal),
            (None, None) => Ending::Signalled(Signal::KILL.as_raw()),
        })
    }
}

struct Ready {
    commanded: bool,
    output: bool,
    exited: bool,
}

fn after(duration: Duration) -> Instant {
    let now = clock::monotonic();
    // A duration beyond the clock's range is replaced by a day.
    now.checked_add(duration)
        .unwrap_or(now + Duration::from_hours(24))
}

fn exit_of(pid: Pid, options: WaitIdOptions) -> Option<Exit> {
    loop {
        match rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | options) {
            Ok(status) => {
                return status.as_ref().map(Exit::of);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}
