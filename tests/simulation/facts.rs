//! What is known of each run beside the store, and what each actor may do to it.

use std::collections::BTreeSet;

use jobctl::run::WorkerId;

use super::host::{HOUR, MINUTE};
use super::moves::{Counts, Move};

/// Who is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Actor {
    Application,
    Operator,
    Scheduler,
    Worker,
    /// After a boot no death is a crash.
    Reaper {
        rebooted: bool,
    },
    Prune,
    /// Everything must stay as it is.
    Nobody,
}

/// Whether a run in this state has ended.
pub(super) fn has_ended(state: &str) -> bool {
    matches!(state, "succeeded" | "dead" | "cancelled")
}

impl Actor {
    /// Whether it may move a run this way; `-` is where there is no run.
    pub(super) fn may(self, from: &str, to: &str, trigger: &str) -> bool {
        match (self, from, to) {
            (Actor::Application | Actor::Operator, "-", "waiting") => trigger == "manual",
            (Actor::Scheduler, "-", "waiting") => trigger == "period",
            (Actor::Worker | Actor::Reaper { .. }, "-", "waiting") => trigger == "on_dead",
            (Actor::Operator | Actor::Scheduler, "waiting", "cancelled")
            | (Actor::Operator | Actor::Scheduler, "running", "asked")
            | (Actor::Worker, "waiting", "running" | "dead") => true,
            (Actor::Worker, "running", to) => to != "running",
            (Actor::Reaper { .. }, "running", to) => matches!(to, "waiting" | "dead" | "cancelled"),
            // The actor that ends a run also opens its gates.
            (actor, "gate", _) => !matches!(actor, Actor::Prune | Actor::Nobody),
            (Actor::Operator, "discarded", to) => to == "dead",
            (Actor::Operator, from, "waiting") | (Actor::Prune, from, "-") => has_ended(from),
            _ => false,
        }
    }
}

/// What an attempt is to count, when its worker stops it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Counted {
    #[default]
    Failure,
    /// Another attempt would fail as well.
    Permanent,
    /// It was rate limited, which counts nothing.
    Nothing,
    /// Given back by a worker that stops.
    Release,
}

/// What is known of a run.
#[derive(Debug, Default)]
pub(super) struct Fact {
    pub(super) state: String,
    pub(super) at_most_once: bool,
    /// Times that an operator let it start again.
    pub(super) retries: i64,
    /// Commands started for it, those before the last of these times, and those that ended well.
    pub(super) starts: i64,
    pub(super) starts_before: i64,
    pub(super) successes: i64,
    pub(super) last_attempt: i64,
    /// An application got the answer that it is stored.
    pub(super) acknowledged: bool,
    /// Pruned.
    pub(super) gone: bool,
    pub(super) job: String,
    pub(super) queue: String,
    pub(super) tenant: String,
    pub(super) trigger: String,
    /// The fence of its last claim.
    pub(super) fence: i64,
    /// What the service asked for at the end of its last attempt, milliseconds.
    pub(super) asked_wait_ms: i64,
    /// As of its last move.
    pub(super) counts: Counts,
    /// Since its last claim it has a start mark, and this is how it ended.
    pub(super) begun: bool,
    pub(super) ending: Counted,
    /// Since its last claim its slot found that it may not be started.
    pub(super) refused: bool,
    /// Somebody asked for its end while it ran.
    pub(super) asked: bool,
    /// What has to end before it may start.
    pub(super) behind: BTreeSet<i64>,
    /// When it is due, by the last clock that its wait began by.
    pub(super) due_ms: i64,
    /// The longest that it may wait from any moment on.
    pub(super) wait_ms: Option<i64>,
    /// The `run JOB` that keeps it for itself.
    pub(super) keeper: Option<WorkerId>,
}

impl Fact {
    /// The longest that it may wait after its attempt.
    pub(super) fn longest_wait_ms(&self, it: &Move) -> i64 {
        match self.ending {
            _ if it.new != "waiting" || !self.begun => i64::MAX,
            Counted::Nothing => self.asked_wait_ms.max(MINUTE),
            // It doubles from a minute, up to an hour.
            _ => (MINUTE << it.counts.failures.clamp(0, 6)).min(HOUR),
        }
    }

    /// What a move makes of what it counts.
    pub(super) fn counted(&self, actor: Actor, it: &Move) -> Counts {
        let mut counts = self.counts;
        if it.old == "running" {
            let rebooted = actor == Actor::Reaper { rebooted: true };
            let ends_refused = self.refused && actor == Actor::Worker && it.new != "waiting";
            counts.attempts += i64::from(self.begun || rebooted || ends_refused);
            match (actor, it.new.as_str(), self.ending) {
                (_, "succeeded" | "cancelled", _) => {}
                _ if ends_refused => counts.failures += 1,
                _ if !self.begun => {}
                (Actor::Reaper { rebooted }, ..) => counts.crashes += i64::from(!rebooted),
                (_, _, Counted::Nothing) => {}
                (_, "waiting", Counted::Release) => counts.releases += 1,
                _ => counts.failures += 1,
            }
        } else if actor == Actor::Operator && it.new == "waiting" {
            let attempts = counts.attempts;
            counts = Counts {
                attempts,
                ..Counts::default()
            };
        }
        counts
    }
}
