//! The stored state of a limit or a job: its rate, a wait that a service requested, its breaker.

use super::breaker::{Breaker, EndedClaim};
use super::rate::Rate;
use super::rules::BreakerRules;
use super::subject::Subject;

/// How an attempt ended, for limits and breakers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitOutcome {
    /// The attempt succeeded.
    Success,
    /// The attempt had a transient failure.
    Transient,
    /// A service requested a wait.
    RateLimited {
        /// The end of the wait, milliseconds.
        until_ms: i64,
    },
}

/// A change of a breaker or a wait, which affects other runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowChange {
    /// The breaker opened.
    Opened {
        /// When one run may probe, milliseconds.
        until_ms: i64,
    },
    /// The breaker closed.
    Closed,
    /// A service requested a wait.
    Waits {
        /// The end of the wait, milliseconds.
        until_ms: i64,
    },
}

/// A change and its subject, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowEvent {
    /// The limit or the job.
    pub subject: Subject,
    /// What changed.
    pub change: FlowChange,
}

/// The stored state that closes gates. The default closes none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Throttle {
    /// Theoretical arrival time of its rate, microseconds.
    pub arrival_us: i64,
    /// The wait that a rate-limited ending requested: when it was requested and its end, milliseconds.
    pub wait: Option<(i64, i64)>,
    /// Its breaker.
    pub breaker: Breaker,
}

impl Throttle {
    /// The end of a wait that a service requested, if it is still to come.
    pub fn waits_until_ms(&self, now_ms: i64) -> Option<i64> {
        let (set_ms, until_ms) = self.wait?;
        let until_ms = until_ms.min(now_ms.saturating_add(until_ms.saturating_sub(set_ms)));
        (until_ms > now_ms).then_some(until_ms)
    }

    /// Updates the state with the outcome of an attempt; returns a change that affects other runs. Only limits wait: a rate-limited run of
    /// a job without a limit waits alone.
    pub fn learn(
        &mut self,
        ended: LimitOutcome,
        breaker: Option<BreakerRules>,
        is_limit: bool,
        claim: EndedClaim,
        now_ms: i64,
    ) -> Option<FlowChange> {
        match (ended, breaker) {
            (LimitOutcome::Success, Some(_)) => {
                let was_open = self.breaker.open.is_some();
                self.breaker.succeed(claim, now_ms);
                (was_open && self.breaker.open.is_none()).then_some(FlowChange::Closed)
            }
            (LimitOutcome::Transient, Some(rules)) => {
                let opened = self.breaker.fail(rules, claim, now_ms);
                let until_ms = self.breaker.open_until_ms(now_ms)?;
                opened.then_some(FlowChange::Opened { until_ms })
            }
            (LimitOutcome::RateLimited { until_ms }, _) if is_limit => {
                let before = self.wait;
                self.wait_until(until_ms, now_ms);
                (self.wait != before).then_some(FlowChange::Waits { until_ms })
            }
            _ => None,
        }
    }

    /// The state after the clock was set back: a wait that began later than now begins now and keeps its length. Otherwise it would
    /// restart at each check until the clock reaches its old time.
    #[must_use]
    pub fn rebased(&self, rate: Option<Rate>, now_ms: i64) -> Self {
        let rebase = |(from_ms, until_ms): (i64, i64)| {
            let begins_ms = from_ms.min(now_ms);
            (
                begins_ms,
                begins_ms.saturating_add(until_ms.saturating_sub(from_ms)),
            )
        };
        let at_us = now_ms.saturating_mul(1_000);
        Self {
            arrival_us: rate.map_or(self.arrival_us, |it| it.clamp(self.arrival_us, at_us)),
            wait: self.wait.map(rebase),
            breaker: Breaker {
                open: self.breaker.open.map(rebase),
                ..self.breaker.clone()
            },
        }
    }

    /// Clears the wait and the breaker, but not the state of the rate.
    pub fn reset(&mut self) {
        self.wait = None;
        self.breaker = Breaker::default();
    }

