//! The disk guard: which queues are refused while the file system is nearly full or the database nearly too large.
//!
//! Rule: the least important ranks are refused first, and all before nothing can be written any more.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::advice::{Advice, Text};
use crate::error::{Error, Kind};

/// Below this many free bytes every enqueue is refused.
pub const FREE_FLOOR: u64 = 64 << 20;

/// The last tenth of `max_size` is reserved for the more important ranks.
const SIZE_BAND: u64 = 10;

/// Retry delay: an operator has to make space.
const RETRY_AFTER_MS: i64 = 30_000;

/// How much space there is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Free in the file system of the store directory, for unprivileged users.
    pub free: u64,
    /// `[store] min_free`
    pub min_free: u64,
    /// Whether the disk reserve, which lets work finish on a full disk, exists.
    pub has_reserve: bool,
    /// Bytes in use in the database; only measured if there is a `max_size`.
    pub used: u64,
    /// `[store] max_size`
    pub max_size: Option<u64>,
}

/// Which kind of space is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpaceShortage {
    /// Space in the file system.
    Disk,
    /// Room below `max_size`.
    Size,
}

impl Space {
    /// The shortage for which enqueues to a queue of this rank are refused, if there is one; `ranks` are those of all queues.
    pub fn shortage_for(&self, ranks: &[i64], rank: i64) -> Option<SpaceShortage> {
        let no_reserve = self.free < self.min_free && !self.has_reserve;
        if no_reserve || !accepted(self.free, FREE_FLOOR, self.min_free, ranks, rank) {
            return Some(SpaceShortage::Disk);
        }
        let max = self.max_size?;
        let left = max.saturating_sub(self.used);
        (!accepted(left, 1, max / SIZE_BAND, ranks, rank)).then_some(SpaceShortage::Size)
    }

    /// The queues that are refused, with the reason.
    pub fn refused<'a>(
        &self,
        ranks: &'a BTreeMap<String, i64>,
    ) -> BTreeMap<&'a str, SpaceShortage> {
        let all: Vec<i64> = ranks.values().copied().collect();
        let refused = ranks.iter().filter_map(|(queue, &rank)| {
            let shortage = self.shortage_for(&all, rank)?;
            Some((queue.as_str(), shortage))
        });
        refused.collect()
    }

    /// The shortage in words, with the numbers.
    pub fn words(&self, shortage: SpaceShortage) -> String {
        match shortage {
            SpaceShortage::Disk => format!(
                "{} of the file system are free, `min_free` is {}",
                megabytes(self.free),
                megabytes(self.min_free)
            ),
            SpaceShortage::Size => format!(
                "{} of the database are in use, `max_size` is {}",
                megabytes(self.used),
                megabytes(self.max_size.unwrap_or_default())
            ),
        }
    }
}

/// Checks the space of a store, for one enqueue.
#[derive(Debug, Clone)]
pub struct Guard<'a> {
    /// How much there is.
    pub space: Space,
    /// Rank of each queue.
    pub ranks: &'a BTreeMap<String, i64>,
    /// The store directory.
    pub dir: PathBuf,
}

impl Guard<'_> {
    /// The error of an enqueue to this queue, if space is short for its rank.
    pub fn refusal(&self, queue: &str) -> Option<Error> {
        let ranks: Vec<i64> = self.ranks.values().copied().collect();
        let rank = self.ranks.get(queue).copied().unwrap_or(i64::MAX);
        let shortage = self.space.shortage_for(&ranks, rank)?;
        let hint = match shortage {
            SpaceShortage::Disk if self.space.free < FREE_FLOOR => Text::from("free space there"),
            SpaceShortage::Disk => "free space there, or lower `[store] min_free`".into(),
            SpaceShortage::Size => Text::from("let workers work, remove ended runs as with ")
                .and(Advice::Prune)
                .and(", or raise `[store] max_size`"),
        };
        let message = format!(
            "queue `{queue}` is refused: {} (in `{}`); nothing was enqueued",
            self.space.words(shortage),
            self.dir.display()
        );
        let error = Error::new(Kind::TryAgain, message).hint(hint);
        Some(error.retry_after_ms(RETRY_AFTER_MS))
    }
}

/// `512 MiB`; below ten with one decimal.
fn megabytes(bytes: u64) -> String {
    if bytes < 10 << 20 {
        format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
    } else {
        format!("{} MiB", bytes >> 20)
    }
}

impl fmt::Display for SpaceShortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disk => "disk",
            Self::Size => "size",
        })
    }
}

