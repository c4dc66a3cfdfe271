//! `jobctl queues history` and those of limits and jobs: what operators did.

use serde_json::json;

use super::{Context, Table, when};
use crate::document;
use crate::error::Result;
use crate::store::{Create, Store};

/// Which changes to show.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct HistoryArgs {
    /// Show only the changes of this one
    name: Option<String>,
    /// Show at most this many, the newest first
    #[arg(short = 'n', long = "limit", value_name = "N", default_value = "20")]
    #[arg(value_parser = clap::value_parser!(i64).range(1..))]
    limit: i64,
}

/// `jobctl queues history`, `jobctl limits history` and `jobctl jobs history`.
///
/// # Errors
/// Those of the store. If the history is empty and a name is given, the error of `known` about that name.
pub(super) fn run(
    kind: &str,
    args: &HistoryArgs,
    known: impl FnOnce(&Store, &str, &Context) -> Result<()>,
    context: &mut Context,
) -> anyhow::Result<u8> {
    let store = context.open_store(Create::Never)?;
    let acts = store.acts(kind, args.name.as_deref(), args.limit)?;
    if let (true, Some(name)) = (acts.is_empty(), &args.name) {
        known(&store, name, context)?;
    }
    if context.screen.json() {
        let items: Vec<_> = acts.iter().map(document::act).collect();
        let name = format!("{kind}s.history");
        context.screen.document(&name, json!({ "items": items }));
        return Ok(0);
    }
    let mut table = Table::new(&["WHEN", "~NAME", "~ACT", "BY", "UNTIL", "~REASON"]);
    for act in &acts {
        let until = act.until_ms.map(when::local);
        table.row([
            &when::relative(act.at_ms, context.now_ms()),
            &act.name,
            &act.what,
            &act.by,
            until.as_deref().unwrap_or("-"),
            act.reason.as_deref().unwrap_or("-"),
        ]);
    }
    if table.is_empty() {
        context.screen.say("no manual changes");
    }
    context.screen.table(&table);
    Ok(0)
}
