//! Free space, and the reserve that lets work finish on a full disk.
//!
//! Rule: the absence of the reserve file is the flag: while it is gone, enqueue refuses and only finishing and pruning write.

use std::fs;
use std::path::PathBuf;

use super::Local;
use crate::error::{Error, Result, StoreFault};
use crate::flow::FREE_FLOOR;

/// Its name in the state directory.
const RESERVE: &str = "reserve";

/// Enough for SQLite to finish what runs on an otherwise full disk (384 KiB were enough in trials).
const RESERVE_BYTES: u64 = 384 * 1024;

impl Local {
    /// Free bytes, for unprivileged users, of the file system of the state directory.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn free_bytes(&self) -> Result<u64> {
        let stat = rustix::fs::statvfs(self.dir())
            .map_err(|error| Error::io("look at", self.dir(), &std::io::Error::from(error)))?;
        Ok(stat.f_bavail * stat.f_frsize)
    }

    fn reserve_path(&self) -> PathBuf {
        self.dir().join(RESERVE)
    }

    /// Whether the reserve exists.
    pub fn has_reserve(&self) -> bool {
        self.reserve_path().symlink_metadata().is_ok()
    }

    /// Creates the reserve if it is missing and there is space for it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn ensure_reserve(&self) -> Result<()> {
        let path = self.reserve_path();
        if self.has_reserve() || self.free_bytes()? < FREE_FLOOR {
            return Ok(());
        }
        let failed = |error: std::io::Error| Error::io("create", &path, &error);
        let dir = self.open().map_err(failed)?;
        let file = match dir.create_new(RESERVE) {
            // Another process was faster.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
            file => file.map_err(failed)?,
        };
        let kept =
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, RESERVE_BYTES);
        if kept.is_err() {
            drop(dir.remove_file(RESERVE));
        }
        Ok(())
    }

    /// Deletes the reserve if an error was caused by a full disk. Returns whether a reserve existed. A shortage of descriptors or
    /// memory is an I/O error too, and takes no space.
    pub fn release_reserve(&self, error: &Error) -> bool {
        let is_full = error.fault == Some(StoreFault::DiskFull);
        let no_space = || self.free_bytes().is_ok_and(|free| free < RESERVE_BYTES);
        (is_full || no_space()) && fs::remove_file(self.reserve_path()).is_ok()
    }
}