/// Below `floor` no rank is accepted, from `wanted` on every rank. Between them the least important ranks are refused first: of
/// n ranks, the first `n x left / wanted` (rounded up) are accepted, one at least and never all.
fn accepted(left: u64, floor: u64, wanted: u64, ranks: &[i64], rank: i64) -> bool {
    if left < floor {
        return false;
    }
    if left >= wanted {
        return true;
    }
    let mut ranks = ranks.to_vec();
    ranks.sort_unstable();
    ranks.dedup();
    let accepted = (ranks.len() as u128 * u128::from(left)).div_ceil(u128::from(wanted)) as usize;
    ranks
        .iter()
        .take(accepted.min(ranks.len().saturating_sub(1)).max(1))
        .any(|&first| first == rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const RANKS: [i64; 3] = [10, 50, 90];

    fn space(free: u64, used: u64) -> Space {
        Space {
            free,
            min_free: 1 << 30,
            has_reserve: true,
            used,
            max_size: Some(100 * MIB),
        }
    }

    fn accepted(space: Space) -> Vec<i64> {
        let open = |rank: &i64| space.shortage_for(&RANKS, *rank).is_none();
        RANKS.into_iter().filter(open).collect()
    }

    /// Fault (storage): a disk or database that is nearly full refuses the least important queues first.
    #[test]
    fn on_a_full_disk_the_least_important_ranks_are_refused_first() {
        let of_free = |free| accepted(space(free, 0));
        assert_eq!(of_free(1 << 30), RANKS);
        assert_eq!(of_free((1 << 30) - 1), [10, 50]);
        assert_eq!(of_free(1 << 29), [10, 50]);
        assert_eq!(of_free(1 << 28), [10]);
        assert_eq!(of_free(FREE_FLOOR), [10]);
        assert_eq!(of_free(FREE_FLOOR - 1), [0i64; 0]);
    }

    #[test]
    fn in_the_last_tenth_of_max_size_the_least_important_ranks_are_refused_first() {
        let of_used = |used| accepted(space(1 << 40, used));
        assert_eq!(of_used(90 * MIB), RANKS);
        assert_eq!(of_used(90 * MIB + 1), [10, 50]);
        assert_eq!(of_used(95 * MIB), [10, 50]);
        assert_eq!(of_used(98 * MIB), [10]);
        assert_eq!(of_used(100 * MIB - 1), [10]);
        for used in [100 * MIB, u64::MAX] {
            assert_eq!(of_used(used), [0i64; 0]);
        }
        let unbounded = Space {
            max_size: None,
            ..space(1 << 40, u64::MAX)
        };
        assert_eq!(accepted(unbounded), RANKS);
    }

    #[test]
    fn without_the_reserve_nothing_is_accepted_on_a_nearly_full_disk() {
        let gone = |free| Space {
            has_reserve: false,
            ..space(free, 0)
        };
        assert_eq!(accepted(gone(1 << 29)), [0i64; 0]);
        assert_eq!(accepted(gone(1 << 30)), RANKS);
    }

    #[test]
    fn a_single_rank_is_accepted_down_to_the_floor() {
        let shortage = |used| space(1 << 40, used).shortage_for(&[50], 50);
        assert_eq!(shortage(100 * MIB - 1), None);
        assert_eq!(shortage(100 * MIB), Some(SpaceShortage::Size));
    }

    #[test]
    fn refused_queues_have_a_reason() {
        let ranks = BTreeMap::from([("high".to_owned(), 10), ("low".to_owned(), 90)]);
        let refused = space(1 << 29, 99 * MIB).refused(&ranks);
        assert_eq!(refused, BTreeMap::from([("low", SpaceShortage::Disk)]));
        let refused = space(1 << 40, 101 * MIB);
        assert_eq!(
            refused.words(SpaceShortage::Size),
            "101 MiB of the database are in use, `max_size` is 100 MiB"
        );
        assert_eq!(refused.refused(&ranks)["high"], SpaceShortage::Size);
        let guard = Guard {
            space: space(1 << 29, 0),
            ranks: &ranks,
            dir: "/state".into(),
        };
        assert!(guard.refusal("high").is_none());
        let refusal = guard.refusal("low").unwrap();
        assert_eq!(
            refusal.message,
            "queue `low` is refused: 512 MiB of the file system are free, `min_free` is 1024 MiB (in `/state`); \
             nothing was enqueued"
        );
        assert_eq!(megabytes((2 << 20) + 600_000), "2.6 MiB");
    }
}
