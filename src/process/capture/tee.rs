//! Copies output to another descriptor (the terminal of `jobctl run`) without ever blocking the slot.
//!
//! Rule: a separate thread writes. A slow reader stops the reading of the pipe (as it would stop the command without jobctl), but never
//! the handling of timeouts and commands. If the reader stops reading, a signal ends the wait.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::clock;

/// Most bytes that wait for a slow reader; then the pipe is not read.
const QUEUE_BYTES: usize = 1 << 20;

/// A writable pipe accepts this many bytes without blocking.
const PIECE_BYTES: usize = 4096;

/// How often the writer checks whether to stop, and the waiting thread whether a signal came.
const POLL_EVERY: Duration = Duration::from_millis(50);

/// How long the reader may take for the rest after a signal.
const AFTER_SIGNAL: Duration = Duration::from_secs(1);

/// A writer to a descriptor that may be slow or closed.
#[derive(Debug)]
pub struct Tee {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Whether a signal has come since the start.
    signalled: Arc<AtomicBool>,
    signals: Vec<SigId>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: VecDeque<u8>,
    ended: bool,
    /// The reader is gone or given up: further output is dropped.
    broken: bool,
    /// The writer has ended.
    done: bool,
}

impl Shared {
    /// Writes everything, unless the reader is gone or given up. Never blocks for longer than [`POLL_EVERY`].
    fn write_out(&self, file: &mut File, mut bytes: &[u8]) -> io::Result<()> {
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(POLL_EVERY.subsec_nanos()),
        };
        while !bytes.is_empty() {
            if self.lock().broken {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let mut fds = [PollFd::from_borrowed_fd(file.as_fd(), PollFlags::OUT)];
            match rustix::event::poll(&mut fds, Some(&timeout)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            match file.write(&bytes[..bytes.len().min(PIECE_BYTES)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => bytes = &bytes[length..],
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn is_done_within(&self, wait: Duration) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), wait, |queue| !queue.done);
        waited.unwrap_or_else(PoisonError::into_inner).0.done
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tee {
    /// Starts the writing thread; `file` is usually a duplicate of standard output.
    pub fn start(mut file: File) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let signalled = Arc::new(AtomicBool::new(false));
        let mut signals = Vec::new();
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            signals.push(signal_hook::flag::register(signal, Arc::clone(&signalled))?);
        }
        let thread = std::thread::Builder::new()
            .name("tee".into())
            .spawn(move || {
                loop {
                    let mut queue = own
                        .changed
                        .wait_while(own.lock(), |queue| queue.bytes.is_empty() && !queue.ended)
                        .unwrap_or_else(PoisonError::into_inner);
                    if queue.bytes.is_empty() {
                        queue.done = true;
                        own.changed.notify_all();
                        return;
                    }
                    let mut bytes = std::mem::take(&mut queue.bytes);
                    drop(queue);
                    if own.write_out(&mut file, bytes.make_contiguous()).is_err() {
                        own.lock().broken = true;
                    }
                }
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
            signalled,
            signals,
        })
    }

    pub(super) fn write(&self, bytes: &[u8]) {
        let mut queue = self.shared.lock();
        if !queue.broken {
            queue.bytes.extend(bytes);
            self.shared.changed.notify_one();
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.shared.lock().bytes.len() >= QUEUE_BYTES
    }

    /// Waits until everything is written or the reader is gone; after a signal, at most `AFTER_SIGNAL`.
    pub fn finish(mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_one();
        let Some(thread) = self.thread.take() else {
            return;
        };
        let mut give_up = None;
        while !self.shared.is_done_within(POLL_EVERY) && !thread.is_finished() {
            if self.signalled.load(Ordering::Relaxed) {
                let at = *give_up.get_or_insert_with(|| clock::monotonic() + AFTER_SIGNAL);
                if clock::monotonic() >= at {
                    self.shared.lock().broken = true;
                }
            }
        }
        let _ = thread.join();
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        for id in self.signals.drain(..) {
            signal_hook::low_level::unregister(id);
        }
        self.shared.lock().ended = true;
        self.shared.changed.notify_one();
    }
}
