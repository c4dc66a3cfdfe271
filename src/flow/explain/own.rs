//! The gates of the run itself: its due time, its deadline, its predecessors, the process that it is reserved for.

use std::collections::BTreeSet;

use super::words::span;
use super::{Gate, RunFacts};
use crate::advice::{Advice, Text};
use crate::run::{RunId, State, WorkerId};
use crate::units::counted;

/// Name of the gate of the deadline.
pub(super) const DEADLINE: &str = "deadline";

pub(super) fn gates(run: &RunFacts, now_ms: i64) -> impl Iterator<Item = Gate> {
    [
        Some(due(run, now_ms)),
        deadline(run, now_ms),
        predecessors(run),
    ]
    .into_iter()
    .flatten()
}

fn due(run: &RunFacts, now_ms: i64) -> Gate {
    if run.due_ms <= now_ms {
        return Gate::open("due", format!("since {}", span(now_ms - run.due_ms)));
    }
    let error = run.last_error.as_ref();
    let error = error.map_or_else(String::new, |error| format!(": {error}"));
    let retried = Text::from("it is retried automatically; ")
        .and(Advice::ShowLogs(run.run))
        .and(" shows what it printed");
    let (detail, hint) = if run.limited {
        let detail = format!(
            "rate limited in attempt {}, which does not count as a failure{error}",
            run.attempts
        );
        (detail, retried)
    } else if run.failures > 0 {
        let detail = format!(
            "retried after failure {} of {}{error}",
            run.failures, run.max_attempts
        );
        (detail, retried)
    } else {
        let hint = Text::from("it becomes ready at that time; ")
            .and(Advice::CancelRun(run.run))
            .and(" cancels it");
        ("not due yet".to_owned(), hint)
    };
    Gate::closed("due", detail, hint).until(Some(run.due_ms))
}

fn deadline(run: &RunFacts, now_ms: i64) -> Option<Gate> {
    let deadline_ms = run.deadline_ms?;
    if deadline_ms <= now_ms {
        let ago = span(now_ms - deadline_ms);
        let detail = format!("passed {ago} ago: the next claim of a worker makes it a dead letter");
        let gate = Gate::closed(DEADLINE, detail, after_its_death(run.run));
        return Some(gate);
    }
    Some(Gate::open(DEADLINE, "no attempt starts after it").until(Some(deadline_ms)))
}

fn after_its_death(run: RunId) -> Text {
    Text::from("once it is dead, ")
        .and(Advice::RetryRun(run))
        .and(" queues it again without a deadline")
}

/// The closed gate of a deadline that comes before the run can start; `None` if there is time.
pub(super) fn too_late(run: &RunFacts, not_before_ms: Option<i64>, now_ms: i64) -> Option<Gate> {
    let deadline_ms = run
        .deadline_ms
        .filter(|deadline_ms| *deadline_ms > now_ms)?;
    let not_before_ms = not_before_ms.filter(|not_before_ms| *not_before_ms >= deadline_ms)?;
    let late = span(not_before_ms - deadline_ms);
    let detail = format!(
        "it is {late} before the earliest start: the run will become a dead letter without a start"
    );
    Some(Gate::closed(DEADLINE, detail, after_its_death(run.run)))
}

fn predecessors(run: &RunFacts) -> Option<Gate> {
    let first = run.after.first().copied();
    match (run.gates, first) {
        (0, _) => None,
        (n, Some(first)) => {
            let named: Vec<String> = run
                .after
                .iter()
                .map(|(run, state)| format!("{run} ({state})"))
                .collect();
            let detail = format!("{} must end first: {}", counted(n, "run"), named.join(", "));
            let (first, state) = first;
            let (help, remove) = if state == State::Dead {
                (
                    Advice::RetryDeadLetter(first),
                    Advice::DiscardDeadLetter(first),
                )
            } else {
                (Advice::WhyRun(first), Advice::CancelRun(first))
            };
            let hint = Text::from(help)
                .and(", or ")
                .and(remove)
                .and(" to continue without it");
            Some(Gate::closed("runs before it", detail, hint))
        }
        (n, None) => {
            let detail = format!("{} must end first", counted(n, "run"));
            let hint = Text::from(Advice::ListUnended).and(" shows the runs that have not ended");
            Some(Gate::closed("runs before it", detail, hint))
        }
    }
}

/// The gate of a run that is reserved for a `jobctl run`.
pub(super) fn reserved(keeper: WorkerId, gone: &BTreeSet<WorkerId>) -> Gate {
    let reserved = Text::from("reserved for a ").and(Advice::RunHere);
    if gone.contains(&keeper) {
        let detail = reserved.and(format!(" that is gone (worker {keeper})"));
        let hint = Text::from("any worker or scheduler releases it within a second: ")
            .and(Advice::StartWorker(None));
        return Gate::closed("jobctl run", detail, hint);
    }
    Gate::open(
        "jobctl run",
        reserved.and(format!(" (worker {keeper}); no other worker starts it")),
    )
}
