//! The JSON of flow control: queues, limits, breakers, and changes by operators.

use serde_json::{Value, json};

use super::{maybe_time, merged, time};
use crate::flow::{BreakerView, FlowView, LimitView, Override, OverrideKey, Rate};
use crate::records::{ActRow, QueueRow};

/// A queue in a list.
pub fn queue(row: &QueueRow, flow: &FlowView) -> Value {
    let counts = json!({
        "queue": row.queue,
        "rank": row.rank,
        "ready": row.ready,
        "delayed": row.delayed,
        "running": row.running,
        "oldest_ready_ms": row.oldest_ready_ms,
        "oldest_cut": row.oldest_cut,
    });
    merged(counts, queue_flow(&row.queue, flow))
}

/// The rules of a queue that are in force, and its changes by operators.
pub fn queue_flow(name: &str, flow: &FlowView) -> Value {
    let rules = flow.queue(name);
    let mut changes = flow.overrides_of_queue(name);
    let switch = changes.find(|change| change.key == OverrideKey::Paused);
    let paused = rules.paused.as_ref();
    json!({
        "queue": name,
        "paused": paused.is_some(),
        "paused_at": maybe_time(switch.filter(|it| !it.is_off()).map(|it| it.set_ms)),
        "paused_by": paused.map(|paused| paused.by.as_str()),
        "pause_reason": paused.and_then(|paused| paused.reason.as_deref()),
        "paused_until": maybe_time(paused.and_then(|paused| paused.until_ms)),
        "max_running": rules.max_running,
        "max_waiting": rules.max_waiting,
        "overrides": flow.overrides_of_queue(name).map(change).collect::<Vec<_>>(),
    })
}

/// A limit in a list.
pub fn limit(limit: &LimitView) -> Value {
    let paused = limit.paused();
    let state = breaker_state(limit.breaker.as_ref());
    let body = json!({
        "name": limit.name,
        "running": limit.running,
        "concurrency": limit.concurrency,
        "rate": limit.rate.map(Rate::per_time),
        "burst": limit.rate.map(|rate| rate.burst),
        "next_start": maybe_time(limit.next_start_ms),
        "paused": paused.is_some(),
        "paused_at": maybe_time(paused.map(|paused| paused.set_ms)),
        "paused_by": paused.map(|paused| paused.by.as_str()),
        "pause_reason": paused.and_then(|paused| paused.reason.as_deref()),
        "paused_until": maybe_time(paused.and_then(|paused| paused.until_ms)),
        "waits_until": maybe_time(limit.waits_until_ms),
        "overrides": limit.overrides.iter().map(change).collect::<Vec<_>>(),
    });
    merged(body, state)
}

/// The breaker of a job in `status`.
pub fn job_breaker(job: &str, breaker: &BreakerView) -> Value {
    merged(json!({ "job": job }), breaker_state(Some(breaker)))
}

fn breaker_state(breaker: Option<&BreakerView>) -> Value {
    json!({
        "breaker": breaker.map(|breaker| breaker.state),
        "since": maybe_time(breaker.and_then(|breaker| breaker.since_ms)),
        "until": maybe_time(breaker.and_then(|breaker| breaker.until_ms)),
    })
}

/// A setting that an operator changed.
fn change(change: &Override) -> Value {
    let value = match change.key {
        key if key.is_switch() => json!(!change.is_off()),
        _ => change
            .value
            .parse::<i64>()
            .map_or_else(|_| json!(change.value), |n| json!(n)),
    };
    json!({
        "key": change.key.name(),
        "value": value,
        "by": change.by,
        "reason": change.reason,
        "since": time(change.set_ms),
        "until": maybe_time(change.until_ms),
    })
}

/// An entry of the history.
pub fn act(act: &ActRow) -> Value {
    json!({
        "name": act.name,
        "act": act.what,
        "at": time(act.at_ms),
        "by": act.by,
        "reason": act.reason,
        "until": maybe_time(act.until_ms),
    })
}
