//! `jobctl queues`: what waits and runs, queue by queue.

use clap::Subcommand;
use serde_json::json;

use super::{Context, Paint, Table, when};
use crate::document;
use crate::store::{Create, QueueRow};

/// Queues and what is in them
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List queues in the order in which they are served
    List,
}

/// Does what was asked.
pub fn run(args: &Args, context: &mut Context) -> anyhow::Result<u8> {
    match args.verb {
        Verb::List => list(context),
    }
}

fn list(context: &mut Context) -> anyhow::Result<u8> {
    let store = context.open_store(Create::Never)?;
    let queues = store.queues(context.now_ms())?;
    if context.screen.json() {
        let items: Vec<_> = queues.iter().map(document::queue).collect();
        context.screen.document("queues", json!({ "items": items }));
        return Ok(0);
    }
    if queues.is_empty() {
        context
            .screen
            .say("no queues: no catalogue was read yet, and nothing waits");
    }
    context.screen.table(&table(&queues));
    Ok(0)
}

/// The table of `queues list` and `status`.
pub(super) fn table(queues: &[QueueRow]) -> Table {
    let mut table = Table::new(&[
        "~QUEUE", ">RANK", ">READY", ">DELAYED", ">RUNNING", ">OLDEST",
    ]);
    for row in queues {
        let rank = row
            .rank
            .map_or_else(|| "-".to_owned(), |rank| rank.to_string());
        let oldest = row
            .oldest_ready_ms
            .map_or_else(|| "-".to_owned(), when::span);
        let busy = if row.running > 0 {
            Paint::Busy
        } else {
            Paint::Plain
        };
        table.painted([
            (&row.queue, Paint::Plain),
            (&rank, Paint::Plain),
            (&row.ready.to_string(), Paint::Plain),
            (&row.delayed.to_string(), Paint::Plain),
            (&row.running.to_string(), busy),
            (&oldest, Paint::Plain),
        ]);
    }
    table
}
