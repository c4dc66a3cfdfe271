//! The registration of a worker: its lock file, its row, its start marks.
//!
//! Rule: the lock is held before the file has its name and before the row exists. Reapers read rows, so they never see a worker whose
//! lock is not yet held. The kernel frees the lock when the process dies, however it dies. Lock files are made and removed while we
//! hold the write lock, so that a new worker's file is not taken for that of a dead one.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs2::FileExt;

use crate::clock;
use crate::error::{Error, Result};
use crate::owned::Dir;
use crate::process::last_words::LastWords;
use crate::recovery::{lock_path, marks_path, pid_namespace, start_ticks};
use crate::run::WorkerId;
use crate::store::{Store, WorkerRow};

/// A registered worker; dropping it releases the lock.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) worker: WorkerId,
    lock: File,
    /// Written into the lock file.
    _last_words: LastWords,
    lock_path: PathBuf,
    pub(super) marks_path: PathBuf,
}

/// Creates and locks a worker's lock file. A file that exists was left by a worker that died before it had a row, so its id is reused.
fn lock_file(workers: &Dir, worker: WorkerId) -> Result<File> {
    let (name, temporary) = (format!("{worker}.lock"), format!("{worker}.new"));
    let failed = |what: &str, name: &str, error: &std::io::Error| {
        Error::io(what, &workers.path().join(name), error)
    };
    let lock = workers
        .create_replacing(&temporary)
        .map_err(|error| failed("create", &temporary, &error))?;
    FileExt::try_lock_exclusive(&lock)
        .and_then(|()| workers.rename(&temporary, &name))
        .map_err(|error| failed("lock", &name, &error))?;
    Ok(lock)
}

/// Creates a directory in the store directory if it is missing.
pub(super) fn make_dir(state: &Path, name: &str) -> Result<Dir> {
    Dir::open(state)
        .and_then(|state| state.make_dir(name))
        .map_err(|error| Error::io("use", &state.join(name), &error))
}

impl Identity {
    /// Registers this process as a worker.
    pub(super) fn register(
        store: &mut Store,
        queues: &str,
        slots: u32,
        parent: Option<WorkerId>,
        now_ms: i64,
    ) -> Result<Self> {
        let state = store.dir().to_owned();
        let workers = make_dir(&state, "workers")?;
        let (worker, lock) = store.write(|tx| {
            let worker = tx.next_worker_id()?;
            Ok((worker, lock_file(&workers, worker)?))
        })?;
        let lock_path = lock_path(&state, worker);
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
            marks_path: marks_path(&state, worker),
        })
    }

    /// The lock file, for a thread that checks it without holding it.
    pub(super) fn lock_file(&self) -> Result<LockFile> {
        let failed = |error| Error::io("look at", &self.lock_path, &error);
        let held = self.lock.metadata().map_err(failed)?;
        Ok(LockFile {
            held: (held.dev(), held.ino()),
            path: self.lock_path.clone(),
        })
    }

    /// Removes the row and the files of a worker that never held a claim, so that no reaper takes it for a dead one.
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

/// The path of a held lock file and the identity of the file.
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
