//! `jobctl jobs pause` and `jobctl jobs resume`.
//!
//! Rule: a pause stops starts, not running commands; pausing twice, or resuming without a pause, is not an error.

use serde_json::json;

use crate::cli::Context;
use crate::cli::given::{ActArgs, WhyArgs};
use crate::cli::rules::in_file;
use crate::cli::unknown::not_done;
use crate::operate::{self, ResumedJob};
use crate::store::Create;

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
    let act = given.act();
    let done = operate::pause_job(&mut store, job, &act, &|| in_file(context)).map_err(not_done)?;
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
    let act = given.act();
    let resumed = operate::resume_job(&mut store, job, &act, &|| in_file(context));
    let ResumedJob {
        was_paused,
        breaker_closed,
    } = resumed.map_err(not_done)?;
    context.screen.done(format!("job `{job}` is resumed"));
    if context.screen.json() {
        let done = was_paused || breaker_closed;
        let body =
            json!({ "job": job, "paused": false, "breaker_closed": breaker_closed, "done": done });
        context.screen.document("jobs.resume", body);
        return Ok(0);
    }
    let text = match (was_paused, breaker_closed) {
        (true, false) => format!("job `{job}` is resumed"),
        (true, true) => format!("job `{job}` is resumed, and its breaker is closed"),
        (false, true) => format!("job `{job}` was not paused; its breaker is closed"),
        (false, false) => format!("job `{job}` was not paused"),
    };
    context.screen.line(&text);
    Ok(0)
}
