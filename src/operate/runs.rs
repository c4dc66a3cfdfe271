//! Performs one act on many runs, with one transaction for each slice of runs.
//!
//! Rule: a refused run does not stop the others. The caller may stop between two slices; then exactly the answered acts are stored.

use std::collections::HashSet;

use super::ActError;
use super::names::{ReadCatalogue, check_job};
use crate::error::Result;
use crate::run::{RunId, State};
use crate::store::{DeadFilter, Handled, Store, Tx};

/// Runs per transaction; one takes some milliseconds.
pub const SLICE: usize = 100;

/// Ids of dead runs that are read at once.
const PAGE: i64 = 10_000;

/// What an operator does to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunAct {
    /// Cancels a waiting run at once; a running one is stopped by its worker.
    Cancel,
    /// Makes an ended run wait again.
    Retry,
    /// As `Retry`, but only if the run has an open dead letter.
    RetryDead,
    /// Closes its open dead letter; the run stays dead.
    Discard,
}

/// The effect of an act on a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunDone {
    /// It is now in this state.
    Moved(State),
    /// It is running; its worker stops it.
    Requested,
    /// Its dead letter is closed.
    Discarded,
}

/// Why a run was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunRefusal {
    /// There is no such run.
    Unknown,
    /// The act is not allowed in its state.
    Forbidden(CurrentState),
    /// It has no open dead letter.
    NoDeadLetter(CurrentState),
}

/// The current state of a refused run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurrentState {
    /// Its state.
    pub state: State,
    /// Number of the attempt that runs now.
    pub attempt: Option<i64>,
    /// Start of that attempt, or the time at which the run died or was cancelled, milliseconds.
    pub since_ms: Option<i64>,
}

/// The answer about one run.
pub type RunAnswer = (RunId, Result<RunDone, RunRefusal>);

/// An act on many runs, which [`OnRuns::next_slice`] performs step by step.
#[derive(Debug)]
pub struct OnRuns<'a> {
    act: RunAct,
    by: &'a str,
    runs: Vec<RunId>,
    done: usize,
}

impl<'a> OnRuns<'a> {
    /// An act of this operator on these runs; a run that is given twice is acted on once.
    pub fn new(act: RunAct, runs: &[RunId], by: &'a str) -> Self {
        let mut seen = HashSet::new();
        let runs = runs.iter().copied().filter(|run| seen.insert(*run));
        Self {
            act,
            by,
            runs: runs.collect(),
            done: 0,
        }
    }

    /// Number of runs.
    pub fn count(&self) -> usize {
        self.runs.len()
    }

    /// Whether runs are left.
    pub fn is_left(&self) -> bool {
        self.done < self.runs.len()
    }

    /// Performs the act on the next [`SLICE`] runs in one transaction. Returns an answer for each; none at the end.
    ///
    /// # Errors
    /// Those of the store. Then no run of this slice is known to have changed, and the next call retries the slice.
    pub fn next_slice(&mut self, store: &mut Store, now_ms: i64) -> Result<Vec<RunAnswer>> {
        let left = &self.runs[self.done..];
        let slice = &left[..left.len().min(SLICE)];
        if slice.is_empty() {
            return Ok(Vec::new());
        }
        let (act, by) = (self.act, self.by);
        let one = |tx: &mut Tx<'_>, run: RunId| {
            let handled = handle(tx, act, run, by, now_ms)?;
            Ok((run, answer(tx, run, handled, now_ms)?))
        };
        let answers: Vec<RunAnswer> =
            store.write(|tx| slice.iter().map(|run| one(tx, *run)).collect())?;
        self.done += answers.len();
        Ok(answers)
    }
}

/// Runs with a matching open dead letter, in the order of their ids.
///
/// # Errors
/// [`ActError::Unknown`] if none matches and the job of the filter is unknown; those of the store.
pub fn dead_runs(
    store: &Store,
    filter: &DeadFilter,
    read: ReadCatalogue<'_>,
) -> Result<Vec<RunId>, ActError> {
    let mut runs: Vec<RunId> = Vec::new();
    loop {
        let after = runs.last().copied().unwrap_or(RunId(0));
        let page = store.dead_runs(filter, after, PAGE)?;
        if page.is_empty() {
            break;
        }
        runs.extend(page);
    }
    if let (true, Some(job)) = (runs.is_empty(), &filter.job) {
        check_job(store, job, read)?;
    }
    Ok(runs)
}

fn handle(tx: &mut Tx<'_>, act: RunAct, run: RunId, by: &str, now_ms: i64) -> Result<Handled> {
    match act {
        RunAct::Cancel => tx.cancel(run, by, now_ms),
        RunAct::Retry => tx.retry(run, by, now_ms),
        RunAct::RetryDead => tx.retry_dead(run, by, now_ms),
        RunAct::Discard => tx.discard(run, by, now_ms),
    }
}

fn answer(
    tx: &Tx<'_>,
    run: RunId,
    handled: Handled,
    now_ms: i64,
) -> Result<Result<RunDone, RunRefusal>> {
    Ok(match handled {
        Handled::Moved(state) => Ok(RunDone::Moved(state)),
        Handled::Requested => Ok(RunDone::Requested),
        Handled::Discarded => Ok(RunDone::Discarded),
        Handled::Unknown => Err(RunRefusal::Unknown),
        Handled::Forbidden(state) => Err(RunRefusal::Forbidden(current_state(
            tx, run, state, now_ms,
        )?)),
        Handled::NoDeadLetter(state) => Err(RunRefusal::NoDeadLetter(current_state(
            tx, run, state, now_ms,
        )?)),
    })
}

fn current_state(tx: &Tx<'_>, run: RunId, state: State, now_ms: i64) -> Result<CurrentState> {
    let bare = CurrentState {
        state,
        attempt: None,
        since_ms: None,
    };
    let detail = match state {
        State::Waiting | State::Succeeded => None,
        State::Running | State::Dead | State::Cancelled => tx.show_run(run, now_ms)?,
    };
    let Some(detail) = detail else {
        return Ok(bare);
    };
    if state != State::Running {
        let since_ms = detail.row.ended_ms;
        return Ok(CurrentState { since_ms, ..bare });
    }
    let last = detail.attempts.last();
    let attempt = last.filter(|attempt| attempt.ended_ms.is_none());
    Ok(CurrentState {
        attempt: attempt.map(|attempt| attempt.number),
        since_ms: attempt.map(|attempt| attempt.started_ms),
        ..bare
    })
}
