//! `docs/proofs.md` is generated from comments at the tests: each promise and each fault with the tests that show it.
//!
//! The comment at a test ends with lines of the form `/// Proves (death): SENTENCE.` or `/// Fault (time): SENTENCE.`, the word
//! in parentheses being one of `SECTIONS`. Other tests of the same row end with ``/// Proves: as `NAME`.``, where NAME is a test
//! with one sentence of that kind only. At the head of a file (`//!`) such a line speaks for all tests of the file.

use std::fmt::Write as _;
use std::fs;

use super::{files, root};

const PAPER: &str = "docs/proofs.md";
const REWRITE: &str = "JOBCTL_WRITE_PROOFS=1 cargo test --test tests -- proofs";

const HEAD: &str = "# Proofs

What jobctl promises, and what the tests do to it, each with the tests that show it. The file is generated from the comments at
the tests (`tests/tidy/proofs.rs`): do not edit it. To write it again:

    {REWRITE}

A test marked \"(soak)\" runs only when it is asked for. [`testing.md`](testing.md) has the commands of the soaks, and
what is not tested.
";

/// Key in a comment, and heading.
const SECTIONS: &[(Kind, &str, &str)] = &[
    (Kind::Proves, "durable", "Acknowledged is durable"),
    (Kind::Proves, "dedup", "One run per key"),
    (Kind::Proves, "death", "Nothing is lost when processes die"),
    (Kind::Proves, "poison", "Runs that kill their worker"),
    (Kind::Proves, "leftovers", "Processes that are left behind"),
    (Kind::Proves, "commands", "What a command gets and leaves"),
    (
        Kind::Proves,
        "flow",
        "Limits, rates, shares, room and order",
    ),
    (Kind::Proves, "sequence", "Runs that wait for runs"),
    (Kind::Proves, "clock", "Clocks and deadlines"),
    (Kind::Proves, "periods", "Schedules and periods"),
    (Kind::Proves, "operators", "Operators and answers"),
    (Kind::Proves, "owner", "One owner"),
    (Kind::Proves, "service", "Long-running processes"),
    (Kind::Fault, "processes", "Death of processes"),
    (Kind::Fault, "commands", "Behaviour of commands"),
    (Kind::Fault, "storage", "Storage"),
    (Kind::Fault, "time", "Time"),
    (Kind::Fault, "races", "Races and scale"),
    (Kind::Fault, "input", "Input"),
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Proves,
    Fault,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Proves => "Proves",
            Self::Fault => "Fault",
        }
    }
}

/// One claim of a comment, joined from its lines.
struct Claim {
    kind: Kind,
    /// The text after the keyword: `(SECTION): SENTENCE.` or ``: as `NAME`.``
    text: String,
    /// The test, or the file or directory whose tests it applies to.
    shown_by: String,
    is_soak: bool,
}

/// A row of the paper.
struct Row {
    kind: Kind,
    section: &'static str,
    sentence: String,
    tests: Vec<String>,
}

/// The kind and the rest, if a comment line begins a claim.
fn begins_claim(comment: &str) -> Option<(Kind, &str)> {
    [Kind::Proves, Kind::Fault].into_iter().find_map(|kind| {
        let rest = comment.strip_prefix(kind.word())?;
        (rest.starts_with(": as `") || rest.starts_with(" (")).then_some((kind, rest))
    })
}

/// All claims of one file.
fn claims(file: &str, source: &str) -> Vec<Claim> {
    let mut found: Vec<Claim> = Vec::new();
    let mut of_next_test: Vec<Claim> = Vec::new();
    let mut is_open = false;
    let mut attributes = String::new();
    for line in source.lines().map(str::trim) {
        let head = line.strip_prefix("//!");
        let at_test = line.strip_prefix("///");
        if let Some(comment) = head.or(at_test).map(str::trim) {
            let target = if head.is_some() {
                &mut found
            } else {
                &mut of_next_test
            };
            if let Some((kind, text)) = begins_claim(comment) {
                target.push(Claim {
                    kind,
                    text: text.to_owned(),
                    shown_by: file.trim_end_matches("mod.rs").to_owned(),
                    is_soak: false,
                });
                is_open = true;
            } else if comment.is_empty() {
                is_open = false;
            } else if is_open {
                let claim = target.last_mut().expect("an open claim");
                claim.text += " ";
                claim.text += comment;
            }
            continue;
        }
        is_open = false;
        let Some(function) = line.strip_prefix("fn ") else {
            attributes += line;
            if line.is_empty() || line == "}" {
                assert!(
                    of_next_test.is_empty(),
                    "{file}: a claim stands at no test: {}",
                    of_next_test[0].text
                );
                attributes.clear();
            }
            continue;
        };
        let name = function.split('(').next().unwrap_or_default();
        for mut claim in of_next_test.drain(..) {
            assert!(
                attributes.contains("#[test]"),
                "{file}: `{name}` is no test"
            );
            name.clone_into(&mut claim.shown_by);
            claim.is_soak = attributes.contains("#[ignore");
            found.push(claim);
        }
        attributes.clear();
    }
    found
}

