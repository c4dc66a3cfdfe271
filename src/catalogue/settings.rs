//! `[defaults] timezone`, `[store]` and `[worker]`, and the context that all readers of sections share.
//!
//! Rule: missing keys get the default of the manual; each default is written once, here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono_tz::Tz;

use super::complaint::Complaint;
use super::reader::{Entry, Table};
use super::source::{Place, Source};
use super::value::{OrNone, Value};
use super::{Retention, StoreSettings, WorkerSettings, keys};
use crate::error::nearest;
use crate::schedule::Zones;
use crate::units::{SIZE_MAX, shown};

/// Default free space below which enqueues are refused, bytes: workers still have to write results, and the operator to log in.
const MIN_FREE: u64 = 1 << 30;

/// The smallest `max_size`, bytes.
const SIZE_MIN: u64 = 1 << 20;
const RETENTION_AGE_MS: i64 = 30 * 86_400_000;
const STOP_AFTER_MS: i64 = 30_000;

/// What the readers of all sections share.
#[derive(Debug)]
pub(super) struct Context {
    /// Directory of the main file, absolute; relative paths start here.
    pub(super) base: PathBuf,
    /// Whether there was a syntax error: then nothing is reported as missing, because it may be in the broken part.
    pub(super) broken: bool,
    /// The time zone data.
    pub(super) zones: Arc<Zones>,
    /// The present time for warnings that look ahead, milliseconds; `None` if warnings are not wanted.
    pub(super) now_ms: Option<i64>,
    /// Complaints about files that the catalogue refers to.
    file_complaints: RefCell<Vec<Complaint>>,
    /// Suggestions for unknown names, by kind and name: many jobs can inherit the same unknown name.
    suggestions: RefCell<BTreeMap<(&'static str, String), Option<String>>>,
}

/// Largest number of unknown names that get a suggestion: each search reads all known names.
const SUGGESTIONS_MAX: usize = 100;

impl Context {
    /// For a catalogue in this directory.
    pub(super) fn new(base: PathBuf, broken: bool, zones: Arc<Zones>, now_ms: Option<i64>) -> Self {
        Self {
            base,
            broken,
            zones,
            now_ms,
            file_complaints: RefCell::default(),
            suggestions: RefCell::default(),
        }
    }

    /// The known name of this kind that is most similar to an unknown one; searched once for each name.
    pub(super) fn nearest<'k>(
        &self,
        kind: &'static str,
        name: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) -> Option<String> {
        let mut suggestions = self.suggestions.borrow_mut();
        let key = (kind, name.to_owned());
        if let Some(found) = suggestions.get(&key) {
            return found.clone();
        }
        if suggestions.len() >= SUGGESTIONS_MAX {
            return None;
        }
        let found = nearest(name, known).map(str::to_owned);
        suggestions.insert(key, found.clone());
        found
    }

    /// Adds the complaints about a file that the catalogue refers to.
    pub(super) fn add_file_complaints(&self, source: Source) {
        self.file_complaints
            .borrow_mut()
            .extend(source.into_complaints());
    }

    /// The complaints about the files that the catalogue refers to.
    pub(super) fn into_file_complaints(self) -> Vec<Complaint> {
        self.file_complaints.into_inner()
    }

    /// An absolute path.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        let joined = self.base.join(text);
        // Removes `.` and double slashes, but not `..`, which may follow a symbolic link.
        std::path::absolute(&joined).unwrap_or(joined)
    }

    /// Reports that something is missing, unless it may be in a part with syntax errors.
    pub(super) fn missing(
        &self,
        place: Place<'_>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        if !self.broken {
            place.error(message, hint);
        }
    }
}

/// `[defaults] timezone`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DefaultZone {
    /// It is not given.
    Missing,
    /// It is invalid, which was reported.
    Wrong,
    /// The zone.
    Named(Tz),
}

impl DefaultZone {
    /// Reads it.
    pub(super) fn read(value: Option<&Value<'_>>, context: &Context) -> Self {
        let Some(value) = value else {
            return Self::Missing;
        };
        timezone(value, context).map_or(Self::Wrong, Self::Named)
    }

    /// Name of the zone of schedules without one. An invalid zone was reported, so UTC stands in for it.
    pub(super) fn name(self) -> Option<String> {
        match self {
            Self::Missing => None,
            Self::Wrong => Some("UTC".to_owned()),
            Self::Named(zone) => Some(zone.name().to_owned()),
        }
    }

