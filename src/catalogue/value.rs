//! Typed access to one value: each accessor returns it, or adds an error at its place and returns `None`.
//!
//! Rule: a message names the key and the kind of value that is expected; it repeats user text only through `shown`.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::source::Place;
use crate::advice::Text;
use crate::error::{Error, nearest};
use crate::units::{self, shown};

/// A value, the name that messages call it, and its place.
#[derive(Debug, Clone)]
pub(super) struct Value<'a> {
    name: &'a str,
    pub(super) place: Place<'a>,
    raw: &'a DeValue<'a>,
}

/// A value, or the word `none`.
#[derive(Debug, Clone, Copy)]
pub(super) struct OrNone<T>(pub(super) Option<T>);

impl<'a> Value<'a> {
    /// The value of `name` in the table or list at `near`.
    pub(super) fn new(name: &'a str, near: Place<'a>, value: &'a Spanned<DeValue<'a>>) -> Self {
        let place = near.source.place(value.span());
        Self {
            name,
            place,
            raw: value.get_ref(),
        }
    }

    /// The name in messages.
    pub(super) fn name(&self) -> String {
        shown(self.name)
    }

    /// Adds the error that the value has the wrong type.
    pub(super) fn expected(&self, what: &str) {
        let given = match self.raw {
            DeValue::Integer(_) => "an integer",
            DeValue::Array(_) => "a list",
            DeValue::String(_) => "a string",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Table(_) => "a table",
        };
        self.place
            .error(format!("`{}` must be {what}, not {given}", self.name()), "");
    }

    /// Adds an error with the message and the hint of a parser.
    pub(super) fn wrong(&self, error: &Error) {
        // Parsers of values advise only how to write them.
        let hint = error.hint.as_ref().and_then(Text::plain);
        let hint = hint.unwrap_or_default();
        self.place
            .error(format!("`{}`: {}", self.name(), error.message), hint);
    }

