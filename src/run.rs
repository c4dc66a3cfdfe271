//! Ids, `State`, `Event` and `State::after`: the whole state machine of a run.
//!
//! Rule: no statement moves a run in a way that `State::after` does not name.

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// Id of a run; never used twice within a store.
    RunId
);
id!(
    /// Id of a worker; never used twice within a store.
    WorkerId
);
id!(
    /// Proves a claim: new with every claim, unclaim, release, cancel and recovery.
    Fence
);

/// Gives an enum its one spelling for SQL, JSON and the terminal.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// All values, in the order of the documentation.
            #[allow(dead_code, reason = "not each vocabulary needs it")]
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word used in SQL, JSON, the catalogue and on the terminal.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value that this word names.
            #[allow(dead_code, reason = "as above")]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }
    };
}
pub(crate) use words;

words!(
    /// Stored state of a run.
    State {
        /// Not yet started, or between two attempts.
        Waiting = "waiting",
        /// Claimed by a worker.
        Running = "running",
        /// Ended well.
        Succeeded = "succeeded",
        /// Will not be tried again by itself; has a dead letter.
        Dead = "dead",
        /// Ended by an operator.
        Cancelled = "cancelled",
    }
);

words!(
    /// What the operator reads for a run: its state, with `waiting` split by cause. Never stored.
    Shown {
        /// Due and free to be claimed.
        Ready = "ready",
        /// Not yet due.
        Delayed = "delayed",
        /// Waits for its next attempt after one that ended badly.
        Retrying = "retrying",
        /// Due, but something forbids the claim: its job is paused, or it waits for another run.
        Blocked = "blocked",
        /// See [`State::Running`].
        Running = "running",
        /// See [`State::Succeeded`].
        Succeeded = "succeeded",
        /// See [`State::Dead`].
        Dead = "dead",
        /// See [`State::Cancelled`].
        Cancelled = "cancelled",
    }
);

words!(
    /// What can happen to a run.
    Event {
        /// A worker takes it for a slot.
        Claim = "claim",
        /// The command was certainly not started; the claim is given back.
        Unclaim = "unclaim",
        /// The command ended well.
        Succeed = "succeed",
        /// The attempt ended badly; another one follows later.
        Defer = "defer",
        /// The worker stops; the run goes back without a failure.
        Release = "release",
        /// The worker or host died after the start mark.
        Lose = "lose",
        /// No further attempt: dead letter.
        Bury = "bury",
        /// The deadline passed before a start.
        Expire = "expire",
        /// Cancelled; of a running run only after its process tree is gone.
        Cancel = "cancel",
        /// An operator wants an ended run again.
        Retry = "retry",
    }
);

impl State {
    /// The state after `event`, or `None` where that move is illegal.
    pub fn after(self, event: Event) -> Option<State> {
        use Event as E;
        use State as S;
        Some(match (self, event) {
            (S::Waiting, E::Claim) => S::Running,
            (S::Running, E::Unclaim | E::Defer | E::Release | E::Lose)
            | (S::Dead | S::Cancelled | S::Succeeded, E::Retry) => S::Waiting,
            (S::Running, E::Succeed) => S::Succeeded,
            (S::Running, E::Bury) | (S::Waiting, E::Expire) => S::Dead,
            (S::Waiting | S::Running, E::Cancel) => S::Cancelled,
            _ => return None,
        })
    }

    /// Whether only an operator can change it further.
    pub fn is_final(self) -> bool {
        matches!(self, State::Succeeded | State::Dead | State::Cancelled)
    }
}

words!(
    /// Why a run is dead.
    Reason {
        /// The command said that trying again is useless.
        Permanent = "permanent",
        /// All attempts were used.
        Exhausted = "exhausted",
        /// No attempt could start before the deadline.
        Deadline = "deadline",
        /// It ended its worker too often, the last time while alone.
        Poison = "poison",
        /// At most once: the worker died after the start mark.
        Crashed = "crashed",
    }
);

words!(
    /// What created a run.
    Trigger {
        /// `enqueue` or `run`.
        Manual = "manual",
        /// The calendar: a period of the job's schedule.
        Period = "period",
        /// The death of another run whose job has `on_dead`.
        OnDead = "on_dead",
    }
);

/// The period that a run works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunPeriod {
    /// Canonical and unique in the job.
    pub key: String,
    /// Its instant, without splay, milliseconds.
    pub scheduled_ms: i64,
    /// The date that the work is about, `2026-11-22`.
    pub business_date: String,
}

words!(
    /// How often a run's command may be started.
    Guarantee {
        /// Until it succeeds or its attempts are used.
        AtLeastOnce = "at-least-once",
        /// Never a second time, whatever happens.
        AtMostOnce = "at-most-once",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves (death): only an operator moves a run out of a final state.
    #[test]
    fn only_an_operator_leaves_a_final_state() {
        for &state in State::ALL {
            for &event in Event::ALL {
                if state.is_final() && state.after(event).is_some() {
                    assert_eq!(event, Event::Retry);
                }
            }
        }
    }

    #[test]
    fn a_running_run_is_never_claimed_again() {
        assert_eq!(State::Running.after(Event::Claim), None);
        assert_eq!(State::Running.after(Event::Expire), None);
        assert_eq!(State::Waiting.after(Event::Succeed), None);
    }

    #[test]
    fn words_round_trip() {
        for &reason in Reason::ALL {
            assert_eq!(Reason::from_word(reason.word()), Some(reason));
        }
        assert_eq!(State::from_word("ready"), None);
    }
}