    /// The zone of times without an offset.
    pub(super) fn zone(self) -> Option<Tz> {
        match self {
            Self::Named(zone) => Some(zone),
            Self::Missing | Self::Wrong => None,
        }
    }
}

fn timezone(value: &Value<'_>, context: &Context) -> Option<Tz> {
    let name = value.filled_text()?;
    let wrong = match context.zones.zone(name) {
        Ok(_) => match name.parse() {
            Ok(zone) => return Some(zone),
            Err(_) => (format!("unknown time zone `{}`", shown(name)), None),
        },
        Err(error) => (error.message, error.hint),
    };
    value.place.error(wrong.0, wrong.1.unwrap_or_default());
    None
}

/// `[store]`
pub(super) fn store(table: Option<&Table<'_>>) -> StoreSettings {
    let get = |key| table.and_then(|table| table.get(key));
    let retention = table.and_then(|table| table.table("retention", keys::RETENTION));
    let within = |key| retention.as_ref().and_then(|table| table.get(key));
    // Only checked here: a command needs it before it reads a catalogue (`cli::store_section`).
    if let Some(path) = get("path") {
        path.filled_text();
    }
    StoreSettings {
        min_free: get("min_free")
            .and_then(|v| v.size(SIZE_MAX))
            .unwrap_or(MIN_FREE),
        max_size: get("max_size").and_then(|v| max_size(&v)),
        retention: Retention {
            age_ms: within("age")
                .and_then(|v| v.duration_or_none())
                .map_or(Some(RETENTION_AGE_MS), |age| age.0),
            runs: within("runs")
                .and_then(|v| count_or_none(&v))
                .and_then(|runs| runs.0),
        },
    }
}

fn max_size(value: &Value<'_>) -> Option<u64> {
    if value.as_text() == Some("none") {
        return None;
    }
    let size = value.size(SIZE_MAX)?;
    if size < SIZE_MIN {
        let hint = "an empty store already needs some of it: write `1M` or more, such as `20G`";
        value.place.error("`max_size` is below 1M", hint);
        return None;
    }
    Some(size)
}

fn count_or_none(value: &Value<'_>) -> Option<OrNone<u64>> {
    match value.as_text() {
        Some("none") => Some(OrNone(None)),
        Some(_) => {
            value.expected("a number of runs or `\"none\"`");
            None
        }
        None => value
            .integer(0, i64::MAX)
            .map(|count| OrNone(Some(count as u64))),
    }
}

/// `[worker]`
pub(super) fn worker(table: Option<&Table<'_>>) -> WorkerSettings {
    let get = |key| table.and_then(|table| table.get(key));
    WorkerSettings {
        slots: get("slots")
            .and_then(|v| v.integer(1, 10_000))
            .map(|slots| slots as u32),
        stop_after_ms: get("stop_after")
            .and_then(|v| v.duration())
            .unwrap_or(STOP_AFTER_MS),
    }
}

/// Reports a name that is not `[a-z0-9][a-z0-9._-]{0,63}`.
pub(super) fn check_name(entry: &Entry<'_>, what: &str) {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let name = entry.key;
    let starts = name.bytes().next().is_some_and(good);
    if name.len() > 64 || !starts || !name.bytes().all(|b| good(b) || b"._-".contains(&b)) {
        let hint = "use up to 64 of a-z, 0-9, `.`, `_` and `-`, the first a letter or digit";
        entry
            .place
            .error(format!("bad name `{}` of a {what}", shown(name)), hint);
    }
}

/// Paths relative to the catalogue: the directory of the main file.
pub(super) fn base_of(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute
        .parent()
        .map_or_else(|| PathBuf::from("/"), Path::to_owned)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Fault (input): a wrong name that every job inherits.
    #[test]
    fn suggestions_are_searched_once_per_unknown_name_and_for_at_most_a_hundred() {
        let context = Context::new(PathBuf::from("/"), false, Arc::new(Zones::bundled()), None);
        let read = Cell::new(0);
        let names = std::iter::repeat_n("page-operator", 10).inspect(|_| read.set(read.get() + 1));
        for _ in 0..3000 {
            let found = context.nearest("job", "page-operatr", names.clone());
            assert_eq!(found.as_deref(), Some("page-operator"));
        }
        assert_eq!(read.get(), 10);
        for n in 0..3000 {
            context.nearest("job", &format!("unknown-name-{n}"), names.clone());
        }
        assert_eq!(read.get(), 100 * 10);
    }
}
