//! The documents beside the code agree with it where a test can check: the files and tests that they name exist, and sizes are kept.

use std::fs;

use super::{files, root};

/// Contributors read the whole architecture, so details belong in `docs/`.
const ARCHITECTURE_LINES_MAX: usize = 250;

/// Headings of a decision, in this order.
const HEADINGS: [&str; 4] = ["Context", "Decision", "Given up", "Guarded by"];

fn read(paper: &str) -> String {
    fs::read_to_string(root().join(paper)).unwrap_or_else(|error| panic!("{paper}: {error}"))
}

/// The text below a heading, up to the next of the same rank.
fn section<'a>(paper: &'a str, heading: &str) -> Option<&'a str> {
    let (_, section) = paper.split_once(&format!("\n## {heading}\n"))?;
    section.split("\n## ").next()
}

/// The texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn is_path(name: &str) -> bool {
    let is_source = matches!(name.rsplit_once('.'), Some((_, "rs")));
    (name.contains('/') || is_source) && !name.contains(' ')
}

fn tests() -> Vec<(String, String)> {
    let mut all = files("src", ".rs");
    all.extend(files("tests", ".rs"));
    all
}

/// Panics if a quoted name of a test is no function; returns the number of quoted names. The last word of a command is the
/// beginning of a name.
fn check_tests(paper: &str, text: &str, code: &[(String, String)]) -> usize {
    let names = quoted(text).filter(|name| name.matches('_').count() > 2);
    names
        .map(|name| {
            let function = match name.rsplit_once(' ') {
                Some((_, begin)) => format!("fn {begin}"),
                None => format!("fn {name}("),
            };
            assert!(
                code.iter().any(|(_, text)| text.contains(&function)),
                "{paper}: no test `{name}`"
            );
        })
        .count()
}

#[test]
fn tests_named_beside_the_proofs_exist() {
    let named = check_tests("docs/testing.md", &read("docs/testing.md"), &tests());
    assert!(named > 5, "{named}");
}

#[test]
fn links_between_papers_lead_to_files() {
    let mut papers = files("docs", ".md");
    for (name, _) in &mut papers {
        name.insert_str(0, "docs/");
    }
    papers.push(("ARCHITECTURE.md".to_owned(), read("ARCHITECTURE.md")));
    papers.push(("README.md".to_owned(), read("README.md")));
    for (name, text) in papers {
        let dir = root().join(&name);
        let dir = dir.parent().expect("a directory");
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = link.split('#').next().unwrap_or_default();
            let leads = path.is_empty() || path.contains("://") || dir.join(path).exists();
            assert!(leads, "{name}: no file `{link}`");
        }
    }
}

#[test]
fn files_named_in_the_architecture_exist() {
    let paper = read("ARCHITECTURE.md");
    let section = section(&paper, "Modules").expect("a section");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut named = Vec::new();
    for row in rows {
        let (name, _) = row.split_once('`').expect("a name");
        assert!(root().join("src").join(name).exists(), "no `src/{name}`");
        named.push(name.to_owned());
    }
    for entry in fs::read_dir(root().join("src")).expect("src") {
        let name = entry
            .expect("an entry")
            .file_name()
            .to_string_lossy()
            .into_owned();
        let is_named = named.iter().any(|it| it.trim_end_matches('/') == name);
        assert!(
            is_named || name == "lib.rs",
            "`src/{name}` is not in the map"
        );
    }
}

#[test]
fn the_architecture_is_short_and_says_where_to_change_what() {
    let paper = read("ARCHITECTURE.md");
    let lines = paper.lines().count();
    assert!(
        lines <= ARCHITECTURE_LINES_MAX,
        "ARCHITECTURE.md has {lines} lines"
    );
    let table = section(&paper, "Where to change what").expect("a section");
    let mut named = 0;
    for path in quoted(table).filter(|it| is_path(it)) {
        named += 1;
        assert!(
            ["src", "."]
                .iter()
                .any(|dir| root().join(dir).join(path).exists()),
            "no file `{path}`"
        );
    }
    assert!(named > 20, "{named}");
}

#[test]
fn each_decision_has_its_headings_its_place_in_the_index_and_tests_that_exist() {
    let code = tests();
    let index = read("docs/decisions/README.md");
    let all = files("docs/decisions", ".md");
    let decisions: Vec<_> = all.iter().filter(|(name, _)| name != "README.md").collect();
    for (at, (name, text)) in decisions.iter().enumerate() {
        let number = format!("{:04}", at + 1);
        assert!(name.starts_with(&format!("{number}-")), "{name}: {number}?");
        let title = text.strip_prefix(&format!("# {number}. "));
        let title = title.and_then(|rest| rest.lines().next());
        let title = title.unwrap_or_else(|| panic!("{name}: no title with its number"));
        let line = format!("- [{number}]({name}) {title}");
        assert!(
            index.lines().any(|it| it == line),
            "the index lacks `{line}`"
        );
        let headings: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("## "))
            .collect();
        assert_eq!(headings, HEADINGS, "{name}");
        let guards = section(text, "Guarded by").expect("a section");
        let paths = quoted(guards).filter(|it| is_path(it));
        let mut named = check_tests(name, guards, &code);
        for path in paths {
            assert!(root().join(path).exists(), "{name}: no file `{path}`");
            named += 1;
        }
        assert!(
            named > 0 || guards.trim_start().starts_with("Nothing: "),
            "{name} names no test"
        );
    }
    assert_eq!(
        index.matches("\n- [").count(),
        decisions.len(),
        "the index names what is not there"
    );
}
