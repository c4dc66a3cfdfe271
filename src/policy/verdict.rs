//! The verdict: the transition of a run after an attempt.

use crate::attempt::{Class, Ending, RetryAfter};
use crate::policy::Judged;
use crate::run::{Guarantee, Reason};

/// The retry budget of a run.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// How often its command may be started.
    pub guarantee: Guarantee,
    /// Failures before this attempt.
    pub failures: i64,
    /// The number of failures that makes it dead.
    pub max_attempts: i64,
    /// Latest useful start, milliseconds.
    pub deadline_ms: Option<i64>,
    /// When the current series of rate-limited endings began, milliseconds.
    pub limited_ms: Option<i64>,
    /// How long a series of rate-limited endings may last, milliseconds.
    pub rate_limited_for_ms: i64,
}

/// The transition after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The run has succeeded.
    Succeed,
    /// The run is retried at `due_ms`.
    Defer {
        /// Earliest start of the next attempt, milliseconds.
        due_ms: i64,
        /// Whether it counts as a failure; a rate-limited ending does not.
        failure: bool,
    },
    /// The run goes back to the queue; no failure is counted.
    Release,
    /// The run is cancelled, as an operator requested.
    Cancel,
    /// The run is dead and gets a dead letter.
    Bury {
        /// Why.
        reason: Reason,
        /// Whether the ending counts as a failure.
        failure: bool,
    },
}

/// Wait after a rate-limited ending that names no time.
const RATE_LIMITED_WAIT_MS: i64 = 60_000;

/// Shortest wait after a rate-limited ending: services count in seconds, and 0 or a past date would cause a busy loop.
const RATE_LIMITED_FLOOR_MS: i64 = 1_000;

/// During a series of rate-limited endings, each wait is at least the time since its start divided by this, ...
const RATE_LIMITED_SHARE: i64 = 4;

/// ... but this minimum never exceeds a minute.
const RATE_LIMITED_FLOOR_MAX_MS: i64 = 60_000;

/// When a run may start again after a rate-limited attempt, milliseconds: when the service says so, but not before the minimum wait.
/// `limited_ms` is the start of the current series of rate-limited endings.
pub fn rate_limited_until_ms(judged: &Judged, limited_ms: Option<i64>, now_ms: i64) -> i64 {
    let so_far_ms = now_ms.saturating_sub(limited_ms.unwrap_or(now_ms));
    let floor_ms =
        (so_far_ms / RATE_LIMITED_SHARE).clamp(RATE_LIMITED_FLOOR_MS, RATE_LIMITED_FLOOR_MAX_MS);
    let requested_ms = requested_ms(judged, now_ms);
    let due_ms = requested_ms.unwrap_or(now_ms.saturating_add(RATE_LIMITED_WAIT_MS));
    due_ms.max(now_ms.saturating_add(floor_ms))
}

/// When the command or a pattern asks for the next attempt, milliseconds.
fn requested_ms(judged: &Judged, now_ms: i64) -> Option<i64> {
    judged.retry_after.map(|after| match after {
        RetryAfter::In(ms) => now_ms.saturating_add(ms.max(0)),
        RetryAfter::At(at_ms) => at_ms.max(now_ms),
    })
}

