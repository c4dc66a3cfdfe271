//! The files by which workers are known to be alive or dead, and the start of a process, which proves who it is.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::clock;
use crate::error::{Error, Result};
use crate::owned::Dir;
use crate::run::WorkerId;
use crate::store::WorkerRow;

/// Directory of the workers' lock files.
pub fn workers_dir(state: &Path) -> PathBuf {
    state.join("workers")
}

pub(super) fn lock_name(worker: WorkerId) -> String {
    format!("{worker}.lock")
}

pub(super) fn marks_name(worker: WorkerId) -> String {
    format!("{worker}.started")
}

/// Path of a worker's lock.
pub fn lock_path(state: &Path, worker: WorkerId) -> PathBuf {
    workers_dir(state).join(lock_name(worker))
}

/// Path of a worker's start marks.
pub fn marks_path(state: &Path, worker: WorkerId) -> PathBuf {
    workers_dir(state).join(marks_name(worker))
}

/// Opens a worker's lock to look whether it is held. Not for writing: the close would wake all who watch the directory.
pub fn open_lock(state: &Path, worker: WorkerId) -> std::io::Result<File> {
    let workers = Dir::open(state)?.dir("workers")?;
    workers.open_read(lock_name(worker))
}

/// Start of a process in clock ticks since boot.
pub fn start_ticks(pid: u32) -> Result<i64> {
    let found = state_and_start(pid);
    let found = found.map_err(|error| Error::io("read", &stat_path(pid), &error))?;
    Ok(found.1)
}

/// The namespace that process ids are numbers of for this process; 0 where it cannot be read.
pub fn pid_namespace() -> i64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |meta| meta.ino().cast_signed())
}

/// Whether a worker's process id is a number of our namespace. What is unknown is not.
pub fn in_our_namespace(row: &WorkerRow) -> bool {
    row.pid_ns.is_none_or(|ns| ns != 0 && ns == pid_namespace())
}

/// What is certain of the process that registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It exists, be it as a zombie that nobody has waited for: its state in `/proc`.
    Exists(char),
    /// It is gone: of another boot, or its number is free or somebody else's.
    Gone,
    /// Its number means nothing here, or `/proc` cannot be read.
    Unknown,
}

/// Looks for the process that registered: by its boot, its namespace, its number and its start.
pub fn fate(row: &WorkerRow) -> Fate {
    match clock::same_boot(&row.boot_id, &clock::boot_id()) {
        Some(true) if in_our_namespace(row) => {}
        Some(false) => return Fate::Gone,
        Some(true) | None => return Fate::Unknown,
    }
    let Ok(pid) = u32::try_from(row.pid) else {
        return Fate::Gone;
    };
    match state_and_start(pid) {
        Ok((state, start)) if start == row.pid_start => Fate::Exists(state),
        Ok(_) => Fate::Gone,
        Err(error) if is_no_process(&error) => Fate::Gone,
        Err(_) => Fate::Unknown,
    }
}

/// Whether the process that registered has certainly ended, on this host; perhaps nobody has waited for it yet.
pub fn has_ended(row: &WorkerRow) -> bool {
    let host = rustix::system::uname();
    host.nodename().to_bytes() == row.host.as_bytes()
        && matches!(fate(row), Fate::Gone | Fate::Exists('Z' | 'X'))
}

/// Whether a process holds the exclusive lock on a file, by what the kernel tells of its descriptors.
pub fn holds_lock(pid: i32, lock: &Path) -> bool {
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

fn is_no_process(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

fn stat_path(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/stat"))
}

/// Fields 3 and 22 of `/proc/PID/stat`, counted behind the last `)`.
fn state_and_start(pid: u32) -> io::Result<(char, i64)> {
    let text = fs::read(stat_path(pid))?;
    let text = String::from_utf8_lossy(&text);
    text.rsplit_once(')')
        .and_then(|(_, fields)| {
            let mut fields = fields.split_whitespace();
            let state = fields.next()?.chars().next()?;
            Some((state, fields.nth(18)?.parse().ok()?))
        })
        .ok_or_else(|| io::Error::other("not understood"))
}

#[cfg(test)]
mod tests {
    use fs2::FileExt;

    use super::*;

    fn row() -> WorkerRow {
        let pid = std::process::id();
        WorkerRow {
            worker: WorkerId(7),
            pid: i64::from(pid),
            pid_start: start_ticks(pid).unwrap(),
            boot_id: clock::boot_id(),
            pid_ns: Some(pid_namespace()),
            host: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            uid: 0,
            queues: String::new(),
            slots: 1,
            started_ms: 0,
            stop_ms: None,
            parent: None,
        }
    }

    /// Proves (leftovers): a boot, a namespace or a file of start marks that cannot be read proves nothing.
    #[test]
    fn what_cannot_be_read_is_neither_the_same_nor_gone() {
        assert!(matches!(fate(&row()), Fate::Exists(_)));
        let gone = [
            WorkerRow {
                pid_start: 1,
                ..row()
            },
            WorkerRow {
                pid: i64::from(i32::MAX),
                ..row()
            },
            WorkerRow { pid: -1, ..row() },
            WorkerRow {
                boot_id: "another".into(),
                ..row()
            },
        ];
        for row in gone {
            assert_eq!(fate(&row), Fate::Gone, "{row:?}");
            assert!(has_ended(&row));
            assert!(!has_ended(&WorkerRow {
                host: "another".into(),
                ..row
            }));
        }
        let unknown = [
            WorkerRow {
                boot_id: String::new(),
                ..row()
            },
            WorkerRow {
                boot_id: "unknown-0123".into(),
                ..row()
            },
            WorkerRow {
                pid_ns: Some(0),
                ..row()
            },
            WorkerRow {
                pid_ns: Some(1),
                ..row()
            },
            // The number is free here, and what is free there nobody knows.
            WorkerRow {
                pid_ns: Some(1),
                pid: i64::from(i32::MAX),
                ..row()
            },
        ];
        for row in unknown {
            assert_eq!(fate(&row), Fate::Unknown, "{row:?}");
            assert!(!has_ended(&row));
        }
    }

    /// Proves: as `a_forged_row_does_not_get_a_process_killed`.
    #[test]
    fn only_who_holds_the_exclusive_lock_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let own = std::process::id().cast_signed();
        let (path, other) = (dir.path().join("1.lock"), dir.path().join("2.lock"));
        let lock = fs::File::create(&path).unwrap();
        let _open = fs::File::create(&other).unwrap();
        assert!(!holds_lock(own, &path), "open and not locked");
        FileExt::lock_shared(&lock).unwrap();
        assert!(!holds_lock(own, &path), "shared");
        FileExt::unlock(&lock).unwrap();
        FileExt::lock_exclusive(&lock).unwrap();
        assert!(holds_lock(own, &path));
        assert!(!holds_lock(own, &other));
        assert!(!holds_lock(own, &dir.path().join("none")));
        assert!(!holds_lock(1, &path), "another process");
    }
}
