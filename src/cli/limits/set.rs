//! `jobctl limits set`: settings over those of the catalogue.
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

/// Change settings of a limit, over the catalogue
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name of the limit
    limit: String,
    /// `concurrency=N`, `rate=60/min`, or `=none` for no limit; `KEY=catalogue` removes the change
    #[arg(value_name = "KEY=VALUE", required = true)]
    settings: Vec<String>,
    #[command(flatten)]
    act: ActArgs,
}

/// Changes.
pub(super) fn set(args: &Args, context: &mut Context) -> anyhow::Result<u8> {
    let changes = Changes::of_limit(&args.limit, pairs(&args.settings)).map_err(bad_setting)?;
    let given = args.act.given(context)?;
    let mut store = context.open_store(Create::IfMissing)?;
    let limit = &args.limit;
    let done = changes.apply(&mut store, &given.act(), &|| rules::in_file(context));
    let done = done.map_err(not_done)?;
    context.screen.done(format!("limit `{limit}` is set"));
    let flow = rules::flow(&store, context)?;
    if context.screen.json() {
        let body = flow.limit(limit).map_or(json!({}), document::limit);
        let done = json!({ "name": limit, "done": done.contains(&true) });
        context
            .screen
            .document("limits.set", document::merged(body, done));
        return Ok(0);
    }
    let knows = |rules: &Rules| rules.limits.contains_key(limit);
    let catalogue = rules::about(flow, knows, context);
    for (setting, changed) in changes.settings().iter().zip(done) {
        let words =
            change_words::setting_words(setting, changed, limit, &catalogue, &given.until());
        context.screen.line(&format!("limit `{limit}`: {words}"));
    }
    Ok(0)
}
