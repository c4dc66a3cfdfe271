//! Who opens periods first: the holder of `scheduler.lock`. The kernel frees it when the process dies, however it dies.
//!
//! Rule: the lock only saves work. Two processes that both believe they lead open nothing twice.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use fs2::FileExt;

use crate::error::{Error, Kind, Result};
use crate::local::{Local, lock};
use crate::owned::open_read;

/// Path of the lock.
fn lock_path(local: &Local) -> PathBuf {
    local.dir().join("scheduler.lock")
}

/// Whether some process holds the lock; `None` where we may not look.
pub fn is_led(local: &Local) -> Option<bool> {
    // For reading: a look changes nothing.
    let file = match open_read(&lock_path(local)) {
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

/// A place in the queue of those who want to lead.
pub(super) struct Candidate {
    lock: Option<File>,
    /// Ready to read when a thread of ours has got the lock.
    news: UnixStream,
    got: std::sync::mpsc::Receiver<std::io::Result<File>>,
}

impl Candidate {
    /// Takes the lock, or waits for it in the kernel's queue while the caller goes on.
    pub(super) fn new(local: &Local) -> Result<Self> {
        let path = lock_path(local);
        let file = lock::open(&path)?;
        let failed = |error: &std::io::Error| {
            Error::new(Kind::Failed, format!("cannot wait for the lead: {error}"))
        };
        let (news, mut bell) = UnixStream::pair().map_err(|error| failed(&error))?;
        news.set_nonblocking(true).map_err(|error| failed(&error))?;
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
                        let _ = bell.write_all(b"!");
                    })
                    .map_err(|error| failed(&error))?;
                None
            }
            Err(error) => return Err(Error::io("lock", &path, &error)),
        };
        Ok(Self { lock, news, got })
    }

    pub(super) fn leads(&self) -> bool {
        self.lock.is_some()
    }

    /// Whether the lock was got just now.
    pub(super) fn has_taken_over(&mut self) -> bool {
        if self.lock.is_some() {
            return false;
        }
        if let Ok(Ok(file)) = self.got.try_recv() {
            self.lock = Some(file);
        }
        self.lock.is_some()
    }

    /// Readable when there is news; only of use while waiting.
    pub(super) fn news(&self) -> BorrowedFd<'_> {
        self.news.as_fd()
    }
}
