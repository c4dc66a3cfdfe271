//! Lock files: bounded waits for flock, through fs2.
//!
//! Rule: only lock files are locked; `jobctl.db` is opened by SQLite only, because closing a second descriptor of it would cancel
//! the POSIX locks of SQLite.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use fs2::FileExt;

use crate::error::{Error, Kind, Result};
use crate::owned::open_write;

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// With others.
    Shared,
    /// Alone.
    Exclusive,
}

/// Opens a lock file of the store directory, and creates it if it is missing.
pub(crate) fn open(path: &Path) -> Result<File> {
    open_write(path).map_err(|error| Error::io("open the lock file", path, &error))
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

/// Locks `file` within `wait`; `None` if other processes held it all that time.
///
/// Waiters queue in the kernel, first come, first served. flock has no timeout, so a thread waits; if it gets the lock too late, it
/// releases it by dropping the file.
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
            // If the receiver has given up, sending fails and the file is closed here.
            drop(sender.send(locked));
        })?;
    match receiver.recv_timeout(wait) {
        Ok(result) => result.map(Some),
        Err(_) => Ok(None),
    }
}

/// A process that holds a lock.
struct Holder {
    pid: u32,
    name: String,
    stopped: bool,
}

/// The process that holds the lock of a file now, if the kernel shows it.
fn holder(path: &Path) -> Option<Holder> {
    let meta = std::fs::metadata(path).ok()?;
    let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    // `5: FLOCK  ADVISORY  WRITE 4711 08:02:131 0 EOF`; those who wait have `->` behind the number.
    let file = format!("{major:02x}:{minor:02x}:{}", meta.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let pid: u32 = locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(1) == Some(&"FLOCK") && fields.get(5) == Some(&file.as_str()))
            .then(|| fields[4].parse().ok())?
    })?;
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (name, rest) = stat.rsplit_once(')')?;
    let (_, name) = name.split_once('(')?;
    Some(Holder {
        pid,
        name: name.chars().map(crate::units::visible).collect(),
        stopped: rest.trim_start().starts_with(['T', 't']),
    })
}

/// The write lock: every process holds it around BEGIN..COMMIT. The file is opened for each transaction, so that its close
/// (`IN_CLOSE_WRITE`) notifies waiting workers of the commit.
pub(super) struct WriteTurn(File);

impl WriteTurn {
    /// Waits for the lock.
    pub(super) fn take(path: &Path, wait: Duration) -> Result<Self> {
        let file = open(path)?;
        match acquire(file, Mode::Exclusive, wait) {
            Ok(Some(file)) => Ok(Self(file)),
            Ok(None) => {
                let busy = format!("the store was busy for {} s", wait.as_secs());
                let error = match holder(path) {
                    Some(Holder { pid, name, stopped }) => {
                        let state = if stopped { ", which is stopped," } else { "" };
                        let what = format!("{busy}: process {pid} (`{name}`){state} holds it; nothing was stored");
                        Error::new(Kind::TryAgain, what).hint(if stopped {
                            format!("continue it (`kill -CONT {pid}`) or kill it (`kill -KILL {pid}`); neither loses work")
                        } else {
                            format!("try again; if this persists, check what process {pid} does")
                        })
                    }
                    None => Error::new(Kind::TryAgain, format!("{busy}; nothing was stored"))
                        .hint("find the process that holds `write.lock` (`fuser -v write.lock` in the store directory), for instance a stopped one"),
                };
                Err(error.retry_after_ms(1000))
            }
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
