//! The write lock: `write.lock`.
//!
//! Rule: only lock files are locked; `jobctl.db` is opened by SQLite only, because closing a second descriptor of it would cancel
//! the POSIX locks of SQLite.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::local::lock::{Holder, Mode, acquire, holder, open, unlock};

/// The write lock: every process holds it around BEGIN..COMMIT. The file is opened for each transaction, so that its close
/// (`IN_CLOSE_WRITE`) notifies waiting workers of the commit.
pub(super) struct WriteTurn(File);

impl WriteTurn {
    /// Waits for the lock.
    pub(super) fn take(path: &Path, wait: Duration) -> Result<Self> {
        let file = open(path)?;
        match acquire(file, Mode::Exclusive, wait) {
            Ok(Some(file)) => Ok(Self(file)),
            Ok(None) => {
                let busy = format!("the store was busy for {} s", wait.as_secs());
                let error = match holder(path) {
                    Some(Holder { pid, name, is_stopped }) => {
                        let state = if is_stopped { ", which is stopped," } else { "" };
                        let what = format!("{busy}: process {pid} (`{name}`){state} holds it; nothing was stored");
                        Error::new(Kind::TryAgain, what).hint(if is_stopped {
                            format!("continue it (`kill -CONT {pid}`) or kill it (`kill -KILL {pid}`); neither loses work")
                        } else {
                            format!("try again; if this persists, check what process {pid} does")
                        })
                    }
                    None => Error::new(Kind::TryAgain, format!("{busy}; nothing was stored"))
                        .hint("find the process that holds `write.lock` (`fuser -v write.lock` in the store directory), for instance a stopped one"),
                };
                Err(error.retry_after_ms(1000))
            }
            Err(error) => Err(Error::io("lock", path, &error)),
        }
    }
}

impl Drop for WriteTurn {
    fn drop(&mut self) {
        // Explicit: a child between clone and exec holds a copy of the descriptor for some microseconds.
        unlock(&self.0);
    }
}
