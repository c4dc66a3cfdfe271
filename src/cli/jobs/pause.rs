//! `jobctl jobs pause` and `jobctl jobs resume`.
//!
//! Rule: a pause stops starts, not running commands; pausing twice, or resuming without a pause, is not an error.

use serde_json::json;

use crate::catalogue::Catalogue;
use crate::cli::Context;
use crate::cli::given::{ActArgs, WhyArgs};
use crate::cli::ids::unknown_job;
use crate::error::Result;
use crate::store::{Create, Store};

/// Stop starting runs of a job; running ones continue
#[derive(Debug, clap::Args)]
pub(super) struct PauseArgs {
    /// Name of the job
    job: String,
    #[command(flatten)]
    act: ActArgs,
}

/// Start runs of a paused job again; also closes its breaker, if that is open
#[derive(Debug, clap::Args)]
pub(super) struct ResumeArgs {
    /// Name of the job
    job: String,
    #[command(flatten)]
    why: WhyArgs,
}

/// Pauses.
pub(super) fn pause(args: &PauseArgs, context: &mut Context) -> anyhow::Result<u8> {
    let given = args.act.given(context)?;
    let mut store = context.open_store(Create::IfMissing)?;
    let job = &args.job;
    check_job(&store, job, context)?;
    let done = store.write(|tx| tx.pause_job(job, &given.act()))?;
    context.screen.done(format!("job `{job}` is paused"));
    if context.screen.json() {
        let body = json!({ "job": job, "paused": true, "done": done });
        context.screen.document("jobs.pause", body);
        return Ok(0);
    }
    let text = if done {
        format!(
            "job `{job}` is paused: its runs wait{} `jobctl jobs resume {job}`",
            given.until_or()
        )
    } else {
        format!("job `{job}` was already paused")
    };
    context.screen.line(&text);
    Ok(0)
}

/// Resumes.
pub(super) fn resume(args: &ResumeArgs, context: &mut Context) -> anyhow::Result<u8> {
    let given = args.why.given(context);
    let mut store = context.open_store(Create::IfMissing)?;
    let job = &args.job;
    check_job(&store, job, context)?;
    let (resumed, closed) = store.write(|tx| {
        let act = given.act();
        Ok((tx.resume_job(job, &act)?, tx.reset_job(job, &act)?))
    })?;
    context.screen.done(format!("job `{job}` is resumed"));
    if context.screen.json() {
        let done = resumed || closed;
        let body = json!({ "job": job, "paused": false, "breaker_closed": closed, "done": done });
        context.screen.document("jobs.resume", body);
        return Ok(0);
    }
    let text = match (resumed, closed) {
        (true, false) => format!("job `{job}` is resumed"),
        (true, true) => format!("job `{job}` is resumed, and its breaker is closed"),
        (false, true) => format!("job `{job}` was not paused; its breaker is closed"),
        (false, false) => format!("job `{job}` was not paused"),
    };
    context.screen.line(&text);
    Ok(0)
}

/// Fails unless the store or the catalogue has this job: one that was removed from the catalogue may still have runs.
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
