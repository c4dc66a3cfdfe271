//! Events for the worker's main thread, with a descriptor that its poll loop waits on.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::event::EventfdFlags;

/// A queue of events whose descriptor is readable while it is not empty.
#[derive(Debug)]
pub(super) struct Inbox<T> {
    events: Mutex<Vec<T>>,
    wake: OwnedFd,
    lazy: AtomicBool,
}

impl<T> Inbox<T> {
    pub(super) fn new() -> std::io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self {
            events: Mutex::new(Vec::new()),
            wake: rustix::event::eventfd(0, flags)?,
            lazy: AtomicBool::new(false),
        })
    }

    /// Adds an event and wakes the reader.
    pub(super) fn push(&self, event: T) {
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event);
        // A failure means that the counter is full: then the reader wakes anyway.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// While set, the reader polls every few milliseconds and [`Inbox::leave`] need not wake it.
    pub(super) fn set_lazy(&self, lazy: bool) {
        self.lazy.store(lazy, Ordering::SeqCst);
    }

    /// Adds an event; wakes the reader only if it is not lazy, or if `urgent`.
    pub(super) fn leave(&self, event: T, urgent: bool) {
        if urgent || !self.lazy.load(Ordering::SeqCst) {
            return self.push(event);
        }
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event);
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
