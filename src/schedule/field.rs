//! Parses one field of a crontab line into a set of numbers.
//!
//! Rule: syntax that cron would silently interpret differently than it looks (wrapping ranges, `?`, a bare `L` as weekday) is refused
//! with a hint, at its byte.

use std::ops::Range;

use super::error::{Field, RuleError};

/// What a field may contain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// In messages.
    pub(super) name: &'static str,
    pub(super) min: u32,
    /// The largest number that may be written; 7 for weekdays, where 0 and 7 are Sunday.
    pub(super) max: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

pub(super) const SECOND: Kind = Kind {
    name: "second",
    min: 0,
    max: 59,
    names: &[],
};
pub(super) const MINUTE: Kind = Kind {
    name: "minute",
    min: 0,
    max: 59,
    names: &[],
};
pub(super) const HOUR: Kind = Kind {
    name: "hour",
    min: 0,
    max: 23,
    names: &[],
};
pub(super) const DAY: Kind = Kind {
    name: "day of month",
    min: 1,
    max: 31,
    names: &[],
};
pub(super) const MONTH: Kind = Kind {
    name: "month",
    min: 1,
    max: 12,
    names: &MONTHS,
};
pub(super) const WEEKDAY: Kind = Kind {
    name: "day of week",
    min: 0,
    max: 7,
    names: &DAYS,
};

/// A piece of the line with its place in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    pub(super) offset: usize,
}

impl<'a> Piece<'a> {
    pub(super) fn span(self) -> Range<usize> {
        self.offset..self.offset + self.text.len()
    }

    /// An error at this piece.
    pub(super) fn error(self, message: impl Into<String>) -> RuleError {
        RuleError::new(Field::Cron, message).at(self.span())
    }

    /// The parts between `separator`s.
    pub(super) fn split(self, separator: char) -> impl Iterator<Item = Piece<'a>> {
        let mut offset = self.offset;
        self.text.split(separator).map(move |text| {
            let piece = Piece { text, offset };
            offset += text.len() + separator.len_utf8();
            piece
        })
    }

    /// The parts before and after the first `separator`.
    fn cut(self, separator: char) -> Option<(Piece<'a>, Piece<'a>)> {
        let (before, after) = self.text.split_once(separator)?;
        let offset = self.offset + before.len() + separator.len_utf8();
        Some((
            Piece {
                text: before,
                offset: self.offset,
            },
            Piece {
                text: after,
                offset,
            },
        ))
    }
}

/// The numbers of a field, and how it was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    /// Bit n is set if n is in the set; 7 of the weekdays is bit 0.
    pub(super) bits: u64,
    /// The field starts with `*`: the flag that decides readings and OR or AND of the day fields.
    pub(super) starred: bool,
    /// An item is `*/n` with n above 1.
    pub(super) star_step: bool,
    /// An item has a step larger than the field.
    pub(super) long_step: bool,
}

/// Parses a field of plain numbers; `special` may take an item before (`L`, `15W`, `FRI#2`).
pub(super) fn parse<'a>(
    field: Piece<'a>,
    kind: Kind,
    mut special: impl FnMut(Piece<'a>) -> Result<bool, RuleError>,
) -> Result<Numbers, RuleError> {
    let mut numbers = Numbers {
        starred: field.text.starts_with('*'),
        ..Numbers::default()
    };
    for item in field.split(',') {
        if item.text.is_empty() {
            return Err(field
                .error(format!("the {} field has an empty item", kind.name))
                .hint("remove the superfluous comma"));
        }
        if !special(item)? {
            add_item(item, kind, &mut numbers)?;
        }
    }
    Ok(numbers)
}

