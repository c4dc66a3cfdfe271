//! `jobctl queues list`: what waits and runs, queue by queue, and what stops it.

use serde_json::json;

use crate::catalogue::Catalogue;
use crate::cli::control::{by_whom, changes, flow};
use crate::cli::{Context, Paint, Table, when};
use crate::document;
use crate::error::Result;
use crate::flow::FlowView;
use crate::store::{Create, QueueRow, Store};

/// Lists.
pub(super) fn list(context: &mut Context) -> anyhow::Result<u8> {
    let store = context.open_store(Create::Never)?;
    let queues = all(&store, context)?;
    let flow = flow(&store, context)?;
    if context.screen.json() {
        let items: Vec<_> = queues
            .iter()
            .map(|row| document::queue(row, &flow))
            .collect();
        context.screen.document("queues", json!({ "items": items }));
        return Ok(0);
    }
    if queues.is_empty() {
        context
            .screen
            .say("no queues: no catalogue was read yet, and nothing waits");
    }
    context
        .screen
        .table(&table(&queues, &flow, context.now_ms()));
    Ok(0)
}

/// The queues of the store; until a worker has read the catalogue, their ranks and the empty ones come from its file.
pub(in crate::cli) fn all(store: &Store, context: &Context) -> Result<Vec<QueueRow>> {
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

/// The table of `queues list` and `status`. Who paused or changed queues has columns where somebody did.
pub(in crate::cli) fn table(queues: &[QueueRow], flow: &FlowView, now_ms: i64) -> Table {
    let paused = |row: &QueueRow| {
        let paused = flow.queue(&row.queue).paused?;
        let reason = paused.reason.as_deref();
        Some(by_whom(&paused.by, reason, paused.until_ms, now_ms))
    };
    let changed = |row: &QueueRow| changes(flow.overrides_of_queue(&row.queue), now_ms);
    let any_paused = queues.iter().any(|row| paused(row).is_some());
    let any_changed = queues.iter().any(|row| changed(row).is_some());
    let mut head = vec![
        "~QUEUE", ">RANK", ">READY", ">DELAYED", ">RUNNING", ">OLDEST",
    ];
    head.extend(any_paused.then_some("~PAUSED"));
    head.extend(any_changed.then_some("~CHANGED"));
    let mut table = Table::new(&head);
    let dash = || "-".to_owned();
    for row in queues {
        let max = flow.queue(&row.queue).max_running;
        let running = match max {
            Some(max) => format!("{}/{max}", row.running),
            None => row.running.to_string(),
        };
        let busy = if row.running > 0 {
            Paint::Busy
        } else {
            Paint::Plain
        };
        let mut cells = vec![
            (row.queue.clone(), Paint::Plain),
            (
                row.rank.map_or_else(dash, |rank| rank.to_string()),
                Paint::Plain,
            ),
            (row.ready.to_string(), Paint::Plain),
            (row.delayed.to_string(), Paint::Plain),
            (running, busy),
            (
                row.oldest_ready_ms.map_or_else(dash, when::span),
                Paint::Plain,
            ),
        ];
        if any_paused {
            let cell = paused(row).map(|words| (words, Paint::Bad));
            cells.push(cell.unwrap_or_else(|| (dash(), Paint::Plain)));
        }
        if any_changed {
            cells.push((changed(row).unwrap_or_else(dash), Paint::Plain));
        }
        table.cells(cells);
    }
    table
}
