//! The write-ahead log: its name is durable before its first frame; and if no worker or scheduler is alive, a command that is alone
//! with a long log copies it back.
//!
//! Rule: a command copies it back only after it has done its work; its answer does not depend on the checkpoint.
//!
//! A process that opens the store alone reads all of the log, some 0.8 ms for each MiB. So it is kept short: an enqueue adds six pages or
//! so, and one in 160 pays for a checkpoint, which no 99th percentile sees.

use std::time::Duration;

use super::{Files, LOCK, Store};
use crate::error::{Error, Result};
use crate::local::lock::{self, Mode};

/// Size from which on a command without others runs a checkpoint, bytes: 1,000 pages, as for workers.
const LONG: u64 = 4 << 20;

/// Size from which on a command runs a checkpoint even if other processes, which should do it, are alive, bytes.
const TOO_LONG: u64 = 64 << 20;

/// Makes the name of the log durable before the first frame is written to it, so that a power cut cannot remove the log with
/// acknowledged runs: a log with frames has a durable name. By default each SQLite process syncs the directory at its first commit,
/// which costs one flush of the disk for each enqueue (`SQLITE_DISABLE_DIRSYNC` in `.cargo/config.toml` disables that).
///
/// Call it when SQLite has opened the log, while holding the write lock.
pub(super) fn sync_log_name(files: &Files) -> Result<()> {
    if wal_bytes(files) > 0 {
        return Ok(());
    }
    let dir = files.local.dir();
    std::fs::File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| Error::io("sync", dir, &error))
}

/// Bytes of the write-ahead log.
fn wal_bytes(files: &Files) -> u64 {
    std::fs::metadata(files.beside("-wal")).map_or(0, |meta| meta.len())
}

impl Store {
    /// Bytes of the write-ahead log.
    pub fn wal_bytes(&self) -> u64 {
        wal_bytes(&self.files)
    }

    /// Closes the store at the end of a command.
    pub fn leave(mut self) {
        let bytes = self.wal_bytes();
        if bytes >= LONG {
            // An error is ignored: everything that was stored is durable without it.
            drop(self.shorten_log(bytes));
        }
        // The end of the process closes it, in a tenth of the time.
        std::mem::forget(self);
    }

    fn shorten_log(&mut self, bytes: u64) -> Result<()> {
        self.check_identity()?;
        if bytes < TOO_LONG {
            // The lock is released for an instant, in which a migration may take it; then this process does not get it back.
            let Some(lock) = self.schema_lock.take() else {
                return Ok(());
            };
            let path = self.files.local.dir().join(LOCK);
            let alone = lock::acquire(lock, Mode::Exclusive, Duration::ZERO)
                .map_err(|error| Error::io("lock", &path, &error))?;
            if alone.is_none() {
                return Ok(());
            }
            self.schema_lock = alone;
        }
        let conn = self.connection()?;
        conn.busy_timeout(Duration::ZERO)?;
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        drop(self.schema_lock.take());
        Ok(())
    }
}
