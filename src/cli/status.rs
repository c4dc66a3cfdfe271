//! `jobctl status`, also without a command: queues, workers, the scheduler, dead letters, and what needs attention.

use serde_json::{Value, json};

use super::pressure::Pressure;
use super::scheduler::Outlook;
use super::workers::{self, Seen};
use super::{Context, Paint, queues, rules, standing};
use crate::document;
use crate::store::{Create, DeadFilter, QueueRow, UnknownLane};

/// Show queues, workers, the scheduler and dead letters at a glance
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Shows.
pub(super) fn run(context: &mut Context) -> anyhow::Result<u8> {
    let store = context.open_store(Create::Never)?;
    let queues = queues::all(&store, context)?;
    let workers = workers::seen(&store, context.local()?)?;
    let pauses = store.pauses(context.now_ms())?;
    let flow = rules::flow(&store, context)?;
    let pressure = Pressure::of(&queues, &flow, &store, context)?;
    let dead = store.count_dead(&DeadFilter::default())?;
    let scheduler = Outlook::of(&store, context)?;
    let unknown = store.unknown_lanes()?;
    let refused = rules::refused_catalogue(&flow, context);
    if context.screen.json() {
        let body = json!({
            "queues": queues.iter().map(|row| queues::document(row, &flow, &pressure)).collect::<Vec<Value>>(),
            "limits": flow.limits.iter().map(document::limit).collect::<Vec<Value>>(),
            "breakers": flow
                .breakers
                .iter()
                .map(|(job, breaker)| document::job_breaker(job, breaker))
                .collect::<Vec<Value>>(),
            "workers": workers.iter().map(Seen::document).collect::<Vec<Value>>(),
            "scheduler": scheduler.document(),
            "space": pressure.space(),
            "full_tenants": pressure.full_tenants(),
            "rules_of": flow.source,
            "catalogue_refused": refused,
            "unknown": unknown
                .iter()
                .map(|lane| json!({ "queue": lane.queue, "job": lane.job }))
                .collect::<Vec<_>>(),
            "dead": dead,
            "alerts": [],
            "paused_jobs": pauses.iter().map(|pause| &pause.job).collect::<Vec<_>>(),
        });
        context.screen.document("status", body);
        return Ok(0);
    }
    context
        .screen
        .table(&queues::table(&queues, &flow, &pressure, context.now_ms()));
    if !queues.is_empty() {
        context.screen.line("");
    }
    context
        .screen
        .table(&workers::table(&workers, context.now_ms()));
    let now_ms = context.now_ms();
    let mut standing: Vec<String> = workers.iter().filter_map(|it| it.trouble(now_ms)).collect();
    standing.extend(pressure.lines());
    standing.extend(rules::foreign(&flow, context));
    standing
        .extend(refused.map(|why| format!("{why}; the one that was loaded before stays in force")));
    standing.extend(standing::lines(&flow, &pauses, context.now_ms()));
    standing.extend(unknown.iter().map(unknown_words));
    notes(context, &queues, &workers, &scheduler, &standing, dead);
    Ok(0)
}

/// Runs that no worker can take.
pub(super) fn unknown_words(lane: &UnknownLane) -> String {
    let UnknownLane { queue, job, is_job } = lane;
    let what = if *is_job { "job" } else { "queue" };
    format!(
        "runs of job `{job}` wait in queue `{queue}`, but no loaded catalogue has this {what}: `jobctl runs why --job {job}`"
    )
}

/// Lines about what may need an operator.
fn notes(
    context: &mut Context,
    queues: &[QueueRow],
    workers: &[Seen],
    scheduler: &Outlook,
    standing: &[String],
    dead: i64,
) {
    if !workers.is_empty() {
        context.screen.line("");
    }
    if !workers.iter().any(|seen| seen.alive != Some(false)) {
        let waiting = queues
            .iter()
            .map(QueueRow::waiting)
            .fold(0, i64::saturating_add);
        let paint = if waiting > 0 {
            Paint::Bad
        } else {
            Paint::Plain
        };
        context
            .screen
            .painted("no worker: `jobctl run-worker` starts one", paint);
    }
    for (line, paint) in scheduler.lines(context.now_ms()) {
        context.screen.painted(&line, paint);
    }
    for line in standing {
        context.screen.painted(line, Paint::Bad);
    }
    match dead {
        0 => context.screen.line("no dead letters"),
        1 => context
            .screen
            .painted("1 dead letter: `jobctl dlq list`", Paint::Bad),
        n => context
            .screen
            .painted(&format!("{n} dead letters: `jobctl dlq list`"), Paint::Bad),
    }
}
