//! `jobctl enqueue`: stores one run, or finds the one that it duplicates.
//!
//! Rule: one transaction, and no answer before it is durable. If a COMMIT fails half-way, the store is read again; if the outcome
//! stays unknown, the command exits with 76 and an id that makes it safe to repeat.

use std::time::Duration;

use serde_json::json;

use super::labels::LabelArgs;
use super::request::{PreparedRun, RequestArgs};
use super::{Context, import};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::intake::{MadeId, check_request_id};
use crate::run::RunId;
use crate::store::{Enqueued, Store, Tx};
use crate::units::{format_utc, parse_duration};

/// Enqueue a run of a job, or many from a file
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Job of the catalogue
    #[arg(required_unless_present = "from")]
    pub(super) job: Option<String>,
    #[command(flatten)]
    pub(super) request: RequestArgs,
    /// Id of this request: repeating it returns the first run, or resumes an import
    #[arg(long, value_name = "ID")]
    pub(super) request_id: Option<String>,
    /// Wait for the run to end, at most this long
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    wait: Option<String>,
    /// Enqueue one run for each line of JSON in this file, or in standard input
    #[arg(
        long,
        value_name = "FILE|-",
        conflicts_with_all = [
            "job", "params", "payload", "queue", "priority", "delay", "at", "deadline", "dedup_key", "dedup_window",
            "tenant", "wait",
        ],
        conflicts_with_all = LabelArgs::IDS
    )]
    from: Option<String>,
}

/// Enqueues.
pub(super) fn run(args: Args, context: &mut Context) -> anyhow::Result<u8> {
    if let Some(id) = &args.request_id {
        check_request_id(id)?;
    }
    let job = match (args.from, args.job) {
        (Some(from), _) => return import::run(&from, args.request_id, context),
        (None, Some(job)) => job,
        (None, None) => return Err(Error::new(Kind::Usage, "a job is missing").into()),
    };
    let wait = args.wait.as_deref().map(limit).transpose()?;
    let made = args.request_id.as_deref().and_then(MadeId::parse);
    let key = made.map_or_else(clock::random_bytes, |made| made.key);
    let mut prepared = args.request.prepare(&job, key, context)?;
    let answer = store(&mut prepared, args.request_id.as_deref(), made)?;
    let run = answer.run;
    // An existing run has another key.
    let made = || (!answer.duplicate).then(|| made_id(run, key));
    let hint = match args.request_id.or_else(made) {
        Some(id) => format!("repeat it with `--request-id {id}`: it will not be stored twice"),
        None => format!("`jobctl runs show {run}` shows it"),
    };
    context
        .screen
        .done_with_hint(format!("run {run} is stored"), hint);
    if context.screen.json() {
        let body = json!({
            "run": answer.run,
            "job": job,
            "state": answer.state,
            "duplicate": answer.duplicate,
            "due": format_utc(answer.due_ms),
        });
        context.screen.document("enqueue", body);
    } else {
        context.screen.line(&answer.run.to_string());
    }
    if let Some(limit) = wait {
        return super::wait::wait(&prepared.store, answer.run, limit, context);
    }
    prepared.store.leave();
    Ok(0)
}

/// The longest wait; `None` is no limit.
fn limit(text: &str) -> Result<Option<Duration>> {
    match text {
        "" => Ok(None),
        text => Ok(Some(Duration::from_millis(parse_duration(text)? as u64))),
    }
}

/// Stores the run in one transaction and returns its answer once it is durable.
fn store(
    prepared: &mut PreparedRun,
    request_id: Option<&str>,
    made: Option<MadeId>,
) -> Result<Enqueued> {
    let (mut expected, mut refused) = (None, None);
    let PreparedRun {
        store,
        local,
        new,
        now_ms,
        settings,
        read,
    } = prepared;
    let guard = store.guard(settings)?;
    let result = store.write(|tx: &mut Tx<'_>| {
        if let Some(read) = read {
            read.save(tx, local)?;
        }
        if let Some(existing) = repeated(tx, &new.job, request_id, made)? {
            return Ok(Ok(existing));
        }
        let new = std::slice::from_ref(&*new);
        let (mut answers, refusal) = tx.enqueue_fitting(new, Some(&guard), *now_ms)?;
        if let Some(refusal) = refusal {
            // The catalogue is saved nevertheless: its rules are the reason for the refusal.
            refused = Some(refusal.clone());
            return Ok(Err(refusal));
        }
        let answer = answers.pop().ok_or_else(no_answer)?;
        if let Some(id) = request_id {
            tx.note_request(id, &new[0].job, answer.run, *now_ms)?;
        }
        expected = Some(answer.clone());
        Ok(Ok(answer))
    });
    match (result.flatten(), expected) {
        // Only the catalogue was to be stored, so the outcome of the COMMIT does not matter.
        (Err(error), _) if error.kind == Kind::Unknown && refused.is_some() => {
            Err(refused.unwrap_or(error))
        }
        (Err(error), Some(answer)) if error.kind == Kind::Unknown => {
            settle(store, error, answer, new.idempotency_key, request_id)
        }
        (result, _) => result,
    }
}

fn no_answer() -> Error {
    Error::new(Kind::Bug, "an enqueue gave no answer")
}

/// The run that an earlier call with the same request id stored.
fn repeated(
    tx: &Tx<'_>,
    job: &str,
    request_id: Option<&str>,
    made: Option<MadeId>,
) -> Result<Option<Enqueued>> {
    if let Some(made) = made
        && let Some(existing) = tx.stored_before(made.run, made.key, job)?
    {
        return Ok(Some(existing));
    }
    request_id.map_or(Ok(None), |id| tx.requested(id, job))
}

/// After a COMMIT that failed half-way: returns the answer if it turns out to be stored durably, else the error.
fn settle(
    store: &mut Store,
    error: Error,
    answer: Enqueued,
    key: [u8; 16],
    request_id: Option<&str>,
) -> Result<Enqueued> {
    // An existing run was durable before, unless this enqueue replaced its parameters.
    let is_ours = !answer.duplicate || answer.replaced;
    if !is_ours && request_id.is_none() {
        return Ok(answer);
    }
    if is_ours && matches!(store.has_run(answer.run, key), Ok(Some(_))) && is_durable(store) {
        return Ok(answer);
    }
    let id = match request_id {
        Some(id) => id.to_owned(),
        None => made_id(answer.run, key),
    };
    let details = serde_json::Map::from_iter([("request_id".to_owned(), json!(id))]);
    let hint = format!("repeat it with `--request-id {id}`: it will not be stored twice");
    Err(Error {
        hint: Some(hint.into()),
        ..error
    }
    .details(details))
}

fn made_id(run: RunId, key: [u8; 16]) -> String {
    MadeId { run, key }.to_string()
}

/// Whether all that is visible now is also in the database file: a log whose sync failed can still be lost.
pub(super) fn is_durable(store: &Store) -> bool {
    // Another checkpoint or a reader may be in the way for some milliseconds.
    (0..10).any(|_| {
        let durable = matches!(store.checkpoint(false), Ok(true));
        if !durable {
            clock::pause(Duration::from_millis(50));
        }
        durable
    })
}
