//! Refuses keys that contradict each other, and values that a key cannot have.
//!
//! Rule: an error points at the key to remove.

use std::sync::Arc;

use super::error::{Field, RuleError};
use super::spec::RuleSpec;
use super::zone::Zone;
use super::zones::Zones;

/// Exactly one of `cron`, `every`, `at`; nothing that has no meaning with `every`.
pub(super) fn refuse_contradictions(spec: &RuleSpec) -> Result<Field, RuleError> {
    let given = [
        (Field::Cron, spec.cron.is_some()),
        (Field::Every, spec.every_ms.is_some()),
        (Field::At, spec.at.is_some()),
    ];
    let mut found = given
        .into_iter()
        .filter_map(|(field, given)| given.then_some(field));
    let Some(field) = found.next() else {
        let error = RuleError::new(Field::Cron, "a schedule needs `cron`, `every` or `at`");
        return Err(error.hint("for instance `cron = \"0 6 * * *\"`"));
    };
    if let Some(second) = found.next() {
        let error = RuleError::new(
            second,
            format!(
                "`{}` contradicts `{}`: a schedule has one of them",
                second.key(),
                field.key()
            ),
        );
        return Err(error.hint("make two jobs"));
    }
    if field == Field::Every {
        let others = [
            (Field::On, spec.on.is_some()),
            (Field::Adjust, spec.adjust.is_some()),
        ];
        if let Some((other, _)) = others.into_iter().find(|(_, given)| *given) {
            let message = format!(
                "`{}` contradicts `every`: elapsed time has no days",
                other.key()
            );
            return Err(RuleError::new(other, message).hint("use `cron` or `at`"));
        }
    }
    Ok(field)
}

pub(super) fn zone_of(spec: &RuleSpec, zones: &Zones) -> Result<Arc<Zone>, RuleError> {
    let Some(name) = &spec.timezone else {
        let error = RuleError::new(Field::Timezone, "a schedule needs a `timezone`");
        return Err(error.hint("set it here or in [defaults], for instance \"Europe/Berlin\""));
    };
    zones.zone(name).map_err(|wrong| RuleError {
        hint: wrong.hint,
        ..RuleError::new(Field::Timezone, wrong.message).at(0..name.len())
    })
}

/// The value of a key with few words.
pub(super) fn choice<T: Copy>(
    field: Field,
    text: Option<&str>,
    words: &[(&str, T)],
) -> Result<Option<T>, RuleError> {
    let Some(text) = text else {
        return Ok(None);
    };
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(Some(*value));
    }
    let known: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    let error = RuleError::new(field, format!("`{}` cannot be `{text}`", field.key()));
    Err(error
        .at(0..text.len())
        .hint(format!("use {}", known.join(" or "))))
}
