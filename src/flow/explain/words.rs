//! Numbers, names and spans in the words of an answer.

use std::collections::BTreeSet;

use super::HeldRun;
use crate::flow::Paused;
use crate::run::WorkerId;
use crate::units::{counted, format_duration};

/// At most this many ids are named.
const NAMED: usize = 5;

/// A distance, to the second where it is longer than one.
pub(super) fn span(ms: i64) -> String {
    let ms = ms.max(0);
    format_duration(if ms < 1_000 { ms } else { ms / 1_000 * 1_000 })
}

/// `81, 82, 90` and how many more.
pub(super) fn names<T: std::fmt::Display>(all: &[T]) -> String {
    let named: Vec<String> = all.iter().take(NAMED).map(ToString::to_string).collect();
    let more = all.len().saturating_sub(NAMED);
    match more {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// `3 of 3 running: 81, 82, 90`, and which of them belong to dead workers.
pub(super) fn running(held: &[&HeldRun], cap: Option<i64>, gone: &BTreeSet<WorkerId>) -> String {
    let of = cap.map_or_else(String::new, |cap| format!(" of {cap}"));
    let runs: Vec<_> = held.iter().map(|held| held.run).collect();
    let mut parts = vec![match runs.len() {
        0 => format!("0{of} running"),
        n => format!("{n}{of} running: {}", names(&runs)),
    }];
    let workers: BTreeSet<WorkerId> = held.iter().map(|held| held.worker).collect();
    for worker in workers.intersection(gone) {
        let of_it = held.iter().filter(|held| held.worker == *worker);
        let runs: Vec<_> = of_it.map(|held| held.run).collect();
        parts.push(format!(
            "held by worker {worker}, which is gone: {}",
            names(&runs)
        ));
    }
    parts.join("; ")
}

/// `paused by ada: the mail server moves`
pub(super) fn paused(word: &str, paused: &Paused) -> String {
    let why = paused.reason.as_ref();
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    let by = match paused.by.as_str() {
        "catalogue" => "the catalogue",
        by => by,
    };
    format!("{word} by {by}{why}")
}

/// `at least 10000 runs`, where they were not all counted.
pub(super) fn at_least(n: i64, most: i64) -> String {
    if n >= most {
        format!("at least {}", counted(most, "run"))
    } else {
        counted(n, "run")
    }
}
