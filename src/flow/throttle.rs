//! What is stored of the past of a limit or a job: its rate, a wait that a service asked for, its breaker.

use super::breaker::Breaker;

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
        let until_ms = until_ms.min(now_ms.saturating_add(until_ms - set_ms));
        (until_ms > now_ms).then_some(until_ms)
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
}
