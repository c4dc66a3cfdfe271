//! `dedup` and `sequence` of a job: runs with equal keys become one run, or run one after another.
//!
//! Rule: invalid combinations of `while` and `on_duplicate` are refused here; a valid one is one value of [`Coalesce`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::reader::Table;
use super::source::Place;
use super::value::Value;
use super::{Param, Template, command, keys};

/// `dedup = { key = "...", window = "1h", while = "waiting", on_duplicate = "replace" }`; `window`, `while` or both are given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dedup {
    /// Template over the parameters.
    pub key: Template,
    /// How long after the enqueue an equal key is a duplicate, milliseconds.
    pub window_ms: Option<i64>,
    /// `while` and `on_duplicate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coalesce: Option<Coalesce>,
}

/// `while` and `on_duplicate` together: what an enqueue does if a run with an equal key has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coalesce {
    /// If it waits, the enqueue returns it.
    DropWaiting,
    /// If it waits or runs, the enqueue returns it.
    DropActive,
    /// If it waits, it gets the parameters of the enqueue.
    Replace,
    /// If it waits, it gets the parameters of the enqueue; if it runs, one more run waits for its end.
    Rerun,
}

crate::run::words!(
    /// `dedup.while`: how long a run makes an enqueue with an equal key a duplicate.
    DedupWhile {
        /// Until it starts; also between two attempts.
        Waiting = "waiting",
        /// Until it ends.
        Active = "active",
    }
);

crate::run::words!(
    /// `dedup.on_duplicate`: what happens to a duplicate.
    OnDuplicate {
        /// It is dropped.
        Drop = "drop",
        /// The waiting run gets its parameters.
        Replace = "replace",
        /// The waiting run gets its parameters; if the run is running, one more run waits for its end.
        Rerun = "rerun",
    }
);

impl Coalesce {
    /// The words in the catalogue.
    pub fn words(self) -> (DedupWhile, OnDuplicate) {
        match self {
            Self::DropWaiting => (DedupWhile::Waiting, OnDuplicate::Drop),
            Self::DropActive => (DedupWhile::Active, OnDuplicate::Drop),
            Self::Replace => (DedupWhile::Waiting, OnDuplicate::Replace),
            Self::Rerun => (DedupWhile::Active, OnDuplicate::Rerun),
        }
    }

    /// The meaning of these words; `None` for an invalid combination.
    pub fn of(during: DedupWhile, on_duplicate: OnDuplicate) -> Option<Self> {
        match (during, on_duplicate) {
            (DedupWhile::Waiting, OnDuplicate::Drop) => Some(Self::DropWaiting),
            (DedupWhile::Active, OnDuplicate::Drop) => Some(Self::DropActive),
            (DedupWhile::Waiting, OnDuplicate::Replace) => Some(Self::Replace),
            (DedupWhile::Active, OnDuplicate::Rerun) => Some(Self::Rerun),
            (DedupWhile::Active, OnDuplicate::Replace)
            | (DedupWhile::Waiting, OnDuplicate::Rerun) => None,
        }
    }

    /// Whether a waiting run gets the parameters of the enqueue.
    pub fn replaces(self) -> bool {
        matches!(self, Self::Replace | Self::Rerun)
    }
}

/// `sequence = { key = "...", on_dead = "block" }`, or `sequence = "..."`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sequence {
    /// Template over the parameters.
    pub key: Template,
    /// What a dead run does to those behind it.
    pub on_dead: SequenceOnDead,
}

crate::run::words!(
    /// What a dead run does to those behind it in its sequence.
    SequenceOnDead {
        /// They wait until an operator retries it and it ends, or discards its dead letter.
        Block = "block",
        /// They continue.
        Continue = "continue",
    }
);

/// Reads `dedup` of a job.
pub(super) fn dedup(table: &Table<'_>, params: &BTreeMap<String, Param>) -> Option<Dedup> {
    let dedup = table.table("dedup", keys::DEDUP)?;
    let hint = "write `{ key = \"{name}\", window = \"1h\" }`";
    let key = dedup.get("key");
    if key.is_none() {
        dedup.place.error("`dedup` has no `key`", hint);
    }
    let (window, during) = (dedup.get("window"), dedup.get("while"));
    if window.is_none() && during.is_none() {
        let message = "`dedup` has neither `window` nor `while`";
        dedup.place.error(message, hint);
    }
    let window_ms = window.as_ref().and_then(Value::positive_duration);
    let coalesce = coalesce(during, dedup.get("on_duplicate"));
    let key = template(&key?, params)?;
    // Without a valid rule there is no dedup.
    (window_ms.is_some() || coalesce.is_some()).then_some(Dedup {
        key,
        window_ms,
        coalesce,
    })
}

