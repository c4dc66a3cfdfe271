//! Checkpoints of the write-ahead log if no worker or scheduler runs them: by a command that is alone with a long log.
//!
//! Rule: only after the command has done its work; its answer does not depend on the checkpoint.
//!
//! A process that opens the store alone reads all of the log, some 0.8 ms for each MiB. So it is kept short: an enqueue adds six pages or
//! so, and one in 160 pays for a checkpoint, which no 99th percentile sees.

use std::time::Duration;

use super::Store;
use super::lock::{self, Mode};
use crate::error::{Error, Result};

/// Size from which on a command without others runs a checkpoint, bytes: 1,000 pages, as for workers.
const LONG: u64 = 4 << 20;

/// Size from which on a command runs a checkpoint even if other processes, which should do it, are alive, bytes.
const TOO_LONG: u64 = 64 << 20;

impl Store {
    /// Closes the store at the end of a command.
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
            let alone = lock::acquire(lock, Mode::Exclusive, Duration::ZERO)
                .map_err(|error| Error::io("lock", &self.files.dir.join("store.lock"), &error))?;
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
