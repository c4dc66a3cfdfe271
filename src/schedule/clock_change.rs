//! `gap` and `fold`: what happens to a time that a clock change skips or repeats.

use super::error::{Field, RuleError};
use super::refuse::choice;
use super::spec::RuleSpec;

/// What to do with a reading that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// Run at the first instant after the gap.
    Next,
    Skip,
}

/// What to do with a reading that exists twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    First,
    Second,
    Both,
}

/// Parses `gap` and `fold`; refused if the rule has no fixed local times.
pub(super) fn policies(spec: &RuleSpec, fixed: bool, utc: bool) -> Result<(Gap, Fold), RuleError> {
    let gap = choice(
        Field::Gap,
        spec.gap.as_deref(),
        &[("next", Gap::Next), ("skip", Gap::Skip)],
    )?;
    let folds = [
        ("first", Fold::First),
        ("second", Fold::Second),
        ("both", Fold::Both),
    ];
    let fold = choice(Field::Fold, spec.fold.as_deref(), &folds)?;
    let given = [(Field::Gap, gap.is_some()), (Field::Fold, fold.is_some())];
    if let Some((field, _)) = given.into_iter().find(|(_, given)| *given) {
        let why = if utc {
            Some("`clock = \"utc\"`: UTC has no clock changes")
        } else if spec.every_ms.is_some() {
            Some("`every`: elapsed time knows no clock changes")
        } else if !fixed {
            Some("a minute or hour that starts with `*`: it runs at every instant that matches")
        } else {
            None
        };
        if let Some(why) = why {
            let error = RuleError::new(field, format!("`{}` contradicts {why}", field.key()));
            return Err(error.hint(format!("remove `{}`", field.key())));
        }
    }
    Ok((gap.unwrap_or(Gap::Next), fold.unwrap_or(Fold::First)))
}
