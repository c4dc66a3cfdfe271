//! Plain words: phrases that readers had to read twice, each with a replacement.
//!
//! Rule: a phrase is listed only if no use of it is good. Phrases with both good and bad uses are for reviewers.

use super::files;

/// Phrases with their replacements.
const BANNED: &[(&str, &str)] = &[
    ("all the same", "nevertheless; anyway"),
    ("anew", "again, or a verb with re-"),
    ("as far as anybody knows", "as far as is known"),
    ("as it stands", "unchanged; current"),
    ("as they stand", "unchanged; current"),
    ("became of", "the result; the state of"),
    ("becomes of", "the result; the state of"),
    ("by no clock", "at no known time"),
    ("came of", "the result"),
    ("for aught", "as far as"),
    ("hears", "receives; handles"),
    ("in its turn", "one after another"),
    ("is no unit", "unknown unit"),
    ("its patience", "a forced stop; a timeout"),
    ("keeps house", "does the housekeeping"),
    ("makes the names last", "fsyncs the directory"),
    ("mended", "fixed; corrected"),
    ("nobody's", "no process has it; unused"),
    ("of the very", "of the same"),
    ("stand under", "apply to; have"),
    ("stands under", "applies to; has"),
    ("tells of", "covers; shows"),
    ("thus", "so"),
    ("told by", "reported by; covered by"),
    ("trusted no more", "under the same checks"),
    ("what is told", "what is reported"),
    ("who waits", "a process that waits"),
    ("whoever", "name the process: a worker that .., the caller"),
    ("without being waited for", "stopped waiting"),
];

/// Released schemas, which are never edited, and this list.
const EXEMPT: &[&str] = &["src/store/sqlite/migrations/", "tests/tidy/words.rs"];

/// The lines of a text that contain a phrase as whole words, in any case.
fn lines_with<'a>(text: &'a str, phrase: &'a str) -> impl Iterator<Item = &'a str> {
    let is_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    text.lines().filter(move |line| {
        let line = line.to_ascii_lowercase();
        let mut found = line.match_indices(phrase);
        found.any(|(at, _)| {
            let (before, after) = (at.checked_sub(1), at + phrase.len());
            let before = before.and_then(|at| line.as_bytes().get(at));
            !is_word(before) && !is_word(line.as_bytes().get(after))
        })
    })
}

#[test]
fn no_banned_phrase_is_used() {
    let mut texts = Vec::new();
    for dir in ["src", "tests", "man"] {
        let all = files(dir, "").into_iter();
        texts.extend(all.map(|(name, text)| (format!("{dir}/{name}"), text)));
    }
    let mut found = Vec::new();
    for (name, text) in &texts {
        if EXEMPT.iter().any(|exempt| name.starts_with(exempt)) {
            continue;
        }
        for (phrase, better) in BANNED {
            let lines = lines_with(text, phrase);
            found.extend(lines.map(|line| format!("{name}: `{phrase}` -> {better}: {line}")));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_phrase_is_found_as_whole_words() {
    let text = "Thus it is.\nhe knew thusly\nenthuse\nso (thus) it is\n";
    let lines: Vec<&str> = lines_with(text, "thus").collect();
    assert_eq!(lines, ["Thus it is.", "so (thus) it is"]);
}
