//! Why a schedule or calendar is refused, and where.
//!
//! Rule: an offset is a byte offset inside the text of one field; the catalogue adds file, line and caret.

use std::fmt;
use std::ops::Range;

/// The key of the catalogue that an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the key of the same name")]
pub enum Field {
    Cron,
    Every,
    At,
    On,
    Adjust,
    Timezone,
    Clock,
    Gap,
    Fold,
    Start,
    End,
    Splay,
    Weekend,
    Holidays,
    HolidaysFile,
    Workdays,
}

impl Field {
    /// The key as it is written in the catalogue.
    pub fn key(self) -> &'static str {
        match self {
            Self::Cron => "cron",
            Self::Every => "every",
            Self::At => "at",
            Self::On => "on",
            Self::Adjust => "adjust",
            Self::Timezone => "timezone",
            Self::Clock => "clock",
            Self::Gap => "gap",
            Self::Fold => "fold",
            Self::Start => "start",
            Self::End => "end",
            Self::Splay => "splay",
            Self::Weekend => "weekend",
            Self::Holidays => "holidays",
            Self::HolidaysFile => "holidays_file",
            Self::Workdays => "workdays",
        }
    }
}

/// Why a schedule or calendar is refused, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError {
    /// The key whose value is wrong, or is missing.
    pub field: Field,
    /// For lists (`at`, `weekend`, `holidays`, `workdays`): the element, from 0.
    pub index: Option<usize>,
    /// The bytes of the field's text (or of the element) that are wrong; empty means all of it.
    pub span: Range<usize>,
    /// What is wrong: lower case, no final period.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl RuleError {
    /// An error about the whole value of `field`.
    pub fn new(field: Field, message: impl Into<String>) -> Self {
        Self {
            field,
            index: None,
            span: 0..0,
            message: message.into(),
            hint: None,
        }
    }

    /// Narrows the error to these bytes of the text.
    #[must_use]
    pub fn at(mut self, span: Range<usize>) -> Self {
        self.span = span;
        self
    }

    /// Names the element of a list.
    #[must_use]
    pub fn index(mut self, index: usize) -> Self {
        self.index = Some(index);
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RuleError {}
