//! Decides how the end of an attempt changes its run, and its effect on the limits of its job.
//!
//! Rule: a cancel that was requested meanwhile overrides every verdict but success.

use super::depth::Depth;
use super::recovery::Loss;
use crate::attempt::Class;
use crate::flow::LimitOutcome;
use crate::policy::{Judged, Verdict, rate_limited_until_ms};
use crate::run::{Event, Reason};

/// Longest pause of a limit after the end of a run that is dead or cancelled, milliseconds.
const PAUSE_MAX_MS: i64 = 86_400_000;

/// The stored facts about a running run on which its end depends.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoredFacts {
    /// Whether a cancel was requested.
    pub cancel: bool,
    /// When the current series of rate-limited endings began, milliseconds.
    pub limited_ms: Option<i64>,
}

/// The changes that the end of an attempt makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunEnd {
    /// The transition of the run.
    pub event: Event,
    /// The new state of the run, with its details.
    pub writes: EndWrites,
    /// The effect on limits and breakers; `None` if there is none.
    pub limits: Option<LimitOutcome>,
}

/// The new state of a run after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndWrites {
    /// It has succeeded.
    Succeeded,
    /// It is cancelled.
    Cancelled,
    /// It waits for another attempt.
    Waiting(WaitsAgain),
    /// It is dead, and gets a dead letter.
    Dead {
        /// Why.
        reason: Reason,
        /// Added to its failures.
        failures: i64,
        /// Added to its crashes.
        crashes: i64,
    },
}

/// How a run waits for another attempt. The counts are added to those of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitsAgain {
    /// Earliest start, milliseconds.
    pub due_ms: i64,
    /// The time at which the wait until `due_ms` begins, milliseconds; `None` if the run is ready at once.
    pub wait_set_ms: Option<i64>,
    /// Whether it stays reserved for its worker.
    pub reserved: bool,
    /// Added to its failures.
    pub failures: i64,
    /// Added to its releases.
    pub releases: i64,
    /// Added to its crashes.
    pub crashes: i64,
    /// When the current series of rate-limited endings began, milliseconds.
    pub limited_ms: Option<i64>,
}

impl WaitsAgain {
    /// Whether it may be claimed at once.
    pub fn is_ready(&self) -> bool {
        self.wait_set_ms.is_none()
    }

    /// Ready at once, with nothing counted.
    fn now(now_ms: i64, limited_ms: Option<i64>) -> Self {
        Self {
            due_ms: now_ms,
            wait_set_ms: None,
            reserved: false,
            failures: 0,
            releases: 0,
            crashes: 0,
            limited_ms,
        }
    }
}

impl EndWrites {
    /// The depth counter that counts the run from now on.
    pub fn depth(&self) -> Depth {
        match self {
            Self::Waiting(waits) => Depth::waiting(waits.is_ready()),
            Self::Succeeded | Self::Cancelled | Self::Dead { .. } => Depth::NONE,
        }
    }
}

/// The end of an attempt with this verdict; with `reserved`, a run that waits for a retry stays reserved for its worker.
pub fn end_of_attempt(
    verdict: Verdict,
    judged: &Judged,
    facts: StoredFacts,
    reserved: bool,
    now_ms: i64,
) -> RunEnd {
    let verdict = match verdict {
        Verdict::Succeed => Verdict::Succeed,
        _ if facts.cancel => Verdict::Cancel,
        verdict => verdict,
    };
    let StoredFacts { limited_ms, .. } = facts;
    let (event, writes) = match verdict {
        Verdict::Succeed => (Event::Succeed, EndWrites::Succeeded),
        Verdict::Cancel => (Event::Cancel, EndWrites::Cancelled),
        Verdict::Defer { due_ms, failure } => {
            let waits = WaitsAgain {
                due_ms,
                wait_set_ms: Some(now_ms),
                reserved,
                failures: i64::from(failure),
                releases: 0,
                crashes: 0,
                limited_ms: (!failure).then(|| limited_ms.unwrap_or(now_ms)),
            };
            (Event::Defer, EndWrites::Waiting(waits))
        }
        Verdict::Release => {
            let waits = WaitsAgain {
                releases: 1,
                ..WaitsAgain::now(now_ms, limited_ms)
            };
            (Event::Release, EndWrites::Waiting(waits))
        }
        Verdict::Bury { reason, failure } => {
            let dead = EndWrites::Dead {
                reason,
                failures: i64::from(failure),
                crashes: 0,
            };
            (Event::Bury, dead)
        }
    };
    RunEnd {
        event,
        writes,
        limits: effect_on_limits(judged, verdict, limited_ms, now_ms),
    }
}

