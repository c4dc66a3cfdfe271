//! Undoes decisions by a clock that was ahead: periods that are still to come and have no run are decided again at their time.
//!
//! Rule: a period that has a run is not undone, so that nothing runs twice. Rules of elapsed time are never rewound.

use crate::error::Result;
use crate::schedule::{Period, PeriodsError, Rule};
use crate::store::{PeriodRow, ScheduleRow, Store, Tx};

use super::agenda::next_of;
use super::coverage::defect;

/// A watermark that is less ahead than this may come from a clock that was set back a little.
const SLACK_MS: i64 = 60_000;

/// Most schedules that are checked.
const SCHEDULES_MAX: i64 = 10_000;

/// Periods computed at a time.
const PAGE: usize = 10_000;

/// A calendar schedule whose periods were decided by a clock that was ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    /// The job.
    pub job: String,
    /// The instant up to which all its periods are decided, milliseconds: no period runs before it.
    pub until_ms: i64,
}

/// The calendar schedules whose watermark is ahead of the clock.
///
/// # Errors
/// Those of the store.
pub fn ahead(store: &Store, now_ms: i64) -> Result<Vec<Ahead>> {
    let mut found = Vec::new();
    for row in store.schedules_ahead(now_ms + SLACK_MS, SCHEDULES_MAX)? {
        if is_by_calendar(store, &row)? {
            found.push(Ahead {
                job: row.job,
                until_ms: row.watermark_ms,
            });
        }
    }
    Ok(found)
}

/// Whether a job has a schedule in force with a calendar rule.
///
/// # Errors
/// Those of the store.
pub fn follows_calendar(store: &Store, job: &str) -> Result<bool> {
    let row = store.schedule(job)?;
    row.map_or(Ok(false), |row| is_by_calendar(store, &row))
}

fn is_by_calendar(store: &Store, row: &ScheduleRow) -> Result<bool> {
    let Some(version) = row.version else {
        return Ok(false);
    };
    let version = store.version(version)?;
    let rule = version.and_then(|version| Rule::from_stored(&version.stored).ok());
    Ok(rule.is_some_and(|rule| !rule.is_elapsed()))
}

/// Rewinds one schedule to `now_ms`.
pub(super) fn rewind(tx: &mut Tx<'_>, job: &str, now_ms: i64) -> Result<()> {
    let Some(row) = tx.schedule(job)?.filter(|row| row.watermark_ms > now_ms) else {
        return Ok(());
    };
    let version = match row.version {
        Some(version) => tx.version(version)?,
        None => None,
    };
    let rule = version.and_then(|version| Rule::from_stored(&version.stored).ok());
    let Some(rule) = rule.filter(|rule| !rule.is_elapsed()) else {
        return Ok(());
    };
    for row in tx.rows_over(job, now_ms)? {
        cut(tx, &row, now_ms)?;
    }
    tx.remove_rows_without_run(job, now_ms)?;
    tx.begin_versions_by(job, now_ms)?;
    let next_ms = next_of(&rule, now_ms).map_err(defect)?;
    tx.advance(job, now_ms, next_ms)
}

/// Shortens a row to its periods up to an instant.
fn cut(tx: &mut Tx<'_>, row: &PeriodRow, at_ms: i64) -> Result<()> {
    let Some(version) = tx.version(row.version)? else {
        return Ok(());
    };
    let Ok(rule) = Rule::from_stored(&version.stored) else {
        return Ok(());
    };
    let behind = count_behind(&rule, row, at_ms).map_err(defect)?;
    let last = last_before(&rule, row.due_ms, at_ms).map_err(defect)?;
    tx.remove_period(&row.job, &row.period)?;
    if let Some(last) = last.filter(|_| behind < row.count) {
        tx.add_period(&PeriodRow {
            last_period: last.key,
            last_due_ms: last.instant_ms,
            count: row.count - behind,
            ..row.clone()
        })?;
    }
    Ok(())
}

/// How many periods of a row are later than an instant.
fn count_behind(rule: &Rule, row: &PeriodRow, at_ms: i64) -> Result<i64, PeriodsError> {
    let (mut count, mut after_ms) = (0, at_ms);
    loop {
        let page = rule.periods(after_ms, row.last_due_ms, PAGE)?;
        for period in &page {
            count += 1;
            if period.key == row.last_period {
                return Ok(count);
            }
        }
        match page.last() {
            Some(last) if page.len() >= PAGE => after_ms = last.instant_ms,
            _ => return Ok(count),
        }
    }
}

/// The last period from `first_ms` up to `at_ms`.
fn last_before(rule: &Rule, first_ms: i64, at_ms: i64) -> Result<Option<Period>, PeriodsError> {
    let mut reach_ms = SLACK_MS;
    loop {
        let from_ms = at_ms.saturating_sub(reach_ms).max(first_ms - 1);
        let mut after_ms = from_ms;
        let mut found = None;
        while after_ms < at_ms {
            let mut page = rule.periods(after_ms, at_ms, PAGE)?;
            let full = page.len() >= PAGE;
            found = page.pop().or(found);
            match &found {
                Some(last) if full => after_ms = last.instant_ms,
                _ => break,
            }
        }
        if found.is_some() || from_ms < first_ms {
            return Ok(found);
        }
        reach_ms = reach_ms.saturating_mul(4);
    }
}
