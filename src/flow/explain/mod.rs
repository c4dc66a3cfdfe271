//! Why a run does not run: every gate between it and a slot, each open or closed, in order of importance.
//!
//! Rule: a pure function of facts that were read at one instant, and of the workers that are gone. It uses the same gates as the
//! claim, so that the two cannot disagree. It never promises a start; it only gives a time before which there will be none.

mod facts;
mod nodes;
mod order;
mod own;
mod standing;
mod words;
mod workers;

use std::collections::BTreeSet;

pub use facts::{AHEAD_MAX, Ahead, Facts, Head, HeldRun, NO_QUEUES, Place, RunFacts, Worker};

use crate::advice::{Advice, Text};
use crate::run::{State, WorkerId};

/// A condition that a run must pass to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Its name, such as `due`, `limit smtp` or `workers`.
    pub name: String,
    /// Whether the run may pass now.
    pub open: bool,
    /// The details, with numbers.
    pub detail: Text,
    /// When a closed gate opens, or when an open one closes, if that is known; milliseconds.
    pub until_ms: Option<i64>,
    /// What to do about a closed gate.
    pub hint: Option<Text>,
}

impl Gate {
    fn open(name: impl Into<String>, detail: impl Into<Text>) -> Self {
        Self {
            name: name.into(),
            open: true,
            detail: detail.into(),
            until_ms: None,
            hint: None,
        }
    }

    fn closed(name: impl Into<String>, detail: impl Into<Text>, hint: impl Into<Text>) -> Self {
        Self {
            open: false,
            hint: Some(hint.into()),
            ..Self::open(name, detail)
        }
    }

    fn until(mut self, until_ms: Option<i64>) -> Self {
        self.until_ms = until_ms;
        self
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The summary, without a full stop.
    pub sentence: String,
    /// What to do, besides the hints of closed gates.
    pub hint: Option<Text>,
    /// All gates; empty if the run does not wait.
    pub gates: Vec<Gate>,
    /// When it may start, milliseconds: now if every gate is open; the latest opening if that of each closed gate is known. Never a
    /// promise: another gate may be closed by then.
    pub expected_start_ms: Option<i64>,
    /// It does not start before this: the latest known opening of a closed gate, milliseconds.
    pub not_before_ms: Option<i64>,
}

/// If a run has been ready for this long and every gate is open, a worker may have a problem.
const OVERDUE_MS: i64 = 5_000;

/// Explains why a run does not run. `gone` are the workers that are certainly dead.
pub fn explain(facts: &Facts, gone: &BTreeSet<WorkerId>) -> Answer {
    match &facts.run {
        Some(run) if run.state != State::Waiting => standing::of(run, gone, facts.now_ms),
        _ => waiting(facts, gone),
    }
}

fn waiting(facts: &Facts, gone: &BTreeSet<WorkerId>) -> Answer {
    let run = facts.run.as_ref();
    let keeper = run.and_then(|run| run.worker);
    let mut gates = Vec::new();
    if let Some(run) = run {
        gates.extend(own::gates(run, facts.now_ms));
    }
    if let Some(keeper) = keeper {
        gates.push(own::reserved(keeper, gone));
    }
    gates.extend(nodes::gates(facts, gone, keeper.is_some()));
    if keeper.is_none() {
        gates.push(workers::gate(facts, gone));
        // Only ready runs have a position in the order.
        if run.is_some_and(|run| run.gates == 0 && run.due_ms <= facts.now_ms) {
            gates.push(order::gate(facts, gone));
        }
    }
    let closed = || gates.iter().filter(|gate| !gate.open);
    let not_before_ms = closed().filter_map(|gate| gate.until_ms).max();
    let by_time = closed().all(|gate| gate.until_ms.is_some());
    let expected_start_ms = match closed().count() {
        0 => Some(facts.now_ms),
        _ => not_before_ms.filter(|_| by_time),
    };
    if let Some(too_late) = run.and_then(|run| own::too_late(run, not_before_ms, facts.now_ms)) {
        gates.retain(|gate| gate.name != own::DEADLINE);
        gates.insert(1, too_late);
        return Answer {
            sentence: sentence(facts, &gates),
            hint: None,
            gates,
            expected_start_ms: None,
            not_before_ms: None,
        };
    }
    Answer {
        sentence: sentence(facts, &gates),
        hint: hint(facts, &gates, keeper),
        gates,
        expected_start_ms,
        not_before_ms,
    }
}

fn sentence(facts: &Facts, gates: &[Gate]) -> String {
    let Place { queue, tenant, job } = &facts.place;
    let who = match (&facts.run, job.is_empty()) {
        (Some(run), _) => {
            let tenant = if tenant.is_empty() {
                String::new()
            } else {
                format!(" for tenant `{tenant}`")
            };
            format!(
                "run {} of job `{job}`{tenant} waits in queue `{queue}`",
                run.run
            )
        }
        (None, false) => format!("no run of job `{job}` waits; one in queue `{queue}` would pass"),
        (None, true) => format!("no run waits in queue `{queue}`; one would pass"),
    };
    let closed = gates.iter().filter(|gate| !gate.open).count();
    let are = if closed == 1 { "is" } else { "are" };
    match closed {
        0 => format!("{who}: every gate is open"),
        n => format!("{who}: {n} of {} gates {are} closed", gates.len()),
    }
}

fn hint(facts: &Facts, gates: &[Gate], keeper: Option<WorkerId>) -> Option<Text> {
    let run = facts.run.as_ref()?;
    if gates.iter().any(|gate| !gate.open) {
        return None;
    }
    if keeper.is_some() {
        let hint = Text::from("its ").and(Advice::RunHere);
        return Some(hint.and(" starts it now"));
    }
    let ready_ms = facts.now_ms - run.due_ms;
    if ready_ms < OVERDUE_MS {
        return Some("the next claim takes it".into());
    }
    let late = words::span(ready_ms);
    let hint = Text::from(format!("it is due for {late} and should have started: "))
        .and(Advice::ListWorkers)
        .and(" and ")
        .and(Advice::Doctor)
        .and(format!(
            " tell whether a worker hangs; one with an older catalogue that lacks `{}` leaves it alone, SIGHUP lets it read \
             the new one",
            facts.place.job
        ));
    Some(hint)
}

#[cfg(test)]
mod tests;