/// `while` and `on_duplicate` together.
fn coalesce(during: Option<Value<'_>>, on_duplicate: Option<Value<'_>>) -> Option<Coalesce> {
    let what = match &on_duplicate {
        Some(value) => value.word(OnDuplicate::ALL, OnDuplicate::word)?,
        None => OnDuplicate::Drop,
    };
    let Some(during) = during else {
        if let (Some(value), OnDuplicate::Replace | OnDuplicate::Rerun) = (on_duplicate, what) {
            let during = if what == OnDuplicate::Replace {
                DedupWhile::Waiting
            } else {
                DedupWhile::Active
            };
            let message = format!("`on_duplicate` is `{what}`, but there is no `while`");
            value
                .place
                .error(message, format!("add `while = \"{during}\"`"));
        }
        return None;
    };
    let while_ = during.word(DedupWhile::ALL, DedupWhile::word)?;
    let coalesce = Coalesce::of(while_, what);
    if let (None, Some(value)) = (coalesce, on_duplicate) {
        let (cause, hint) = match what {
            OnDuplicate::Rerun => (
                "with `while = \"waiting\"` a running run is not a duplicate",
                "write `while = \"active\"`, or `on_duplicate = \"replace\"`",
            ),
            _ => (
                "the parameters of a running command cannot change",
                "write `while = \"waiting\"`, or `on_duplicate = \"rerun\"`",
            ),
        };
        let message = format!("`on_duplicate` is `{what}`, but `while` is `{while_}`: {cause}");
        value.place.error(message, hint);
    }
    coalesce
}

/// Reads `sequence` of a job: a key, or a table.
pub(super) fn sequence<'a>(
    table: &Table<'a>,
    params: &BTreeMap<String, Param>,
) -> Option<(Sequence, Place<'a>)> {
    let value = table.get("sequence")?;
    if !value.is_table() {
        if value.as_text().is_none() {
            value.expected("a key such as `\"{customer}\"`, or a table with `key` and `on_dead`");
            return None;
        }
        let sequence = Sequence {
            key: template(&value, params)?,
            on_dead: SequenceOnDead::Block,
        };
        return Some((sequence, value.place));
    }
    let sequence = table.table("sequence", keys::SEQUENCE)?;
    let on_dead = match sequence.get("on_dead") {
        Some(word) => word.word(SequenceOnDead::ALL, SequenceOnDead::word),
        None => Some(SequenceOnDead::Block),
    };
    let Some(key) = sequence.get("key") else {
        let hint = "write `{ key = \"{name}\" }`";
        sequence.place.error("`sequence` has no `key`", hint);
        return None;
    };
    let sequence = Sequence {
        key: template(&key, params)?,
        on_dead: on_dead?,
    };
    Some((sequence, key.place))
}

/// Refuses a sequence key with a parameter that the dedup key lacks: a run could then get the parameters of a run of another
/// sequence.
pub(super) fn check_together(dedup: Option<&Dedup>, sequence: Option<&(Sequence, Place<'_>)>) {
    let (Some(dedup), Some((sequence, place))) = (dedup, sequence) else {
        return;
    };
    if !dedup.coalesce.is_some_and(Coalesce::replaces) {
        return;
    }
    for name in sequence.key.params() {
        if !dedup.key.params().any(|known| known == name) {
            let message = format!(
                "`sequence` has `{{{name}}}`, but the key of `dedup` does not: runs of different sequences would replace each other"
            );
            place.error(message, format!("add `{{{name}}}` to the key of `dedup`"));
        }
    }
}

fn template(value: &Value<'_>, params: &BTreeMap<String, Param>) -> Option<Template> {
    let template = match Template::parse(value.filled_text()?) {
        Ok(template) => template,
        Err(error) => {
            value.wrong(&error);
            return None;
        }
    };
    command::check_params(value, &template, params);
    Some(template)
}
