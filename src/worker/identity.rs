//! A worker's birth and end: its lock file, its row, its start marks.
//!
//! Rule: the lock is held before the file has its name and before the row exists; reapers go by rows, so they never see a
//! worker whose lock is not yet held. The kernel frees the lock when the process dies, however it dies. Lock files are made
//! and removed in our turn to write, so that nobody takes a newborn's file for that of a dead one.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use fs2::FileExt;

use crate::clock;
use crate::error::{Error, Result};
use crate::local::Local;
use crate::owned::Dir;
use crate::process::last_words::LastWords;
use crate::recovery::{lock_path, marks_path, pid_namespace, start_ticks};
use crate::run::WorkerId;
use crate::store::{Store, WorkerRow};

/// A registered worker; the lock is held until it is dropped.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) worker: WorkerId,
    lock: File,
    /// Written into the lock file.
    _last_words: LastWords,
    lock_path: PathBuf,
    pub(super) marks_path: PathBuf,
}

/// Makes a worker's lock file and locks it. One of a worker that died here had no row, and its id is given again.
fn lock_file(workers: &Dir, worker: WorkerId) -> Result<File> {
    let (name, temporary) = (format!("{worker}.lock"), format!("{worker}.new"));
    let failed = |what: &str, name: &str, error: &std::io::Error| {
        Error::io(what, &workers.path().join(name), error)
    };
    let lock = workers
        .create_anew(&temporary)
        .map_err(|error| failed("create", &temporary, &error))?;
    FileExt::try_lock_exclusive(&lock)
        .and_then(|()| workers.rename(&temporary, &name))
        .map_err(|error| failed("lock", &name, &error))?;
    Ok(lock)
}

impl Identity {
    /// Registers this process as a worker.
    pub(super) fn register(
        store: &mut Store,
        local: &Local,
        queues: &str,
        slots: u32,
        parent: Option<WorkerId>,
        now_ms: i64,
    ) -> Result<Self> {
        let workers = local.make_dir("workers")?;
        let (worker, lock) = store.write(|tx| {
            let worker = tx.next_worker_id()?;
            Ok((worker, lock_file(&workers, worker)?))
        })?;
        let lock_path = lock_path(local.dir(), worker);
        let last_words =
            LastWords::prepare(&lock).map_err(|error| Error::io("prepare", &lock_path, &error))?;
        let pid = std::process::id();
        let row = WorkerRow {
            worker,
            pid: i64::from(pid),
            pid_start: start_ticks(pid)?,
            boot_id: clock::boot_id(),
            pid_ns: Some(pid_namespace()),
            host: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            uid: i64::from(rustix::process::geteuid().as_raw()),
            queues: queues.to_owned(),
            slots: i64::from(slots),
            started_ms: now_ms,
            stop_ms: None,
            parent,
        };
        if let Err(error) = store.write(|tx| tx.add_worker(&row)) {
            drop(fs::remove_file(&lock_path));
            return Err(error);
        }
        Ok(Self {
            worker,
            lock,
            _last_words: last_words,
            lock_path,
            marks_path: marks_path(local.dir(), worker),
        })
    }

    /// The lock file, to be looked at by a thread that does not hold it.
    pub(super) fn lock_file(&self) -> Result<LockFile> {
        let failed = |error| Error::io("look at", &self.lock_path, &error);
        let held = self.lock.metadata().map_err(failed)?;
        Ok(LockFile {
            held: (held.dev(), held.ino()),
            path: self.lock_path.clone(),
        })
    }

    /// Ends a worker that has held nothing: nobody shall take it for a dead one.
    pub(super) fn sign_off(self, store: &mut Store) {
        let worker = self.worker;
        if let Ok(true) = store.write(|tx| tx.remove_worker(worker)) {
            self.forget();
        }
    }

    /// Removes the files of a worker whose row is gone.
    pub(super) fn forget(self) {
        drop(fs::remove_file(&self.marks_path));
        drop(fs::remove_file(&self.lock_path));
    }
}

/// Where a held lock file is to be found.
pub(super) struct LockFile {
    held: (u64, u64),
    path: PathBuf,
}

impl LockFile {
    /// Whether the path still names the file that is held.
    pub(super) fn is_intact(&self) -> bool {
        let named = fs::symlink_metadata(&self.path);
        named.is_ok_and(|named| (named.dev(), named.ino()) == self.held)
    }
}
