//! Writes texts as readable TOML strings.

use std::fmt::Write;

/// The text as a TOML string, if possible without escapes.
pub(super) fn string(text: &str) -> String {
    let plain = |c: char| !c.is_control() || c == '\t';
    if text.chars().all(plain) {
        if !text.contains(['"', '\\']) {
            return format!("\"{text}\"");
        }
        if !text.contains('\'') {
            return format!("'{text}'");
        }
    }
    let lines = text.chars().all(|c| plain(c) || c == '\n');
    if lines && !text.contains("'''") && !text.ends_with('\'') {
        // The newline after the opening quotes is not part of the string.
        return format!("'''\n{text}'''");
    }
    basic(text)
}

fn basic(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\t' => out.push('\t'),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A table on one line: `{ A = "b" }`.
pub(super) fn table<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let entries: Vec<String> = entries
        .map(|(name, value)| {
            // Variables of cron contain no newline, which an inline table allows only inside strings.
            format!("{name} = {}", string(value))
        })
        .collect();
    format!("{{ {} }}", entries.join(", "))
}

/// Text for a comment: on one line, without characters that TOML forbids there.
pub(super) fn comment(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_survives_a_round_trip() {
        for text in [
            "",
            "a",
            "a\"b",
            "a'b",
            "a\"'b",
            "a'''\"b",
            "it's \"x\"'",
            "\\",
            "\u{1}",
            "a\nb\n",
            "\n\n",
            "a\r\nb",
            "\t",
            "é\u{7f}\u{85}",
        ] {
            let document = format!("a = {}", string(text));
            let table: toml::Table = toml::from_str(&document).expect(&document);
            assert_eq!(table["a"].as_str(), Some(text), "{document}");
        }
    }
}
