//! `jobctl limits list`.

use serde_json::json;

use crate::cli::change_words::{by_whom, changes, left};
use crate::cli::rules::flow;
use crate::cli::{Context, Paint, Table, when};
use crate::document;
use crate::flow::{BreakerState, LimitView};
use crate::store::Create;

/// Lists.
pub(super) fn list(context: &mut Context) -> anyhow::Result<u8> {
    let store = context.open_store(Create::Never)?;
    let flow = flow(&store, context)?;
    if context.screen.json() {
        let items: Vec<_> = flow.limits.iter().map(document::limit).collect();
        context.screen.document("limits", json!({ "items": items }));
        return Ok(0);
    }
    if flow.limits.is_empty() {
        context.screen.say("no limits: the catalogue has none");
    }
    let now_ms = context.now_ms();
    let any_paused = flow.limits.iter().any(|limit| limit.paused().is_some());
    let mut head = vec!["~LIMIT", ">RUNNING", "~RATE", "NEXT", "~BREAKER", "WAIT"];
    head.extend(any_paused.then_some("~PAUSED"));
    head.push("~CHANGED");
    let mut table = Table::new(&head);
    for limit in &flow.limits {
        let running = match limit.concurrency {
            Some(max) => format!("{}/{max}", limit.running),
            None => limit.running.to_string(),
        };
        let rate = limit.rate.map(|rate| rate.to_string());
        let next = limit.rate.map(|_| {
            let next_ms = limit.next_start_ms.unwrap_or(now_ms);
            when::relative(next_ms, now_ms)
        });
        let wait = limit.waits_until_ms;
        let wait = wait.map(|until_ms| format!("{} left", when::span(until_ms - now_ms)));
        let (breaker, paint) = breaker(limit, now_ms);
        let cell = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let waits = if wait.is_some() {
            Paint::Bad
        } else {
            Paint::Plain
        };
        let mut cells = vec![
            (limit.name.clone(), Paint::Plain),
            (running, Paint::Plain),
            (cell(rate), Paint::Plain),
            (cell(next), Paint::Plain),
            (breaker, paint),
            (cell(wait), waits),
        ];
        if any_paused {
            let paused = limit.paused().map(|pause| {
                let reason = pause.reason.as_deref();
                by_whom(&pause.by, reason, pause.until_ms, now_ms)
            });
            let paint = if paused.is_some() {
                Paint::Bad
            } else {
                Paint::Plain
            };
            cells.push((cell(paused), paint));
        }
        let changed = changes(limit.overrides.iter(), now_ms);
        cells.push((cell(changed), Paint::Plain));
        table.cells(cells);
    }
    context.screen.table(&table);
    Ok(0)
}

fn breaker(limit: &LimitView, now_ms: i64) -> (String, Paint) {
    let Some(breaker) = &limit.breaker else {
        return ("-".to_owned(), Paint::Plain);
    };
    let left = left(breaker.until_ms, now_ms);
    let paint = match breaker.state {
        BreakerState::Closed => Paint::Plain,
        BreakerState::Open => Paint::Bad,
        BreakerState::HalfOpen => Paint::Busy,
    };
    (format!("{}{left}", breaker.state), paint)
}
