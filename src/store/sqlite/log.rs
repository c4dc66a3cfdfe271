//! The write-ahead log: its name is durable before its first frame; and where no worker lives, a command that is alone with a long log
//! copies it back.
//!
//! Rule: a command copies it back only when it has done what it was asked for; whatever becomes of the log, its answer stands.
//!
//! A process that opens the store alone reads all of the log, some 0.8 ms for each MiB. So it is kept short: an enqueue adds six pages or
//! so, and one in 160 pays for a checkpoint, which no 99th percentile sees.

use std::time::Duration;

use super::{Files, LOCK, Store};
use crate::error::{Error, Result};
use crate::local::lock::{self, Mode};

/// Whoever is alone copies a log of this size back: 1,000 pages, as workers do.
const LONG: u64 = 4 << 20;

/// Beside others, who may do it themselves, only one of this size.
const TOO_LONG: u64 = 64 << 20;

/// Makes the name of the log durable before the first frame is written to it, so that a power cut cannot take the log and what was
/// acknowledged in it: a log with frames has a durable name. Left to itself each SQLite process syncs the directory at its first
/// commit, which is one flush of the disk for each enqueue (`SQLITE_DISABLE_DIRSYNC` in `.cargo/config.toml` turns that off).
///
/// To be called when SQLite has opened the log, with the right to write to it.
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

    /// Ends what a command did with the store.
    pub fn leave(mut self) {
        let bytes = self.wal_bytes();
        if bytes >= LONG {
            // Nothing that was stored depends on it.
            drop(self.shorten_log(bytes));
        }
        // The end of the process closes it, in a tenth of the time.
        std::mem::forget(self);
    }

    fn shorten_log(&mut self, bytes: u64) -> Result<()> {
        self.check_identity()?;
        if bytes < TOO_LONG {
            // The lock is let go for an instant, in which a migration may begin; then it is not ours again.
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