/// All claims, joined into rows, in the order of the files.
fn rows() -> Vec<Row> {
    let mut all = Vec::new();
    for dir in ["src", "tests"] {
        for (file, text) in files(dir, ".rs") {
            all.extend(claims(&format!("{dir}/{file}"), &text));
        }
    }
    let mut rows: Vec<Row> = Vec::new();
    let mut others = Vec::new();
    for claim in all {
        let Claim { kind, text, .. } = &claim;
        let shown_by = format!(
            "`{}`{}",
            claim.shown_by,
            if claim.is_soak { " (soak)" } else { "" }
        );
        if let Some(name) = text.strip_prefix(": as ") {
            others.push((*kind, name.trim_end_matches('.').to_owned(), shown_by));
            continue;
        }
        let said = text.strip_prefix(" (").and_then(|it| it.split_once("): "));
        let (key, sentence) = said.unwrap_or_else(|| panic!("no section: {shown_by}: {text}"));
        let section = SECTIONS
            .iter()
            .find(|(of, section, _)| of == kind && *section == key)
            .unwrap_or_else(|| panic!("no section `{key}`: {shown_by}"));
        let sentence = sentence.strip_suffix('.');
        let sentence = sentence.unwrap_or_else(|| panic!("no full stop: {shown_by}: {text}"));
        assert!(!sentence.contains('|'), "{sentence}");
        match rows
            .iter_mut()
            .find(|row| row.kind == *kind && row.sentence == sentence)
        {
            Some(row) => row.tests.push(shown_by),
            None => rows.push(Row {
                kind: *kind,
                section: section.1,
                sentence: sentence.to_owned(),
                tests: vec![shown_by],
            }),
        }
    }
    for (kind, name, shown_by) in others {
        let mut meant = rows.iter_mut().filter(|row| {
            row.kind == kind
                && row
                    .tests
                    .first()
                    .is_some_and(|test| test.trim_end_matches(" (soak)") == name)
        });
        let row = meant.next();
        let row = row.unwrap_or_else(|| panic!("{shown_by}: {name} has no sentence"));
        row.tests.push(shown_by);
        assert!(meant.next().is_none(), "{name} has several sentences");
    }
    rows
}

fn paper() -> String {
    let rows = rows();
    let mut text = HEAD.replace("{REWRITE}", REWRITE);
    for (kind, title, columns) in [
        (Kind::Proves, "Promises", "what must hold"),
        (Kind::Fault, "Faults", "what goes wrong"),
    ] {
        write!(text, "\n## {title}\n").expect("a string");
        for (_, section, heading) in SECTIONS.iter().filter(|(of, ..)| *of == kind) {
            write!(
                text,
                "\n### {heading}\n\n| {columns} | tests |\n| --- | --- |\n"
            )
            .expect("a string");
            let mut is_empty = true;
            for row in &rows {
                if row.kind == kind && row.section == *section {
                    writeln!(text, "| {} | {} |", row.sentence, row.tests.join(", "))
                        .expect("a string");
                    is_empty = false;
                }
            }
            assert!(!is_empty, "nothing is below `{section}`");
        }
    }
    text
}

#[test]
fn proofs_are_what_the_comments_at_the_tests_say() {
    let path = root().join(PAPER);
    let text = paper();
    if std::env::var_os("JOBCTL_WRITE_PROOFS").is_some() {
        fs::write(&path, text).expect("written");
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "{PAPER} is not what the comments say; `{REWRITE}` writes it again"
    );
}

#[test]
fn a_claim_is_read_with_its_test_over_several_lines() {
    let source = concat!(
        "//! A file.\n//!\n//! Fault (time): all of it.\n\n",
        "/// Words.\n/// Proves (death): it\n/// lives.\n/// Fault: as `other`.\n",
        "#[test]\n#[ignore = \"long\"]\nfn it_lives() {\n}\n",
    );
    let found = claims("tests/it/mod.rs", source);
    let said: Vec<_> = found
        .iter()
        .map(|it| (it.kind, it.text.as_str(), it.shown_by.as_str(), it.is_soak))
        .collect();
    let expected = [
        (Kind::Fault, " (time): all of it.", "tests/it/", false),
        (Kind::Proves, " (death): it lives.", "it_lives", true),
        (Kind::Fault, ": as `other`.", "it_lives", true),
    ];
    assert_eq!(said, expected);
}
