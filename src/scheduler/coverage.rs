//! Which rows cover a period.
//!
//! Rule: a row of several periods names only the first and the last. Whether it covers another period follows from its own rule.

use crate::error::{Error, Kind, Result};
use crate::schedule::{MAX_PERIODS, Period, PeriodsError, Rule};
use crate::store::{PeriodRow, Store, Tx, VersionRow};

const DAY_MS: i64 = 86_400_000;

/// How far outside the time of a version its rows can lie: a change decides periods that would be lost.
const OUTSIDE_MS: i64 = 33 * DAY_MS;

/// A source of rows.
pub(super) trait Rows {
    /// The row whose first period has this key.
    fn row(&self, job: &str, key: &str) -> Result<Option<PeriodRow>>;

    /// The rows with several periods of one version that include an instant.
    fn stretches(&self, job: &str, version: i64, at_ms: i64) -> Result<Vec<PeriodRow>>;
}

impl Rows for Store {
    fn row(&self, job: &str, key: &str) -> Result<Option<PeriodRow>> {
        self.period(job, key)
    }

    fn stretches(&self, job: &str, version: i64, at_ms: i64) -> Result<Vec<PeriodRow>> {
        Store::stretches(self, job, version, at_ms)
    }
}

impl Rows for Tx<'_> {
    fn row(&self, job: &str, key: &str) -> Result<Option<PeriodRow>> {
        self.period(job, key)
    }

    fn stretches(&self, job: &str, version: i64, at_ms: i64) -> Result<Vec<PeriodRow>> {
        Tx::stretches(self, job, version, at_ms)
    }
}

/// A version of a schedule with its rule.
pub(super) struct Version {
    pub(super) number: i64,
    pub(super) from_ms: i64,
    pub(super) until_ms: Option<i64>,
    /// The rule, or why it cannot be read.
    pub(super) rule: Result<Rule, String>,
}

impl Version {
    pub(super) fn read(row: &VersionRow) -> Self {
        Self {
            number: row.version,
            from_ms: row.from_ms,
            until_ms: row.until_ms,
            rule: Rule::from_stored(&row.stored).map_err(|error| error.message),
        }
    }

    /// Whether it can have a row that covers a period at this instant.
    pub(super) fn is_near(&self, at_ms: i64) -> bool {
        at_ms > self.from_ms.saturating_sub(OUTSIDE_MS)
            && self
                .until_ms
                .is_none_or(|until_ms| at_ms <= until_ms.saturating_add(OUTSIDE_MS))
    }
}

/// All versions of a job's schedule, oldest first.
pub(super) fn versions(store: &Store, job: &str) -> Result<Vec<Version>> {
    Ok(store.versions(job)?.iter().map(Version::read).collect())
}

/// Reports an error of a stored rule as an internal error.
#[expect(clippy::needless_pass_by_value, reason = "used in `map_err`")]
pub(super) fn defect(error: PeriodsError) -> Error {
    Error::new(Kind::Bug, error.to_string())
}

/// The rows that cover a period; exactly one, unless the store is inconsistent.
pub(super) fn covering_rows<'v>(
    rows: &impl Rows,
    versions: impl Iterator<Item = &'v Version>,
    job: &str,
    key: &str,
) -> Result<Vec<PeriodRow>> {
    let mut found: Vec<PeriodRow> = rows.row(job, key)?.into_iter().collect();
    for version in versions {
        let Ok(rule) = &version.rule else {
            continue;
        };
        let Some(period) = rule.period_named(key).map_err(defect)? else {
            continue;
        };
        for row in rows.stretches(job, version.number, period.instant_ms)? {
            if row.period != key && covers(&row, rule, &period).map_err(defect)? {
                found.push(row);
            }
        }
    }
    Ok(found)
}

/// Whether a row covers a period of its rule.
pub(super) fn covers(row: &PeriodRow, rule: &Rule, period: &Period) -> Result<bool, PeriodsError> {
    let at_ms = period.instant_ms;
    if at_ms < row.due_ms || at_ms > row.last_due_ms {
        return Ok(false);
    }
    if row.due_ms < at_ms && at_ms < row.last_due_ms {
        return Ok(true);
    }
    // At the first or last instant of the row, which may have several periods: compare positions.
    let together = rule.periods(at_ms - 1, at_ms, MAX_PERIODS)?;
    let place = |key: &str| together.iter().position(|period| period.key == key);
    let here = place(&period.key);
    let begun = row.due_ms < at_ms || place(&row.period) <= here;
    let ended = row.last_due_ms > at_ms || place(&row.last_period) >= here;
    Ok(here.is_some() && begun && ended)
}
