//! The JSON documents of `--json`, and of payloads that jobctl makes.
//!
//! Rule: within a major version fields are added, never renamed; absent is `null`; times are RFC 3339 UTC with milliseconds,
//! durations are `*_ms`.

mod flow;

use serde_json::{Map, Value, json};

pub use flow::{act, job_breaker, limit, queue, queue_flow};

use crate::advice::Text;
use crate::catalogue::{
    BackoffKind, Coalesce, Command, Job, OnDuplicate, Pattern, Schedule, Secret, Template,
};
use crate::flow::explain::{Answer, Gate, NO_QUEUES, Place, RunFacts};
use crate::records::{AttemptRow, DeadLetter, Pause, PeriodRow, RunDetail, RunRow, WorkerRow};
use crate::run::RunId;
use crate::schedule::{Preview, Rule};
use crate::units::{format_utc, hex};

/// The document `jobctl.<name>/1` with the fields of `body`.
pub fn document(name: &str, body: Value) -> Value {
    let mut document = Map::new();
    document.insert("schema".into(), json!(format!("jobctl.{name}/1")));
    if let Value::Object(fields) = body {
        document.extend(fields);
    }
    Value::Object(document)
}

/// A time.
pub fn time(ms: i64) -> Value {
    json!(format_utc(ms))
}

/// A time, or `null`.
pub fn maybe_time(ms: Option<i64>) -> Value {
    ms.map_or(Value::Null, time)
}

/// The fields of both objects; those of the second win.
pub fn merged(mut body: Value, more: Value) -> Value {
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    body
}

/// Bytes as text; invalid UTF-8 becomes U+FFFD.
fn text(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| json!(String::from_utf8_lossy(bytes)))
}

/// JSON that was stored as text.
fn stored(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or(Value::Null)
}

fn some_text(text: &str) -> Value {
    if text.is_empty() {
        Value::Null
    } else {
        json!(text)
    }
}

/// A run in a list.
pub fn run(run: &RunRow) -> Value {
    let body = json!({
        "run": run.run,
        "job": run.job,
        "queue": run.queue,
        "tenant": some_text(&run.tenant),
        "priority": run.priority,
        "state": run.state,
        "shown": run.shown,
        "attempts": run.attempts,
        "failures": run.failures,
        "max_attempts": run.max_attempts,
        "crashes": run.crashes,
        "releases": run.releases,
        "created": time(run.created_ms),
        "due": time(run.due_ms),
        "started": maybe_time(run.started_ms),
        "ended": maybe_time(run.ended_ms),
        "deadline": maybe_time(run.deadline_ms),
        "reason": run.reason,
        "last_error": run.last_error,
        "exit_code": run.exit_code,
        "period": run.period.as_ref().map(|period| period.key.as_str()),
        "scheduled_for": maybe_time(run.period.as_ref().map(|period| period.scheduled_ms)),
        "business_date": run.period.as_ref().map(|period| period.business_date.as_str()),
        "bulk": null,
        "dedup_key": run.dedup_key,
        "sequence_key": run.sequence_key,
    });
    let labels = run.labels.texts().into_iter();
    let labels = labels.map(|(name, value)| (name.to_owned(), json!(value)));
    let more = json!({
        "worker": run.worker,
        "cancel_requested": maybe_time(run.cancel_ms),
        "cancel_by": run.cancel_by,
    });
    merged(merged(body, labels.collect()), more)
}

/// A run with all details: the body of `runs.show`, and the payload of an `on_dead` run.
pub fn run_detail(detail: &RunDetail) -> Value {
    let body = run(&detail.row);
    let more = json!({
        "guarantee": detail.guarantee,
        "trigger": detail.trigger,
        "parent": detail.parent,
        "traceparent": detail.row.labels.traceparent,
        "idempotency_key": hex(&detail.idempotency_key),
        "params": stored(detail.params.as_deref()),
        "payload_bytes": detail.payload_bytes,
        "waits_for": detail.waits_for.iter().map(|(run, _)| run).collect::<Vec<_>>(),
        "results": stored(detail.results.as_deref()),
        "attempt_list": detail.attempts.iter().map(attempt).collect::<Vec<_>>(),
        "dead_letters": detail.dead_letters.iter().map(dead_letter).collect::<Vec<_>>(),
    });
    merged(body, more)
}

/// One attempt of a run.
fn attempt(attempt: &AttemptRow) -> Value {
    json!({
        "number": attempt.number,
        "worker": attempt.worker,
        "started": time(attempt.started_ms),
        "ended": maybe_time(attempt.ended_ms),
        "ending": attempt.ending,
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "class": attempt.class,
        "error": attempt.error,
        "output_tail": text(attempt.output_tail.as_deref()),
        "output_bytes": attempt.output_bytes,
        "leaked": attempt.leaked,
    })
}

