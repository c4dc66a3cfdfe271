//! `jobctl limits pause`, `jobctl limits resume` and `jobctl limits reset`.
//!
//! Rule: a pause stops starts, not running commands; repeating an operation is not an error.

use serde_json::json;

use crate::cli::Context;
use crate::cli::change_words::{self, because};
use crate::cli::given::{ActArgs, WhyArgs};
use crate::cli::rules;
use crate::cli::unknown::not_done;
use crate::document;
use crate::operate;
use crate::store::{Create, Reset, Store};

/// Stop starting runs under a limit; running ones continue
#[derive(Debug, clap::Args)]
pub(super) struct PauseArgs {
    /// Name of the limit
    limit: String,
    #[command(flatten)]
    act: ActArgs,
}

/// Start runs under a paused limit again
#[derive(Debug, clap::Args)]
pub(super) struct ResumeArgs {
    /// Name of the limit
    limit: String,
    #[command(flatten)]
    why: WhyArgs,
}

/// Close the breaker of a limit, and cancel a wait that a service asked for
#[derive(Debug, clap::Args)]
pub(super) struct ResetArgs {
    /// Name of the limit
    limit: String,
    #[command(flatten)]
    why: WhyArgs,
}

/// Pauses.
pub(super) fn pause(args: &PauseArgs, context: &mut Context) -> anyhow::Result<u8> {
    let given = args.act.given(context)?;
    let limit = &args.limit;
    let mut store = context.open_store(Create::IfMissing)?;
    let read = || rules::in_file(context);
    let before = operate::pause_limit(&mut store, limit, &given.act(), &read).map_err(not_done)?;
    context.screen.done(format!("limit `{limit}` is paused"));
    let text = match &before {
        None => format!(
            "limit `{limit}` is paused: nothing under it starts{} `jobctl limits resume {limit}`",
            given.until_or()
        ),
        Some(before) => change_words::paused_already("limit", before, context),
    };
    report(
        &store,
        "limits.pause",
        limit,
        before.is_none(),
        &text,
        context,
    )
}

/// Resumes.
pub(super) fn resume(args: &ResumeArgs, context: &mut Context) -> anyhow::Result<u8> {
    let given = args.why.given(context);
    let limit = &args.limit;
    let mut store = context.open_store(Create::IfMissing)?;
    let read = || rules::in_file(context);
    let ended = operate::resume_limit(&mut store, limit, &given.act(), &read).map_err(not_done)?;
    context.screen.done(format!("limit `{limit}` is resumed"));
    let text = match &ended {
        Some(pause) => format!(
            "limit `{limit}` is resumed; it was paused by {}{}",
            pause.by,
            because(pause.reason.as_deref())
        ),
        None => format!("limit `{limit}` was not paused"),
    };
    report(
        &store,
        "limits.resume",
        limit,
        ended.is_some(),
        &text,
        context,
    )
}

/// Resets.
pub(super) fn reset(args: &ResetArgs, context: &mut Context) -> anyhow::Result<u8> {
    let given = args.why.given(context);
    let limit = &args.limit;
    let mut store = context.open_store(Create::IfMissing)?;
    let read = || rules::in_file(context);
    let ended = operate::reset_limit(&mut store, limit, &given.act(), &read).map_err(not_done)?;
    context.screen.done(format!("limit `{limit}` is reset"));
    let breaker = ended.breaker.then_some("its breaker is closed");
    let wait = ended
        .waited_until_ms
        .map(|_| "the wait that a service asked for is over");
    let text = match [breaker, wait] {
        [None, None] => format!(
            "limit `{limit}` needs no reset: its breaker is not open, and no service asked it to wait"
        ),
        what => {
            let what: Vec<&str> = what.into_iter().flatten().collect();
            format!("limit `{limit}` is reset: {}", what.join(", and "))
        }
    };
    let done = ended != Reset::default();
    report(&store, "limits.reset", limit, done, &text, context)
}

/// Prints the current state of the limit as a document, or what was done as text.
fn report(
    store: &Store,
    schema: &str,
    limit: &str,
    done: bool,
    text: &str,
    context: &mut Context,
) -> anyhow::Result<u8> {
    if !context.screen.json() {
        context.screen.line(text);
        return Ok(0);
    }
    let flow = rules::flow(store, context)?;
    let body = flow.limit(limit).map_or(json!({}), document::limit);
    let done = json!({ "name": limit, "done": done });
    let body = document::merged(body, done);
    context.screen.document(schema, body);
    Ok(0)
}
