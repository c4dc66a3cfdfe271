//! `[calendar.*]`: weekend, holidays and make-up days, as lists or from a file beside the catalogue.
//!
//! Rule: every wrong entry is told, not only the first; a holidays file is trusted no more than the catalogue itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::reader::{Entry, Table};
use super::settings::Context;
use super::source::{Place, Source};
use super::value::Value;
use super::{file, keys};
use crate::schedule::{Calendar, CalendarSpec, Field, RuleError};

const DATE: &str = "a date such as `2026-01-31`";

/// All calendars by name; one with mistakes is there without them, so that no schedule is told that it is missing.
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

/// The elements of a list of texts or dates, and where they stand.
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

    /// Complains about one element and takes it out.
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
                    context.adopt(source);
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
        let told = match (error.index, list) {
            (Some(index), Some(list)) => list.refuse(index, &error),
            _ => false,
        };
        if told {
            continue;
        }
        match (&source, &mut text) {
            (Some(source), Some(text)) if error.field == Field::HolidaysFile => {
                refuse_line(source.place(error.span.clone()), text, &error);
            }
            _ => {
                // About a list as a whole: six days off are fine, seven are not.
                let place = table
                    .get(error.field.key())
                    .map_or(table.place, |v| v.place);
                place.error(&error.message, error.hint.as_deref().unwrap_or_default());
                weekend = None;
            }
        }
    }
}

/// Complains about a date of the file and blanks it out.
fn refuse_line(place: Place<'_>, text: &mut String, error: &RuleError) {
    place.error(&error.message, error.hint.as_deref().unwrap_or_default());
    let span = error.span.clone();
    match text.get(span.clone()) {
        Some(wrong) if !wrong.is_empty() => {
            text.replace_range(span.clone(), &" ".repeat(span.len()));
        }
        // Cannot happen; better no file than no end.
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
