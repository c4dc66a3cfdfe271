//! `jobctl periods list`.

use serde_json::json;

use crate::cli::ids::Page;
use crate::cli::{Context, Paint, Table, when};
use crate::document;
use crate::error::{Error, Kind, Result, nearest};
use crate::policy::PeriodResult;
use crate::store::{Create, PeriodFilter, PeriodRow};
use crate::units::shown;

use super::has_history;

/// List periods and their results: of one job the newest first, of all jobs the last decided first
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only periods of this job
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Only periods with this result: opened, skipped, merged, `caught_up`
    #[arg(long, value_name = "RESULT", value_parser = result)]
    result: Option<PeriodResult>,
    #[command(flatten)]
    page: Page,
}

fn result(text: &str) -> Result<PeriodResult> {
    PeriodResult::from_word(text).ok_or_else(|| {
        let words = || PeriodResult::ALL.iter().map(|result| result.word());
        let hint = match nearest(text, words()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use one of {}", words().collect::<Vec<_>>().join(", ")),
        };
        Error::new(Kind::Usage, format!("unknown result `{}`", shown(text))).hint(hint)
    })
}

/// Lists.
pub(super) fn run(args: Args, context: &mut Context) -> anyhow::Result<u8> {
    let store = context.open_store(Create::Never)?;
    let scheduled = match &args.job {
        Some(job) => has_history(&store, job, context)?,
        None => true,
    };
    let filter = PeriodFilter {
        job: args.job,
        result: args.result,
        limit: args.page.limit + 1,
        offset: args.page.offset,
    };
    let mut rows = store.list_periods(&filter)?;
    args.page.cut(&mut rows, context);
    if context.screen.json() {
        let items: Vec<_> = rows.iter().map(document::period_row).collect();
        context
            .screen
            .document("periods", json!({ "items": items }));
        return Ok(0);
    }
    if rows.is_empty() {
        context.screen.say(match (&filter.job, scheduled) {
            (Some(_), false) => "no periods: no scheduler has loaded a schedule of this job yet",
            _ => "no periods",
        });
    }
    context.screen.table(&table(&rows, context.now_ms()));
    Ok(0)
}

fn table(rows: &[PeriodRow], now_ms: i64) -> Table {
    // Most lists have no row of several periods.
    let several = rows.iter().any(|row| row.count > 1);
    let mut table = if several {
        Table::new(&["~JOB", "~PERIOD", ">COUNT", "RESULT", "~WHY", ">RUN", "DUE"])
    } else {
        Table::new(&["~JOB", "~PERIOD", "RESULT", "~WHY", ">RUN", "DUE"])
    };
    for row in rows {
        let (mut period, mut due) = (row.period.clone(), when::relative(row.due_ms, now_ms));
        if row.count > 1 {
            period = format!("{period}..{}", row.last_period);
            due = format!("{due}..{}", when::relative(row.last_due_ms, now_ms));
        }
        let count = row.count.to_string();
        let why = why(row);
        let run = row
            .run
            .map_or_else(|| "-".to_owned(), |run| run.to_string());
        let job = (row.job.as_str(), Paint::Plain);
        let period = (period.as_str(), Paint::Plain);
        let result = (row.result.word(), paint(row.result));
        let why = (why.as_str(), Paint::Plain);
        let run = (run.as_str(), Paint::Plain);
        let due = (due.as_str(), Paint::Plain);
        if several {
            table.painted([job, period, (&count, Paint::Plain), result, why, run, due]);
        } else {
            table.painted([job, period, result, why, run, due]);
        }
    }
    table
}

/// Why the period has no run of its own; empty if there is nothing to explain.
pub(in crate::cli) fn why(row: &PeriodRow) -> String {
    let reason = row.reason.map_or("", |reason| reason.word());
    match &row.into {
        Some(into) if reason.is_empty() => format!("into {into}"),
        Some(into) => format!("{reason}, into {into}"),
        None => reason.to_owned(),
    }
}

fn paint(result: PeriodResult) -> Paint {
    match result {
        PeriodResult::Opened => Paint::Good,
        PeriodResult::CaughtUp => Paint::Busy,
        PeriodResult::Skipped => Paint::Bad,
        PeriodResult::Merged => Paint::Dim,
    }
}
