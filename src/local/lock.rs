//! Lock files: flock with bounded waits, through fs2, and the process that holds a lock.
//!
//! Rule: only lock files are locked; `jobctl.db` is opened by SQLite only, because closing a second descriptor of it would cancel
//! the POSIX locks of SQLite.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use fs2::FileExt;

use crate::error::{Error, Result};
use crate::owned::open_write;

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Shared with other holders.
    Shared,
    /// Exclusively.
    Exclusive,
}

/// Opens a lock file of the state directory, and creates it if it is missing.
pub fn open(path: &Path) -> Result<File> {
    open_write(path).map_err(|error| Error::io("open the lock file", path, &error))
}

/// Locks a file if that needs no wait. Returns whether this process holds the lock now.
pub fn try_lock(file: &File, mode: Mode) -> std::io::Result<bool> {
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

/// Locks a file, however long that takes.
///
/// # Errors
/// Those of the file system.
pub fn wait_for(file: &File, mode: Mode) -> std::io::Result<()> {
    loop {
        let result = match mode {
            Mode::Shared => FileExt::lock_shared(file),
            Mode::Exclusive => FileExt::lock_exclusive(file),
        };
        match result {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Locks `file` within `wait`; `None` if other processes held it all that time.
///
/// Waiters queue in the kernel, first come, first served. flock has no timeout, so a thread waits; if it gets the lock too late, it
/// releases it by dropping the file.
pub fn acquire(file: File, mode: Mode, wait: Duration) -> std::io::Result<Option<File>> {
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
            let locked = wait_for(&file, mode).map(|()| file);
            // If the receiver has given up, sending fails and the file is closed here.
            drop(sender.send(locked));
        })?;
    match receiver.recv_timeout(wait) {
        Ok(result) => result.map(Some),
        Err(_) => Ok(None),
    }
}

/// Releases a lock before its file is closed.
pub fn unlock(file: &File) {
    drop(FileExt::unlock(file));
}

/// Whether a process holds the exclusive lock; `None` if that cannot be checked. Checked with a shared lock, so that two
/// processes that check at once do not take each other for the holder.
pub fn is_locked(file: &File) -> Option<bool> {
    try_lock(file, Mode::Shared).ok().map(|is_ours| !is_ours)
}

/// A process that holds a lock.
#[derive(Debug)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its name, without control characters.
    pub name: String,
    /// Whether a signal has stopped it.
    pub is_stopped: bool,
}

/// The process that holds the lock of a file now, if the kernel shows it.
pub fn holder(path: &Path) -> Option<Holder> {
    let meta = fs::metadata(path).ok()?;
    let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    // `5: FLOCK  ADVISORY  WRITE 4711 08:02:131 0 EOF`; processes that wait have `->` after the number.
    let file = format!("{major:02x}:{minor:02x}:{}", meta.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let pid: u32 = locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(1) == Some(&"FLOCK") && fields.get(5) == Some(&file.as_str()))
            .then(|| fields[4].parse().ok())?
    })?;
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (name, rest) = stat.rsplit_once(')')?;
    let (_, name) = name.split_once('(')?;
    Some(Holder {
        pid,
        name: name.chars().map(crate::units::visible).collect(),
        is_stopped: rest.trim_start().starts_with(['T', 't']),
    })
}

/// Whether a process holds the exclusive lock on a file, by what the kernel shows of its descriptors.
pub fn holds(pid: i32, lock: &Path) -> bool {
    let id = |meta: &fs::Metadata| (meta.dev(), meta.ino());
    let Ok(file) = fs::symlink_metadata(lock) else {
        return false;
    };
    let entries = fs::read_dir(format!("/proc/{pid}/fd"));
    entries.into_iter().flatten().flatten().any(|entry| {
        let is_file = fs::metadata(entry.path()).is_ok_and(|meta| id(&meta) == id(&file));
        let name = entry.file_name();
        let info = || fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", name.display()));
        let is_lock = |line: &str| {
            line.starts_with("lock:") && line.contains(" FLOCK ") && line.contains(" WRITE ")
        };
        is_file && info().is_ok_and(|info| info.lines().any(is_lock))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves: as `a_forged_row_does_not_get_a_process_killed`.
    #[test]
    fn only_the_holder_of_the_exclusive_lock_counts_as_holder() {
        let dir = tempfile::tempdir().unwrap();
        let own = std::process::id().cast_signed();
        let (path, other) = (dir.path().join("1.lock"), dir.path().join("2.lock"));
        let lock = fs::File::create(&path).unwrap();
        let _open = fs::File::create(&other).unwrap();
        assert!(!holds(own, &path), "open and not locked");
        FileExt::lock_shared(&lock).unwrap();
        assert!(!holds(own, &path), "shared");
        FileExt::unlock(&lock).unwrap();
        FileExt::lock_exclusive(&lock).unwrap();
        assert!(holds(own, &path));
        assert!(!holds(own, &other));
        assert!(!holds(own, &dir.path().join("none")));
        assert!(!holds(1, &path), "another process");
    }
}
