//! The suite of the store knows no backend, and calls every verb.

use super::{code, files, nowhere};

const SUITE: &str = "src/store/conformance";

/// What is about files, which only a store on a disk has; and a number that tells about the program alone.
const NOT_IN_THE_SUITE: &[&str] = &[
    "store.blocking_writer",
    "store.check_identity",
    "store.checkpoint",
    "store.ensure_recoverable",
    "store.guard",
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

/// A public method of `Store` or `Tx`.
#[derive(Debug)]
struct Verb {
    of: &'static str,
    name: String,
}

impl Verb {
    /// As it is called.
    fn call(&self) -> String {
        format!("{}.{}", self.of.to_lowercase(), self.name)
    }

    /// Whether a text without white space calls it, or hands it on.
    fn is_called(&self, text: &str) -> bool {
        let Self { of, name } = self;
        let calls = [
            format!("{}(", self.call()),
            format!("{of}::{name}("),
            format!("{of}::{name})"),
        ];
        calls.iter().any(|call| text.contains(call))
    }
}

fn verbs() -> Vec<Verb> {
    let mut verbs = Vec::new();
    for (file, text) in files("src/store/sqlite", ".rs") {
        let mut within = None;
        for line in code(&text) {
            if let Some(head) = line.strip_prefix("impl ") {
                let words: Vec<&str> = head
                    .split(|it: char| !it.is_alphanumeric())
                    .filter(|word| !word.is_empty() && *word != "super")
                    .collect();
                within = ["Store", "Tx"].into_iter().find(|of| words.contains(of));
            } else if line.starts_with('}') {
                within = None;
            } else if let Some(of) = within
                && let Some((head, _)) = line.split_once('(')
                && let Some(name) = head.trim_start().strip_prefix("pub fn ")
            {
                let name = name.split('<').next().unwrap_or_default().to_owned();
                assert!(!name.is_empty(), "{file}: {line}");
                verbs.push(Verb { of, name });
            }
        }
    }
    verbs
}

#[test]
fn every_verb_of_the_store_is_called_by_the_suite() {
    let texts = files(SUITE, ".rs").into_iter().map(|(_, text)| text);
    let suite: String = texts.collect::<String>().split_whitespace().collect();
    let verbs = verbs();
    assert!(verbs.len() > 100, "{verbs:?}");
    let left = verbs.iter().filter(|verb| !verb.is_called(&suite));
    let mut left: Vec<String> = left.map(Verb::call).collect();
    left.sort();
    assert_eq!(left, NOT_IN_THE_SUITE, "neither called nor named here");
}
