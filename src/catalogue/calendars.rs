//! `[calendar.*]`: weekend, holidays and make-up days, as lists or from a file beside the catalogue.
//!
//! Rule: all wrong entries are reported, not only the first; a holidays file passes the same ownership checks as the catalogue.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::reader::{Entry, Table};
use super::settings::Context;
use super::source::{Place, Source};
use super::value::Value;
use super::{file, keys};
use crate::schedule::{Calendar, CalendarSpec, Field, RuleError};

const DATE: &str = "a date such as `2026-01-31`";

/// All calendars by name. One with errors is included without the wrong entries, so that it is not also reported as unknown.
pub(super) fn calendars(
    sections: &[Entry<'_>],
    context: &Context,
) -> BTreeMap<String, Arc<Calendar>> {
    let calendar = |entry: &Entry<'_>| {
        let table = entry.value.table()?;
        table.check_keys(keys::CALENDAR, "a calendar");
        let calendar = calendar(entry.key, &table, context);
        Some((entry.key.to_owned(), Arc::new(calendar)))
    };
    sections.iter().filter_map(calendar).collect()
}

/// The elements of a list of texts or dates, and their places.
struct List<'a> {
    texts: Vec<String>,
    items: Vec<Value<'a>>,
}

impl<'a> List<'a> {
    fn read(table: &Table<'a>, key: &str, what: &str) -> Option<Self> {
        let items = table.get(key)?.list()?;
        let (texts, items) = items
            .into_iter()
            .filter_map(|item| Some((item.moment(what)?, item)))
            .unzip();
        Some(Self { texts, items })
    }

    /// Reports one element and removes it; `false` if there is no such element.
    fn refuse(&mut self, index: usize, error: &RuleError) -> bool {
        if index >= self.items.len() {
            return false;
        }
        let item = self.items.remove(index);
        let text = self.texts.remove(index);
        let hint = error.hint.as_deref().unwrap_or_default();
        item.piece(&text, error.span.clone())
            .error(&error.message, hint);
        true
    }
}

fn calendar(name: &str, table: &Table<'_>, context: &Context) -> Calendar {
    let mut weekend = List::read(table, "weekend", "a day such as `\"sat\"`");
    let mut holidays = List::read(table, "holidays", DATE);
    let mut workdays = List::read(table, "workdays", DATE);
    let source = table
        .get("holidays_file")
        .and_then(|value| holidays_file(&value, context));
    let mut text = source.as_ref().map(|source| source.text().to_owned());
    loop {
        let texts = |list: &Option<List<'_>>| list.as_ref().map(|list| list.texts.clone());
        let spec = CalendarSpec {
            name: name.to_owned(),
            weekend: texts(&weekend),
            holidays: texts(&holidays).unwrap_or_default(),
            holidays_file: text.clone(),
            workdays: texts(&workdays).unwrap_or_default(),
        };
        let error = match Calendar::new(&spec) {
            Ok(calendar) => {
                if let Some(source) = source {
                    context.add_file_complaints(source);
                }
                return calendar;
            }
            Err(error) => error,
        };
        let list = match error.field {
            Field::Weekend => &mut weekend,
            Field::Holidays => &mut holidays,
            Field::Workdays => &mut workdays,
            _ => &mut None,
        };
        let reported = match (error.index, list) {
            (Some(index), Some(list)) => list.refuse(index, &error),
            _ => false,
        };
        if reported {
            continue;
        }
        match (&source, &mut text) {
            (Some(source), Some(text)) if error.field == Field::HolidaysFile => {
                refuse_line(source.place(error.span.clone()), text, &error);
            }
            _ => {
                // An error of the list as a whole: no day of the week is left.
                let place = table
                    .get(error.field.key())
                    .map_or(table.place, |v| v.place);
                place.error(&error.message, error.hint.as_deref().unwrap_or_default());
                weekend = None;
            }
        }
    }
}

/// Reports a date of the file and overwrites it with blanks.
fn refuse_line(place: Place<'_>, text: &mut String, error: &RuleError) {
    place.error(&error.message, error.hint.as_deref().unwrap_or_default());
    let span = error.span.clone();
    match text.get(span.clone()) {
        Some(wrong) if !wrong.is_empty() => {
            text.replace_range(span.clone(), &" ".repeat(span.len()));
        }
        // Cannot happen; an empty text ends the loop.
        _ => text.clear(),
    }
}

fn holidays_file(value: &Value<'_>, context: &Context) -> Option<Source> {
    let path = context.path(value.filled_text()?);
    match file::read_beside(&path) {
        Ok(bytes) => Some(Source::new(&path, false, bytes)),
        Err(refused) => {
            let hint = refused.hint.unwrap_or_default();
            let hint = hint.replace(
                "write it, or name another one with `--catalogue`",
                "write it: one ISO date per line",
            );
            value.place.error(refused.message, hint);
            None
        }
    }
}
