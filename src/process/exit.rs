//! How a command exited, why jobctl stopped it (if it did), and the ending of its attempt.

use rustix::process::WaitIdStatus;

use super::control::Received;
use crate::attempt::{Ending, StopCommand};

/// Why jobctl stops a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopReason {
    Timeout,
    Cancel,
    Release,
}

impl StopReason {
    pub(super) fn of(received: Received) -> Option<Self> {
        if received.has(StopCommand::Cancel) {
            Some(StopReason::Cancel)
        } else {
            received.any().then_some(StopReason::Release)
        }
    }

    /// The ending of a command that was stopped for this reason.
    pub(super) fn ending(self, exited: Option<Exit>) -> Ending {
        let (exit_code, signal) = match exited {
            Some(Exit::Code(code)) => (Some(code), None),
            Some(Exit::Signal(signal)) => (None, Some(signal)),
            None => (None, None),
        };
        match self {
            // The command succeeded before it could be stopped.
            StopReason::Cancel | StopReason::Release if exit_code == Some(0) => Ending::Exited(0),
            StopReason::Timeout => Ending::TimedOut { exit_code, signal },
            StopReason::Cancel => Ending::Cancelled { exit_code, signal },
            StopReason::Release => Ending::Released { exit_code, signal },
        }
    }
}

/// How a process exited.
#[derive(Debug, Clone, Copy)]
pub(super) enum Exit {
    Code(i32),
    Signal(i32),
}

impl Exit {
    pub(super) fn of(status: &WaitIdStatus) -> Self {
        match status.exit_status() {
            Some(code) => Exit::Code(code),
            None => Exit::Signal(status.terminating_signal().unwrap_or(0)),
        }
    }
}
