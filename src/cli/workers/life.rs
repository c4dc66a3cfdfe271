//! Whether a worker is alive, by the kernel's lock on its lock file.
//!
//! Rule: checking changes nothing. If the file is missing or cannot be opened, somebody tampered with it; then pid, start time
//! and boot id decide.

use std::io::ErrorKind;
use std::path::Path;

use fs2::FileExt;

use crate::error::Result;
use crate::recovery::{Fate, fate, open_lock};
use crate::scheduler::is_led;
use crate::store::{NO_QUEUES, Tx, WorkerRow};

/// Whether a worker or a scheduler may be alive: then only they put a catalogue in force. Unknown counts as alive; a `jobctl run`
/// does not count, since it serves no queue.
pub(in crate::cli) fn is_anybody_in_charge(tx: &Tx<'_>, state: &Path) -> Result<bool> {
    if is_led(state) != Some(false) {
        return Ok(true);
    }
    let workers = tx.workers()?;
    let mut workers = workers.iter().filter(|row| row.queues != NO_QUEUES);
    Ok(workers.any(|row| is_alive(state, row) != Some(false)))
}

/// Whether the worker is alive; `None` if this process cannot find out.
pub(super) fn is_alive(state: &Path, row: &WorkerRow) -> Option<bool> {
    match open_lock(state, row.worker) {
        // Shared, so that two checks at once do not take each other for the worker.
        Ok(file) => match FileExt::try_lock_shared(&file) {
            Ok(()) => Some(false),
            Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => {
                Some(true)
            }
            Err(_) => None,
        },
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::PermissionDenied
            ) =>
        {
            match fate(row) {
                Fate::Exists(_) => Some(true),
                Fate::Gone => Some(false),
                Fate::Unknown => None,
            }
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::owned::Dir;
    use crate::recovery::{pid_namespace, start_ticks};
    use crate::run::WorkerId;

    fn row() -> WorkerRow {
        let pid = std::process::id();
        WorkerRow {
            worker: WorkerId(7),
            pid: i64::from(pid),
            pid_start: start_ticks(pid).unwrap(),
            boot_id: clock::boot_id(),
            pid_ns: Some(pid_namespace()),
            host: String::new(),
            uid: 0,
            queues: String::new(),
            slots: 1,
            started_ms: 0,
            stop_ms: None,
            parent: None,
        }
    }

    #[test]
    fn the_lock_decides_and_without_it_the_process() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            is_alive(dir.path(), &row()),
            Some(true),
            "no file, but the process is there"
        );
        let other = WorkerRow {
            pid_start: 1,
            ..row()
        };
        assert_eq!(
            is_alive(dir.path(), &other),
            Some(false),
            "no file, and the pid is another's"
        );
        let rebooted = WorkerRow {
            boot_id: "x".into(),
            ..row()
        };
        assert_eq!(is_alive(dir.path(), &rebooted), Some(false));
        std::fs::create_dir(dir.path().join("workers")).unwrap();
        let workers = Dir::open(&dir.path().join("workers")).unwrap();
        let lock = workers.create_new("7.lock").unwrap();
        assert_eq!(
            is_alive(dir.path(), &row()),
            Some(false),
            "nobody holds the lock"
        );
        FileExt::lock_exclusive(&lock).unwrap();
        assert_eq!(
            is_alive(dir.path(), &other),
            Some(true),
            "the lock beats the pid"
        );
    }
}
