//! Day rules: `first business day of month`, `day 15 of month`, `every business day`.
//!
//! Rule: a rule of a unit gives at most one day for each unit, in the order of units, for every `adjust`.

use std::fmt::Write as _;

use super::calendar_lists::weekday_named;
use super::error::{Field, RuleError};
use super::unit::{Adjust, Counted, Unit};
use crate::error::nearest;

/// The day rule of `on` and `adjust`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DayRule {
    /// Narrows the days and does not change the key.
    EveryBusinessDay,
    /// One day of each unit; the key names the unit and the ordinal.
    OfUnit(OfUnit),
}

/// The `ordinal`-th day of a kind in each unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OfUnit {
    pub(super) unit: Unit,
    pub(super) counted: Counted,
    /// Not 0; negative counts from the end.
    pub(super) ordinal: i32,
    pub(super) adjust: Adjust,
}

impl OfUnit {
    /// Appends `bd1`, `mon-1` or `d15`.
    pub(super) fn write(self, out: &mut String) {
        match self.counted {
            Counted::BusinessDay => out.push_str("bd"),
            Counted::Day => out.push('d'),
            Counted::Weekday(day) => out.push_str(&day.to_string().to_ascii_lowercase()),
        }
        let _ = write!(out, "{}", self.ordinal);
    }
}

const ORDINALS: [&str; 12] = [
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth",
];
const EXAMPLES: &str = "write it like `first business day of month`, `business day -2 of quarter`, \
    `second monday of month`, `day 15 of month`, `last day of month` or `every business day`";

/// Parses `on` together with `adjust`.
pub(super) fn parse(on: Option<&str>, adjust: Option<&str>) -> Result<Option<DayRule>, RuleError> {
    let adjust = adjust.map(parse_adjust).transpose()?;
    let Some(text) = on else {
        return match adjust {
            None | Some(Adjust::None) => Ok(None),
            Some(_) => Err(RuleError::new(Field::Adjust, "`adjust` needs a day rule")
                .hint("add `on = \"day 15 of month\"`")),
        };
    };
    let mut rule = parse_on(text)?;
    match (&mut rule, adjust.unwrap_or_default()) {
        (_, Adjust::None) => {}
        (DayRule::OfUnit(of), adjust) if of.counted != Counted::BusinessDay => of.adjust = adjust,
        _ => {
            return Err(RuleError::new(
                Field::Adjust,
                "`adjust` contradicts a rule of business days: they need no adjusting",
            )
            .hint("remove `adjust`, or write `on = \"day 15 of month\"`"));
        }
    }
    Ok(Some(rule))
}

fn parse_adjust(text: &str) -> Result<Adjust, RuleError> {
    let known = Adjust::WORDS.iter().find(|(name, _)| *name == text);
    known.map(|(_, adjust)| *adjust).ok_or_else(|| {
        let error = RuleError::new(Field::Adjust, format!("unknown adjustment `{text}`"));
        let hint = match nearest(text, Adjust::WORDS.iter().map(|(name, _)| *name)) {
            Some(close) => format!("did you mean `{close}`?"),
            None => "use none, following, preceding, modified-following or modified-preceding"
                .to_owned(),
        };
        error.at(0..text.len()).hint(hint)
    })
}

/// The words of a day rule, with their places.
struct Words<'a> {
    text: &'a str,
    list: Vec<(usize, &'a str)>,
    next: usize,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Self {
        let list = text
            .split_whitespace()
            // Both are slices of the same text.
            .map(|word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
            .collect();
        Self {
            text,
            list,
            next: 0,
        }
    }

    fn peek(&self) -> &'a str {
        self.list.get(self.next).map_or("", |(_, word)| word)
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.peek().eq_ignore_ascii_case(word);
        self.next += usize::from(found);
        found
    }

    /// An error at the next word, or after the last one.
    fn error(&self, message: impl Into<String>) -> RuleError {
        let end = self.text.len();
        let span = self
            .list
            .get(self.next)
            .map_or(end..end, |(at, word)| *at..*at + word.len());
        RuleError::new(Field::On, message).at(span)
    }

    fn unexpected(&self, wanted: &str) -> RuleError {
        let found = match self.peek() {
            "" => "the end".to_owned(),
            word => format!("`{word}`"),
        };
        self.error(format!("expected {wanted}, found {found}"))
            .hint(EXAMPLES)
    }
}

