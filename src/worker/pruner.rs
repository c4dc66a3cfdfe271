//! When the housekeeper prunes, and how much at a time.
//!
//! Rule: it prunes beside work too, for a worker may never be idle: then for a twentieth of the time, in transactions of
//! milliseconds.

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::store::{PruneRule, Pruned, Pruning};

/// From the end of a pass to the beginning of the next.
const EVERY: Duration = Duration::from_mins(1);

/// The housekeeper looks once a second: so long at each look while commands run, ..
const BESIDE_WORK: Duration = Duration::from_millis(50);

/// .. and so long while none does. Then it looks again at once.
const IDLE: Duration = Duration::from_millis(500);

/// Rows of the first transaction; later ones follow from how long it took.
const FIRST_PAGE: i64 = 200;

/// Where the pruning of a worker stands.
#[derive(Debug)]
pub(super) struct Pruner {
    next: Instant,
    page: i64,
    pass: Option<Pass>,
}

/// One pass over everything that retention may give up.
#[derive(Debug)]
struct Pass {
    rule: PruneRule,
    at: Pruning,
    removed: usize,
}

/// What a look came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Looked {
    /// The pass goes on at the next look.
    Unfinished,
    /// A pass ended and has removed so many runs.
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

    /// Whether a new pass is to begin.
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

    /// Whether there is a pass that has not ended.
    pub(super) fn is_under_way(&self) -> bool {
        self.pass.is_some()
    }

    /// Goes on with the pass, if there is one, as long as this look may take. A pass whose slice fails is given up until
    /// the next minute.
    pub(super) fn look(
        &mut self,
        is_busy: bool,
        clock: impl Fn() -> Instant,
        mut slice: impl FnMut(PruneRule, &Pruning, i64) -> Result<Pruned>,
    ) -> Result<Looked> {
        let begin = clock();
        let budget = if is_busy { BESIDE_WORK } else { IDLE };
        let Some(mut pass) = self.pass.take() else {
            return Ok(Looked::Ended(0));
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
                None => return Ok(Looked::Ended(pass.removed)),
            }
        }
        self.pass = Some(pass);
        Ok(Looked::Unfinished)
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

    /// Looks until a pass of so many slices of 10 ms has ended; the number of looks and the longest of them.
    fn looks(is_busy: bool, slices: usize) -> (usize, Duration) {
        let now = Cell::new(clock::monotonic());
        let mut pruner = Pruner::new(now.get());
        assert!(!pruner.is_due(now.get()));
        now.set(now.get() + EVERY);
        assert!(pruner.is_due(now.get()));
        pruner.begin(RULE);
        let (mut done, mut longest) = (0, Duration::ZERO);
        for look in 1.. {
            let begin = now.get();
            let looked = pruner.look(
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
            match looked.unwrap() {
                Looked::Unfinished => assert!(pruner.is_under_way() && !pruner.is_due(now.get())),
                Looked::Ended(removed) => {
                    assert_eq!(removed, slices);
                    assert!(!pruner.is_under_way() && !pruner.is_due(now.get()));
                    assert!(pruner.is_due(now.get() + EVERY));
                    return (look, longest);
                }
            }
            now.set(now.get() + Duration::from_secs(1));
        }
        unreachable!("a pass ends");
    }

    /// Fault (races): a worker that is never idle, and retention.
    #[test]
    fn a_worker_that_is_never_idle_prunes_in_a_twentieth_of_its_time() {
        assert_eq!(looks(true, 100), (20, BESIDE_WORK));
        assert_eq!(looks(false, 100), (2, IDLE));
        assert_eq!(looks(true, 1), (1, Duration::from_millis(10)));
    }

    /// Fault: as `a_worker_that_is_never_idle_prunes_in_a_twentieth_of_its_time`.
    #[test]
    fn a_pass_that_fails_is_begun_again_a_minute_later() {
        let begin = clock::monotonic();
        let mut pruner = Pruner::new(begin);
        pruner.begin(RULE);
        let now = begin + 2 * EVERY;
        let failed = pruner.look(
            false,
            || now,
            |_, _, _| Err(Error::new(Kind::TryAgain, "busy")),
        );
        assert!(failed.is_err());
        assert!(!pruner.is_under_way() && !pruner.is_due(now) && pruner.is_due(now + EVERY));
    }
}
