//! The leader, which opens periods first, is the holder of `scheduler.lock`. The kernel frees the lock when the process dies.
//!
//! Rule: the lock only saves work. Two processes that both lead open no period twice.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use fs2::FileExt;

use crate::error::{Error, Kind, Result};
use crate::owned::open_read;
use crate::store::open_lock;

/// Path of the lock.
pub fn lock_path(state: &Path) -> PathBuf {
    state.join("scheduler.lock")
}

/// Whether some process holds the lock; `None` if it cannot be checked.
pub fn is_led(state: &Path) -> Option<bool> {
    // Opened for reading, so that the check changes nothing.
    let file = match open_read(&lock_path(state)) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(false),
        Err(_) => return None,
    };
    match FileExt::try_lock_shared(&file) {
        Ok(()) => Some(false),
        Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => {
            Some(true)
        }
        Err(_) => None,
    }
}

/// A process that leads or waits to lead.
pub(super) struct Candidate {
    lock: Option<File>,
    /// Readable when the waiting thread has the lock.
    wake: UnixStream,
    got: std::sync::mpsc::Receiver<std::io::Result<File>>,
}

impl Candidate {
    /// Takes the lock, or waits for it on a thread.
    pub(super) fn new(state: &Path) -> Result<Self> {
        let path = lock_path(state);
        let file = open_lock(&path)?;
        let failed = |error: &std::io::Error| {
            Error::new(Kind::Failed, format!("cannot wait for the lead: {error}"))
        };
        let (wake, mut waker) = UnixStream::pair().map_err(|error| failed(&error))?;
        wake.set_nonblocking(true).map_err(|error| failed(&error))?;
        let (sender, got) = std::sync::mpsc::sync_channel(1);
        let lock = match FileExt::try_lock_exclusive(&file) {
            Ok(()) => Some(file),
            Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => {
                std::thread::Builder::new()
                    .name("lead".into())
                    .stack_size(64 * 1024)
                    .spawn(move || {
                        let locked = loop {
                            match FileExt::lock_exclusive(&file) {
                                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                                other => break other.map(|()| file),
                            }
                        };
                        drop(sender.send(locked));
                        let _ = waker.write_all(b"!");
                    })
                    .map_err(|error| failed(&error))?;
                None
            }
            Err(error) => return Err(Error::io("lock", &path, &error)),
        };
        Ok(Self { lock, wake, got })
    }

    pub(super) fn leads(&self) -> bool {
        self.lock.is_some()
    }

    /// Whether this process has become the leader since the last call.
    pub(super) fn has_taken_over(&mut self) -> bool {
        if self.lock.is_some() {
            return false;
        }
        if let Ok(Ok(file)) = self.got.try_recv() {
            self.lock = Some(file);
        }
        self.lock.is_some()
    }

    /// Readable when this process has become the leader; only useful while it waits.
    pub(super) fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
