//! Flow control in `status`: pauses, changes by operators, open breakers, waits that services asked for.
//!
//! Rule: every decision that keeps runs waiting has a line, with who, why and until when.

use super::change_words::{because, until};
use crate::flow::{BreakerState, BreakerView, FlowView};
use crate::store::Pause;

/// Lines for people; none if all is as in the catalogue and no breaker is open.
pub(super) fn lines(flow: &FlowView, pauses: &[Pause], now_ms: i64) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, rules) in &flow.rules.queues {
        if let Some(paused) = &rules.paused {
            let by = whom(&paused.by);
            let (until, why) = (
                until(paused.until_ms, now_ms),
                because(paused.reason.as_deref()),
            );
            lines.push(format!("queue `{name}` is paused by {by}{until}{why}"));
        }
    }
    for pause in pauses {
        let (until, why) = (
            until(pause.until_ms, now_ms),
            because(pause.reason.as_deref()),
        );
        let (job, by) = (&pause.job, &pause.paused_by);
        lines.push(format!("job `{job}` is paused by {by}{until}{why}"));
    }
    for limit in &flow.limits {
        let name = &limit.name;
        if let Some(pause) = limit.paused() {
            let (until, why) = (
                until(pause.until_ms, now_ms),
                because(pause.reason.as_deref()),
            );
            let by = &pause.by;
            lines.push(format!(
                "limit `{name}` is paused by {by}{until}, nothing under it starts{why}"
            ));
        }
        if let Some(breaker) = &limit.breaker {
            lines.extend(open_breaker("limit", name, breaker, now_ms));
        }
        if limit.waits_until_ms.is_some() {
            let until = until(limit.waits_until_ms, now_ms);
            lines.push(format!(
                "limit `{name}` waits{until}, because a service asked for it"
            ));
        }
    }
    for (job, breaker) in &flow.breakers {
        lines.extend(open_breaker("job", job, breaker, now_ms));
    }
    for change in &flow.overrides {
        if change.key.is_switch() && !change.is_off() {
            continue;
        }
        let kind = if change.key.is_of_queue() {
            "queue"
        } else {
            "limit"
        };
        let (until, why) = (
            until(change.until_ms, now_ms),
            because(change.reason.as_deref()),
        );
        lines.push(format!(
            "{kind} `{}` has {}={} by {}{until}{why}",
            change.name, change.key, change.value, change.by
        ));
    }
    lines
}

fn whom(by: &str) -> &str {
    match by {
        "catalogue" => "the catalogue",
        by => by,
    }
}

fn open_breaker(kind: &str, name: &str, breaker: &BreakerView, now_ms: i64) -> Option<String> {
    let whose = format!("the breaker of {kind} `{name}`");
    match breaker.state {
        BreakerState::Closed => None,
        BreakerState::Open => Some(format!(
            "{whose} is open{}",
            until(breaker.until_ms, now_ms)
        )),
        BreakerState::HalfOpen => Some(format!("{whose} is half-open: one run may start")),
    }
}
