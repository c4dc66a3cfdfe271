//! Escapes text from jobs, users and the database for a terminal.
//!
//! Rule: no C0, DEL, C1 or bidirectional control reaches a terminal unescaped; an escape shows which character was there.

use std::fmt::Write;

/// One line: every control character becomes a visible escape, including newlines.
pub(super) fn line(text: &str) -> String {
    escape(text, |_| false)
}

/// Several lines: newlines and tabs are not escaped.
pub(super) fn lines(text: &str) -> String {
    escape(text, |c| c == '\n' || c == '\t')
}

/// JSON of `serde_json`, with escapes for characters that a terminal acts on; the value stays the same.
pub(super) fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Output of a command, in pieces of any size: as [`lines`], with invalid UTF-8 as `\xHH`.
#[derive(Debug, Default)]
pub(super) struct Output(Pieces);

impl Output {
    /// The escaped form of the next piece.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        let mut safe = String::with_capacity(bytes.len());
        self.0.push(bytes, |piece| match piece {
            Piece::Text(text) => safe += &lines(text),
            Piece::Bytes(bytes) => push_bytes(&mut safe, bytes),
        });
        safe
    }

    /// What is left of an unfinished character.
    pub(super) fn end(&mut self) -> String {
        let mut safe = String::new();
        push_bytes(&mut safe, &std::mem::take(&mut self.0.pending));
        safe
    }
}

/// Output of a command as the content of a JSON string, in pieces of any size; invalid UTF-8 becomes U+FFFD.
#[derive(Debug, Default)]
pub(super) struct JsonText(Pieces);

impl JsonText {
    /// The escaped form of the next piece.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        let mut escaped = String::with_capacity(bytes.len());
        self.0.push(bytes, |piece| match piece {
            Piece::Text(text) => {
                let quoted = serde_json::Value::from(text).to_string();
                escaped += &json(&quoted[1..quoted.len() - 1]);
            }
            Piece::Bytes(_) => escaped.push(char::REPLACEMENT_CHARACTER),
        });
        escaped
    }

    /// What is left of an unfinished character.
    pub(super) fn end(&mut self) -> &'static str {
        match std::mem::take(&mut self.0.pending).as_slice() {
            [] => "",
            _ => "\u{fffd}",
        }
    }
}

/// Bytes in pieces that may end inside a character.
#[derive(Debug, Default)]
struct Pieces {
    /// The beginning of a character whose rest is in the next piece.
    pending: Vec<u8>,
}

enum Piece<'a> {
    Text(&'a str),
    /// Invalid UTF-8.
    Bytes(&'a [u8]),
}

impl Pieces {
    fn push(&mut self, bytes: &[u8], mut take: impl FnMut(Piece<'_>)) {
        let mut all = std::mem::take(&mut self.pending);
        all.extend_from_slice(bytes);
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            take(Piece::Text(chunk.valid()));
            let invalid = chunk.invalid();
            let is_cut = chunks.peek().is_none()
                && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if is_cut {
                invalid.clone_into(&mut self.pending);
            } else if !invalid.is_empty() {
                take(Piece::Bytes(invalid));
            }
        }
    }
}

fn push_bytes(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(text, "\\x{byte:02x}");
    }
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if keep(c) || !acts(c) => safe.push(c),
            '\n' => safe += "\\n",
            '\r' => safe += "\\r",
            '\t' => safe += "\\t",
            c if u32::from(c) < 0x100 => {
                let _ = write!(safe, "\\x{:02x}", u32::from(c));
            }
            c => {
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    safe
}

/// Whether a terminal may act on this character instead of showing it.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_a_terminal_acts_on_are_escaped() {
        for (text, shown) in [
            ("плохо, 失敗", "плохо, 失敗"),
            ("a\x1b[31mred", "a\\x1b[31mred"),
            ("\x7f\u{9b}2J", "\\x7f\\x9b2J"),
            ("abc\u{202e}fed", "abc\\u{202e}fed"),
            ("two\nlines\r", "two\\nlines\\r"),
        ] {
            assert_eq!(line(text), shown);
        }
        assert_eq!(lines("a\n\tb\x08"), "a\n\tb\\x08");
    }

    #[test]
    fn json_keeps_its_value() {
        let text = "\"a\u{9b}\u{202e}é\"";
        assert_eq!(json(text), "\"a\\u009b\\u202eé\"");
        let value: String = serde_json::from_str(&json(text)).unwrap();
        assert_eq!(value, "a\u{9b}\u{202e}é");
    }

    #[test]
    fn a_character_split_between_two_pieces_is_joined() {
        let mut output = Output::default();
        let bytes = "é€".as_bytes();
        let text: String = bytes.iter().map(|&byte| output.push(&[byte])).collect();
        assert_eq!(text, "é€");
        assert_eq!(output.push(b"\xff\xc3"), "\\xff");
        assert_eq!(output.end(), "\\xc3");
    }

    #[test]
    fn json_text_in_pieces_is_the_whole_text() {
        let bytes = b"a\"\\\x1b\xc2\x9b \xff\xe2\x82 \xe2\x82\xac\n\xf0\x9f\x98\x80\xe2\x82";
        let whole = String::from_utf8_lossy(bytes);
        for length in 1..=bytes.len() {
            let mut text = JsonText::default();
            let pieces: String = bytes.chunks(length).map(|piece| text.push(piece)).collect();
            let quoted = format!("\"{pieces}{}\"", text.end());
            assert_eq!(json(&quoted), quoted, "nothing in it acts on a terminal");
            let value: String = serde_json::from_str(&quoted).unwrap();
            assert_eq!(value, whole, "in pieces of {length}");
        }
    }
}