/// The verdict on a run. `backoff_ms` is the wait if the attempt counts as a failure.
pub fn verdict(
    ending: &Ending,
    judged: &Judged,
    budget: &Budget,
    backoff_ms: i64,
    now_ms: i64,
) -> Verdict {
    if judged.class == Class::Success {
        return Verdict::Succeed;
    }
    match ending {
        Ending::Cancelled { .. } => return Verdict::Cancel,
        Ending::Released { .. } if budget.guarantee == Guarantee::AtLeastOnce => {
            return Verdict::Release;
        }
        _ => {}
    }
    if judged.class == Class::Permanent {
        return Verdict::Bury {
            reason: Reason::Permanent,
            failure: true,
        };
    }
    if budget.guarantee == Guarantee::AtMostOnce {
        return Verdict::Bury {
            reason: Reason::Exhausted,
            failure: true,
        };
    }
    let (due_ms, failure) = if judged.class == Class::RateLimited {
        let due_ms = rate_limited_until_ms(judged, budget.limited_ms, now_ms);
        let since_ms = budget.limited_ms.unwrap_or(now_ms);
        if due_ms > since_ms.saturating_add(budget.rate_limited_for_ms) {
            return Verdict::Bury {
                reason: Reason::Exhausted,
                failure: false,
            };
        }
        (due_ms, false)
    } else {
        if budget.failures.saturating_add(1) >= budget.max_attempts {
            return Verdict::Bury {
                reason: Reason::Exhausted,
                failure: true,
            };
        }
        let requested_ms = requested_ms(judged, now_ms);
        (
            requested_ms.unwrap_or(now_ms.saturating_add(backoff_ms)),
            true,
        )
    };
    match budget.deadline_ms {
        Some(deadline_ms) if due_ms >= deadline_ms => Verdict::Bury {
            reason: Reason::Deadline,
            failure,
        },
        _ => Verdict::Defer { due_ms, failure },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    fn budget() -> Budget {
        Budget {
            guarantee: Guarantee::AtLeastOnce,
            failures: 0,
            max_attempts: 3,
            deadline_ms: None,
            limited_ms: None,
            rate_limited_for_ms: 86_400_000,
        }
    }

    fn judged(class: Class, retry_after: Option<RetryAfter>) -> Judged {
        Judged {
            class,
            retry_after,
            error: None,
        }
    }

    fn decide(
        ending: &Ending,
        class: Class,
        after: Option<RetryAfter>,
        budget: &Budget,
    ) -> Verdict {
        verdict(ending, &judged(class, after), budget, 10_000, NOW)
    }

    #[test]
    fn the_last_failure_makes_a_run_dead() {
        let failed = Ending::Exited(1);
        let again = Verdict::Defer {
            due_ms: NOW + 10_000,
            failure: true,
        };
        assert_eq!(decide(&failed, Class::Transient, None, &budget()), again);
        let last = Budget {
            failures: 2,
            ..budget()
        };
        let dead = Verdict::Bury {
            reason: Reason::Exhausted,
            failure: true,
        };
        assert_eq!(decide(&failed, Class::Transient, None, &last), dead);
    }

    #[test]
    fn a_permanent_failure_makes_a_run_dead_at_once() {
        let dead = Verdict::Bury {
            reason: Reason::Permanent,
            failure: true,
        };
        assert_eq!(
            decide(&Ending::Exited(65), Class::Permanent, None, &budget()),
            dead
        );
    }

    /// Proves (clock): no attempt starts at or after the deadline, however many runs expire together.
    #[test]
    fn no_attempt_starts_at_or_after_the_deadline() {
        let tight = Budget {
            deadline_ms: Some(NOW + 10_000),
            ..budget()
        };
        let dead = Verdict::Bury {
            reason: Reason::Deadline,
            failure: true,
        };
        assert_eq!(
            decide(&Ending::Exited(1), Class::Transient, None, &tight),
            dead
        );
    }

    #[test]
    fn a_rate_limited_ending_is_no_failure_and_ends_after_its_maximum_time() {
        let failed = Ending::Exited(1);
        let last = Budget {
            failures: 2,
            ..budget()
        };
        let again = Verdict::Defer {
            due_ms: NOW + 5000,
            failure: false,
        };
        assert_eq!(
            decide(
                &failed,
                Class::RateLimited,
                Some(RetryAfter::In(5000)),
                &last
            ),
            again
        );
        let long = Budget {
            limited_ms: Some(NOW - 86_399_000),
            ..budget()
        };
        let dead = Verdict::Bury {
            reason: Reason::Exhausted,
            failure: false,
        };
        assert_eq!(
            decide(
                &failed,
                Class::RateLimited,
                Some(RetryAfter::In(5000)),
                &long
            ),
            dead
        );
    }

    /// Proves (flow): a service that refuses for long is asked less and less often.
    #[test]
    fn a_service_that_asks_for_no_real_wait_is_retried_less_and_less_often() {
        for after in [RetryAfter::In(0), RetryAfter::In(-5), RetryAfter::At(0)] {
            let (mut now_ms, mut limited_ms, mut waits_ms) = (NOW, None, Vec::new());
            while now_ms < NOW + 3_600_000 {
                let budget = Budget {
                    limited_ms,
                    ..budget()
                };
                let judged = judged(Class::RateLimited, Some(after));
                let verdict = verdict(&Ending::Exited(1), &judged, &budget, 0, now_ms);
                let Verdict::Defer { due_ms, failure } = verdict else {
                    panic!("{verdict:?}");
                };
                assert!(!failure);
                limited_ms.get_or_insert(now_ms);
                waits_ms.push(due_ms - now_ms);
                now_ms = due_ms;
            }
            assert!(waits_ms.is_sorted(), "{waits_ms:?}");
            assert_eq!((waits_ms[0], *waits_ms.last().unwrap()), (1_000, 60_000));
            assert!(waits_ms.len() < 90, "{}", waits_ms.len());
        }
        // Setting the clock back does not make a wait longer.
        let judged = judged(Class::RateLimited, Some(RetryAfter::In(0)));
        assert_eq!(
            rate_limited_until_ms(&judged, Some(NOW + 86_400_000), NOW),
            NOW + 1_000
        );
        assert_eq!(
            rate_limited_until_ms(&judged, Some(i64::MIN), NOW),
            NOW + 60_000
        );
    }

    /// Proves: as `at_most_once_is_not_started_again_after_a_crash`.
    #[test]
    fn an_at_most_once_run_is_never_requeued_after_a_start() {
        let once = Budget {
            guarantee: Guarantee::AtMostOnce,
            max_attempts: 1,
            ..budget()
        };
        let dead = Verdict::Bury {
            reason: Reason::Exhausted,
            failure: true,
        };
        let released = Ending::Released {
            exit_code: None,
            signal: Some(15),
        };
        for ending in [Ending::Exited(75), Ending::Signalled(9), released] {
            assert_eq!(
                decide(&ending, Class::Transient, None, &once),
                dead,
                "{ending:?}"
            );
        }
    }

    #[test]
    fn a_release_by_a_stopping_worker_is_no_failure() {
        let released = Ending::Released {
            exit_code: Some(143),
            signal: None,
        };
        let last = Budget {
            failures: 2,
            ..budget()
        };
        assert_eq!(
            decide(&released, Class::Transient, None, &last),
            Verdict::Release
        );
    }

    #[test]
    fn a_success_outweighs_a_cancel() {
        assert_eq!(
            decide(&Ending::Exited(0), Class::Success, None, &budget()),
            Verdict::Succeed
        );
    }
}
