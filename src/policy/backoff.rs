//! The backoff: how long to wait before the next attempt.

use crate::catalogue::{Backoff, BackoffKind, Jitter};

/// Milliseconds to wait after failure `n` (1 for the first). `unit` in `[0, 1)` is the random number for the jitter.
pub fn delay_ms(backoff: &Backoff, n: i64, unit: f64) -> i64 {
    let step = n.max(1) - 1;
    let wait = match &backoff.kind {
        BackoffKind::Fixed(ms) => *ms,
        BackoffKind::Exponential { base_ms, factor } => {
            // A float saturates where integers would overflow; the cast saturates too.
            (*base_ms as f64 * factor.powi(i32::try_from(step).unwrap_or(i32::MAX))) as i64
        }
        BackoffKind::List(waits) => {
            let last = waits.len().saturating_sub(1);
            waits
                .get(usize::try_from(step).unwrap_or(last).min(last))
                .copied()
                .unwrap_or(0)
        }
    }
    .clamp(0, backoff.max_ms.max(0));
    let wait = wait as f64;
    match backoff.jitter {
        Jitter::None => wait as i64,
        Jitter::Full => (unit * wait) as i64,
        Jitter::Equal => (wait / 2.0 + unit * wait / 2.0) as i64,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exponential(jitter: Jitter) -> Backoff {
        Backoff {
            kind: BackoffKind::Exponential {
                base_ms: 10_000,
                factor: 3.0,
            },
            max_ms: 600_000,
            jitter,
        }
    }

    #[test]
    fn the_wait_grows_to_its_maximum() {
        let backoff = exponential(Jitter::None);
        let waits: Vec<i64> = (1..=6).map(|n| delay_ms(&backoff, n, 0.9)).collect();
        assert_eq!(waits, [10_000, 30_000, 90_000, 270_000, 600_000, 600_000]);
        assert_eq!(delay_ms(&backoff, i64::MAX, 0.0), 600_000);
    }

    #[test]
    fn the_last_wait_of_a_list_repeats() {
        let backoff = Backoff {
            kind: BackoffKind::List(vec![10, 30, 120]),
            max_ms: i64::MAX,
            jitter: Jitter::None,
        };
        let waits: Vec<i64> = (1..=5).map(|n| delay_ms(&backoff, n, 0.0)).collect();
        assert_eq!(waits, [10, 30, 120, 120, 120]);
    }

    proptest! {
        #[test]
        fn jitter_stays_within_its_bounds(n in 1i64..10_000, unit in 0.0f64..1.0) {
            let wait = delay_ms(&exponential(Jitter::None), n, unit);
            let full = delay_ms(&exponential(Jitter::Full), n, unit);
            let equal = delay_ms(&exponential(Jitter::Equal), n, unit);
            prop_assert!((0..=wait).contains(&full));
            prop_assert!((wait / 2..=wait).contains(&equal));
        }
    }
}
