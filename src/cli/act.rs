//! Applies one operation to many runs, one transaction for each slice of them.
//!
//! Rule: a run that is refused does not stop the others; the exit code is 0 only if the operation succeeded for every run.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::ids::unknown_run;
use super::signals::Signals;
use super::{Context, when};
use crate::document;
use crate::error::{Error, Kind, Result};
use crate::run::{RunId, State};
use crate::store::{Handled, Store, Tx};
use crate::units::counted;

/// Runs per transaction; one takes some milliseconds.
const SLICE: usize = 100;

/// Above this many runs a terminal is asked for confirmation, and only their number is reported.
const MANY: usize = 10;

/// An operation on runs, and the words of its messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verb {
    /// Name of the JSON document.
    pub(super) document: &'static str,
    /// `cancel`
    pub(super) word: &'static str,
    /// `cancelled`
    pub(super) done: &'static str,
    /// The condition, for instance `only ended runs can be retried`.
    pub(super) needs: &'static str,
}

/// On a terminal, asks before many runs are changed.
pub(super) fn confirmed(context: &mut Context, verb: Verb, count: usize, yes: bool) -> bool {
    yes || count <= MANY
        || context
            .screen
            .confirm(&format!("{} {count} runs?", verb.word))
}

/// Prints which runs would be changed.
pub(super) fn dry_run(context: &mut Context, verb: Verb, runs: &[RunId]) -> u8 {
    if context.screen.json() {
        let items: Vec<Value> = runs
            .iter()
            .map(|run| document::handled(*run, false, Some("dry run")))
            .collect();
        context
            .screen
            .document(verb.document, json!({ "items": items }));
    } else {
        for run in runs {
            context.screen.line(&run.to_string());
        }
        context.screen.say(&format!(
            "{} would be {}; nothing was changed",
            counted(runs.len() as i64, "run"),
            verb.done
        ));
    }
    0
}

/// Applies `apply` to each run, each once, and reports the results.
pub(super) fn on_each(
    context: &mut Context,
    store: &mut Store,
    verb: Verb,
    runs: &[RunId],
    apply: impl Fn(&mut Tx<'_>, RunId, i64) -> Result<Handled>,
) -> anyhow::Result<u8> {
    let signals = Signals::new()?;
    let mut seen = HashSet::new();
    let runs: Vec<RunId> = runs
        .iter()
        .copied()
        .filter(|run| seen.insert(*run))
        .collect();
    let mut report = Report {
        verb,
        all: runs.len(),
        items: Vec::new(),
        refusals: Vec::new(),
    };
    for slice in runs.chunks(SLICE) {
        if let Some(code) = signals.pending() {
            report.interrupted(context);
            return Ok(code);
        }
        let now_ms = context.now_ms();
        let handled: Vec<Handled> = store
            .write(|tx| slice.iter().map(|run| apply(tx, *run, now_ms)).collect())
            .map_err(|error| report.broken(error))?;
        for (run, handled) in slice.iter().zip(handled) {
            let refusal = refusal(store, verb, *run, handled, now_ms)?;
            report.add(*run, handled, refusal, context);
        }
        let n = report.items.len() - report.refusals.len();
        context
            .screen
            .done(format!("{n} of {} runs are {}", report.all, verb.done));
    }
    report.end(context)
}

/// The results so far.
struct Report {
    verb: Verb,
    all: usize,
    items: Vec<Value>,
    refusals: Vec<Error>,
}

impl Report {
    fn add(&mut self, run: RunId, handled: Handled, refusal: Option<Error>, context: &mut Context) {
        let reason = match &refusal {
            Some(error) => Some(error.message.as_str()),
            None => note(handled),
        };
        self.items
            .push(document::handled(run, refusal.is_none(), reason));
        match refusal {
            Some(error) => self.refusals.push(error),
            None if context.screen.json() || self.all > MANY => {}
            None => context.screen.line(&sentence(self.verb, run, handled)),
        }
    }

    fn details(&self) -> Map<String, Value> {
        Map::from_iter([("items".to_owned(), Value::Array(self.items.clone()))])
    }

    fn print(&self, context: &mut Context) {
        let Verb { document, done, .. } = self.verb;
        if context.screen.json() {
            context
                .screen
                .document(document, json!({ "items": self.items }));
        } else if self.all > MANY {
            let n = self.items.len() - self.refusals.len();
            context.screen.line(&format!("{done} {n} runs"));
        }
    }

    /// The error of a slice, with the runs of the slices that are already stored: a script must learn which.
    fn broken(&self, error: Error) -> Error {
        match self.items.len() {
            0 => error,
            n => {
                let message = format!(
                    "{n} of {} runs were processed, then: {}",
                    self.all, error.message
                );
                Error {
                    kind: Kind::Failed,
                    message,
                    ..error
                }
                .details(self.details())
            }
        }
    }

    fn interrupted(&self, context: &mut Context) {
        self.print(context);
        let (n, all) = (self.items.len(), self.all);
        context.screen.say(&format!(
            "interrupted after {n} of {all} runs; the others were not changed"
        ));
    }

    fn end(&self, context: &mut Context) -> anyhow::Result<u8> {
        let Some(first) = self.refusals.first() else {
            self.print(context);
            return Ok(0);
        };
        if self.all == 1 {
            return Err(first.clone().details(self.details()).into());
        }
        if !context.screen.json() {
            self.print(context);
            for refusal in self.refusals.iter().take(MANY) {
                context.screen.warn(&refusal.message);
            }
        }
        let same = self
            .refusals
            .iter()
            .all(|refusal| refusal.kind == first.kind);
        let kind = if same { first.kind } else { Kind::Failed };
        let (refused, all, done) = (self.refusals.len(), self.all, self.verb.done);
        let error = Error::new(kind, format!("{refused} of {all} runs could not be {done}"));
        Err(error.details(self.details()).into())
    }
}

fn note(handled: Handled) -> Option<&'static str> {
    (handled == Handled::Requested).then_some("its worker stops it")
}