fn parse_on(text: &str) -> Result<DayRule, RuleError> {
    let mut words = Words::new(text);
    if words.take("every") {
        return if words.take("business") && words.take("day") && words.peek().is_empty() {
            Ok(DayRule::EveryBusinessDay)
        } else {
            Err(words.unexpected("`every business day`"))
        };
    }
    words.take("the");
    let before = words.next;
    let mut ordinal = take_ordinal(&mut words)?;
    let counted = take_counted(&mut words)?;
    let mut ordinal_at = before;
    if ordinal.is_none() {
        ordinal_at = words.next;
        ordinal = take_ordinal(&mut words)?;
    }
    let Some(ordinal) = ordinal else {
        return Err(words.unexpected("a number, such as `first`, `3` or `-1`"));
    };
    if !(words.take("of") || words.take("in")) {
        return Err(words.unexpected("`of`"));
    }
    let _ = words.take("each") || words.take("every") || words.take("the");
    let units = [Unit::Week, Unit::Month, Unit::Quarter, Unit::Year];
    let Some(unit) = units.into_iter().find(|unit| words.take(unit.word())) else {
        return Err(words.unexpected("`week`, `month`, `quarter` or `year`"));
    };
    if !words.peek().is_empty() {
        return Err(words.unexpected("nothing more"));
    }
    let most = match counted {
        Counted::Weekday(_) => (unit.max_days() + 6) / 7,
        _ => unit.max_days(),
    };
    if ordinal.abs() > most {
        words.next = ordinal_at;
        let error = words.error(format!(
            "no {} has {} of these days",
            unit.word(),
            ordinal.abs()
        ));
        return Err(error.hint(format!("the number goes up to {most}")));
    }
    Ok(DayRule::OfUnit(OfUnit {
        unit,
        counted,
        ordinal,
        adjust: Adjust::None,
    }))
}

/// `first`, `2nd`, `3`, `-2`, `last`.
fn take_ordinal(words: &mut Words<'_>) -> Result<Option<i32>, RuleError> {
    let word = words.peek().to_ascii_lowercase();
    let by_word = ORDINALS.iter().position(|known| *known == word);
    let ordinal = if word == "last" {
        -1
    } else if let Some(position) = by_word {
        position as i32 + 1
    } else {
        let digits = ["st", "nd", "rd", "th"]
            .iter()
            .find_map(|suffix| word.strip_suffix(suffix))
            .unwrap_or(&word);
        let unsigned = digits.strip_prefix('-').unwrap_or(digits);
        if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(None);
        }
        match digits.parse::<i32>() {
            Ok(n) if n != 0 && n.abs() <= 366 => n,
            _ => {
                let error = words.error(format!("there is no day number {digits}"));
                return Err(error.hint("count from 1, or from the end with -1"));
            }
        }
    };
    words.next += 1;
    Ok(Some(ordinal))
}

fn take_counted(words: &mut Words<'_>) -> Result<Counted, RuleError> {
    if words.take("business") {
        return if words.take("day") {
            Ok(Counted::BusinessDay)
        } else {
            Err(words.unexpected("`day`"))
        };
    }
    if words.take("day") {
        return Ok(Counted::Day);
    }
    if let Some(weekday) = weekday_named(words.peek()) {
        words.next += 1;
        return Ok(Counted::Weekday(weekday));
    }
    Err(words.unexpected("`business day`, `day` or a day of the week"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(text: &str) -> String {
        match parse(Some(text), None).unwrap().unwrap() {
            DayRule::EveryBusinessDay => "every".to_owned(),
            DayRule::OfUnit(of) => {
                let mut out = format!("{}/", of.unit.word());
                of.write(&mut out);
                out
            }
        }
    }

    #[test]
    fn ordinals_are_words_or_numbers() {
        let cases = [
            ("first business day of month", "month/bd1"),
            ("business day -2 of quarter", "quarter/bd-2"),
            ("2nd monday of month", "month/mon2"),
            ("last Fri of year", "year/fri-1"),
            ("day 15 of month", "month/d15"),
            ("last day of month", "month/d-1"),
            ("the -3 business day of each week", "week/bd-3"),
            ("  every   business day ", "every"),
        ];
        for (text, want) in cases {
            assert_eq!(short(text), want, "{text}");
        }
    }

    #[test]
    fn errors_point_at_the_word() {
        let cases = [
            ("first busines day of month", 6..13),
            ("day 32 of month", 4..6),
            ("sixth monday of month", 0..5),
            ("day 0 of month", 4..5),
            ("day -0 of month", 4..6),
            ("first day of fortnight", 13..22),
            ("first day of", 12..12),
            ("day of month", 4..6),
            ("every day", 6..9),
            ("", 0..0),
            ("first day of month please", 19..25),
            ("day 99999999999 of month", 4..15),
        ];
        for (text, span) in cases {
            assert_eq!(parse(Some(text), None).unwrap_err().span, span, "{text}");
        }
        assert!(parse(Some("first business day of month"), Some("following")).is_err());
        assert!(parse(None, Some("following")).is_err());
        assert!(parse(Some("day 1 of month"), Some("folowing")).is_err());
    }
}
