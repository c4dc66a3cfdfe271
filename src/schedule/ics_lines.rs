//! The content lines of an iCalendar file, unfolded, each with its place in the file.
//!
//! Rule: nothing is interpreted here, and no line is dropped except empty ones.

use std::fmt;

/// Why a file is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IcsError {
    /// From 1; where the content line begins.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for IcsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for IcsError {}

/// An error at a line.
pub(super) fn fail<T>(line: usize, message: impl Into<String>) -> Result<T, IcsError> {
    Err(IcsError {
        line,
        message: message.into(),
    })
}

/// `NAME;PARAMETERS:VALUE`, unfolded.
pub(super) struct Content {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) parameters: String,
    pub(super) value: String,
}

/// The content lines: a line that begins with a blank continues the one before.
pub(super) fn contents(text: &str) -> Result<Vec<Content>, IcsError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut unfolded: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        match (line.strip_prefix([' ', '\t']), unfolded.last_mut()) {
            (Some(more), Some((_, before))) => before.push_str(more),
            _ if line.trim().is_empty() => {}
            _ => unfolded.push((index + 1, line.to_owned())),
        }
    }
    let parse = |(line, content): (usize, String)| {
        // A colon inside quotes belongs to a parameter.
        let mut quoted = false;
        let colon = content.find(|c| {
            quoted ^= c == '"';
            c == ':' && !quoted
        });
        let Some(colon) = colon else {
            return fail(line, "not a line of an iCalendar file");
        };
        let (head, value) = (&content[..colon], &content[colon + 1..]);
        let (name, parameters) = head.split_once(';').unwrap_or((head, ""));
        Ok(Content {
            line,
            name: name.trim().to_ascii_uppercase(),
            parameters: parameters.to_owned(),
            value: value.trim().to_owned(),
        })
    };
    unfolded.into_iter().map(parse).collect()
}