/// The end of an attempt whose worker died after the start mark. It has no effect on limits.
pub fn end_of_lost(loss: &Loss, facts: StoredFacts, now_ms: i64) -> RunEnd {
    let crashes = i64::from(loss.counts);
    let (event, writes) = if facts.cancel {
        (Event::Cancel, EndWrites::Cancelled)
    } else if let Some(reason) = loss.reason {
        let dead = EndWrites::Dead {
            reason,
            failures: 0,
            crashes,
        };
        (Event::Bury, dead)
    } else {
        let waits = WaitsAgain {
            crashes,
            ..WaitsAgain::now(now_ms, facts.limited_ms)
        };
        (Event::Lose, EndWrites::Waiting(waits))
    };
    RunEnd {
        event,
        writes,
        limits: None,
    }
}

/// The effect of an ending on limits and breakers; `None` if it has none. A wait that a service asked for counts even if the run is
/// dead: other runs under the limit would be refused too.
fn effect_on_limits(
    judged: &Judged,
    verdict: Verdict,
    limited_ms: Option<i64>,
    now_ms: i64,
) -> Option<LimitOutcome> {
    match (judged.class, verdict) {
        (_, Verdict::Succeed) => Some(LimitOutcome::Success),
        (Class::RateLimited, Verdict::Defer { due_ms, .. }) => {
            Some(LimitOutcome::RateLimited { until_ms: due_ms })
        }
        (Class::RateLimited, _) => {
            let until_ms = rate_limited_until_ms(judged, limited_ms, now_ms);
            let until_ms = until_ms.min(now_ms.saturating_add(PAUSE_MAX_MS));
            Some(LimitOutcome::RateLimited { until_ms })
        }
        // It was stopped, so its own ending is unknown.
        (_, Verdict::Cancel | Verdict::Release) => None,
        (Class::Transient, _) => Some(LimitOutcome::Transient),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::RetryAfter;
    use crate::run::State;

    const NOW_MS: i64 = 5_000;

    const DEFER: Verdict = Verdict::Defer {
        due_ms: 9_000,
        failure: true,
    };

    const BURY: Verdict = Verdict::Bury {
        reason: Reason::Exhausted,
        failure: true,
    };

    fn judged(class: Class) -> Judged {
        Judged {
            class,
            retry_after: None,
            error: None,
        }
    }

    fn end(verdict: Verdict, class: Class, cancel: bool) -> RunEnd {
        let facts = StoredFacts {
            cancel,
            limited_ms: Some(70),
        };
        end_of_attempt(verdict, &judged(class), facts, true, NOW_MS)
    }

    fn loss(reason: Option<Reason>, counts: bool) -> Loss {
        Loss {
            attempt: 2,
            started_ms: 1_000,
            reason,
            counts,
            error: "lost".to_owned(),
        }
    }

    #[test]
    fn each_verdict_has_one_transition_and_raises_at_most_one_count() {
        for (verdict, event, failures, releases, limited_ms) in [
            (DEFER, Event::Defer, 1, 0, None),
            (
                Verdict::Defer {
                    due_ms: 9_000,
                    failure: false,
                },
                Event::Defer,
                0,
                0,
                Some(70),
            ),
            (Verdict::Release, Event::Release, 0, 1, Some(70)),
        ] {
            let end = end(verdict, Class::Permanent, false);
            let EndWrites::Waiting(waits) = end.writes else {
                panic!("{end:?}");
            };
            assert_eq!(end.event, event);
            assert_eq!((waits.failures, waits.releases), (failures, releases));
            assert_eq!((waits.crashes, waits.limited_ms), (0, limited_ms));
        }
        let dead = EndWrites::Dead {
            reason: Reason::Exhausted,
            failures: 1,
            crashes: 0,
        };
        assert_eq!(end(BURY, Class::Permanent, false).writes, dead);
        let first = end_of_attempt(
            Verdict::Defer {
                due_ms: 9_000,
                failure: false,
            },
            &judged(Class::RateLimited),
            StoredFacts::default(),
            false,
            NOW_MS,
        );
        assert!(
            matches!(first.writes, EndWrites::Waiting(waits) if waits.limited_ms == Some(NOW_MS)),
            "a series begins"
        );
    }

    #[test]
    fn a_deferred_run_waits_and_may_stay_reserved_and_a_released_one_is_ready_for_all() {
        let deferred = end(DEFER, Class::Transient, false).writes;
        let released = end(Verdict::Release, Class::Transient, false).writes;
        let (EndWrites::Waiting(deferred), EndWrites::Waiting(released)) = (deferred, released)
        else {
            panic!("both wait");
        };
        assert_eq!(
            (deferred.due_ms, deferred.wait_set_ms),
            (9_000, Some(NOW_MS))
        );
        assert!(deferred.reserved && !deferred.is_ready());
        assert_eq!((released.due_ms, released.wait_set_ms), (NOW_MS, None));
        assert!(!released.reserved && released.is_ready());
        assert_eq!(EndWrites::Waiting(deferred).depth(), Depth::DELAYED);
        assert_eq!(EndWrites::Waiting(released).depth(), Depth::READY);
        assert_eq!(EndWrites::Cancelled.depth(), Depth::NONE);
    }

    #[test]
    fn a_requested_cancel_overrides_everything_but_success() {
        for verdict in [DEFER, BURY, Verdict::Release, Verdict::Cancel] {
            let end = end(verdict, Class::Transient, true);
            assert_eq!(
                (end.event, end.writes),
                (Event::Cancel, EndWrites::Cancelled)
            );
            assert_eq!(end.limits, None, "it was stopped");
        }
        let success = end(Verdict::Succeed, Class::Success, true);
        assert_eq!(success.writes, EndWrites::Succeeded);
        assert_eq!(success.limits, Some(LimitOutcome::Success));
        let facts = StoredFacts {
            cancel: true,
            limited_ms: None,
        };
        let lost = end_of_lost(&loss(Some(Reason::Poison), true), facts, NOW_MS);
        assert_eq!(lost.writes, EndWrites::Cancelled);
    }

    #[test]
    fn a_wait_that_a_service_asks_for_pauses_its_limits_after_any_verdict() {
        let mut judged = judged(Class::RateLimited);
        judged.retry_after = Some(RetryAfter::In(10 * PAUSE_MAX_MS));
        let facts = StoredFacts::default();
        let until = |verdict| end_of_attempt(verdict, &judged, facts, false, NOW_MS).limits;
        let paused = |until_ms| Some(LimitOutcome::RateLimited { until_ms });
        assert_eq!(until(DEFER), paused(9_000));
        // A dead run is not tried again, so its pause has a bound of its own.
        assert_eq!(until(BURY), paused(NOW_MS + PAUSE_MAX_MS));
        assert_eq!(until(Verdict::Cancel), paused(NOW_MS + PAUSE_MAX_MS));
    }

    #[test]
    fn breakers_count_transient_endings_only() {
        for (class, effect) in [
            (Class::Transient, Some(LimitOutcome::Transient)),
            (Class::Permanent, None),
        ] {
            assert_eq!(end(DEFER, class, false).limits, effect);
            assert_eq!(end(BURY, class, false).limits, effect);
            assert_eq!(end(Verdict::Release, class, false).limits, None);
        }
    }

    #[test]
    fn a_lost_attempt_is_a_crash_if_it_counts_and_no_failure() {
        let facts = StoredFacts {
            cancel: false,
            limited_ms: Some(70),
        };
        for counts in [true, false] {
            let crashes = i64::from(counts);
            let waits = WaitsAgain {
                crashes,
                ..WaitsAgain::now(NOW_MS, Some(70))
            };
            let lost = end_of_lost(&loss(None, counts), facts, NOW_MS);
            assert_eq!(lost.writes, EndWrites::Waiting(waits));
            assert_eq!(lost.limits, None);
            let dead = EndWrites::Dead {
                reason: Reason::Poison,
                failures: 0,
                crashes,
            };
            let lost = end_of_lost(&loss(Some(Reason::Poison), counts), facts, NOW_MS);
            assert_eq!(lost.writes, dead);
        }
    }

    #[test]
    fn every_end_is_a_legal_move_to_the_state_that_it_writes() {
        let facts = StoredFacts::default();
        let lost =
            [None, Some(Reason::Crashed)].map(|reason| end_of_lost(&loss(reason, true), facts, 0));
        let verdicts = [
            Verdict::Succeed,
            DEFER,
            Verdict::Release,
            Verdict::Cancel,
            BURY,
        ];
        let ends = verdicts.map(|verdict| end(verdict, Class::Transient, false));
        for end in ends.into_iter().chain(lost) {
            let state = match end.writes {
                EndWrites::Succeeded => State::Succeeded,
                EndWrites::Cancelled => State::Cancelled,
                EndWrites::Waiting(_) => State::Waiting,
                EndWrites::Dead { .. } => State::Dead,
            };
            assert_eq!(State::Running.after(end.event), Some(state));
        }
    }
}
