//! Does one thing to many runs: in slices, each run on its own merits.
//!
//! Rule: what is refused for one run stops no other; the exit code is 0 only if everything was done.

use serde_json::{Map, Value, json};

use super::ids::unknown_run;
use super::{Context, when};
use crate::document;
use crate::error::{Error, Kind, Result};
use crate::run::{RunId, State};
use crate::store::{Handled, Store, Tx};

/// Runs per transaction: some milliseconds.
const SLICE: usize = 100;

/// More rows than this are asked about on a terminal, and reported as a number.
const MANY: usize = 10;

/// What is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verb {
    /// Name of the JSON document.
    pub(super) document: &'static str,
    /// `cancel`
    pub(super) word: &'static str,
    /// `cancelled`
    pub(super) done: &'static str,
    /// What it needs, for instance `only ended runs can be retried`.
    pub(super) needs: &'static str,
}

/// Asks on a terminal before many rows are touched.
pub(super) fn confirmed(context: &mut Context, verb: Verb, count: usize, yes: bool) -> bool {
    yes || count <= MANY
        || context
            .screen
            .confirm(&format!("{} {count} runs?", verb.word))
}

/// Prints what would be done.
pub(super) fn pretend(context: &mut Context, verb: Verb, runs: &[RunId]) -> u8 {
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
            "{} runs would be {}; nothing was changed",
            runs.len(),
            verb.done
        ));
    }
    0
}

/// Applies `apply` to each run and reports.
pub(super) fn on_each(
    context: &mut Context,
    store: &mut Store,
    verb: Verb,
    runs: &[RunId],
    apply: impl Fn(&mut Tx<'_>, RunId, i64) -> Result<Handled>,
) -> anyhow::Result<u8> {
    let mut items = Vec::with_capacity(runs.len());
    let mut refusals: Vec<Error> = Vec::new();
    for slice in runs.chunks(SLICE) {
        let now_ms = context.now_ms();
        let handled: Vec<Handled> =
            store.write(|tx| slice.iter().map(|run| apply(tx, *run, now_ms)).collect())?;
        for (run, handled) in slice.iter().zip(handled) {
            match refusal(store, verb, *run, handled, now_ms)? {
                None => {
                    let note = note(handled);
                    items.push(document::handled(*run, true, note));
                    if !context.screen.json() && runs.len() <= MANY {
                        context.screen.line(&sentence(verb, *run, handled));
                    }
                }
                Some(error) => {
                    items.push(document::handled(*run, false, Some(&error.message)));
                    refusals.push(error);
                }
            }
        }
    }
    let done = runs.len() - refusals.len();
    if !context.screen.json() && runs.len() > MANY {
        context.screen.line(&format!("{} {done} runs", verb.done));
    }
    let Some(first) = refusals.first() else {
        if context.screen.json() {
            context
                .screen
                .document(verb.document, json!({ "items": items }));
        }
        return Ok(0);
    };
    let error = if runs.len() == 1 {
        first.clone()
    } else {
        if !context.screen.json() {
            for refusal in refusals.iter().take(MANY) {
                context.screen.warn(&refusal.message);
            }
        }
        let same = refusals.iter().all(|refusal| refusal.kind == first.kind);
        let kind = if same { first.kind } else { Kind::Failed };
        let (refused, all) = (refusals.len(), runs.len());
        Error::new(
            kind,
            format!("{refused} of {all} runs could not be {}", verb.done),
        )
    };
    let details = Map::from_iter([("items".to_owned(), Value::Array(items))]);
    Err(error.details(details).into())
}

fn note(handled: Handled) -> Option<&'static str> {
    (handled == Handled::Requested).then_some("its worker ends it")
}

fn sentence(verb: Verb, run: RunId, handled: Handled) -> String {
    match handled {
        Handled::Requested => format!("run {run} is running; its worker ends it"),
        Handled::Moved(State::Waiting) => format!("run {run} waits for a worker again"),
        _ => format!("run {run} is {}", verb.done),
    }
}

/// Why nothing was done for this run, if so.
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
            format!("{cannot}: its dead letter is closed already"),
        )
        .hint(format!("`jobctl runs retry {run}` lets it run again")),
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
