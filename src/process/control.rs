//! Commands to a slot that is busy supervising: cancel, release, kill.
//!
//! Rule: a command names its attempt (by a [`Ticket`]); a command for an earlier attempt has no effect.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::event::EventfdFlags;

use crate::attempt::StopCommand;

/// Number of one attempt of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

/// Commands to one slot; reused for all its attempts and shared with the worker's main thread.
#[derive(Debug)]
pub struct Control {
    wake: OwnedFd,
    /// Ticket in the upper bits, received commands in the lowest eight.
    state: AtomicU64,
}

const COMMAND_BITS: u32 = 8;

impl Control {
    /// A control without an attempt.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            wake: rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            state: AtomicU64::new(0),
        })
    }

    /// Begins a new attempt: clears all commands and returns the ticket for new ones.
    ///
    /// To be called before each `supervise`, by the code that gives the attempt to the slot.
    pub fn arm(&self) -> Ticket {
        let ticket = (self.state.load(Ordering::Acquire) >> COMMAND_BITS) + 1;
        self.state.store(ticket << COMMAND_BITS, Ordering::Release);
        Ticket(ticket)
    }

    /// Sends a command to the attempt of this ticket; false if that one is no longer the current attempt.
    pub fn send(&self, ticket: Ticket, command: StopCommand) -> bool {
        let sent = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
                (state >> COMMAND_BITS == ticket.0).then_some(state | command as u64)
            })
            .is_ok();
        if sent {
            // On an error the counter is full, and the slot wakes anyway.
            let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        }
        sent
    }

    /// The commands received by the current attempt.
    pub(super) fn received(&self) -> Received {
        Received(self.state.load(Ordering::Acquire) as u8)
    }

    /// Takes the wake-up, so that the next wait blocks again. A late one, meant for an earlier attempt, is harmless.
    pub(super) fn take_wake(&self) {
        let mut counter = [0u8; 8];
        let _ = rustix::io::read(&self.wake, &mut counter);
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// A set of commands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received(u8);

impl Received {
    pub(super) fn has(self, command: StopCommand) -> bool {
        self.0 & command as u8 != 0
    }

    pub(super) fn any(self) -> bool {
        self.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_for_an_earlier_attempt_has_no_effect() {
        let control = Control::new().unwrap();
        let first = control.arm();
        assert!(control.send(first, StopCommand::Cancel));
        assert!(control.received().has(StopCommand::Cancel));
        let second = control.arm();
        assert!(!control.received().any());
        assert!(!control.send(first, StopCommand::Kill));
        assert!(!control.received().any());
        assert!(control.send(second, StopCommand::Release));
        assert!(
            control.received().has(StopCommand::Release)
                && !control.received().has(StopCommand::Kill)
        );
    }
}