    /// Sets a wait that a service requested, unless a longer one is set.
    pub fn wait_until(&mut self, until_ms: i64, now_ms: i64) {
        if self
            .waits_until_ms(now_ms)
            .is_none_or(|known_ms| known_ms < until_ms)
        {
            self.wait = Some((now_ms, until_ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_applies_and_setting_the_clock_back_does_not_extend_it() {
        let mut throttle = Throttle::default();
        throttle.wait_until(2_000, 1_000);
        throttle.wait_until(1_500, 1_100);
        assert_eq!(throttle.waits_until_ms(1_100), Some(2_000));
        assert_eq!(throttle.waits_until_ms(2_000), None);
        assert_eq!(throttle.waits_until_ms(0), Some(1_000));
    }

    /// Proves: as `a_clock_that_steps_back_lengthens_no_wait`.
    #[test]
    fn rebased_waits_keep_their_length_after_the_clock_is_set_back() {
        let rate = Rate {
            burst: 2,
            ..Rate::parse("1/s").unwrap()
        };
        let mut throttle = Throttle {
            arrival_us: rate.after_start(0, 100_000_000),
            ..Throttle::default()
        };
        throttle.arrival_us = rate.after_start(throttle.arrival_us, 100_000_000);
        throttle.wait_until(105_000, 100_000);
        throttle.breaker.open = Some((100_000, 107_000));
        assert_eq!(throttle.rebased(Some(rate), 100_000), throttle);
        let throttle = throttle.rebased(Some(rate), 1_000);
        assert_eq!(throttle.waits_until_ms(5_999), Some(6_000));
        assert_eq!(throttle.waits_until_ms(6_000), None);
        assert_eq!(throttle.breaker.open_until_ms(7_999), Some(8_000));
        assert!(throttle.breaker.is_half_open(8_000));
        assert!(rate.opens_us(throttle.arrival_us, 1_999_999) > 1_999_999);
        assert!(rate.opens_us(throttle.arrival_us, 2_000_000) <= 2_000_000);
    }

    #[test]
    fn each_change_of_a_breaker_or_a_wait_is_reported_once() {
        let rules = Some(BreakerRules {
            failures: 2,
            within_ms: 1_000,
            cooldown_ms: 5_000,
        });
        let mut limit = Throttle::default();
        let (before, after) = (
            EndedClaim { fence: 1, last: 1 },
            EndedClaim { fence: 2, last: 2 },
        );
        let mut learn = |ended, now_ms| {
            let claim = if now_ms < 6_000 { before } else { after };
            limit.learn(ended, rules, true, claim, now_ms)
        };
        assert_eq!(learn(LimitOutcome::Transient, 1_000), None);
        let opened = FlowChange::Opened { until_ms: 6_100 };
        assert_eq!(learn(LimitOutcome::Transient, 1_100), Some(opened));
        assert_eq!(learn(LimitOutcome::Transient, 1_200), None);
        assert_eq!(learn(LimitOutcome::Success, 1_300), None);
        let wait = |until_ms| LimitOutcome::RateLimited { until_ms };
        let waits = FlowChange::Waits { until_ms: 9_000 };
        assert_eq!(learn(wait(9_000), 1_400), Some(waits));
        assert_eq!(learn(wait(8_000), 1_500), None);
        assert_eq!(
            learn(LimitOutcome::Success, 6_100),
            Some(FlowChange::Closed)
        );
        assert_eq!(learn(LimitOutcome::Success, 6_200), None);
    }

    #[test]
    fn without_a_breaker_only_waits_of_limits_count() {
        let mut throttle = Throttle::default();
        let claim = EndedClaim { fence: 1, last: 1 };
        let wait = LimitOutcome::RateLimited { until_ms: 9_000 };
        for ended in [LimitOutcome::Success, LimitOutcome::Transient] {
            assert_eq!(throttle.learn(ended, None, true, claim, 1_000), None);
        }
        assert_eq!(throttle.learn(wait, None, false, claim, 1_000), None);
        assert_eq!(throttle, Throttle::default());
    }

    #[test]
    fn a_reset_clears_all_but_the_rate() {
        let mut throttle = Throttle {
            arrival_us: 7,
            wait: Some((1, 2)),
            breaker: Breaker {
                failures_ms: vec![1],
                open: Some((1, 2)),
                fence: 3,
            },
        };
        throttle.reset();
        let rate_only = Throttle {
            arrival_us: 7,
            ..Throttle::default()
        };
        assert_eq!(throttle, rate_only);
    }
}
