//! `jobctl queues pause` and `jobctl queues resume`.
//!
//! Rule: a pause stops starts, not running commands; pausing twice, or resuming without a pause, is not an error.

use serde_json::json;

use crate::cli::Context;
use crate::cli::change_words;
use crate::cli::given::{ActArgs, WhyArgs};
use crate::cli::rules;
use crate::cli::unknown::not_done;
use crate::document;
use crate::flow::FlowView;
use crate::operate::{self, ResumedQueue};
use crate::store::Create;

/// Stop starting runs of a queue; running ones continue
#[derive(Debug, clap::Args)]
pub(super) struct PauseArgs {
    /// Name of the queue
    queue: String,
    #[command(flatten)]
    act: ActArgs,
}

/// Start runs of a paused queue again, even if the catalogue pauses it
#[derive(Debug, clap::Args)]
pub(super) struct ResumeArgs {
    /// Name of the queue
    queue: String,
    #[command(flatten)]
    why: WhyArgs,
}

/// Pauses.
pub(super) fn pause(args: &PauseArgs, context: &mut Context) -> anyhow::Result<u8> {
    let given = args.act.given(context)?;
    let mut store = context.open_store(Create::IfMissing)?;
    let queue = &args.queue;
    let act = given.act();
    let read = || rules::in_file(context);
    let before = operate::pause_queue(&mut store, queue, &act, &read).map_err(not_done)?;
    context.screen.done(format!("queue `{queue}` is paused"));
    if context.screen.json() {
        let flow = rules::flow(&store, context)?;
        report(context, "queues.pause", queue, &flow, before.is_none());
        return Ok(0);
    }
    let text = match before {
        None => format!(
            "queue `{queue}` is paused: its runs wait{} `jobctl queues resume {queue}`",
            given.until_or()
        ),
        Some(before) => change_words::paused_already("queue", &before, context),
    };
    context.screen.line(&text);
    Ok(0)
}

/// Resumes.
pub(super) fn resume(args: &ResumeArgs, context: &mut Context) -> anyhow::Result<u8> {
    let given = args.why.given(context);
    let mut store = context.open_store(Create::IfMissing)?;
    let queue = &args.queue;
    let act = given.act();
    let resumed = operate::resume_queue(&mut store, queue, &act, &|| rules::in_file(context));
    let ResumedQueue {
        was_paused,
        catalogue_pauses,
    } = resumed.map_err(not_done)?;
    context.screen.done(format!("queue `{queue}` is resumed"));
    if context.screen.json() {
        let flow = rules::flow(&store, context)?;
        report(context, "queues.resume", queue, &flow, was_paused);
        return Ok(0);
    }
    let text = match (was_paused, catalogue_pauses) {
        (true, false) => format!("queue `{queue}` is resumed"),
        (true, true) => format!(
            "queue `{queue}` is resumed, although the catalogue pauses it, \
             until `jobctl queues set {queue} paused=catalogue`"
        ),
        (false, _) => format!("queue `{queue}` was not paused"),
    };
    context.screen.line(&text);
    Ok(0)
}

fn report(context: &mut Context, document: &str, queue: &str, flow: &FlowView, done: bool) {
    let body = document::merged(document::queue_flow(queue, flow), json!({ "done": done }));
    context.screen.document(document, body);
}
