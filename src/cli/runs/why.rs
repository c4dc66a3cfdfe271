//! `jobctl runs why`: every gate between a run and a slot.

use crate::catalogue::Catalogue;
use crate::cli::advice;
use crate::cli::calendar::Calendar;
use crate::cli::ids::{run_id, unknown_run};
use crate::cli::jobs::check_job;
use crate::cli::workers::gone;
use crate::cli::{Context, Paint, when};
use crate::document;
use crate::error::Result;
use crate::flow::explain::{Answer, Gate, explain};
use crate::intake::unknown_queue;
use crate::run::{RunId, State};
use crate::store::{Asked, Create, Store};

/// Explain why a run does not start: every gate between it and a slot, open or closed, what to do about each, and the earliest
/// possible start
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Args {
    /// Id of the run
    #[arg(value_name = "ID", value_parser = run_id)]
    run: Option<RunId>,
    /// Explain the next run of this job, or the gates that a new one would meet
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Explain the next run of this queue, or the gates that a new one would meet
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
}

/// The queue to show for a job that is no longer in the catalogue.
const DEFAULT_QUEUE: &str = "default";

/// Explains.
pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<u8> {
    let store = context.open_store(Create::Never)?;
    let now_ms = context.now_ms();
    let facts = match (args.run, &args.job, &args.queue) {
        (Some(run), ..) => store
            .why(Asked::Run(run), now_ms)?
            .ok_or_else(|| unknown_run(run))?,
        (None, Some(job), _) => {
            check_job(&store, job, context)?;
            let queue = queue_of(job, context);
            let facts = store.why(Asked::Job(job, &queue), now_ms)?;
            facts.unwrap_or_default()
        }
        (None, None, queue) => {
            let queue = queue.as_deref().unwrap_or(DEFAULT_QUEUE);
            check_queue(&store, queue, context)?;
            store.why(Asked::Queue(queue), now_ms)?.unwrap_or_default()
        }
    };
    let answer = explain(&facts, &gone(&store, context.local()?)?);
    // The job may have no run because its schedule is on hold.
    let calendar = match &args.job {
        Some(job) => Calendar::of_jobs(&store, &[job], now_ms)?,
        None => Calendar::default(),
    };
    if context.screen.json() {
        let body = document::why(&facts.place, facts.run.as_ref(), &answer, advice::words);
        let body = document::merged(body, calendar.document());
        context.screen.document("runs.why", body);
        return Ok(0);
    }
    let waits = facts
        .run
        .as_ref()
        .is_none_or(|run| run.state == State::Waiting);
    show(&answer, waits, context);
    for line in calendar.lines(now_ms) {
        context.screen.painted(&line, Paint::Bad);
    }
    Ok(0)
}

/// The queue of a job, according to the catalogue file.
fn queue_of(job: &str, context: &Context) -> String {
    let catalogue = Catalogue::load(&context.catalogue_path()).ok();
    let job = catalogue
        .as_ref()
        .and_then(|catalogue| catalogue.jobs.get(job));
    job.map_or_else(|| DEFAULT_QUEUE.to_owned(), |job| job.intake.queue.clone())
}

/// Fails unless the store or the catalogue has this queue.
fn check_queue(store: &Store, queue: &str, context: &Context) -> Result<()> {
    let (known, names) = store.knows_queue(queue, context.now_ms())?;
    if known {
        return Ok(());
    }
    match Catalogue::load(&context.catalogue_path()) {
        Ok(catalogue) if catalogue.queues.contains_key(queue) => Ok(()),
        Ok(catalogue) => {
            let names: Vec<&str> = catalogue.queues.keys().map(String::as_str).collect();
            Err(unknown_queue(queue, &names))
        }
        Err(_) => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            Err(unknown_queue(queue, &names))
        }
    }
}

fn show(answer: &Answer, waits: bool, context: &mut Context) {
    let now_ms = context.now_ms();
    context.screen.painted(&answer.sentence, Paint::Strong);
    if !answer.gates.is_empty() {
        context.screen.line("");
    }
    let names = answer.gates.iter().map(|gate| gate.name.chars().count());
    let width = names.max().unwrap_or(0);
    for gate in &answer.gates {
        let (word, paint) = if gate.open {
            ("open", Paint::Plain)
        } else {
            ("closed", Paint::Bad)
        };
        let line = format!("{word:<6}  {:<width$}  {}", gate.name, detail(gate, now_ms));
        context.screen.painted(&line, paint);
        if let Some(hint) = &gate.hint {
            context
                .screen
                .painted(&format!("        -> {}", advice::words(hint)), Paint::Dim);
        }
    }
    if !answer.gates.is_empty() {
        context.screen.line("");
    }
    if waits {
        context.screen.line(&start(answer, now_ms));
    }
    if let Some(hint) = &answer.hint {
        context
            .screen
            .line(&format!("hint: {}", advice::words(hint)));
    }
}

fn detail(gate: &Gate, now_ms: i64) -> String {
    let detail = advice::words(&gate.detail);
    let until = gate
        .until_ms
        .map(|until_ms| format!("until {}", when::local_and_relative(until_ms, now_ms)));
    match until {
        Some(until) => format!("{detail}; {until}"),
        None => detail,
    }
}

fn start(answer: &Answer, now_ms: i64) -> String {
    let at = |ms| when::local_and_relative(ms, now_ms);
    match (answer.expected_start_ms, answer.not_before_ms) {
        (Some(_), None) => "expected start: now".to_owned(),
        (Some(_), Some(not_before_ms)) => {
            format!("expected start: not before {}", at(not_before_ms))
        }
        (None, Some(not_before_ms)) => format!(
            "expected start: unknown, not before {} (a closed gate has no known opening time)",
            at(not_before_ms)
        ),
        (None, None) => {
            "expected start: unknown (a closed gate has no known opening time)".to_owned()
        }
    }
}
