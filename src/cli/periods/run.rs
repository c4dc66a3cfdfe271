//! `jobctl periods run`: enqueues the run of a period that has none.
//!
//! Rule: a period never gets a second run; the existing one can be retried.

use serde_json::{Map, Value, json};

use crate::catalogue::Catalogue;
use crate::cli::{Context, request, when};
use crate::document;
use crate::error::{Error, Kind, Result, nearest};
use crate::operate::run_period;
use crate::run::RunId;
use crate::schedule::Period;
use crate::scheduler::{PeriodRequest, PeriodRunAnswer};
use crate::store::{Create, PeriodFilter, PeriodRow, Settings, Store};
use crate::units::shown;

/// Run a period that was skipped or merged, now
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which job
    job: String,
    /// Key of the period, as `periods list` shows it
    #[arg(value_name = "PERIOD")]
    key: String,
}

/// Number of keys that are searched for a similar one.
const CANDIDATES: i64 = 1000;

/// Enqueues.
pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<u8> {
    let catalogue = Catalogue::load(&context.catalogue_path()).map_err(Error::from)?;
    let settings = Settings::of(&catalogue);
    let job = request::find(&catalogue, &args.job)?;
    let mut store = context.open_store(Create::Never)?;
    let now_ms = context.now_ms();
    let request = PeriodRequest {
        job: &args.job,
        key: &args.key,
        intake: &job.intake,
        schedule: job.schedule.as_ref(),
        settings: &settings,
        initiator: &context.actor(),
    };
    let (run, error) = match run_period(&mut store, request, now_ms)? {
        PeriodRunAnswer::Started(run) => {
            let done = format!("run {run} of period `{}` is stored", args.key);
            context.screen.done(done);
            report(args, run, context);
            return Ok(0);
        }
        PeriodRunAnswer::Has(row) => (row.run, has_run(&store, args, &row, now_ms)?),
        PeriodRunAnswer::NotDue(period) => (None, not_due(args, &period, request, now_ms)),
        PeriodRunAnswer::NotOpened(period) => (None, not_opened(args, &period, now_ms)),
        PeriodRunAnswer::Unknown => (None, unknown(&store, args)?),
    };
    let item = document::worked(&args.job, &args.key, run, Some(&error.message));
    let details = Map::from_iter([("items".to_owned(), Value::Array(vec![item]))]);
    Err(error.details(details).into())
}

fn report(args: &Args, run: RunId, context: &mut Context) {
    let Args { job, key } = args;
    if context.screen.json() {
        let item = document::worked(job, key, Some(run), None);
        context
            .screen
            .document("periods.run", json!({ "items": [item] }));
    } else {
        context.screen.line(&format!(
            "run {run} is queued for period `{key}` of job `{job}`"
        ));
    }
}

fn has_run(store: &Store, args: &Args, row: &PeriodRow, now_ms: i64) -> Result<Error> {
    let Args { job, key } = args;
    let period = format!("period `{}` of job `{job}`", shown(key));
    let Some(run) = row.run else {
        let message = format!("{period} was opened, but its run is unknown; nothing was done");
        let hint = format!("`jobctl periods audit --job {job}` shows what is wrong");
        return Ok(Error::new(Kind::Refused, message).hint(hint));
    };
    let error = Error::new(
        Kind::Refused,
        format!("{period} already has run {run}; nothing was done"),
    );
    Ok(match store.show_run(run, now_ms)? {
        Some(_) => error.hint(format!(
            "`jobctl runs retry {run}` queues an ended run again"
        )),
        None => error.hint(format!(
            "that run was pruned: `jobctl enqueue {job}` runs the job without a period"
        )),
    })
}

fn not_due(args: &Args, period: &Period, request: PeriodRequest<'_>, now_ms: i64) -> Error {
    let at_ms = period.instant_ms;
    let local = match request.schedule {
        Some(schedule) => schedule.rule.zone().local_text(at_ms),
        None => crate::units::format_utc(at_ms),
    };
    let Args { job, key } = args;
    let message = format!(
        "period `{key}` of job `{job}` is not due until {local} ({}); nothing was done",
        when::relative(at_ms, now_ms)
    );
    Error::new(Kind::Refused, message).hint(format!(
        "`jobctl enqueue {job}` runs the job without a period"
    ))
}

fn not_opened(args: &Args, period: &Period, now_ms: i64) -> Error {
    let Args { job, key } = args;
    let message = format!(
        "period `{key}` of job `{job}` was due {} and no scheduler has opened it yet; nothing was done",
        when::relative(period.instant_ms, now_ms)
    );
    Error::new(Kind::Refused, message)
        .hint("`jobctl schedule` opens it; `jobctl status` shows whether a scheduler runs")
}

fn unknown(store: &Store, args: &Args) -> Result<Error> {
    let Args { job, key } = args;
    let filter = PeriodFilter {
        job: Some(job.clone()),
        limit: CANDIDATES,
        ..PeriodFilter::default()
    };
    let rows = store.list_periods(&filter)?;
    let keys = || {
        rows.iter()
            .flat_map(|row| [row.period.as_str(), row.last_period.as_str()])
    };
    // People leave out the zone at the end.
    let begun = keys().find(|known| !key.is_empty() && known.starts_with(key.as_str()));
    let hint = match begun.or_else(|| nearest(key, keys())) {
        Some(near) => {
            format!("did you mean `{near}`? `jobctl periods list --job {job}` shows them")
        }
        None if rows.is_empty() => {
            format!("no period of job `{job}` is known; `jobctl next {job}` shows what comes")
        }
        None => format!("`jobctl periods list --job {job}` shows them"),
    };
    let message = format!("unknown period `{}` of job `{job}`", shown(key));
    Ok(Error::new(Kind::NotFound, message).hint(hint))
}
