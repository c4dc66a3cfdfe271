//! Free space: what is refused before the disk is full, and the reserve that lets work finish on a full one.
//!
//! Rule: the absence of the reserve file is the flag: while it is gone, enqueue refuses and only finishing and pruning write.

use std::fs;
use std::path::PathBuf;

use super::Store;
use super::fault::is_full;
use crate::error::{Error, Result};
use crate::flow::{FREE_FLOOR, Guard, Space};
use crate::owned::Dir;
use crate::store::Settings;

/// Its name in the store directory.
const RESERVE: &str = "reserve";

/// Enough for SQLite to finish what runs on an otherwise full disk (384 KiB were enough in trials).
const RESERVE_BYTES: u64 = 384 * 1024;

impl Store {
    /// Free bytes, for unprivileged users, of the file system of the store directory.
    pub fn free_bytes(&self) -> Result<u64> {
        let stat = rustix::fs::statvfs(&self.files.dir)
            .map_err(|error| Error::io("look at", &self.files.dir, &std::io::Error::from(error)))?;
        Ok(stat.f_bavail * stat.f_frsize)
    }

    /// How much space there is; the size of the database only where it is bounded.
    pub fn space(&self, settings: &Settings) -> Result<Space> {
        let free = self.free_bytes()?;
        Ok(Space {
            free,
            min_free: settings.min_free,
            has_reserve: free >= settings.min_free || self.has_reserve(),
            used: settings.max_size.map_or(Ok(0), |_| self.used_bytes())?,
            max_size: settings.max_size,
        })
    }

    /// Bytes of the database's pages that hold something.
    fn used_bytes(&self) -> Result<u64> {
        const SQL: &str = "
            SELECT (page_count - freelist_count) * page_size
            FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
        let mut statement = self.connection()?.prepare_cached(SQL)?;
        let used: i64 = statement.query_row([], |row| row.get(0))?;
        Ok(used as u64)
    }

    /// Who refuses an enqueue when the disk is nearly full or the database nearly too large for it.
    pub fn guard<'a>(&self, settings: &'a Settings) -> Result<Guard<'a>> {
        Ok(Guard {
            space: self.space(settings)?,
            ranks: &settings.ranks,
            dir: self.files.dir.clone(),
        })
    }

    fn reserve_path(&self) -> PathBuf {
        self.files.dir.join(RESERVE)
    }

    fn has_reserve(&self) -> bool {
        self.reserve_path().symlink_metadata().is_ok()
    }

    /// Makes the reserve again, if it is missing and there is space for it.
    pub fn ensure_reserve(&self) -> Result<()> {
        let path = self.reserve_path();
        if self.has_reserve() || self.free_bytes()? < FREE_FLOOR {
            return Ok(());
        }
        let failed = |error: std::io::Error| Error::io("create", &path, &error);
        let dir = Dir::open(&self.files.dir).map_err(failed)?;
        let file = match dir.create_new(RESERVE) {
            // Somebody else was faster.
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

    /// Gives the reserve to SQLite where an error came of a full disk; whether there was one. A shortage of descriptors or memory
    /// is an I/O error too, and takes no space.
    pub fn release_reserve(&self, error: &Error) -> bool {
        let no_space = || self.free_bytes().is_ok_and(|free| free < RESERVE_BYTES);
        (is_full(error) || no_space()) && fs::remove_file(self.reserve_path()).is_ok()
    }
}
