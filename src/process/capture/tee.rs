//! Copies output to another descriptor (the terminal of `jobctl run`) without ever blocking the slot.
//!
//! Rule: a thread of its own does the writing; a slow reader stops the reading of the pipe (as it would stop the command
//! without jobctl), never the watching of timeouts and commands.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// What may wait for a slow reader before the pipe is no longer read.
const QUEUE_BYTES: usize = 1 << 20;

/// A writer to a descriptor that may be slow or closed.
#[derive(Debug)]
pub struct Tee {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
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
    /// Its reader is gone: what comes is dropped.
    broken: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tee {
    /// Starts the writing thread; `file` is usually a duplicate of standard output.
    pub fn start(mut file: File) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("tee".into())
            .spawn(move || {
                loop {
                    let mut queue = own
                        .changed
                        .wait_while(own.lock(), |queue| queue.bytes.is_empty() && !queue.ended)
                        .unwrap_or_else(PoisonError::into_inner);
                    if queue.bytes.is_empty() {
                        return;
                    }
                    let mut bytes = std::mem::take(&mut queue.bytes);
                    drop(queue);
                    if file.write_all(bytes.make_contiguous()).is_err() {
                        own.lock().broken = true;
                    }
                }
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
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

    /// Waits until all is written or the reader is gone.
    pub fn finish(mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_one();
    }
}
