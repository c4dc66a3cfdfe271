//! What operators changed, in words: what, by whom, why and for how long.

use super::{Context, when};
use crate::flow::{Override, Rules, Setting};

/// The message about a pause that already exists: by whom, since when and why.
pub(super) fn paused_already(kind: &str, before: &Override, context: &Context) -> String {
    format!(
        "{kind} `{}` was already paused by {} {}{}; nothing was changed",
        before.name,
        before.by,
        when::relative(before.set_ms, context.now_ms()),
        because(before.reason.as_deref())
    )
}

/// The result of one setting as a line: `max_running=4; the catalogue says none`.
pub(super) fn setting_words(
    setting: &Setting,
    changed: bool,
    name: &str,
    catalogue: &Rules,
    until: &str,
) -> String {
    let key = setting.key;
    let says = key.value_in(catalogue, name);
    match &setting.value {
        Some(value) => format!("{key}={value}{until}; the catalogue says {says}"),
        None if changed => format!("{key}={says}: back to the value of the catalogue"),
        None => format!("{key}={says}: already the value of the catalogue"),
    }
}

/// ` until 13:30:00 (in 2h)`, or nothing.
pub(super) fn until(until_ms: Option<i64>, now_ms: i64) -> String {
    until_ms.map_or_else(String::new, |until_ms| {
        let (clock, left) = (when::clock(until_ms, now_ms), when::span(until_ms - now_ms));
        format!(" until {clock} (in {left})")
    })
}

/// `: maintenance`, or nothing.
pub(super) fn because(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}

/// `by ann, 2h left: maintenance`
pub(super) fn by_whom(
    by: &str,
    reason: Option<&str>,
    until_ms: Option<i64>,
    now_ms: i64,
) -> String {
    let by = if by == "catalogue" {
        "the catalogue"
    } else {
        by
    };
    format!("by {by}{}{}", left(until_ms, now_ms), because(reason))
}

/// `, 2h left`, or nothing.
pub(super) fn left(until_ms: Option<i64>, now_ms: i64) -> String {
    until_ms.map_or_else(String::new, |until_ms| {
        format!(", {} left", when::span(until_ms - now_ms))
    })
}

/// The changed settings, for a cell of a table; pauses have a column of their own.
pub(super) fn changes<'a>(
    changes: impl Iterator<Item = &'a Override>,
    now_ms: i64,
) -> Option<String> {
    let words = changes
        .filter(|change| !change.key.is_switch() || change.is_off())
        .map(|change| {
            let by = by_whom(
                &change.by,
                change.reason.as_deref(),
                change.until_ms,
                now_ms,
            );
            format!("{}={} {by}", change.key, change.value)
        });
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| words.join("; "))
}
