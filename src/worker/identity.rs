//! The registration of a worker: its lock file, its row, its start marks.
//!
//! Rule: the lock is held before the file has its name and before the row exists. Reapers read rows, so they never see a worker whose
//! lock is not yet held. The kernel frees the lock when the process dies, however it dies. Lock files are made and removed while we
//! hold the write lock, so that a new worker's file is not taken for that of a dead one.

use crate::clock;
use crate::error::{Error, Result};
use crate::local::{Local, WorkerLock, pid_namespace, start_ticks};
use crate::process::last_words::LastWords;
use crate::run::WorkerId;
use crate::store::{Store, WorkerRow};

/// A registered worker; dropping it releases the lock.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) worker: WorkerId,
    pub(super) lock: WorkerLock,
    /// Written into the lock file.
    _last_words: LastWords,
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
        let register = local.register()?;
        let (worker, lock) = store.write(|tx| {
            let worker = tx.next_worker_id()?;
            Ok((worker, register.enter(worker)?))
        })?;
        let last_words = LastWords::prepare(lock.file())
            .map_err(|error| Error::io("prepare", lock.path(), &error))?;
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
            lock.forget();
            return Err(error);
        }
        Ok(Self {
            worker,
            lock,
            _last_words: last_words,
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
        self.lock.forget();
    }
}
