//! `jobctl limits open` and `jobctl limits close`.
//!
//! Rule: open is meant as of an electric breaker, and every answer says so, since some read it the other way round.

use serde_json::json;

use super::check_limit;
use crate::cli::control::{self, ActArgs, WhyArgs, because};
use crate::cli::{Context, when};
use crate::document;
use crate::store::{ClosedLimit, Create};

/// Open the breaker of a limit by hand
#[derive(Debug, clap::Args)]
pub(super) struct OpenArgs {
    /// Which limit
    limit: String,
    #[command(flatten)]
    act: ActArgs,
}

/// Close a limit that was opened, and reset its breaker
#[derive(Debug, clap::Args)]
pub(super) struct CloseArgs {
    /// Which limit
    limit: String,
    #[command(flatten)]
    why: WhyArgs,
}

/// Opens.
pub(super) fn open(args: &OpenArgs, context: &mut Context) -> anyhow::Result<u8> {
    let given = args.act.given(context)?;
    let mut store = context.open_store(Create::IfMissing)?;
    let limit = &args.limit;
    check_limit(&control::flow(&store, context)?, limit, context)?;
    let before = store.write(|tx| tx.open_limit(limit, &given.act()))?;
    context.screen.done(format!("limit `{limit}` is open"));
    if context.screen.json() {
        let flow = control::flow(&store, context)?;
        let body = flow.limit(limit).map_or(json!({}), document::limit);
        let done = json!({ "name": limit, "done": before.is_none() });
        context
            .screen
            .document("limits.open", document::merged(body, done));
        return Ok(0);
    }
    let text = match before {
        None => format!(
            "limit `{limit}` is open, as an electric breaker: nothing under it starts{} `jobctl limits close {limit}`",
            given.until_or()
        ),
        Some(before) => format!(
            "limit `{limit}` was opened already by {} {}{}; nothing was changed",
            before.by,
            when::relative(before.set_ms, context.now_ms()),
            because(before.reason.as_deref())
        ),
    };
    context.screen.line(&text);
    Ok(0)
}

/// Closes.
pub(super) fn close(args: &CloseArgs, context: &mut Context) -> anyhow::Result<u8> {
    let given = args.why.given(context);
    let mut store = context.open_store(Create::IfMissing)?;
    let limit = &args.limit;
    check_limit(&control::flow(&store, context)?, limit, context)?;
    let closed = store.write(|tx| tx.close_limit(limit, &given.act()))?;
    context.screen.done(format!("limit `{limit}` is closed"));
    let done = closed != ClosedLimit::default();
    if context.screen.json() {
        let flow = control::flow(&store, context)?;
        let body = flow.limit(limit).map_or(json!({}), document::limit);
        let done = json!({ "name": limit, "done": done });
        context
            .screen
            .document("limits.close", document::merged(body, done));
        return Ok(0);
    }
    let text = if done {
        let what = ended(&closed).join(", ");
        format!("limit `{limit}` is closed, runs under it start again: {what}")
    } else {
        format!("limit `{limit}` was not open")
    };
    context.screen.line(&text);
    Ok(0)
}

/// What no longer stops the runs.
fn ended(closed: &ClosedLimit) -> Vec<String> {
    let opened = closed.opened.as_ref();
    let by_hand = opened.map(|opened| {
        let why = because(opened.reason.as_deref());
        format!("{} had opened it{why}", opened.by)
    });
    let breaker = closed.breaker.then(|| "its breaker is reset".to_owned());
    let wait = closed
        .waited_until_ms
        .map(|_| "the wait that a service asked for is over".to_owned());
    [by_hand, breaker, wait].into_iter().flatten().collect()
}
