//! The leader, which opens periods first, is the holder of `scheduler.lock`. The kernel frees the lock when the process dies.
//!
//! Rule: the lock only saves work. Two processes that both lead open no period twice.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use crate::error::{Error, Kind, Result};
use crate::local::Local;
use crate::local::lock::{self, Mode, is_locked};
use crate::owned::open_read;

impl Local {
    fn lead_path(&self) -> PathBuf {
        self.dir().join("scheduler.lock")
    }

    /// Whether a process leads; `None` if this user may not check.
    pub fn is_led(&self) -> Option<bool> {
        // Opened for reading, so that the check changes nothing.
        match open_read(&self.lead_path()) {
            Ok(file) => is_locked(&file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(false),
            Err(_) => None,
        }
    }
}

/// A process that leads or waits to lead.
pub struct Candidate {
    lock: Option<File>,
    /// Readable when the waiting thread has the lock.
    wake: UnixStream,
    got: std::sync::mpsc::Receiver<std::io::Result<File>>,
}

impl Candidate {
    /// Takes the lock, or waits for it on a thread.
    ///
    /// # Errors
    /// Those of the file system; no thread can be started.
    pub fn new(local: &Local) -> Result<Self> {
        let path = local.lead_path();
        let file = lock::open(&path)?;
        let failed = |error: &std::io::Error| {
            Error::new(Kind::Failed, format!("cannot wait for the lead: {error}"))
        };
        let (wake, mut waker) = UnixStream::pair().map_err(|error| failed(&error))?;
        wake.set_nonblocking(true).map_err(|error| failed(&error))?;
        let (sender, got) = std::sync::mpsc::sync_channel(1);
        let lock = if lock::try_lock(&file, Mode::Exclusive)
            .map_err(|error| Error::io("lock", &path, &error))?
        {
            Some(file)
        } else {
            std::thread::Builder::new()
                .name("lead".into())
                .stack_size(64 * 1024)
                .spawn(move || {
                    let locked = lock::wait_for(&file, Mode::Exclusive).map(|()| file);
                    drop(sender.send(locked));
                    let _ = waker.write_all(b"!");
                })
                .map_err(|error| failed(&error))?;
            None
        };
        Ok(Self { lock, wake, got })
    }

    /// Whether this process leads.
    pub fn leads(&self) -> bool {
        self.lock.is_some()
    }

    /// Whether this process has become the leader since the last call.
    pub fn has_taken_over(&mut self) -> bool {
        if self.lock.is_some() {
            return false;
        }
        if let Ok(Ok(file)) = self.got.try_recv() {
            self.lock = Some(file);
        }
        self.lock.is_some()
    }

    /// Readable when this process has become the leader; only useful while it waits.
    pub fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
