//! `jobctl runs list`.

use serde_json::json;

use crate::cli::ids::{Newest, states};
use crate::cli::{Context, Paint, Table, filters, when};
use crate::document;
use crate::run::{Reason, Shown, State};
use crate::store::{Create, RunFilter, RunRow};
use crate::units::parse_duration;

use super::paint;

/// List runs, the newest first
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only runs in this state: waiting, running, succeeded, dead, cancelled, or ready, delayed, retrying, blocked
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = states)]
    state: Vec<Vec<Shown>>,
    /// Only runs of this job
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Only runs in this queue
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Only runs of this tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Only runs created within this time
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    since: Option<i64>,
    #[command(flatten)]
    page: Newest,
}

/// Lists.
pub(super) fn run(args: Args, context: &mut Context) -> anyhow::Result<u8> {
    let store = context.open_store(Create::Never)?;
    let now_ms = context.now_ms();
    let filter = RunFilter {
        shown: args.state.into_iter().flatten().collect(),
        job: args.job,
        queue: args.queue,
        tenant: args.tenant,
        since_ms: args.since.map(|ms| now_ms.saturating_sub(ms)),
        before: args.page.before.map(|run| run.0),
        limit: args.page.limit + 1,
    };
    let mut rows = store.list_runs(&filter, now_ms)?;
    if rows.is_empty() {
        filters::check(
            filter.job.as_deref(),
            filter.queue.as_deref(),
            &store,
            context,
        )?;
    }
    args.page.cut(&mut rows, |row| row.run, context);
    if context.screen.json() {
        let items: Vec<_> = rows.iter().map(document::run).collect();
        context.screen.document("runs", json!({ "items": items }));
        return Ok(0);
    }
    if rows.is_empty() {
        context.screen.say("no runs");
    }
    context.screen.table(&table(&rows, now_ms));
    Ok(0)
}

fn table(rows: &[RunRow], now_ms: i64) -> Table {
    let mut table = Table::new(&[
        ">RUN",
        "~JOB",
        "QUEUE",
        "STATE",
        ">ATTEMPTS",
        "WHEN",
        "~ERROR",
    ]);
    for row in rows {
        let (run, attempts) = (row.run.to_string(), row.attempts.to_string());
        let when = when::relative(moment(row), now_ms);
        let error = match (row.state, row.reason.as_deref()) {
            (State::Succeeded, _) => "",
            // The last error says nothing here: the last attempt may have succeeded, or there was none.
            (State::Dead, Some(reason)) if reason == Reason::Deadline.word() => {
                "its deadline passed"
            }
            _ => row.last_error.as_deref().unwrap_or_default(),
        };
        table.painted([
            (&run, Paint::Plain),
            (&row.job, Paint::Plain),
            (&row.queue, Paint::Plain),
            (row.shown.word(), paint(row.shown)),
            (&attempts, Paint::Plain),
            (&when, Paint::Plain),
            (error, Paint::Dim),
        ]);
    }
    table
}

/// The time to show for this state, milliseconds: the end, the start, or the due time.
fn moment(row: &RunRow) -> i64 {
    match row.state {
        State::Waiting => row.due_ms,
        State::Running => row.started_ms.unwrap_or(row.due_ms),
        State::Succeeded | State::Dead | State::Cancelled => row.ended_ms.unwrap_or(row.due_ms),
    }
}
