//! `jobctl queues`: what waits and runs, queue by queue.

use clap::Subcommand;
use serde_json::json;

use super::{Context, Paint, Table, when};
use crate::catalogue::Catalogue;
use crate::document;
use crate::error::Result;
use crate::store::{Create, QueueRow, Store};

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
pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<u8> {
    match args.verb {
        Verb::List => list(context),
    }
}

fn list(context: &mut Context) -> anyhow::Result<u8> {
    let store = context.open_store(Create::Never)?;
    let queues = all(&store, context)?;
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

/// The queues of the store; until a worker has read the catalogue, their ranks and the empty ones come from its file.
pub(super) fn all(store: &Store, context: &Context) -> Result<Vec<QueueRow>> {
    let mut queues = store.queues(context.now_ms())?;
    if queues.iter().any(|row| row.rank.is_some()) {
        return Ok(queues);
    }
    let Ok(catalogue) = Catalogue::load(&context.catalogue_path()) else {
        return Ok(queues);
    };
    for (name, queue) in &catalogue.queues {
        if let Some(row) = queues.iter_mut().find(|row| row.queue == *name) {
            row.rank = Some(queue.rank);
        } else {
            queues.push(QueueRow::empty(name.clone(), Some(queue.rank)));
        }
    }
    queues.sort_by_key(QueueRow::place);
    Ok(queues)
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
