//! Reads the lists of a calendar: weekdays by name, dates, the file of holidays.
//!
//! Rule: an error names the element (or the line) and its bytes; no element is skipped.

use chrono::{NaiveDate, Weekday};

use super::civil::parse_date;
use super::error::{Field, RuleError};
use crate::error::nearest;

/// Short and full names, from Monday.
pub(super) const WEEKDAYS: [(&str, &str); 7] = [
    ("mon", "monday"),
    ("tue", "tuesday"),
    ("wed", "wednesday"),
    ("thu", "thursday"),
    ("fri", "friday"),
    ("sat", "saturday"),
    ("sun", "sunday"),
];

/// The weekday of a short or full English name, in any case.
pub(super) fn weekday_named(name: &str) -> Option<Weekday> {
    let position = WEEKDAYS.iter().position(|(short, full)| {
        short.eq_ignore_ascii_case(name) || full.eq_ignore_ascii_case(name)
    })?;
    Weekday::try_from(position as u8).ok()
}

/// The bits of weekdays by name; at least one day must be left.
pub(super) fn weekend_bits(names: &[String]) -> Result<u8, RuleError> {
    let mut bits = 0;
    for (index, name) in names.iter().enumerate() {
        let Some(day) = weekday_named(name.trim()) else {
            let error =
                RuleError::new(Field::Weekend, format!("`{name}` is not a day of the week"))
                    .index(index)
                    .at(0..name.len());
            let known = WEEKDAYS.iter().flat_map(|(short, full)| [*full, *short]);
            let hint = nearest(name, known).unwrap_or("sat");
            return Err(error.hint(format!("write it like `{hint}`")));
        };
        bits |= 1 << day.num_days_from_monday();
    }
    if bits == 0x7f {
        let error = RuleError::new(Field::Weekend, "no day of the week is worked");
        return Err(error.hint("leave at least one day out of `weekend`"));
    }
    Ok(bits)
}

/// The dates of a list.
pub(super) fn dates(field: Field, texts: &[String]) -> Result<Vec<NaiveDate>, RuleError> {
    let parse = |(index, text): (usize, &String)| {
        parse_date(text).map_err(|message| {
            RuleError::new(field, message)
                .index(index)
                .at(0..text.len())
        })
    };
    texts.iter().enumerate().map(parse).collect()
}

/// The dates of a `holidays_file`; an error's index is the line from 0, its span is inside the whole text.
pub(super) fn dates_of_file(text: &str) -> Result<Vec<NaiveDate>, RuleError> {
    let mut dates = Vec::new();
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut offset = text.len() - body.len();
    for (index, line) in body.split('\n').enumerate() {
        let content = line.split('#').next().unwrap_or("");
        let date = content.trim();
        let lead = content.len() - content.trim_start().len();
        if !date.is_empty() {
            let start = offset + lead;
            dates.push(parse_date(date).map_err(|message| {
                RuleError::new(Field::HolidaysFile, message)
                    .index(index)
                    .at(start..start + date.len())
                    .hint("one ISO date per line; `#` starts a comment")
            })?);
        }
        offset += line.len() + 1;
    }
    Ok(dates)
}
