//! `jobctl queues set`: settings over those of the catalogue.
//!
//! Rule: all settings are read before any is changed, and all are changed in one transaction.

use serde_json::json;

use crate::cli::Context;
use crate::cli::change_words;
use crate::cli::given::ActArgs;
use crate::cli::rules;
use crate::cli::settings::{bad_setting, pairs};
use crate::cli::unknown::not_done;
use crate::document;
use crate::flow::Rules;
use crate::operate::Changes;
use crate::store::Create;

/// Change settings of a queue, over the catalogue
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name of the queue
    queue: String,
    /// `max_running=N`, `max_waiting=N`, or `=none` for no limit; `KEY=catalogue` removes the change, also of `paused`
    #[arg(value_name = "KEY=VALUE", required = true)]
    settings: Vec<String>,
    #[command(flatten)]
    act: ActArgs,
}

/// Changes.
pub(super) fn set(args: &Args, context: &mut Context) -> anyhow::Result<u8> {
    let changes = Changes::of_queue(&args.queue, pairs(&args.settings)).map_err(bad_setting)?;
    let given = args.act.given(context)?;
    let mut store = context.open_store(Create::IfMissing)?;
    let queue = &args.queue;
    let done = changes.apply(&mut store, &given.act(), &|| rules::in_file(context));
    let done = done.map_err(not_done)?;
    context.screen.done(format!("queue `{queue}` is set"));
    let flow = rules::flow(&store, context)?;
    if context.screen.json() {
        let done = json!({ "done": done.contains(&true) });
        let body = document::merged(document::queue_flow(queue, &flow), done);
        context.screen.document("queues.set", body);
        return Ok(0);
    }
    let knows = |rules: &Rules| rules.queues.contains_key(queue);
    let catalogue = rules::about(flow, knows, context);
    for (setting, changed) in changes.settings().iter().zip(done) {
        let words =
            change_words::setting_words(setting, changed, queue, &catalogue, &given.until());
        context.screen.line(&format!("queue `{queue}`: {words}"));
    }
    Ok(0)
}
