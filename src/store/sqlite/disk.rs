//! Free space: what is refused before the disk is full, and the reserve that lets work finish on a full one.
//!
//! Rule: the absence of the reserve file is the flag: while it is gone, enqueue refuses and only finishing and pruning write.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::Store;
use crate::error::{Error, Kind, Result};

/// Enough for SQLite to finish what runs on an otherwise full disk (384 KiB were enough in trials).
const RESERVE_BYTES: u64 = 384 * 1024;

/// Below this many free bytes every enqueue is refused.
pub(super) const ENQUEUE_FLOOR_BYTES: u64 = 64 << 20;

/// Which queues may still be enqueued to, given how much is free.
///
/// Below `min_free` the least important ranks are refused first: of n ranks, the first `n x free / min_free` (rounded up)
/// are accepted; below 64 MiB none.
pub fn rank_accepted(free: u64, min_free: u64, ranks: &[i64], rank: i64) -> bool {
    if free < ENQUEUE_FLOOR_BYTES {
        return false;
    }
    if free >= min_free {
        return true;
    }
    let mut ranks = ranks.to_vec();
    ranks.sort_unstable();
    ranks.dedup();
    let accepted = (ranks.len() as u128 * u128::from(free)).div_ceil(u128::from(min_free)) as usize;
    ranks
        .iter()
        .take(accepted.min(ranks.len().saturating_sub(1)).max(1))
        .any(|&first| first == rank)
}

impl Store {
    /// Free bytes, for unprivileged users, of the file system of the state directory.
    pub fn free_bytes(&self) -> Result<u64> {
        let stat = rustix::fs::statvfs(&self.files.dir)
            .map_err(|error| Error::io("look at", &self.files.dir, &std::io::Error::from(error)))?;
        Ok(stat.f_bavail * stat.f_frsize)
    }

    /// Refuses an enqueue into a queue of `rank` when the disk is nearly full.
    pub fn guard_disk(&self, min_free: u64, ranks: &[i64], rank: i64) -> Result<()> {
        let free = self.free_bytes()?;
        let reserve_gone = free < min_free && !self.reserve_path().exists();
        if rank_accepted(free, min_free, ranks, rank) && !reserve_gone {
            return Ok(());
        }
        Err(Error::new(
            Kind::TryAgain,
            format!(
                "the file system of `{}` has only {} MiB free; nothing was enqueued",
                self.files.dir.display(),
                free >> 20
            ),
        )
        .hint("free space there, or lower `[store] min_free`")
        .retry_after_ms(30_000))
    }

    fn reserve_path(&self) -> PathBuf {
        self.files.dir.join("reserve")
    }

    /// Makes the reserve again, if it is missing and there is space for it.
    pub fn keep_reserve(&self) -> Result<()> {
        let path = self.reserve_path();
        if path.exists() || self.free_bytes()? < ENQUEUE_FLOOR_BYTES {
            return Ok(());
        }
        let file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(self.files.modes.file)
            .open(&path)
            .map_err(|error| Error::io("create", &path, &error))?;
        let kept =
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, RESERVE_BYTES);
        if kept.is_err() {
            drop(fs::remove_file(&path));
        }
        Ok(())
    }

    /// Gives the reserve to SQLite; whether there was one.
    pub fn release_reserve(&self) -> bool {
        fs::remove_file(self.reserve_path()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_important_ranks_are_refused_first() {
        const GIB: u64 = 1 << 30;
        let ranks = [10, 50, 90];
        let accepted = |free| -> Vec<i64> {
            ranks
                .iter()
                .copied()
                .filter(|&rank| rank_accepted(free, GIB, &ranks, rank))
                .collect()
        };
        assert_eq!(accepted(GIB), [10, 50, 90]);
        assert_eq!(accepted(GIB - 1), [10, 50]);
        assert_eq!(accepted(GIB / 2), [10, 50]);
        assert_eq!(accepted(GIB / 4), [10]);
        assert_eq!(accepted(ENQUEUE_FLOOR_BYTES), [10]);
        assert_eq!(accepted(ENQUEUE_FLOOR_BYTES - 1), [0i64; 0]);
    }
}
