//! The write-ahead log where nobody lives who copies it back: whoever finds itself alone with a long one does.
//!
//! Rule: only when a command has done what it was asked for; whatever becomes of the log, its answer stands.
//!
//! A process that opens the store alone reads all of the log, some 0.8 ms for each MiB. So it is kept short: an enqueue adds six pages or
//! so, and one in 160 pays for a checkpoint, which no 99th percentile sees.

use std::time::Duration;

use super::Store;
use super::open::LOCK;
use crate::error::{Error, Result};
use crate::local::lock::{self, Mode};

/// Whoever is alone copies a log of this size back: 1,000 pages, as workers do.
const LONG: u64 = 4 << 20;

/// Beside others, who may do it themselves, only one of this size.
const TOO_LONG: u64 = 64 << 20;

impl Store {
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
