//! Events for the worker's main thread, with a descriptor that its poll loop waits on.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::event::EventfdFlags;

/// A queue of events whose descriptor is readable while it is not empty.
#[derive(Debug)]
pub(super) struct Inbox<T> {
    events: Mutex<Vec<T>>,
    wake: OwnedFd,
}

impl<T> Inbox<T> {
    pub(super) fn new() -> std::io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self {
            events: Mutex::new(Vec::new()),
            wake: rustix::event::eventfd(0, flags)?,
        })
    }

    /// Adds an event; wakes the reader only for the first one.
    pub(super) fn push(&self, event: T) {
        let first = {
            let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            events.push(event);
            events.len() == 1
        };
        if first {
            // A full counter is as good: the reader wakes.
            let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        }
    }

    /// Whether anything waits.
    pub(super) fn has_events(&self) -> bool {
        !self
            .events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    /// Takes all events.
    pub(super) fn take(&self) -> Vec<T> {
        let mut counter = [0u8; 8];
        let _ = rustix::io::read(&self.wake, &mut counter);
        std::mem::take(&mut self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> AsFd for Inbox<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
