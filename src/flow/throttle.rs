//! What is stored of the past of a limit or a job: its rate, a wait that a service asked for, its breaker.

use super::breaker::{Breaker, EndedClaim};
use super::rate::Rate;
use super::rules::BreakerRules;
use super::subject::Subject;

/// How an attempt ended, as far as limits and breakers mind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Well.
    Well,
    /// Badly, and another attempt may end better.
    Transiently,
    /// A service asked to wait.
    RateLimited {
        /// Until then, milliseconds.
        until_ms: i64,
    },
}

/// What an ending changed for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowChange {
    /// The breaker opened.
    Opened {
        /// Then one run may try, milliseconds.
        until_ms: i64,
    },
    /// The breaker closed.
    Closed,
    /// A service asked to wait.
    Waits {
        /// Until then, milliseconds.
        until_ms: i64,
    },
}

/// What changed, and whose it is; for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowEvent {
    /// The limit or the job.
    pub subject: Subject,
    /// What changed.
    pub change: FlowChange,
}

/// The past, as far as it closes gates. The default closes none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Throttle {
    /// Theoretical arrival time of its rate, microseconds.
    pub arrival_us: i64,
    /// A rate-limited ending asked for a wait: when, and until when, milliseconds.
    pub wait: Option<(i64, i64)>,
    /// Its breaker.
    pub breaker: Breaker,
}

impl Throttle {
    /// Until when nothing may start, because a service asked for it.
    pub fn waits_until_ms(&self, now_ms: i64) -> Option<i64> {
        let (set_ms, until_ms) = self.wait?;
        let until_ms = until_ms.min(now_ms.saturating_add(until_ms.saturating_sub(set_ms)));
        (until_ms > now_ms).then_some(until_ms)
    }

    /// Learns from an ending under these rules; what that changed for all who come. Jobs do not wait as limits do: their runs
    /// wait for themselves.
    pub fn learn(
        &mut self,
        ended: Ended,
        breaker: Option<BreakerRules>,
        is_limit: bool,
        claim: EndedClaim,
        now_ms: i64,
    ) -> Option<FlowChange> {
        match (ended, breaker) {
            (Ended::Well, Some(_)) => {
                let was_open = self.breaker.open.is_some();
                self.breaker.succeed(claim, now_ms);
                (was_open && self.breaker.open.is_none()).then_some(FlowChange::Closed)
            }
            (Ended::Transiently, Some(rules)) => {
                let opened = self.breaker.fail(rules, claim, now_ms);
                let until_ms = self.breaker.open_until_ms(now_ms)?;
                opened.then_some(FlowChange::Opened { until_ms })
            }
            (Ended::RateLimited { until_ms }, _) if is_limit => {
                let before = self.wait;
                self.wait_until(until_ms, now_ms);
                (self.wait != before).then_some(FlowChange::Waits { until_ms })
            }
            _ => None,
        }
    }

    /// The same by a clock that was set back: what began later than now begins now, with its own length. Without this it would
    /// begin anew at each look, until the clock comes to where it was.
    #[must_use]
    pub fn restarted(&self, rate: Option<Rate>, now_ms: i64) -> Self {
        let anew = |(from_ms, until_ms): (i64, i64)| {
            let begins_ms = from_ms.min(now_ms);
            (
                begins_ms,
                begins_ms.saturating_add(until_ms.saturating_sub(from_ms)),
            )
        };
        let at_us = now_ms.saturating_mul(1_000);
        Self {
            arrival_us: rate.map_or(self.arrival_us, |it| it.clamp(self.arrival_us, at_us)),
            wait: self.wait.map(anew),
            breaker: Breaker {
                open: self.breaker.open.map(anew),
                ..self.breaker.clone()
            },
        }
    }

    /// Forgets what closes its gates, but not how fast it went.
    pub fn reset(&mut self) {
        self.wait = None;
        self.breaker = Breaker::default();
    }

    /// A service asked to wait until then; a longer wait stays.
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
    fn the_longest_wait_holds_and_a_clock_that_is_set_back_makes_it_no_longer() {
        let mut throttle = Throttle::default();
        throttle.wait_until(2_000, 1_000);
        throttle.wait_until(1_500, 1_100);
        assert_eq!(throttle.waits_until_ms(1_100), Some(2_000));
        assert_eq!(throttle.waits_until_ms(2_000), None);
        assert_eq!(throttle.waits_until_ms(0), Some(1_000));
    }

    /// Proves: as `a_clock_that_steps_back_lengthens_no_wait`.
    #[test]
    fn after_a_clock_was_set_back_nothing_lasts_longer_than_its_own_length() {
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
        assert_eq!(throttle.restarted(Some(rate), 100_000), throttle);
        let throttle = throttle.restarted(Some(rate), 1_000);
        assert_eq!(throttle.waits_until_ms(5_999), Some(6_000));
        assert_eq!(throttle.waits_until_ms(6_000), None);
        assert_eq!(throttle.breaker.open_until_ms(7_999), Some(8_000));
        assert!(throttle.breaker.is_half_open(8_000));
        assert!(rate.opens_us(throttle.arrival_us, 1_999_999) > 1_999_999);
        assert!(rate.opens_us(throttle.arrival_us, 2_000_000) <= 2_000_000);
    }

    #[test]
    fn what_an_ending_changes_is_reported_once() {
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
        assert_eq!(learn(Ended::Transiently, 1_000), None);
        let opened = FlowChange::Opened { until_ms: 6_100 };
        assert_eq!(learn(Ended::Transiently, 1_100), Some(opened));
        assert_eq!(learn(Ended::Transiently, 1_200), None);
        assert_eq!(learn(Ended::Well, 1_300), None);
        let wait = |until_ms| Ended::RateLimited { until_ms };
        let waits = FlowChange::Waits { until_ms: 9_000 };
        assert_eq!(learn(wait(9_000), 1_400), Some(waits));
        assert_eq!(learn(wait(8_000), 1_500), None);
        assert_eq!(learn(Ended::Well, 6_100), Some(FlowChange::Closed));
        assert_eq!(learn(Ended::Well, 6_200), None);
    }

    #[test]
    fn without_a_breaker_only_waits_of_limits_count() {
        let mut throttle = Throttle::default();
        let claim = EndedClaim { fence: 1, last: 1 };
        let wait = Ended::RateLimited { until_ms: 9_000 };
        for ended in [Ended::Well, Ended::Transiently] {
            assert_eq!(throttle.learn(ended, None, true, claim, 1_000), None);
        }
        assert_eq!(throttle.learn(wait, None, false, claim, 1_000), None);
        assert_eq!(throttle, Throttle::default());
    }

    #[test]
    fn a_reset_opens_all_but_the_rate() {
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
