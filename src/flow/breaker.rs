//! A breaker: opens after too many transient endings, lets one run probe after the cooldown, closes on success.
//!
//! Rule: the probe is not stored. While the breaker is half open, at most one run that was claimed since it opened is running, and the
//! end of any such run decides. So a crash leaves no stale state.

use serde::{Deserialize, Serialize};

use super::rules::BreakerRules;

/// The stored state of a breaker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// Transient endings within the window, milliseconds, oldest first.
    pub failures_ms: Vec<i64>,
    /// When it opened, and when one run may probe, milliseconds.
    pub open: Option<(i64, i64)>,
    /// The last fence that was given out when it opened. A run that was claimed earlier is no probe, and its end decides nothing.
    #[serde(default)]
    pub fence: i64,
}

/// The claim of an attempt that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedClaim {
    /// Its fence.
    pub fence: i64,
    /// The last fence that was given out before its end.
    pub last: i64,
}

impl Breaker {
    /// The end of the cooldown, milliseconds; `None` if the breaker is closed or half open.
    pub fn open_until_ms(&self, now_ms: i64) -> Option<i64> {
        let (since_ms, until_ms) = self.open?;
        // If the clock was set back, the cooldown restarts, but does not become longer.
        let until_ms = until_ms.min(now_ms.saturating_add(until_ms.saturating_sub(since_ms)));
        (until_ms > now_ms).then_some(until_ms)
    }

    /// Whether one run may probe.
    pub fn is_half_open(&self, now_ms: i64) -> bool {
        self.open.is_some() && self.open_until_ms(now_ms).is_none()
    }

    /// Whether a run with this fence was claimed since it opened.
    pub fn is_probe(&self, fence: i64) -> bool {
        fence > self.fence
    }

    /// An attempt succeeded.
    pub fn succeed(&mut self, claim: EndedClaim, now_ms: i64) {
        if self.is_half_open(now_ms) && self.is_probe(claim.fence) {
            *self = Self::default();
        }
    }

    /// An attempt had a transient failure; returns whether this opened the breaker.
    pub fn fail(&mut self, rules: BreakerRules, claim: EndedClaim, now_ms: i64) -> bool {
        if self.open.is_some() {
            let opens = self.is_half_open(now_ms) && self.is_probe(claim.fence);
            if opens {
                self.opens(rules, claim, now_ms);
            }
            return opens;
        }
        let from_ms = now_ms.saturating_sub(rules.within_ms);
        self.failures_ms
            .retain(|&at_ms| at_ms > from_ms && at_ms <= now_ms);
        self.failures_ms.push(now_ms);
        let opens = self.failures_ms.len() as i64 >= rules.failures;
        if opens {
            self.failures_ms.clear();
            self.opens(rules, claim, now_ms);
        }
        opens
    }

    fn opens(&mut self, rules: BreakerRules, claim: EndedClaim, now_ms: i64) {
        self.open = Some((now_ms, now_ms.saturating_add(rules.cooldown_ms)));
        self.fence = claim.last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: BreakerRules = BreakerRules {
        failures: 3,
        within_ms: 1_000,
        cooldown_ms: 5_000,
    };

    /// A claim with this fence, which was the last.
    fn claim(fence: i64) -> EndedClaim {
        EndedClaim { fence, last: fence }
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        assert!(!breaker.fail(RULES, claim(7), 10_000));
        assert!(!breaker.fail(RULES, claim(7), 10_100));
        assert!(breaker.fail(RULES, claim(7), 10_200));
        breaker
    }

    #[test]
    fn a_breaker_opens_only_after_enough_failures_within_the_window() {
        let mut breaker = Breaker::default();
        for n in 0..20 {
            assert!(!breaker.fail(RULES, claim(7), 10_000 + n * 500), "{n}");
        }
        assert_eq!(opened().open_until_ms(10_200), Some(15_200));
        assert!(!opened().is_half_open(15_199));
    }

    #[test]
    fn after_the_cooldown_the_end_of_the_probe_decides() {
        let mut breaker = opened();
        assert!(breaker.is_half_open(15_200));
        breaker.succeed(claim(8), 15_300);
        assert_eq!(breaker, Breaker::default());
        let mut breaker = opened();
        assert!(breaker.fail(RULES, claim(8), 16_000));
        assert_eq!(breaker.open_until_ms(16_000), Some(21_000));
    }

    #[test]
    fn no_end_of_a_run_decides_during_the_cooldown() {
        let mut breaker = opened();
        breaker.succeed(claim(8), 11_000);
        assert!(!breaker.fail(RULES, claim(8), 11_000));
        assert_eq!(breaker, opened());
    }

    #[test]
    fn runs_claimed_before_a_breaker_opened_do_not_decide_after_the_cooldown() {
        let mut breaker = opened();
        breaker.succeed(claim(7), 16_000);
        assert!(!breaker.fail(RULES, claim(6), 16_000));
        assert_eq!(breaker, opened());
        breaker.succeed(claim(8), 16_000);
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn setting_the_clock_back_does_not_extend_a_cooldown() {
        assert_eq!(opened().open_until_ms(0), Some(5_000));
    }
}
