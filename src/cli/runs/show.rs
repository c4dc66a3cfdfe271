//! `jobctl runs show`: everything about one run.

use serde_json::Value;

use crate::cli::ids::{find_run, run_id};
use crate::cli::{Context, Paint, Table, when, workers};
use crate::document;
use crate::run::{RunId, Shown, State};
use crate::store::{AttemptRow, Create, RunDetail};

/// Show one run with its attempts
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Id of the run
    #[arg(value_name = "ID", value_parser = run_id)]
    run: RunId,
}

/// Shows.
pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<u8> {
    let store = context.open_store(Create::Never)?;
    let now_ms = context.now_ms();
    let detail = find_run(&store, args.run, now_ms)?;
    if context.screen.json() {
        context
            .screen
            .document("runs.show", document::run_detail(&detail));
        return Ok(0);
    }
    let gone = match (detail.row.state, detail.row.worker) {
        (State::Running, Some(worker)) => {
            workers::unrecovered_message(&store, context.local()?, worker)?
        }
        _ => None,
    };
    let paused = store.paused_jobs(now_ms)?.contains(&detail.row.job);
    context
        .screen
        .fields(&fields(&detail, paused, gone, now_ms));
    if !detail.attempts.is_empty() {
        context.screen.line("");
        context.screen.table(&attempts(&detail.attempts));
    }
    let last = detail
        .attempts
        .last()
        .and_then(|attempt| attempt.output_tail.as_deref());
    if let Some(tail) = last {
        context.screen.line("");
        context.screen.painted("last output:", Paint::Strong);
        context.screen.text(&String::from_utf8_lossy(tail));
    }
    Ok(0)
}

/// Colour of a state.
pub(in crate::cli) fn paint(shown: Shown) -> Paint {
    match shown {
        Shown::Succeeded => Paint::Good,
        Shown::Running | Shown::Ready => Paint::Busy,
        Shown::Dead | Shown::Blocked => Paint::Bad,
        Shown::Delayed | Shown::Retrying => Paint::Plain,
        Shown::Cancelled => Paint::Dim,
    }
}

fn fields(
    detail: &RunDetail,
    paused: bool,
    gone: Option<String>,
    now_ms: i64,
) -> Vec<(&'static str, String)> {
    let row = &detail.row;
    let at = |ms| when::local_and_relative(ms, now_ms);
    let mut fields = vec![
        ("run", row.run.to_string()),
        ("job", row.job.clone()),
        (
            "state",
            gone.map_or_else(|| state(detail, paused), |why| format!("blocked: {why}")),
        ),
        ("queue", format!("{}, priority {}", row.queue, row.priority)),
    ];
    let mut add = |name, value: Option<String>| fields.extend(value.map(|value| (name, value)));
    add(
        "tenant",
        Some(row.tenant.clone()).filter(|tenant| !tenant.is_empty()),
    );
    add("created", Some(at(row.created_ms)));
    add(
        "due",
        Some(at(row.due_ms)).filter(|_| row.state == State::Waiting),
    );
    add("deadline", row.deadline_ms.map(at));
    add("started", row.started_ms.map(at));
    add("ended", row.ended_ms.map(at));
    add(
        "cancel",
        row.cancel_ms.map(|ms| {
            format!(
                "requested by {} {}",
                row.cancel_by.as_deref().unwrap_or("?"),
                at(ms)
            )
        }),
    );
    add("attempts", Some(counts(detail)));
    add("last error", row.last_error.clone());
    add("params", detail.params.as_deref().map(params));
    add(
        "payload",
        detail.payload_bytes.map(|bytes| format!("{bytes} bytes")),
    );
    add("results", detail.results.clone());
    add("dedup key", row.dedup_key.clone());
    add("sequence key", row.sequence_key.clone());
    add("correlation", row.labels.correlation_id.clone());
    add("business key", row.labels.business_key.clone());
    add("initiator", row.labels.initiator.clone());
    add(
        "parent",
        detail
            .parent
            .map(|run| format!("run {run} ({})", detail.trigger)),
    );
    add(
        "why",
        (row.state == State::Waiting).then(|| format!("jobctl runs why {}", row.run)),
    );
    for letter in &detail.dead_letters {
        let end = match &letter.closed {
            Some(closed) => format!("{} by {} {}", closed.how, closed.by, at(closed.at_ms)),
            None => "open".to_owned(),
        };
        add(
            "dead letter",
            Some(format!("{} {}, {end}", letter.reason, at(letter.died_ms))),
        );
    }
    fields
}

