//! Lock files: bounded waits for flock, through fs2.
//!
//! Rule: only files made for locking are locked; `jobctl.db` is touched by SQLite alone, because closing a second
//! descriptor of it would cancel SQLite's own POSIX locks.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use fs2::FileExt;

use crate::error::{Error, Kind, Result};

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// With others.
    Shared,
    /// Alone.
    Exclusive,
}

/// Opens a lock file, creating it with `mode`; never follows a link, never leaks into children.
pub(super) fn open(path: &Path, mode: u32) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(mode)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| Error::io("open the lock file", path, &error))
}

fn try_lock(file: &File, mode: Mode) -> std::io::Result<bool> {
    let result = match mode {
        Mode::Shared => FileExt::try_lock_shared(file),
        Mode::Exclusive => FileExt::try_lock_exclusive(file),
    };
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Locks `file` within `wait`; `None` when it was held all that time.
///
/// The wait is the kernel's queue, not a poll: whoever waits longest goes first. flock has no timeout, so a thread waits;
/// if it gets the lock too late it lets go by dropping the file.
pub(super) fn acquire(file: File, mode: Mode, wait: Duration) -> std::io::Result<Option<File>> {
    if try_lock(&file, mode)? {
        return Ok(Some(file));
    }
    if wait.is_zero() {
        return Ok(None);
    }
    let (sender, receiver) = mpsc::sync_channel::<std::io::Result<File>>(0);
    std::thread::Builder::new()
        .name("lock".into())
        .stack_size(64 * 1024)
        .spawn(move || {
            let locked = loop {
                let result = match mode {
                    Mode::Shared => FileExt::lock_shared(&file),
                    Mode::Exclusive => FileExt::lock_exclusive(&file),
                };
                match result {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    other => break other.map(|()| file),
                }
            };
            // A rendezvous: if nobody waits any more, the file comes back here and closes.
            drop(sender.send(locked));
        })?;
    match receiver.recv_timeout(wait) {
        Ok(result) => result.map(Some),
        Err(_) => Ok(None),
    }
}

/// The writers' queue: held around BEGIN..COMMIT by every process. Opened anew for each transaction, so that its close
/// (`IN_CLOSE_WRITE`) tells waiting workers that something was committed.
pub(super) struct WriteTurn(File);

impl WriteTurn {
    /// Waits for our turn.
    pub(super) fn take(path: &Path, mode: u32, wait: Duration) -> Result<Self> {
        let file = open(path, mode)?;
        match acquire(file, Mode::Exclusive, wait) {
            Ok(Some(file)) => Ok(Self(file)),
            Ok(None) => Err(Error::new(
                Kind::TryAgain,
                format!("the store was busy for {} s; nothing was stored", wait.as_secs()),
            )
            .hint("find who holds `write.lock` (`fuser -v write.lock` in the state directory); a stopped process keeps it")
            .retry_after_ms(1000)),
            Err(error) => Err(Error::io("lock", path, &error)),
        }
    }
}

impl Drop for WriteTurn {
    fn drop(&mut self) {
        // Explicit: a child between clone and exec holds a copy of the descriptor for some microseconds.
        drop(FileExt::unlock(&self.0));
    }
}
