//! Rows about schedules: schedules in force, versions of their rules, periods and their results.
//!
//! Rule: plain data; `schedule` interprets rules, and `policy` decides about periods.

use crate::policy::{PeriodResult, SkipReason};
use crate::run::RunId;
use crate::schedule::{Period, StoredRule};

/// The schedule of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRow {
    /// The job.
    pub job: String,
    /// Its version in force; `None` if it has no schedule any more.
    pub version: Option<i64>,
    /// Digest of everything that opening a period depends on.
    pub digest: String,
    /// All periods up to this instant have rows, milliseconds.
    pub watermark_ms: i64,
    /// Instant of the next period, milliseconds.
    pub next_ms: Option<i64>,
    /// Instant of the last period that succeeded, milliseconds.
    pub succeeded_ms: Option<i64>,
}

/// A version of a rule, which is or was in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// Number of the version.
    pub version: i64,
    /// For instants after this, milliseconds, ...
    pub from_ms: i64,
    /// ... up to this; `None` while it is in force.
    pub until_ms: Option<i64>,
    /// The rule with its zone data.
    pub stored: StoredRule,
    /// Release of the zone data.
    pub data_version: String,
}

/// A new version of a schedule.
#[derive(Debug, Clone)]
pub struct NewVersion<'a> {
    /// The job.
    pub job: &'a str,
    /// The rule with its zone data.
    pub stored: &'a StoredRule,
    /// Release of the zone data.
    pub data_version: &'a str,
    /// Digest of everything that opening a period depends on.
    pub digest: &'a str,
    /// In force for instants after this, milliseconds.
    pub from_ms: i64,
    /// Its first instant, milliseconds.
    pub next_ms: Option<i64>,
}

/// The result of a period, or of consecutive periods with the same result and without a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodRow {
    /// Job of the schedule.
    pub job: String,
    /// Key of the first period.
    pub period: String,
    /// Instant of the first period, milliseconds.
    pub due_ms: i64,
    /// Key of the last period.
    pub last_period: String,
    /// Instant of the last period, milliseconds.
    pub last_due_ms: i64,
    /// Number of periods.
    pub count: i64,
    /// Business date of the first period.
    pub business_date: String,
    /// Result.
    pub result: PeriodResult,
    /// Why there is no run of its own.
    pub reason: Option<SkipReason>,
    /// Key of the period whose run replaces it.
    pub into: Option<String>,
    /// The run.
    pub run: Option<RunId>,
    /// The version of the schedule that they come from.
    pub version: i64,
    /// Time of the decision, milliseconds.
    pub decided_ms: i64,
}

impl PeriodRow {
    /// One period, decided now, without a reason or a run.
    pub(crate) fn of(
        job: &str,
        period: &Period,
        result: PeriodResult,
        version: i64,
        now_ms: i64,
    ) -> Self {
        Self {
            job: job.to_owned(),
            period: period.key.clone(),
            due_ms: period.instant_ms,
            last_period: period.key.clone(),
            last_due_ms: period.instant_ms,
            count: 1,
            business_date: period.business_date.to_string(),
            result,
            reason: None,
            into: None,
            run: None,
            version,
            decided_ms: now_ms,
        }
    }

    /// Whether `next`, the next period, can share this row.
    pub(crate) fn can_merge(&self, next: &Self) -> bool {
        self.run.is_none()
            && next.run.is_none()
            && self.job == next.job
            && self.result == next.result
            && self.reason == next.reason
            && self.into == next.into
            && self.version == next.version
    }

    /// Adds the periods of `next` to this row.
    pub(crate) fn extend(&mut self, next: &Self) {
        self.last_period.clone_from(&next.last_period);
        self.last_due_ms = next.last_due_ms;
        self.count += next.count;
        self.decided_ms = next.decided_ms;
    }
}

/// Which rows to list, the newest first.
#[derive(Debug, Clone, Default)]
pub struct PeriodFilter {
    /// Only of this job.
    pub job: Option<String>,
    /// Only with this result.
    pub result: Option<PeriodResult>,
    /// Maximum number of rows.
    pub limit: i64,
    /// Number of rows to skip.
    pub offset: i64,
}

/// What the leading scheduler stored about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchedulerRow {
    /// Its process id.
    pub pid: Option<i64>,
    /// Its host.
    pub host: Option<String>,
    /// When it became the leader, milliseconds.
    pub started_ms: Option<i64>,
    /// Path of the catalogue from which schedules were loaded last.
    pub catalogue: Option<String>,
    /// [`crate::policy::ClockGuard`] as JSON.
    pub clock: Option<String>,
    /// The acceptance of a clock by an operator, as JSON.
    pub accepted: Option<String>,
}

/// Summary of all schedules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agenda {
    /// Number of schedules in force.
    pub schedules: i64,
    /// The earliest next instant, milliseconds, and its job.
    pub next: Option<(i64, String)>,
}

/// Summary of the rows from one version of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRows {
    /// The version.
    pub version: i64,
    /// Number of rows.
    pub rows: i64,
    /// Instant of the first period, milliseconds.
    pub first_due_ms: i64,
}

/// A run that is named by the row of another period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignRun {
    /// The period of the row.
    pub period: String,
    /// The run.
    pub run: RunId,
    /// Its job.
    pub job: String,
    /// The period of the run.
    pub run_period: Option<String>,
}

/// A run of a schedule that the row of its period does not name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnrecordedRun {
    /// Its period.
    pub period: String,
    /// The run.
    pub run: RunId,
    /// Instant of the period, as stored with the run, milliseconds.
    pub scheduled_ms: Option<i64>,
    /// Whether a row begins with this period.
    pub has_row: bool,
    /// The run that this row names.
    pub row_run: Option<RunId>,
}
