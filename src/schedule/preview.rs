//! A preview of a rule for people: its next due periods, each with its notes.
//!
//! Rule: nothing is left out. Skipped or merged nominal times are shown with the due period that they belong to.

use super::civil::UtcMs;
use super::engine::PeriodsError;
use super::period::{Period, PeriodKind};
use super::rule::Rule;

/// A due period and the words about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// Due.
    pub period: Period,
    /// Clock changes, days moved by a calendar, nominal times that were skipped before it or merged into it.
    pub notes: Vec<String>,
}

impl Rule {
    /// The first `count` due periods after `after` and up to `until`.
    ///
    /// # Errors
    /// When `after` is beyond the calendar.
    pub fn preview(
        &self,
        after: UtcMs,
        until: UtcMs,
        count: usize,
    ) -> Result<Vec<Preview>, PeriodsError> {
        let mut shown: Vec<Preview> = Vec::new();
        let mut skipped = Vec::new();
        for period in self.upcoming(after, count)? {
            if period.instant_ms > until {
                break;
            }
            let previous = shown.last().map(|preview| &preview.period);
            let mut notes = self.notes(&period, previous);
            match (&period.kind, shown.last_mut()) {
                (PeriodKind::Due, _) => {
                    skipped.append(&mut notes);
                    let mut notes = std::mem::take(&mut skipped);
                    // A change of the offset was seen by the skipped one, too.
                    let mut seen = std::collections::BTreeSet::new();
                    notes.retain(|note: &String| seen.insert(note.clone()));
                    shown.push(Preview { period, notes });
                }
                (PeriodKind::Merged { .. }, Some(owner)) => owner.notes.append(&mut notes),
                _ => skipped.append(&mut notes),
            }
        }
        Ok(shown)
    }
}