    /// The string; `None`, without an error, for another type.
    pub(super) fn as_text(&self) -> Option<&'a str> {
        self.raw.as_str()
    }

    /// The integer and its base in the file; `None`, without an error, for another type.
    pub(super) fn as_integer(&self) -> Option<(Option<i64>, u32)> {
        let integer = self.raw.as_integer()?;
        Some((
            i64::from_str_radix(integer.as_str(), integer.radix()).ok(),
            integer.radix(),
        ))
    }

    /// Whether it is a list.
    pub(super) fn is_list(&self) -> bool {
        self.raw.is_array()
    }

    /// Whether it is a table.
    pub(super) fn is_table(&self) -> bool {
        self.raw.is_table()
    }

    /// Its entries, where it is a table; no complaint about its type otherwise.
    pub(super) fn as_table(&self) -> Option<&'a DeTable<'a>> {
        self.raw.as_table()
    }

    /// A string without NUL, which arguments, variables and paths cannot contain.
    pub(super) fn text(&self) -> Option<&'a str> {
        let Some(text) = self.as_text() else {
            self.expected("a string");
            return None;
        };
        if text.contains('\0') {
            self.place
                .error(format!("`{}` contains NUL", self.name()), "remove it");
            return None;
        }
        Some(text)
    }

    /// A string without NUL that is not empty.
    pub(super) fn filled_text(&self) -> Option<&'a str> {
        let text = self.text()?;
        if text.is_empty() {
            self.place.error(format!("`{}` is empty", self.name()), "");
            return None;
        }
        Some(text)
    }

    /// A TOML date or time, or a string that should be one, as text.
    pub(super) fn moment(&self, what: &str) -> Option<String> {
        match self.raw {
            DeValue::Datetime(moment) => Some(moment.to_string()),
            DeValue::String(_) => self.filled_text().map(str::to_owned),
            _ => {
                self.expected(what);
                None
            }
        }
    }

    /// The place of the bytes `span` of `text`, which is the value; the whole value if `span` is empty or escapes hide it.
    pub(super) fn piece(&self, text: &str, span: Range<usize>) -> Place<'a> {
        let found = self.place.raw().find(text);
        match found {
            Some(at) if !span.is_empty() && span.end <= text.len() => {
                self.place.part(at + span.start..at + span.end)
            }
            _ => self.place,
        }
    }

    /// A boolean.
    pub(super) fn boolean(&self) -> Option<bool> {
        let value = self.raw.as_bool();
        if value.is_none() {
            self.expected("`true` or `false`");
        }
        value
    }

    /// An integer from `min` to `max`.
    pub(super) fn integer(&self, min: i64, max: i64) -> Option<i64> {
        let Some((value, _)) = self.as_integer() else {
            self.expected(&format!("an integer from {min} to {max}"));
            return None;
        };
        let value = value.filter(|value| (min..=max).contains(value));
        if value.is_none() {
            self.place
                .error(format!("`{}` must be from {min} to {max}", self.name()), "");
        }
        value
    }

    /// A finite number from `min` to `max`, written with or without a point.
    pub(super) fn number(&self, min: f64, max: f64) -> Option<f64> {
        let value = match self.raw {
            DeValue::Integer(_) => self
                .as_integer()
                .and_then(|(value, _)| value)
                .map(|n| n as f64),
            DeValue::Float(float) => float.as_str().parse().ok(),
            _ => {
                self.expected("a number");
                return None;
            }
        };
        let value = value.filter(|value| (min..=max).contains(value));
        if value.is_none() {
            self.place
                .error(format!("`{}` must be from {min} to {max}", self.name()), "");
        }
        value
    }

    /// A duration in milliseconds.
    pub(super) fn duration(&self) -> Option<i64> {
        if let Some((Some(number), _)) = self.as_integer() {
            let hint = format!("add a unit: `\"{number}s\"`, `\"{number}m\"` or `\"{number}h\"`");
            self.place
                .error(format!("`{}` has no unit", self.name()), hint);
            return None;
        }
        let Some(text) = self.as_text() else {
            self.expected("a duration such as `\"30s\"`");
            return None;
        };
        units::parse_duration(text)
            .map_err(|error| self.wrong(&error))
            .ok()
    }

    /// A duration of at least a millisecond.
    pub(super) fn positive_duration(&self) -> Option<i64> {
        let ms = self.duration()?;
        if ms == 0 {
            self.place.error(
                format!("`{}` is zero", self.name()),
                "give a longer duration",
            );
            return None;
        }
        Some(ms)
    }

    /// A duration of at least a millisecond, or `"none"`.
    pub(super) fn duration_or_none(&self) -> Option<OrNone<i64>> {
        match self.as_text() {
            Some("none") => Some(OrNone(None)),
            _ => self.positive_duration().map(|ms| OrNone(Some(ms))),
        }
    }

    /// A size in bytes, at most `max`.
    pub(super) fn size(&self, max: u64) -> Option<u64> {
        let bytes = match (self.as_integer(), self.as_text()) {
            (Some((value, _)), _) => {
                let bytes = value.and_then(|n| u64::try_from(n).ok());
                if bytes.is_none() {
                    self.place
                        .error(format!("`{}` is not a size in bytes", self.name()), "");
                }
                bytes?
            }
            (_, Some(text)) => units::parse_size(text)
                .map_err(|error| self.wrong(&error))
                .ok()?,
            _ => {
                self.expected("a size such as `\"10M\"`");
                return None;
            }
        };
        if bytes > max {
            let max = units::format_size(max);
            self.place.error(
                format!("`{}` is over the maximum of {max}", self.name()),
                "",
            );
            return None;
        }
        Some(bytes)
    }

    /// One word of a vocabulary.
    pub(super) fn word<T: Copy>(&self, all: &[T], word: impl Fn(T) -> &'static str) -> Option<T> {
        let words: Vec<&str> = all.iter().map(|&value| word(value)).collect();
        let Some(text) = self.as_text() else {
            self.expected(&list(&words));
            return None;
        };
        let found = all.iter().copied().find(|&value| word(value) == text);
        if found.is_none() {
            let hint = match nearest(text, words.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("write {}", list(&words)),
            };
            self.place.error(
                format!("unknown value `{}` of `{}`", shown(text), self.name()),
                hint,
            );
        }
        found
    }

    /// The elements of a list.
    pub(super) fn list(&self) -> Option<Vec<Value<'a>>> {
        let Some(items) = self.raw.as_array() else {
            self.expected("a list");
            return None;
        };
        Some(
            items
                .iter()
                .map(|item| Value::new(self.name, self.place, item))
                .collect(),
        )
    }

    /// A list of strings; returns the valid ones with their places.
    pub(super) fn texts(&self) -> Option<Vec<(&'a str, Place<'a>)>> {
        let items = self.list()?;
        Some(
            items
                .iter()
                .filter_map(|item| Some((item.text()?, item.place)))
                .collect(),
        )
    }
}

/// `a`, `b` or `c`, each in backticks.
pub(super) fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