/// Adds `*`, `a`, `a-b` and their steps.
fn add_item(item: Piece<'_>, kind: Kind, numbers: &mut Numbers) -> Result<(), RuleError> {
    let (base, step) = match item.cut('/') {
        Some((base, step)) => (base, Some(step)),
        None => (item, None),
    };
    let is_empty = |piece: Option<Piece<'_>>| piece.is_some_and(|piece| piece.text.is_empty());
    let ends = base.cut('-');
    if [
        Some(base),
        step,
        ends.map(|(low, _)| low),
        ends.map(|(_, high)| high),
    ]
    .into_iter()
    .any(is_empty)
    {
        return Err(lacks_number(item, kind));
    }
    let (low, high) = if base.text == "*" {
        (kind.min, kind.max)
    } else if let Some((low, high)) = ends {
        let (first, last) = (value(low, kind)?, value(high, kind)?);
        if first > last {
            return Err(wrapping(base, kind, first, last));
        }
        (first, last)
    } else {
        let first = value(base, kind)?;
        // `a/n` means `a-max/n`, as in cronie.
        (first, if step.is_some() { kind.max } else { first })
    };
    let step = match step {
        None => 1,
        Some(text) => match number(text.text) {
            Some(0) => {
                return Err(text
                    .error(format!(
                        "a step of 0 in the {} field never moves",
                        kind.name
                    ))
                    .hint("a step is at least 1"));
            }
            Some(step) => step,
            None => return Err(not_understood(text, kind)),
        },
    };
    numbers.star_step |= base.text == "*" && step > 1;
    numbers.long_step |= step > kind.max - kind.min && step > 1;
    for n in (low..=high).step_by(step as usize) {
        let bit = if kind.max == WEEKDAY.max { n % 7 } else { n };
        numbers.bits |= 1 << bit;
    }
    Ok(())
}

/// A number or name of this field.
pub(super) fn value(piece: Piece<'_>, kind: Kind) -> Result<u32, RuleError> {
    let named = kind
        .names
        .iter()
        .position(|name| name.eq_ignore_ascii_case(piece.text));
    if let Some(position) = named {
        return Ok(position as u32 + kind.min);
    }
    let Some(n) = number(piece.text) else {
        return Err(not_understood(piece, kind));
    };
    if n < kind.min || n > kind.max {
        let (min, max) = (kind.min, kind.max);
        let error = piece.error(format!("{} {n} does not exist", kind.name));
        return Err(error.hint(format!("the {} field goes from {min} to {max}", kind.name)));
    }
    Ok(n)
}

/// Digits only, and few enough to be a number of any field.
pub(super) fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.len() <= 6 && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

fn wrapping(base: Piece<'_>, kind: Kind, first: u32, last: u32) -> RuleError {
    let top = if kind.max == WEEKDAY.max { 6 } else { kind.max };
    let run = |from: u32, to: u32| {
        if from == to {
            from.to_string()
        } else {
            format!("{from}-{to}")
        }
    };
    // From Sunday as 7, all days are behind it.
    let hint = if first > top {
        format!("write `{}`", run(kind.min, last))
    } else {
        format!("write `{},{}`", run(first, top), run(kind.min, last))
    };
    let message = format!(
        "the range `{}` of the {} field runs backwards",
        base.text, kind.name
    );
    base.error(message).hint(hint)
}

/// An item such as `1-` or `#2`.
pub(super) fn lacks_number(item: Piece<'_>, kind: Kind) -> RuleError {
    let message = format!(
        "a number is missing in `{}` of the {} field",
        item.text, kind.name
    );
    item.error(message).hint(forms(kind))
}

/// What may be written.
fn forms(kind: Kind) -> String {
    format!(
        "a field is `*`, numbers from {} to {}{}, ranges `a-b`, steps `a-b/n`, joined by commas",
        kind.min,
        kind.max,
        if kind.names.is_empty() {
            ""
        } else {
            " or names"
        },
    )
}

fn not_understood(piece: Piece<'_>, kind: Kind) -> RuleError {
    let error = piece.error(format!(
        "cannot read `{}` in the {} field",
        piece.text, kind.name
    ));
    let lower = piece.text.to_ascii_lowercase();
    let by_name = kind
        .names
        .iter()
        .find(|name| lower.len() > 3 && lower.starts_with(&name.to_ascii_lowercase()));
    if let Some(name) = by_name {
        return error.hint(format!("names have three letters: `{name}`"));
    }
    match lower.as_bytes() {
        b"?" => error.hint("write `*`"),
        [b'h', ..] => error.hint("write a number, and use `splay` to spread starts"),
        _ if lower.contains('~') => error.hint("write a number, and use `splay` to spread starts"),
        _ => error.hint(forms(kind)),
    }
}
