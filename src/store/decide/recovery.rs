//! Decides the outcome of each run that a dead worker held.
//!
//! Rule: a run that was perhaps started is never given back as one that was not.

use crate::records::{Cause, Death};
use crate::run::{Fence, Reason, RunId, WorkerId};

/// A run needs this many times `max_crashes` deaths to be poison if no death proves that the run is the cause.
const UNPROVED: i64 = 2;

/// A run that the dead worker held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadClaim {
    /// Its id.
    pub run: RunId,
    /// The claim.
    pub fence: Fence,
    /// Starts that are stored.
    pub attempts: i64,
    /// Worker deaths so far.
    pub crashes: i64,
    /// Number of deaths of workers after which the run is poison.
    pub max_crashes: i64,
    /// Whether its command may be started only once.
    pub at_most_once: bool,
    /// Whether the start of this claim is already stored.
    pub is_noted: bool,
}

/// The outcome of a run that the worker held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadClaimOutcome {
    /// It stays claimed, because processes of it cannot be ended.
    Blocked,
    /// It was not started, and is queued again.
    Unclaimed,
    /// It was started: the attempt is lost.
    Lost(Loss),
}

/// A lost attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Its number.
    pub attempt: i64,
    /// Its start, milliseconds.
    pub started_ms: i64,
    /// Why the run is dead; `None` if it is queued again.
    pub reason: Option<Reason>,
    /// Whether it counts as a crash.
    pub counts: bool,
    /// Message about the death, for people.
    pub error: String,
}

/// Decides for each run, in the given order. A run without a start mark counts as started now.
pub fn outcomes(death: &Death, held: &[DeadClaim], now_ms: i64) -> Vec<DeadClaimOutcome> {
    let was_started = |held: &DeadClaim| {
        death.cause == Cause::Reboot
            || held.is_noted
            || death.started.contains_key(&(held.run, held.fence))
    };
    // Only a death with a single started run proves the cause. A run that always kills the parent worker too needs a bound as well.
    let alone = held.iter().filter(|held| was_started(held)).count() == 1;
    let outcome = |held: &DeadClaim| {
        if death.blocked.contains(&held.run) {
            DeadClaimOutcome::Blocked
        } else if was_started(held) {
            DeadClaimOutcome::Lost(loss(death, held, alone, now_ms))
        } else {
            DeadClaimOutcome::Unclaimed
        }
    };
    held.iter().map(outcome).collect()
}

fn loss(death: &Death, held: &DeadClaim, alone: bool, now_ms: i64) -> Loss {
    let times = if death.proves { 1 } else { UNPROVED };
    let enough = held.max_crashes.saturating_mul(times);
    let counts = death.cause == Cause::Unknown;
    let reason = if held.at_most_once {
        Some(Reason::Crashed)
    } else if counts && alone && held.crashes.saturating_add(1) >= enough {
        Some(Reason::Poison)
    } else {
        None
    };
    let started_ms = death.started.get(&(held.run, held.fence)).copied();
    Loss {
        attempt: held.attempts.saturating_add(i64::from(!held.is_noted)),
        started_ms: started_ms.unwrap_or(now_ms),
        reason,
        counts,
        error: words(death.cause, death.worker),
    }
}

fn words(cause: Cause, worker: WorkerId) -> String {
    match cause {
        Cause::Unknown => format!("worker {worker} died while it ran"),
        Cause::Reboot => format!("the host went down while worker {worker} ran it"),
        Cause::Parent => {
            format!("worker {worker} was stopped by its parent process during the attempt")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 9_000;

    fn death(cause: Cause, started: &[i64]) -> Death {
        let started = started.iter().map(|&run| ((RunId(run), Fence(run)), run));
        Death {
            worker: WorkerId(7),
            cause,
            proves: true,
            started: started.collect(),
            blocked: Vec::new(),
        }
    }

    fn held(run: i64) -> DeadClaim {
        DeadClaim {
            run: RunId(run),
            fence: Fence(run),
            attempts: 1,
            crashes: 0,
            max_crashes: 1,
            at_most_once: false,
            is_noted: false,
        }
    }

    /// Each outcome as a word.
    fn words_of(death: &Death, held: &[DeadClaim]) -> Vec<&'static str> {
        let all = outcomes(death, held, NOW_MS);
        let word = |outcome: &DeadClaimOutcome| match outcome {
            DeadClaimOutcome::Blocked => "blocked",
            DeadClaimOutcome::Unclaimed => "unclaimed",
            DeadClaimOutcome::Lost(loss) => loss.reason.map_or("waits", Reason::word),
        };
        all.iter().map(word).collect()
    }

    #[test]
    fn only_claims_that_certainly_never_started_are_given_back() {
        let noted = DeadClaim {
            is_noted: true,
            ..held(2)
        };
        let all = [held(1), noted, held(3)];
        let found = outcomes(&death(Cause::Unknown, &[1]), &all, NOW_MS);
        let attempts = found.iter().map(|outcome| match outcome {
            DeadClaimOutcome::Lost(loss) => Some((loss.attempt, loss.started_ms)),
            DeadClaimOutcome::Blocked | DeadClaimOutcome::Unclaimed => None,
        });
        // A stored start is counted already.
        let want = [Some((2, 1)), Some((1, NOW_MS)), None];
        assert!(attempts.eq(want), "{found:?}");
        assert_eq!(found[2], DeadClaimOutcome::Unclaimed);
        // A reboot removes the start marks.
        let found = outcomes(&death(Cause::Reboot, &[]), &all, NOW_MS);
        assert!(
            found
                .iter()
                .all(|it| matches!(it, DeadClaimOutcome::Lost(_)))
        );
    }

    #[test]
    fn runs_with_processes_that_cannot_be_ended_stay_claimed() {
        let mut death = death(Cause::Unknown, &[1]);
        death.blocked.push(RunId(1));
        let found = outcomes(&death, &[held(1), held(2)], NOW_MS);
        assert_eq!(
            found,
            [DeadClaimOutcome::Blocked, DeadClaimOutcome::Unclaimed]
        );
    }

    #[test]
    fn only_a_lone_run_becomes_poison_and_twice_as_late_without_proof() {
        let unknown = death(Cause::Unknown, &[1, 2]);
        assert_eq!(words_of(&unknown, &[held(1)]), ["poison"]);
        assert_eq!(words_of(&unknown, &[held(1), held(2)]), ["waits"; 2]);
        assert_eq!(
            words_of(&unknown, &[held(1), held(3)]),
            ["poison", "unclaimed"]
        );
        for cause in [Cause::Reboot, Cause::Parent] {
            assert_eq!(words_of(&death(cause, &[1]), &[held(1)]), ["waits"]);
        }
        let unproved = Death {
            proves: false,
            ..unknown
        };
        let again = DeadClaim {
            crashes: 1,
            ..held(1)
        };
        assert_eq!(words_of(&unproved, &[held(1)]), ["waits"]);
        assert_eq!(words_of(&unproved, &[again]), ["poison"]);
    }

    #[test]
    fn a_started_at_most_once_run_is_dead_after_any_death_of_its_worker() {
        let once = DeadClaim {
            at_most_once: true,
            ..held(1)
        };
        for cause in [Cause::Unknown, Cause::Reboot, Cause::Parent] {
            let found = words_of(&death(cause, &[1, 2]), &[once, held(2)]);
            assert_eq!(found[0], "crashed", "{cause:?}");
        }
    }
}
