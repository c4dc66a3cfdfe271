//! The conformance suite of the store uses no backend, and calls every verb.

use super::{code, files, nowhere};

const SUITE: &str = "src/store/conformance";

/// Verbs that the suite cannot call: those about files, which only a store on disk has; the one that opens a store in memory; and
/// the number of invariants, which is a constant of the program.
const NOT_IN_THE_SUITE: &[&str] = &[
    "store.blocking_writer",
    "store.check_identity",
    "store.checkpoint",
    "store.ensure_recoverable",
    "store.guard",
    "store.in_memory",
    "store.invariants",
    "store.leave",
    "store.limit_log",
    "store.shrink",
    "store.space",
    "store.wal_bytes",
    "store.watch",
];

#[test]
fn the_suite_of_the_store_calls_verbs_only() {
    let words = [
        "rusqlite",
        "sqlite::",
        ".conn",
        "connection()",
        "SELECT ",
        "INSERT ",
        "UPDATE ",
        "DELETE ",
        "PRAGMA ",
    ];
    nowhere(files(SUITE, ".rs").into_iter(), &words);
}

/// The public methods of `Store` and `Tx`, as they are called.
fn verbs() -> Vec<String> {
    let mut verbs = Vec::new();
    for (file, text) in files("src/store/sqlite", ".rs") {
        let mut within = None;
        for line in code(&text) {
            if let Some(head) = line.strip_prefix("impl ") {
                let mut words = head.split(|it: char| !it.is_alphanumeric());
                within = words.find(|word| ["Store", "Tx"].contains(word));
            } else if line.starts_with('}') {
                within = None;
            } else if let Some(of) = within
                && let Some((head, _)) = line.split_once('(')
                && let Some(name) = head.trim_start().strip_prefix("pub fn ")
            {
                let name = name.split('<').next().unwrap_or_default();
                assert!(!name.is_empty(), "{file}: {line}");
                verbs.push(format!("{}.{name}", of.to_lowercase()));
            }
        }
    }
    verbs
}

#[test]
fn every_verb_of_the_store_is_called_by_the_suite() {
    let texts = files(SUITE, ".rs").into_iter().map(|(_, text)| text);
    let suite: String = texts.collect::<String>().split_whitespace().collect();
    let mut left = verbs();
    assert!(left.len() > 100, "{left:?}");
    left.retain(|verb| !suite.contains(&format!("{verb}(")));
    left.sort();
    assert_eq!(left, NOT_IN_THE_SUITE, "neither called nor named here");
}
