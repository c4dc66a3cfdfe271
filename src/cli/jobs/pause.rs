//! `jobctl jobs pause` and `jobctl jobs resume`.
//!
//! Rule: a pause stops starts, not what runs; pausing twice or resuming what is not paused is no error.

use serde_json::json;

use crate::catalogue::Catalogue;
use crate::cli::Context;
use crate::error::Result;
use crate::intake::unknown_job;
use crate::store::{Create, Store};

/// Keep the runs of a job waiting; what runs goes on
#[derive(Debug, clap::Args)]
pub(super) struct PauseArgs {
    /// Which job
    job: String,
    /// Why, for those who find it paused
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Let the runs of a paused job start again
#[derive(Debug, clap::Args)]
pub(super) struct ResumeArgs {
    /// Which job
    job: String,
}

/// Pauses.
pub(super) fn pause(args: &PauseArgs, context: &mut Context) -> anyhow::Result<u8> {
    let mut store = context.open_store(Create::IfMissing)?;
    check_job(&store, &args.job, context)?;
    let (actor, now_ms) = (context.actor(), context.now_ms());
    let changed =
        store.write(|tx| tx.pause_job(&args.job, &actor, args.reason.as_deref(), now_ms))?;
    report(context, "jobs.pause", &args.job, true, changed);
    Ok(0)
}

/// Resumes.
pub(super) fn resume(args: &ResumeArgs, context: &mut Context) -> anyhow::Result<u8> {
    let mut store = context.open_store(Create::IfMissing)?;
    check_job(&store, &args.job, context)?;
    let changed = store.write(|tx| tx.resume_job(&args.job))?;
    report(context, "jobs.resume", &args.job, false, changed);
    Ok(0)
}

fn report(context: &mut Context, document: &str, job: &str, paused: bool, changed: bool) {
    if context.screen.json() {
        let body = json!({ "job": job, "paused": paused, "done": changed });
        context.screen.document(document, body);
        return;
    }
    let text = match (paused, changed) {
        (true, true) => {
            format!("job `{job}` is paused: its runs wait until `jobctl jobs resume {job}`")
        }
        (true, false) => format!("job `{job}` was paused already"),
        (false, true) => format!("job `{job}` is resumed"),
        (false, false) => format!("job `{job}` was not paused"),
    };
    context.screen.line(&text);
}

/// A job is known if the store or the catalogue knows it: one that was removed from the catalogue may still have runs.
pub(in crate::cli) fn check_job(store: &Store, job: &str, context: &Context) -> Result<()> {
    let known = store.known_jobs()?;
    if known.iter().any(|name| name == job) || store.has_runs_of(job)? {
        return Ok(());
    }
    match Catalogue::load(&context.catalogue_path()) {
        Ok(catalogue) if catalogue.jobs.contains_key(job) => Ok(()),
        Ok(catalogue) => {
            let names: Vec<&str> = catalogue.jobs.keys().map(String::as_str).collect();
            Err(unknown_job(job, names.into_iter()))
        }
        Err(_) => Err(unknown_job(job, known.iter().map(String::as_str))),
    }
}
