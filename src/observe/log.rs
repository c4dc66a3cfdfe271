//! The structured log of worker and scheduler, one event per line on standard error.
//!
//! Rule: no byte of a job or user reaches the log unescaped; an error of the log is ignored.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use super::event::{Field, Level, LogEvent, Value};
use crate::advice::Advice;
use crate::clock;
use crate::units::format_utc;

/// The format of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Format {
    /// `2026-11-05T06:00:00.000Z info event=run_dead run=7`
    Words = 0,
    /// One JSON object per line.
    Json = 1,
}

static FORMAT: AtomicU8 = AtomicU8::new(0);
static LEAST: AtomicU8 = AtomicU8::new(Level::Info as u8);

static ADVICE_WORDS: OnceLock<AdviceWords> = OnceLock::new();

/// The words of an interface for advice.
type AdviceWords = fn(&Advice) -> String;

/// Sets format, least level and the words for advice for this process. Without these words a field of advice is left out.
pub fn configure(format: Format, least: Level, advice_words: AdviceWords) {
    FORMAT.store(format as u8, Ordering::Relaxed);
    LEAST.store(least as u8, Ordering::Relaxed);
    let _ = ADVICE_WORDS.set(advice_words);
}

/// Turns the log off: for simulations, in which things fail on purpose.
#[doc(hidden)]
pub fn silence() {
    LEAST.store(u8::MAX, Ordering::Relaxed);
}

/// Writes an event if its level is shown. Every event passes here, also one that is not shown.
pub fn write(event: &LogEvent<'_>) {
    let level = event.level();
    if (level as u8) < LEAST.load(Ordering::Relaxed) {
        return;
    }
    let (now_ms, name, fields) = (clock::wall_ms(), event.name(), event.fields());
    let line = if FORMAT.load(Ordering::Relaxed) == Format::Json as u8 {
        as_json(now_ms, level, name, &fields)
    } else {
        as_words(now_ms, level, name, &fields)
    };
    // One write per line, so that lines of several threads do not mix.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

/// The text of a value; `None` for advice in a process without words for it.
fn text_of<'v>(value: &'v Value<'_>) -> Option<Cow<'v, str>> {
    match value {
        Value::Number(number) => Some(number.to_string().into()),
        Value::Text(text) => Some(Cow::Borrowed(text)),
        Value::Advice(advice) => ADVICE_WORDS.get().map(|words| words(advice).into()),
    }
}

fn as_words(now_ms: i64, level: Level, name: &str, fields: &[Field<'_>]) -> String {
    let mut line = format!("{} {} event={name}", format_utc(now_ms), level.word());
    for (key, value) in fields {
        let Some(text) = text_of(value) else {
            continue;
        };
        let is_plain = !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '='));
        if is_plain {
            let _ = write!(line, " {key}={text}");
        } else {
            // JSON's escapes, plus all control characters for terminals.
            let _ = write!(line, " {key}=\"");
            escape(&mut line, &text);
            line.push('"');
        }
    }
    line.push('\n');
    line
}

fn as_json(now_ms: i64, level: Level, name: &str, fields: &[Field<'_>]) -> String {
    let mut line = format!(
        "{{\"time\":\"{}\",\"level\":\"{}\",\"event\":\"{name}\"",
        format_utc(now_ms),
        level.word()
    );
    for (key, value) in fields {
        let Some(text) = text_of(value) else {
            continue;
        };
        if let Value::Number(_) = value {
            let _ = write!(line, ",\"{key}\":{text}");
        } else {
            let _ = write!(line, ",\"{key}\":\"");
            escape(&mut line, &text);
            line.push('"');
        }
    }
    line.push_str("}\n");
    line
}

fn escape(line: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\t' => line.push_str("\\t"),
            // C0, DEL, C1 and the characters that change the direction of text.
            '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                let _ = write!(line, "\\u{:04x}", c as u32);
            }
            c => line.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves: as `no_text_of_the_database_acts_on_a_terminal`.
    #[test]
    fn hostile_text_stays_on_its_line() {
        let error = "bad\x1b[31m\n\u{202e}\"x\"";
        let fields = [
            ("run", Value::Number(7)),
            ("error", Value::Text(error.into())),
        ];
        let words = as_words(0, Level::Warn, "run_dead", &fields);
        assert_eq!(
            words,
            "1970-01-01T00:00:00.000Z warn event=run_dead run=7 error=\"bad\\u001b[31m\\n\\u202e\\\"x\\\"\"\n"
        );
        let json = as_json(0, Level::Warn, "run_dead", &fields);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["error"], error);
        assert_eq!(value["run"], 7);
    }
}
