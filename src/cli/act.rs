//! Acts on many runs, slice by slice, and prints the result for each.
//!
//! Rule: a run that is refused does not stop the others; the exit code is 0 only if the operation succeeded for every run.

use serde_json::{Map, Value, json};

use super::ids::unknown_run;
use super::signals::Signals;
use super::{Context, when};
use crate::document;
use crate::error::{Error, Kind, Result};
use crate::operate::{CurrentState, OnRuns, RunAct, RunDone, RunRefusal};
use crate::run::{RunId, State};
use crate::store::Store;
use crate::units::counted;

/// Above this many runs a terminal is asked for confirmation, and only their number is reported.
const MANY: usize = 10;

/// An operation on runs, and the words of its messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verb {
    /// What it does.
    pub(super) act: RunAct,
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

/// Acts on each run, each once, and reports the results.
pub(super) fn on_each(
    context: &mut Context,
    store: &mut Store,
    verb: Verb,
    runs: &[RunId],
) -> anyhow::Result<u8> {
    let signals = Signals::new()?;
    let actor = context.actor();
    let mut work = OnRuns::new(verb.act, runs, &actor);
    let mut report = Report {
        verb,
        all: work.count(),
        items: Vec::new(),
        refusals: Vec::new(),
    };
    while work.is_left() {
        if let Some(code) = signals.pending() {
            report.interrupted(context);
            return Ok(code);
        }
        let now_ms = context.now_ms();
        let answers = work
            .next_slice(store, now_ms)
            .map_err(|error| report.broken(error))?;
        for (run, answer) in answers {
            report.add(run, answer, now_ms, context);
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
    fn add(
        &mut self,
        run: RunId,
        answer: Result<RunDone, RunRefusal>,
        now_ms: i64,
        context: &mut Context,
    ) {
        let done = match answer {
            Ok(done) => done,
            Err(refusal) => {
                let error = refused(self.verb, run, refusal, now_ms);
                let item = document::handled(run, false, Some(&error.message));
                self.items.push(item);
                self.refusals.push(error);
                return;
            }
        };
        let note = (done == RunDone::Requested).then_some("its worker stops it");
        self.items.push(document::handled(run, true, note));
        if !context.screen.json() && self.all <= MANY {
            context.screen.line(&sentence(self.verb, run, done));
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

fn sentence(verb: Verb, run: RunId, done: RunDone) -> String {
    match done {
        RunDone::Requested => format!("run {run} is running; its worker stops it"),
        RunDone::Moved(State::Waiting) => format!("run {run} is queued again"),
        RunDone::Moved(_) | RunDone::Discarded => format!("run {run} is {}", verb.done),
    }
}

/// The error about a run that was not changed.
fn refused(verb: Verb, run: RunId, refusal: RunRefusal, now_ms: i64) -> Error {
    let cannot = format!("cannot {} run {run}", verb.word);
    match refusal {
        RunRefusal::Unknown => unknown_run(run),
        RunRefusal::NoDeadLetter(now) if now.state == State::Dead => Error::new(
            Kind::Refused,
            format!("{cannot}: its dead letter is already closed"),
        )
        .hint(format!("`jobctl runs retry {run}` queues it again")),
        RunRefusal::NoDeadLetter(now) | RunRefusal::Forbidden(now) => {
            let state = in_words(now, now_ms);
            Error::new(Kind::Refused, format!("{cannot}: {state}; {}", verb.needs))
        }
    }
}

/// `it is running (attempt 2 since 10:31:07)`
fn in_words(now: CurrentState, now_ms: i64) -> String {
    let words = match now.state {
        State::Waiting => "it is waiting",
        State::Running => "it is running",
        State::Succeeded => "it has succeeded",
        State::Dead => "it is dead",
        State::Cancelled => "it is cancelled",
    };
    let attempt = now
        .attempt
        .map_or_else(String::new, |number| format!("attempt {number} "));
    now.since_ms.map_or_else(
        || words.to_owned(),
        |ms| format!("{words} ({attempt}since {})", when::clock(ms, now_ms)),
    )
}
