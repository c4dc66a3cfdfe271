//! `jobctl jobs show`: everything that the catalogue says about one job, defaults included.

use crate::catalogue::{Catalogue, Command, Job, Param, Schedule, Secret};
use crate::cli::calendar::Calendar;
use crate::cli::change_words::until;
use crate::cli::ids::unknown_job;
use crate::cli::periods::why;
use crate::cli::{Context, Paint, when};
use crate::document;
use crate::error::Error;
use crate::store::{Pause, PeriodFilter, PeriodRow};
use crate::units::{format_duration, format_size};

use super::{list, words};

/// Number of the latest periods to show.
const PERIODS: i64 = 3;

/// Show one job with all its settings, defaults included
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name of the job
    job: String,
}

/// Shows.
pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<u8> {
    let catalogue = Catalogue::load(&context.catalogue_path()).map_err(Error::from)?;
    let Some(job) = catalogue.jobs.get(&args.job) else {
        let names: Vec<&str> = catalogue.jobs.keys().map(String::as_str).collect();
        return Err(unknown_job(&args.job, names.into_iter()).into());
    };
    let store = list::store(context)?;
    let pauses = list::pauses(store.as_ref(), context.now_ms())?;
    let pause = pauses.get(&job.name);
    let calendar = match &store {
        Some(store) => Calendar::of_jobs(store, &[&job.name], context.now_ms())?,
        None => Calendar::default(),
    };
    if context.screen.json() {
        let body = document::merged(document::job_detail(job, pause), calendar.document());
        context.screen.document("jobs.show", body);
        return Ok(0);
    }
    let rank = catalogue
        .queues
        .get(&job.intake.queue)
        .map(|queue| queue.rank);
    let periods = match &store {
        Some(store) => store.list_periods(&PeriodFilter {
            job: Some(job.name.clone()),
            limit: PERIODS,
            ..PeriodFilter::default()
        })?,
        None => Vec::new(),
    };
    context
        .screen
        .fields(&fields(job, rank, pause, &periods, context.now_ms()));
    for line in calendar.lines(context.now_ms()) {
        context.screen.painted(&line, Paint::Bad);
    }
    Ok(0)
}

type Field = (&'static str, String);

fn fields(
    job: &Job,
    rank: Option<i64>,
    pause: Option<&Pause>,
    periods: &[PeriodRow],
    now_ms: i64,
) -> Vec<Field> {
    let intake = &job.intake;
    let mut fields = vec![("job", job.name.clone())];
    let mut add = |name, value: Option<String>| fields.extend(value.map(|value| (name, value)));
    add("description", job.description.clone());
    add("paused", pause.map(|pause| paused(pause, now_ms)));
    add("command", Some(words::command(&job.command)));
    if let Command::Shell { shell, .. } = &job.command {
        add("shell", Some(words::arguments(shell)));
    }
    add(
        "directory",
        job.cwd.as_ref().map(|cwd| cwd.display().to_string()),
    );
    let rank = rank.map_or_else(String::new, |rank| format!(" (rank {rank})"));
    let queue = format!("{}{rank}, priority {}", intake.queue, intake.priority);
    add("queue", Some(queue));
    add("schedule", job.schedule.as_ref().map(words::schedule));
    add(
        "next",
        job.schedule.as_ref().map(|schedule| next(schedule, now_ms)),
    );
    add(
        "periods",
        lines(periods.iter().map(|row| period(row, now_ms))),
    );
    add("params", lines(intake.params.iter().map(param)));
    add(
        "payload",
        Some(format!("at most {}", format_size(intake.payload_max))),
    );
    add("dedup", intake.dedup.as_ref().map(words::dedup));
    add("sequence", intake.sequence.as_ref().map(words::sequence));
    add("guarantee", Some(intake.guarantee.to_string()));
    add("retry", Some(words::retry(job)));
    add("timeout", Some(words::timeout(job)));
    let deadline = intake.deadline_ms.map(format_duration);
    add(
        "deadline",
        deadline.map(|text| format!("{text} after the first due time")),
    );
    add("exit", Some(words::exit(&job.exit)));
    add(
        "on dead",
        job.on_dead
            .as_ref()
            .map(|name| format!("enqueues `{name}`")),
    );
    add(
        "environment",
        lines(
            job.env
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        ),
    );
    add(
        "passed on",
        Some(job.pass_env.join(", ")).filter(|names| !names.is_empty()),
    );
    add("secrets", lines(job.secrets.iter().map(secret)));
    add("umask", job.umask.map(|umask| format!("{umask:03o}")));
    add("limits", lines(job.rlimits.iter().map(words::rlimit)));
    add(
        "output",
        Some(format!(
            "at most {} of an attempt are kept",
            format_size(job.output_max)
        )),
    );
    add("leftovers", Some(job.leftovers.to_string()));
    fields
}

/// When the first period after now is due, in the zone of the schedule.
fn next(schedule: &Schedule, now_ms: i64) -> String {
    match schedule.rule.next(now_ms) {
        Ok(Some(period)) => {
            let local = schedule.rule.zone().local_text(period.instant_ms);
            let relative = when::relative(period.instant_ms, now_ms);
            format!("{local} ({relative}), period {}", period.key)
        }
        Ok(None) => "never again".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// The result of a period, or of several in a row.
fn period(row: &PeriodRow, now_ms: i64) -> String {
    let key = match row.count {
        1 => row.period.clone(),
        n => format!("{}..{} ({n})", row.period, row.last_period),
    };
    let run = row
        .run
        .map_or_else(String::new, |run| format!(", run {run}"));
    let why = match why(row) {
        why if why.is_empty() => why,
        why => format!(": {why}"),
    };
    let when = when::relative(row.last_due_ms, now_ms);
    format!("{key} {}{why}{run} ({when})", row.result)
}

fn lines(lines: impl Iterator<Item = String>) -> Option<String> {
    let lines: Vec<String> = lines.collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn paused(pause: &Pause, now_ms: i64) -> String {
    let since = when::local_and_relative(pause.paused_ms, now_ms);
    let why = pause
        .reason
        .as_ref()
        .map_or_else(String::new, |why| format!(": {why}"));
    let until = until(pause.until_ms, now_ms);
    format!("since {since} by {}{until}{why}", pause.paused_by)
}

fn param((name, param): (&String, &Param)) -> String {
    match (&param.default, param.required) {
        (Some(default), _) => format!("{name}, default `{default}`"),
        (None, true) => format!("{name}, required"),
        (None, false) => format!("{name}, optional"),
    }
}

/// The source of a secret; only workers read its value.
fn secret((name, secret): (&String, &Secret)) -> String {
    match secret {
        Secret::File(path) => format!("{name} from the file {}", path.display()),
        Secret::Env(variable) => format!("{name} from the worker's variable {variable}"),
    }
}
