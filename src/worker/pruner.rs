//! When the housekeeper prunes, and how much at a time.
//!
//! Rule: a worker may never be idle, so pruning continues while commands run: then for a twentieth of the time, in transactions of
//! milliseconds.

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::store::{PruneRule, Pruned, Pruning};

/// Time from the end of a pass to the beginning of the next.
const EVERY: Duration = Duration::from_mins(1);

/// The housekeeper prunes once a second: for this long while commands run, ..
const BESIDE_WORK: Duration = Duration::from_millis(50);

/// .. and for this long while none runs. Then it continues without a pause.
const IDLE: Duration = Duration::from_millis(500);

/// Rows in the first transaction; later ones are adjusted to the time that it took.
const FIRST_PAGE: i64 = 200;

/// The progress of the pruning of a worker.
#[derive(Debug)]
pub(super) struct Pruner {
    next: Instant,
    page: i64,
    pass: Option<Pass>,
}

/// One pass over all runs that retention may remove.
#[derive(Debug)]
struct Pass {
    rule: PruneRule,
    at: Pruning,
    removed: usize,
}

/// The result of [`Pruner::work`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The pass continues at the next call.
    Unfinished,
    /// The pass has ended and has removed this many runs.
    Ended(usize),
}

impl Pruner {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            next: now + EVERY,
            page: FIRST_PAGE,
            pass: None,
        }
    }

    /// Whether a new pass is due.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.pass.is_none() && now >= self.next
    }

    /// Begins a pass.
    pub(super) fn begin(&mut self, rule: PruneRule) {
        self.pass = Some(Pass {
            rule,
            at: Pruning::default(),
            removed: 0,
        });
    }

    /// Whether a pass has begun and not ended.
    pub(super) fn is_under_way(&self) -> bool {
        self.pass.is_some()
    }

    /// Continues the pass, if there is one, within the time budget. A pass whose slice fails is abandoned; the next one begins
    /// a minute later.
    pub(super) fn work(
        &mut self,
        is_busy: bool,
        clock: impl Fn() -> Instant,
        mut slice: impl FnMut(PruneRule, &Pruning, i64) -> Result<Pruned>,
    ) -> Result<Progress> {
        let begin = clock();
        let budget = if is_busy { BESIDE_WORK } else { IDLE };
        let Some(mut pass) = self.pass.take() else {
            return Ok(Progress::Ended(0));
        };
        let mut now = begin;
        while now.saturating_duration_since(begin) < budget {
            let before = now;
            self.next = before + EVERY;
            let pruned = slice(pass.rule, &pass.at, self.page)?;
            now = clock();
            self.next = now + EVERY;
            self.page = Pruning::next_page(self.page, now.saturating_duration_since(before));
            pass.removed += pruned.runs.len();
            match pruned.next {
                Some(next) => pass.at = next,
                None => return Ok(Progress::Ended(pass.removed)),
            }
        }
        self.pass = Some(pass);
        Ok(Progress::Unfinished)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::clock;
    use crate::error::{Error, Kind};
    use crate::run::RunId;

    const RULE: PruneRule = PruneRule {
        ended_before_ms: Some(0),
        upto: None,
    };

    /// Calls `work` until a pass of `slices` slices of 10 ms has ended; returns the number of calls and the longest of them.
    fn calls(is_busy: bool, slices: usize) -> (usize, Duration) {
        let now = Cell::new(clock::monotonic());
        let mut pruner = Pruner::new(now.get());
        assert!(!pruner.is_due(now.get()));
        now.set(now.get() + EVERY);
        assert!(pruner.is_due(now.get()));
        pruner.begin(RULE);
        let (mut done, mut longest) = (0, Duration::ZERO);
        for call in 1.. {
            let begin = now.get();
            let progress = pruner.work(
                is_busy,
                || now.get(),
                |_, _, page| {
                    assert!(page > 0);
                    now.set(now.get() + Duration::from_millis(10));
                    done += 1;
                    Ok(Pruned {
                        runs: vec![RunId(1)],
                        keys: vec![[0; 16]],
                        next: (done < slices).then(Pruning::default),
                    })
                },
            );
            longest = longest.max(now.get() - begin);
            match progress.unwrap() {
                Progress::Unfinished => assert!(pruner.is_under_way() && !pruner.is_due(now.get())),
                Progress::Ended(removed) => {
                    assert_eq!(removed, slices);
                    assert!(!pruner.is_under_way() && !pruner.is_due(now.get()));
                    assert!(pruner.is_due(now.get() + EVERY));
                    return (call, longest);
                }
            }
            now.set(now.get() + Duration::from_secs(1));
        }
        unreachable!("a pass ends");
    }

    /// Fault (races): a worker that is never idle, and retention.
    #[test]
    fn a_worker_that_is_never_idle_prunes_in_a_twentieth_of_its_time() {
        assert_eq!(calls(true, 100), (20, BESIDE_WORK));
        assert_eq!(calls(false, 100), (2, IDLE));
        assert_eq!(calls(true, 1), (1, Duration::from_millis(10)));
    }

    /// Fault: as `a_worker_that_is_never_idle_prunes_in_a_twentieth_of_its_time`.
    #[test]
    fn a_failed_pass_begins_again_a_minute_later() {
        let begin = clock::monotonic();
        let mut pruner = Pruner::new(begin);
        pruner.begin(RULE);
        let now = begin + 2 * EVERY;
        let failed = pruner.work(
            false,
            || now,
            |_, _, _| Err(Error::new(Kind::TryAgain, "busy")),
        );
        assert!(failed.is_err());
        assert!(!pruner.is_under_way() && !pruner.is_due(now) && pruner.is_due(now + EVERY));
    }
}