fn state(detail: &RunDetail, paused: bool) -> String {
    let row = &detail.row;
    match (row.shown, row.worker, &row.reason) {
        (Shown::Blocked, ..) if paused => format!("blocked: job `{}` is paused", row.job),
        (Shown::Blocked, ..) if detail.waits_for.is_empty() => {
            "blocked: no loaded catalogue has its job or its queue".to_owned()
        }
        (Shown::Blocked, ..) => format!("blocked: {}", waits(&detail.waits_for)),
        (Shown::Running, Some(worker), _) => format!("running on worker {worker}"),
        (Shown::Dead, _, Some(reason)) => format!("dead: {reason}"),
        (shown, ..) => shown.to_string(),
    }
}

/// The runs that this run waits for, and their states; of many only the first.
fn waits(before: &[(RunId, State)]) -> String {
    let some = before.iter().take(3);
    let mut runs: Vec<String> = some
        .map(|(run, state)| format!("run {run} ({state})"))
        .collect();
    if before.len() > runs.len() {
        runs.push(format!("{} more", before.len() - runs.len()));
    }
    format!("waits for {}", runs.join(", "))
}

fn counts(detail: &RunDetail) -> String {
    let row = &detail.row;
    let failures = format!(
        "{}; {} of {} failures",
        row.attempts, row.failures, row.max_attempts
    );
    let rarer = [(row.crashes, "crashes"), (row.releases, "releases")];
    let rarer = rarer.iter().filter(|(count, _)| *count > 0);
    let rarer = rarer.map(|(count, word)| format!("{count} {word}"));
    let all: Vec<String> = std::iter::once(failures).chain(rarer).collect();
    all.join(", ")
}

/// `key=value` lines of a JSON object of strings.
fn params(text: &str) -> String {
    let Ok(Value::Object(params)) = serde_json::from_str(text) else {
        return text.to_owned();
    };
    let line = |(name, value): (&String, &Value)| match value {
        Value::String(value) => format!("{name}={value}"),
        other => format!("{name}={other}"),
    };
    params.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn attempts(rows: &[AttemptRow]) -> Table {
    let mut table = Table::new(&[
        ">ATTEMPT", "STARTED", ">TOOK", "ENDING", "CLASS", ">WORKER", "~ERROR",
    ]);
    for row in rows {
        let took = row.ended_ms.map_or_else(String::new, |ms| {
            when::span(ms.saturating_sub(row.started_ms))
        });
        let leaked = match row.leaked {
            0 => String::new(),
            n => format!(" ({n} leaked)"),
        };
        table.row([
            &row.number.to_string(),
            &when::local(row.started_ms),
            &took,
            &(ending(row) + &leaked),
            row.class.as_deref().unwrap_or_default(),
            &row.worker.to_string(),
            row.error.as_deref().unwrap_or_default(),
        ]);
    }
    table
}

fn ending(row: &AttemptRow) -> String {
    match (row.ending.as_deref(), row.exit_code, row.signal) {
        (None, ..) => "running".to_owned(),
        (Some("exited"), Some(code), _) => format!("exit {code}"),
        (Some("signalled"), _, Some(signal)) => format!("signal {signal}"),
        (Some(ending), ..) => ending.replace('_', " "),
    }
}