/// A dead letter in a list.
pub fn dead_item(letter: &DeadLetter) -> Value {
    json!({
        "run": letter.run,
        "job": letter.job,
        "reason": letter.reason,
        "error": letter.error,
        "fingerprint": letter.fingerprint,
        "attempts": letter.attempts,
        "died": time(letter.died_ms),
    })
}

/// A dead letter with its output and its end.
pub fn dead_letter(letter: &DeadLetter) -> Value {
    let body = dead_item(letter);
    let closed = letter.closed.as_ref();
    let more = json!({
        "output_tail": text(letter.output_tail.as_deref()),
        "closed": maybe_time(closed.map(|closed| closed.at_ms)),
        "closed_by": closed.map(|closed| closed.by.as_str()),
        "closed_how": closed.map(|closed| closed.how.as_str()),
    });
    merged(body, more)
}

/// A worker in a list; `alive` is `null` if it is unknown.
pub fn worker(worker: &WorkerRow, busy: i64, alive: Option<bool>, user: Option<&str>) -> Value {
    let names = worker.queues.split(',');
    let queues: Vec<&str> = names
        .filter(|name| !name.is_empty() && *name != NO_QUEUES)
        .collect();
    json!({
        "worker": worker.worker,
        "pid": worker.pid,
        "host": worker.host,
        "user": user,
        "queues": if worker.queues.is_empty() { Value::Null } else { json!(queues) },
        "parent": worker.parent,
        "slots": worker.slots,
        "busy": busy,
        "started": time(worker.started_ms),
        "stopping": maybe_time(worker.stop_ms),
        "alive": alive,
    })
}

/// A job in a list.
pub fn job_item(job: &Job, pause: Option<&Pause>) -> Value {
    json!({
        "job": job.name,
        "description": job.description,
        "queue": job.intake.queue,
        "priority": job.intake.priority,
        "schedule": job.schedule.as_ref().map(|schedule| schedule.rule.words()),
        "paused": pause.is_some(),
        "paused_at": maybe_time(pause.map(|pause| pause.paused_ms)),
        "paused_by": pause.map(|pause| pause.paused_by.as_str()),
        "pause_reason": pause.and_then(|pause| pause.reason.as_deref()),
        "paused_until": maybe_time(pause.and_then(|pause| pause.until_ms)),
    })
}

/// A period in `next`.
pub fn period(job: Option<&str>, rule: &Rule, preview: &Preview) -> Value {
    let period = &preview.period;
    json!({
        "job": job,
        "due": time(period.instant_ms),
        "local": rule.zone().local_text(period.instant_ms),
        "period": period.key,
        "business_date": period.business_date.to_string(),
        "note": (!preview.notes.is_empty()).then(|| preview.notes.join("; ")),
    })
}

/// The result of a period, or of several in a row.
pub fn period_row(row: &PeriodRow) -> Value {
    json!({
        "job": row.job,
        "period": row.period,
        "last_period": row.last_period,
        "count": row.count,
        "due": time(row.due_ms),
        "last_due": time(row.last_due_ms),
        "result": row.result,
        "reason": row.reason,
        "into": row.into,
        "run": row.run,
        "business_date": row.business_date,
        "decided": time(row.decided_ms),
        "late_ms": row.run.map(|_| row.decided_ms - row.due_ms),
    })
}

/// The result of `periods run`.
pub fn worked(job: &str, period: &str, run: Option<RunId>, refused: Option<&str>) -> Value {
    json!({ "job": job, "period": period, "run": run, "done": refused.is_none(), "reason": refused })
}

/// A finding of `periods audit`.
pub fn finding(job: &str, period: Option<&str>, finding: &str, detail: &str) -> Value {
    json!({ "job": job, "period": period, "finding": finding, "detail": detail })
}

fn schedule(schedule: &Schedule) -> Value {
    let rule = &schedule.rule;
    json!({
        "timezone": rule.zone().name(),
        "calendar": some_text(rule.calendar().name()),
        "late_grace_ms": schedule.late_grace_ms,
        "catch_up": schedule.catch_up,
        "catch_up_within_ms": schedule.catch_up_within_ms,
        "catch_up_max": schedule.catch_up_max,
        "overlap": schedule.overlap,
        "splay_ms": schedule.splay_ms,
        "params": schedule.params,
    })
}

