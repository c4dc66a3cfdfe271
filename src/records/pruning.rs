//! The progress of a prune.

use std::time::Duration;

use crate::run::RunId;

/// Longest duration of a slice, during which other writers wait.
const SLICE_TIME: Duration = Duration::from_millis(10);

/// Position of a prune. Begin with `default()`, and pass each slice the position that the previous slice returned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruning(pub(crate) Phase);

/// The tables that a prune checks, in this order, each with the last row that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Id of the last checked run.
    Runs(i64),
    /// Key of the last checked row of `first_run`: kind, name, part.
    FirstRuns((String, String, i64)),
    /// The last checked dedup key.
    Dedup(i64, String, String),
    /// The last checked request id.
    Requests(String),
    /// The last checked row of periods.
    Periods(i64),
}

impl Pruning {
    /// Number of rows of the next slice, after one of `page` rows that took this long, so that it holds the write lock for 10 ms.
    pub fn next_page(page: i64, took: Duration) -> i64 {
        let next = if took > SLICE_TIME {
            page / 2
        } else {
            page * 2
        };
        next.clamp(20, 20_000)
    }
}

impl Phase {
    /// The position before the first dedup key.
    pub(crate) fn dedup() -> Self {
        Self::Dedup(i64::MIN, String::new(), String::new())
    }
}

impl Default for Phase {
    fn default() -> Self {
        Phase::Runs(0)
    }
}

/// The result of one slice.
#[derive(Debug)]
pub struct Pruned {
    /// The removed runs, whose log files the caller must remove after COMMIT.
    pub runs: Vec<RunId>,
    /// The idempotency key of each of them, which is part of the names of their checkpoints.
    pub keys: Vec<[u8; 16]>,
    /// Position of the next slice; `None` at the end.
    pub next: Option<Pruning>,
}
