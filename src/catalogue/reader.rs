//! Tables of the parsed TOML, and checks of their keys.
//!
//! Rule: a table is opened with the list of its known keys (`keys`), so no key is silently ignored.

use toml::Spanned;
use toml::de::DeTable;

use super::source::Place;
use super::value::{Value, list};
use crate::error::nearest;
use crate::units::shown;

/// A table and its place.
#[derive(Debug, Clone)]
pub(super) struct Table<'a> {
    pub(super) place: Place<'a>,
    pub(super) entries: &'a DeTable<'a>,
}

/// One entry of a table.
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    /// Place of the key.
    pub(super) place: Place<'a>,
    pub(super) value: Value<'a>,
}

/// What to use instead of a key that an earlier version had.
fn removed_key(owner: &str, key: &str) -> Option<&'static str> {
    match (owner, key) {
        ("`store`", "group") => {
            Some("a store belongs to one user: other users call `sudo -u OWNER jobctl`")
        }
        _ => None,
    }
}

impl<'a> Table<'a> {
    /// The whole document.
    pub(super) fn root(place: Place<'a>, table: &'a Spanned<DeTable<'a>>) -> Self {
        Self {
            place,
            entries: table.get_ref(),
        }
    }

    /// Reports keys that are not in `known`; `owner` names the table in the message.
    pub(super) fn check_keys(&self, known: &[&str], owner: &str) {
        for entry in self.entries() {
            if known.contains(&entry.key) {
                continue;
            }
            let hint = match (
                removed_key(owner, entry.key),
                nearest(entry.key, known.iter().copied()),
            ) {
                (Some(instead), _) => instead.to_owned(),
                (None, Some(near)) => format!("did you mean `{near}`?"),
                (None, None) => format!("{owner} has {}", list(known)),
            };
            entry
                .place
                .error(format!("unknown key `{}`", shown(entry.key)), hint);
        }
    }

    /// All entries, in the order of the file.
    pub(super) fn entries(&self) -> Vec<Entry<'a>> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
            .into_iter()
            .map(|(key, value)| Entry {
                key: key.get_ref(),
                place: self.place.source.place(key.span()),
                value: Value::new(key.get_ref(), self.place, value),
            })
            .collect()
    }

    /// The entry of this key; `None` if it is not given.
    pub(super) fn entry(&self, key: &str) -> Option<Entry<'a>> {
        let (key, value) = self.entries.get_key_value(key)?;
        Some(Entry {
            key: key.get_ref(),
            place: self.place.source.place(key.span()),
            value: Value::new(key.get_ref(), self.place, value),
        })
    }

    /// The value of this key; `None` if it is not given.
    pub(super) fn get(&self, key: &str) -> Option<Value<'a>> {
        let (key, value) = self.entries.get_key_value(key)?;
        Some(Value::new(key.get_ref(), self.place, value))
    }

    /// The table of this key, with its keys checked; `None` if it is not given or not a table.
    pub(super) fn table(&self, key: &str, known: &[&str]) -> Option<Table<'a>> {
        let value = self.get(key)?;
        let table = value.table()?;
        table.check_keys(known, &format!("`{key}`"));
        Some(table)
    }
}

impl<'a> Value<'a> {
    /// A table, whose keys are not checked yet.
    pub(super) fn table(&self) -> Option<Table<'a>> {
        let Some(entries) = self.as_table() else {
            self.expected("a table");
            return None;
        };
        Some(Table {
            place: self.place,
            entries,
        })
    }
}