/// All settings of a job, defaults included; of secrets only the source.
pub fn job_detail(job: &Job, pause: Option<&Pause>) -> Value {
    let intake = &job.intake;
    let body = job_item(job, pause);
    let (command, shell) = match &job.command {
        Command::Argv(templates) => (
            json!(
                templates
                    .iter()
                    .map(Template::to_string)
                    .collect::<Vec<_>>()
            ),
            Value::Null,
        ),
        Command::Shell { script, shell } => (json!(script), json!(shell)),
    };
    let params: Map<String, Value> = intake
        .params
        .iter()
        .map(|(name, param)| {
            (
                name.clone(),
                json!({ "required": param.required, "default": param.default }),
            )
        })
        .collect();
    let dedup = intake.dedup.as_ref().map(|dedup| {
        let (during, on_duplicate) = dedup.coalesce.map(Coalesce::words).unzip();
        json!({
            "key": dedup.key.to_string(), "window_ms": dedup.window_ms, "while": during,
            "on_duplicate": on_duplicate.unwrap_or(OnDuplicate::Drop),
        })
    });
    let sequence = intake
        .sequence
        .as_ref()
        .map(|sequence| json!({ "key": sequence.key.to_string(), "on_dead": sequence.on_dead }));
    let secrets: Map<String, Value> = job
        .secrets
        .iter()
        .map(|(name, secret)| (name.clone(), secret_source(secret)))
        .collect();
    let rlimits: Map<String, Value> = job
        .rlimits
        .iter()
        .map(|rlimit| (rlimit.resource.to_string(), json!(rlimit.limit)))
        .collect();
    let more = json!({
        "schedule_detail": job.schedule.as_ref().map(schedule),
        "command": command,
        "shell": shell,
        "cwd": job.cwd.as_ref().map(|cwd| cwd.to_string_lossy()),
        "params": params,
        "payload_max": intake.payload_max,
        "dedup": dedup,
        "sequence": sequence,
        "guarantee": intake.guarantee,
        "retry": retry(job),
        "timeout_ms": job.timeout_ms,
        "grace_ms": job.grace_ms,
        "deadline_ms": intake.deadline_ms,
        "exit": {
            "success": job.exit.success.as_deref().unwrap_or(&[0]),
            "transient": job.exit.transient,
            "permanent": job.exit.permanent,
            "rate_limited": job.exit.rate_limited,
            "patterns": job.exit.patterns.iter().map(pattern).collect::<Vec<_>>(),
        },
        "on_dead": job.on_dead,
        "env": job.env,
        "pass_env": job.pass_env,
        "secrets": secrets,
        "umask": job.umask.map(|umask| format!("{umask:03o}")),
        "rlimits": rlimits,
        "output_max": job.output_max,
        "leftovers": job.leftovers,
    });
    merged(body, more)
}

fn retry(job: &Job) -> Value {
    let (kind, base_ms, factor, waits_ms) = match &job.backoff.kind {
        BackoffKind::Fixed(ms) => ("fixed", Some(*ms), None, None),
        BackoffKind::Exponential { base_ms, factor } => {
            ("exponential", Some(*base_ms), Some(*factor), None)
        }
        BackoffKind::List(waits) => ("list", None, None, Some(waits)),
    };
    json!({
        "attempts": job.intake.attempts,
        "backoff": kind,
        "base_ms": base_ms,
        "factor": factor,
        "waits_ms": waits_ms,
        "max_ms": job.backoff.max_ms,
        "jitter": job.backoff.jitter,
        "max_crashes": job.intake.max_crashes,
        "rate_limited_for_ms": job.rate_limited_for_ms,
    })
}

fn pattern(pattern: &Pattern) -> Value {
    json!({ "match": pattern.regex.as_str(), "class": pattern.class, "wait_ms": pattern.wait_ms })
}

fn secret_source(secret: &Secret) -> Value {
    match secret {
        Secret::File(path) => json!({ "file": path.to_string_lossy() }),
        Secret::Env(variable) => json!({ "env": variable }),
    }
}

/// The explanation of `runs why`, with these words for its texts.
pub fn why(
    place: &Place,
    run: Option<&RunFacts>,
    answer: &Answer,
    words: impl Fn(&Text) -> String,
) -> Value {
    let gate = |gate: &Gate| {
        json!({
            "gate": gate.name,
            "open": gate.open,
            "detail": words(&gate.detail),
            "until": maybe_time(gate.until_ms),
            "hint": gate.hint.as_ref().map(&words),
        })
    };
    json!({
        "run": run.map(|run| run.run),
        "job": some_text(&place.job),
        "queue": place.queue,
        "tenant": some_text(&place.tenant),
        "state": run.map(|run| run.state),
        "answer": answer.sentence,
        "hint": answer.hint.as_ref().map(&words),
        "gates": answer.gates.iter().map(gate).collect::<Vec<_>>(),
        "expected_start": maybe_time(answer.expected_start_ms),
        "not_before": maybe_time(answer.not_before_ms),
    })
}

/// The result of an operation on one run.
pub fn handled(run: RunId, done: bool, reason: Option<&str>) -> Value {
    json!({ "run": run, "done": done, "reason": reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_begins_with_its_schema() {
        let text = document("runs", json!({"items": []})).to_string();
        assert_eq!(text, r#"{"schema":"jobctl.runs/1","items":[]}"#);
    }

    #[test]
    fn invalid_utf8_is_replaced_in_json() {
        assert_eq!(text(Some(b"a\xff")), json!("a\u{fffd}"));
        assert_eq!(stored(Some("not json")), Value::Null);
    }
}
