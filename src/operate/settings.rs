//! Settings of queues and limits that override the catalogue.
//!
//! Rule: all settings of one request are checked before any is changed, and all are changed in one transaction. The value
//! [`CATALOGUE`] removes a change.

use super::ActError;
use super::names::{ReadCatalogue, check_limit, check_queue};
use crate::error::{Error, Result};
use crate::flow::{COUNT_MAX, OverrideKey, Rate, Setting, WAITING_MAX};
use crate::store::{Act, Store};

/// The value that removes a change, so that the setting of the catalogue applies again.
pub const CATALOGUE: &str = "catalogue";

const QUEUE_KEYS: &[OverrideKey] = &[
    OverrideKey::MaxRunning,
    OverrideKey::MaxWaiting,
    OverrideKey::Paused,
];

const LIMIT_KEYS: &[OverrideKey] = &[OverrideKey::Concurrency, OverrideKey::Rate];

/// Checked settings of one queue or limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    of: Of,
    settings: Vec<Setting>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Of {
    Queue(String),
    Limit(String),
}

/// Why settings were not accepted.
#[derive(Debug, Clone)]
pub enum BadSetting {
    /// A key without a value.
    NoValue {
        /// The argument that is not `KEY=VALUE`.
        given: String,
        /// The keys that may be set.
        keys: &'static [OverrideKey],
    },
    /// There is no such key.
    UnknownKey {
        /// The given key.
        given: String,
        /// The keys that may be set.
        keys: &'static [OverrideKey],
    },
    /// A key was given twice.
    Twice(OverrideKey),
    /// The key is a switch. Its change can only be removed: pausing and resuming are separate acts.
    Switch(OverrideKey),
    /// The value is not a number from 1 to the maximum.
    NotACount {
        /// The key.
        key: OverrideKey,
        /// The value.
        given: String,
        /// The largest number.
        max: i64,
    },
    /// The value is not a rate, for this reason.
    NotARate(Error),
}

impl Changes {
    /// Reads settings of a queue: keys with their values as text.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn of_queue<'t>(
        queue: &str,
        pairs: impl IntoIterator<Item = (&'t str, Option<&'t str>)>,
    ) -> Result<Self, BadSetting> {
        let settings = read(pairs, QUEUE_KEYS)?;
        let of = Of::Queue(queue.to_owned());
        Ok(Self { of, settings })
    }

    /// Reads settings of a limit: keys with their values as text.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn of_limit<'t>(
        limit: &str,
        pairs: impl IntoIterator<Item = (&'t str, Option<&'t str>)>,
    ) -> Result<Self, BadSetting> {
        let settings = read(pairs, LIMIT_KEYS)?;
        let of = Of::Limit(limit.to_owned());
        Ok(Self { of, settings })
    }

    /// The settings, in the given order.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// Makes all changes. Returns for each whether anything changed.
    ///
    /// # Errors
    /// [`ActError::Unknown`], and those of the store.
    pub fn apply(
        &self,
        store: &mut Store,
        act: &Act<'_>,
        read: ReadCatalogue<'_>,
    ) -> Result<Vec<bool>, ActError> {
        let name = match &self.of {
            Of::Queue(queue) => {
                check_queue(store, queue, read, act.now_ms)?;
                queue
            }
            Of::Limit(limit) => {
                check_limit(store, limit, read, act.now_ms)?;
                limit
            }
        };
        Ok(store.write(|tx| tx.change_settings(name, &self.settings, act))?)
    }
}

fn read<'t>(
    pairs: impl IntoIterator<Item = (&'t str, Option<&'t str>)>,
    keys: &'static [OverrideKey],
) -> Result<Vec<Setting>, BadSetting> {
    let mut settings: Vec<Setting> = Vec::new();
    for (word, value) in pairs {
        let setting = setting(word, value, keys)?;
        if settings.iter().any(|known| known.key == setting.key) {
            return Err(BadSetting::Twice(setting.key));
        }
        settings.push(setting);
    }
    Ok(settings)
}

fn setting(
    word: &str,
    value: Option<&str>,
    keys: &'static [OverrideKey],
) -> Result<Setting, BadSetting> {
    let given = || word.to_owned();
    let Some(value) = value else {
        let given = given();
        return Err(BadSetting::NoValue { given, keys });
    };
    let Some(&key) = keys.iter().find(|key| key.word() == word) else {
        let given = given();
        return Err(BadSetting::UnknownKey { given, keys });
    };
    let value = match (value, key) {
        (CATALOGUE, _) => None,
        (_, switch) if switch.is_switch() => return Err(BadSetting::Switch(key)),
        ("none", _) => Some(value.to_owned()),
        (_, OverrideKey::Rate) => {
            let rate = Rate::parse(value).map_err(BadSetting::NotARate)?;
            Some(rate.per_time())
        }
        _ => Some(count(key, value)?.to_string()),
    };
    Ok(Setting { key, value })
}

fn count(key: OverrideKey, text: &str) -> Result<i64, BadSetting> {
    let max = match key {
        OverrideKey::MaxWaiting => WAITING_MAX,
        _ => COUNT_MAX,
    };
    match text.parse() {
        Ok(n) if (1..=max).contains(&n) => Ok(n),
        _ => Err(BadSetting::NotACount {
            key,
            given: text.to_owned(),
            max,
        }),
    }
}
