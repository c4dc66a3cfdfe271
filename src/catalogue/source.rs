//! One file of the catalogue: its text, places in it, and complaints about them.
//!
//! Rule: a complaint is made from a byte range of the text, so that line, column and caret always agree.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::DeTable;

use super::complaint::{Complaint, Excerpt, Level};

/// Largest number of complaints about one file: an arbitrary file would have millions.
const COMPLAINTS_MAX: usize = 100;

/// Longest part of a line that is shown, characters.
const EXCERPT_MAX: usize = 160;

/// A file that was read.
#[derive(Debug)]
pub(super) struct Source {
    /// The path as given.
    pub(super) shown: String,
    /// Whether this is the main file, not one of `jobs.d`.
    pub(super) is_main: bool,
    text: String,
    line_starts: Vec<usize>,
    /// Lines with a syntax error: further complaints about them would be misleading.
    broken_lines: RefCell<BTreeSet<usize>>,
    complaints: RefCell<Vec<Complaint>>,
}

impl Source {
    /// From the bytes of a file. Invalid UTF-8 is an error, and the file counts as empty.
    pub(super) fn new(path: &Path, is_main: bool, bytes: Vec<u8>) -> Self {
        let shown = path.display().to_string();
        let bytes = match bytes.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) => rest.to_vec(),
            None => bytes,
        };
        let (text, bad_at) = match String::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                (
                    String::from_utf8_lossy(error.as_bytes()).into_owned(),
                    Some(at),
                )
            }
        };
        let breaks = text
            .bytes()
            .enumerate()
            .filter(|(_, b)| *b == b'\n')
            .map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(breaks).collect();
        let complaints = RefCell::default();
        let broken_lines = RefCell::default();
        let mut source = Self {
            shown,
            is_main,
            text,
            line_starts,
            broken_lines,
            complaints,
        };
        if let Some(at) = bad_at {
            source
                .place(at..at + 1)
                .error("the file is not UTF-8", "save it as UTF-8");
            source.text.clear();
        }
        source
    }

    /// Parses as much as possible, and reports the syntax errors.
    pub(super) fn parse(&self) -> Spanned<DeTable<'_>> {
        let (table, errors) = DeTable::parse_recoverable(&self.text);
        for error in errors.iter().take(10 * COMPLAINTS_MAX) {
            let place = self.place(error.span().unwrap_or(0..0));
            let (message, hint) = self.syntax_words(place, error.message());
            place.error(message, hint);
            self.broken_lines
                .borrow_mut()
                .insert(self.line_of(place.start));
        }
        table
    }

    /// Whether there is any complaint of level error.
    pub(super) fn has_errors(&self) -> bool {
        self.complaints
            .borrow()
            .iter()
            .any(|c| c.level == Level::Error)
    }

    /// All complaints, in the order of the file.
    pub(super) fn into_complaints(self) -> Vec<Complaint> {
        let mut complaints = self.complaints.into_inner();
        complaints.sort_by_key(|c| (c.line, c.column));
        complaints
    }

    /// The text, without a byte order mark.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The place of a byte range.
    pub(super) fn place(&self, span: Range<usize>) -> Place<'_> {
        Place {
            source: self,
            start: span.start,
            end: span.end,
        }
    }

    fn complain(&self, level: Level, span: Range<usize>, message: String, hint: Option<String>) {
        let start = self.boundary(span.start);
        let line = self.line_of(start);
        if self.broken_lines.borrow().contains(&line) {
            return;
        }
        let line_start = self.line_starts[line - 1];
        let content = self.text[line_start..]
            .split('\n')
            .next()
            .unwrap_or_default();
        let content = content.strip_suffix('\r').unwrap_or(content);
        let before = self.text[line_start..start].chars().count();
        let end = self
            .boundary(span.end)
            .clamp(start, (line_start + content.len()).max(start));
        let marked = self.text[start..end].chars().count();
        // Of a very long line, only the part around the place.
        let skip = if before > EXCERPT_MAX / 2 {
            before - EXCERPT_MAX / 4
        } else {
            0
        };
        let text: String = content.chars().skip(skip).take(EXCERPT_MAX).collect();
        let indent = before - skip;
        let width = marked.clamp(1, (EXCERPT_MAX - indent).max(1));
        let complaint = Complaint {
            check: "catalogue",
            level,
            file: self.shown.clone(),
            line: Some(line),
            column: Some(before + 1),
            message,
            hint,
            excerpt: Some(Excerpt {
                text,
                indent,
                width,
            }),
        };
        let mut complaints = self.complaints.borrow_mut();
        // A wrong default is found again for each job that inherits it.
        if complaints.contains(&complaint) {
            return;
        }
        if complaints.len() < COMPLAINTS_MAX {
            complaints.push(complaint);
        } else if level == Level::Error
            && let Some(warning) = complaints.iter_mut().rfind(|it| it.level != Level::Error)
        {
            *warning = complaint;
        }
    }

    /// The message of the parser in lower case, or a better one for frequent errors, with a hint.
    fn syntax_words(&self, place: Place<'_>, message: &str) -> (String, &'static str) {
        let (start, end) = (self.boundary(place.start), self.boundary(place.end));
        if message.contains("string values must be quoted") {
            let written = self.text.get(start..end).unwrap_or_default().trim();
            return if written.is_empty() {
                (
                    "a value is missing".to_owned(),
                    "write one, or remove the key",
                )
            } else {
                (
                    "a string has no quotes".to_owned(),
                    "put the value in quotes",
                )
            };
        }
        let hint = if message.contains("duplicate key") {
            "keep one of the two"
        } else {
            ""
        };
        let mut chars = message.chars();
        let first: String = chars
            .next()
            .into_iter()
            .flat_map(char::to_lowercase)
            .collect();
        (first + chars.as_str(), hint)
    }

    /// Number of the line, from 1, that holds this byte.
    fn line_of(&self, at: usize) -> usize {
        self.line_starts
            .partition_point(|&start| start <= at)
            .max(1)
    }

    /// The nearest character boundary at or before `at`.
    fn boundary(&self, at: usize) -> usize {
        let at = at.min(self.text.len());
        (0..=at)
            .rev()
            .find(|&at| self.text.is_char_boundary(at))
            .unwrap_or(0)
    }
}

/// A byte range of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) source: &'a Source,
    start: usize,
    end: usize,
}

impl<'a> Place<'a> {
    /// The text of this range.
    pub(super) fn raw(&self) -> &'a str {
        self.source
            .text
            .get(self.start..self.end)
            .unwrap_or_default()
    }

    /// A part of this range, relative to its beginning.
    pub(super) fn part(&self, span: Range<usize>) -> Self {
        self.source
            .place(self.start + span.start..self.start + span.end)
    }

    /// Adds an error: the catalogue cannot be used. An empty hint is omitted.
    pub(super) fn error(&self, message: impl Into<String>, hint: impl Into<String>) {
        self.complain(Level::Error, message.into(), hint.into());
    }

    /// Adds a warning about something that is probably not intended.
    pub(super) fn warning(&self, message: impl Into<String>, hint: impl Into<String>) {
        self.complain(Level::Warning, message.into(), hint.into());
    }

    /// `file:line`, to refer to this place in a complaint about another one.
    pub(super) fn named(&self) -> String {
        format!("{}:{}", self.source.shown, self.source.line_of(self.start))
    }

    fn complain(&self, level: Level, message: String, hint: String) {
        let hint = Some(hint).filter(|hint| !hint.is_empty());
        self.source
            .complain(level, self.start..self.end, message, hint);
    }
}