fn sentence(verb: Verb, run: RunId, handled: Handled) -> String {
    match handled {
        Handled::Requested => format!("run {run} is running; its worker stops it"),
        Handled::Moved(State::Waiting) => format!("run {run} is queued again"),
        _ => format!("run {run} is {}", verb.done),
    }
}

/// Why this run was not changed; `None` if it was.
fn refusal(
    store: &Store,
    verb: Verb,
    run: RunId,
    handled: Handled,
    now_ms: i64,
) -> Result<Option<Error>> {
    let state = match handled {
        Handled::Moved(_) | Handled::Requested | Handled::Discarded => return Ok(None),
        Handled::Unknown => return Ok(Some(unknown_run(run))),
        Handled::NoDeadLetter(state) | Handled::Forbidden(state) => state,
    };
    let state = in_words(store, run, state, now_ms)?;
    let cannot = format!("cannot {} run {run}", verb.word);
    Ok(Some(match handled {
        Handled::NoDeadLetter(State::Dead) => Error::new(
            Kind::Refused,
            format!("{cannot}: its dead letter is already closed"),
        )
        .hint(format!("`jobctl runs retry {run}` queues it again")),
        _ => Error::new(Kind::Refused, format!("{cannot}: {state}; {}", verb.needs)),
    }))
}

/// `it is running (attempt 2 since 10:31:07)`
fn in_words(store: &Store, run: RunId, state: State, now_ms: i64) -> Result<String> {
    let detail = store.show_run(run, now_ms)?;
    let since = |ms: Option<i64>| ms.map(|ms| format!("since {}", when::clock(ms, now_ms)));
    let started = |detail: &crate::store::RunDetail| {
        let last = detail
            .attempts
            .last()
            .filter(|attempt| attempt.ended_ms.is_none())?;
        Some(format!(
            "attempt {} since {}",
            last.number,
            when::clock(last.started_ms, now_ms)
        ))
    };
    let (words, more) = match state {
        State::Waiting => ("it is waiting", None),
        State::Running => ("it is running", detail.as_ref().and_then(started)),
        State::Succeeded => ("it has succeeded", None),
        State::Dead => (
            "it is dead",
            since(detail.and_then(|detail| detail.row.ended_ms)),
        ),
        State::Cancelled => (
            "it is cancelled",
            since(detail.and_then(|detail| detail.row.ended_ms)),
        ),
    };
    Ok(more.map_or_else(|| words.to_owned(), |more| format!("{words} ({more})")))
}
