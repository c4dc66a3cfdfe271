//! `jobctl queues list`: counts, pauses and changes of each queue.

use serde_json::{Value, json};

use crate::catalogue::Catalogue;
use crate::cli::change_words::{by_whom, changes};
use crate::cli::pressure::Pressure;
use crate::cli::rules::flow;
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
    let pressure = Pressure::of(&queues, &flow, &store, context)?;
    if context.screen.json() {
        let items: Vec<_> = queues
            .iter()
            .map(|row| document(row, &flow, &pressure))
            .collect();
        context.screen.document("queues", json!({ "items": items }));
        return Ok(0);
    }
    if queues.is_empty() {
        context
            .screen
            .say("no queues: no catalogue was loaded yet, and no run waits");
    }
    context
        .screen
        .table(&table(&queues, &flow, &pressure, context.now_ms()));
    Ok(0)
}

/// The queues of the store; until a worker has loaded the catalogue, ranks and empty queues come from the catalogue file.
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

/// A queue of `queues list` and `status`.
pub(in crate::cli) fn document(row: &QueueRow, flow: &FlowView, pressure: &Pressure) -> Value {
    let refuses = json!({ "refuses": pressure.refuses(&row.queue) });
    document::merged(document::queue(row, flow), refuses)
}

/// The table of `queues list` and `status`. Columns for rare properties appear only if a queue has one.
pub(in crate::cli) fn table(
    queues: &[QueueRow],
    flow: &FlowView,
    pressure: &Pressure,
    now_ms: i64,
) -> Table {
    let paused = |row: &QueueRow| {
        let paused = flow.queue(&row.queue).paused?;
        let reason = paused.reason.as_deref();
        Some(by_whom(&paused.by, reason, paused.until_ms, now_ms))
    };
    let changed = |row: &QueueRow| changes(flow.overrides_of_queue(&row.queue), now_ms);
    let max_waiting = |row: &QueueRow| flow.queue(&row.queue).max_waiting;
    let any_bounded = queues.iter().any(|row| max_waiting(row).is_some());
    let refuses = |row: &QueueRow| pressure.refuses(&row.queue);
    let any_refused = queues.iter().any(|row| refuses(row).is_some());
    let any_paused = queues.iter().any(|row| paused(row).is_some());
    let any_changed = queues.iter().any(|row| changed(row).is_some());
    let mut head = vec![
        "~QUEUE", ">RANK", ">READY", ">DELAYED", ">RUNNING", ">OLDEST",
    ];
    head.extend(any_bounded.then_some(">WAITING"));
    head.extend(any_refused.then_some("~REFUSES"));
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
            (oldest(row).unwrap_or_else(dash), Paint::Plain),
        ];
        if any_bounded {
            let cell = max_waiting(row).map(|max| format!("{}/{max}", row.waiting()));
            cells.push((cell.unwrap_or_else(dash), Paint::Plain));
        }
        if any_refused {
            let cell = refuses(row).map(|word| (word, Paint::Bad));
            cells.push(cell.unwrap_or_else(|| (dash(), Paint::Plain)));
        }
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

/// How long the oldest run has been due; with a `+` if not all lanes were read.
fn oldest(row: &QueueRow) -> Option<String> {
    let span = when::span(row.oldest_ready_ms?);
    Some(if row.oldest_cut { span + "+" } else { span })
}
