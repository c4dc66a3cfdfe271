//! Schedules as they are stored: what is in force, which rules were, what each period came to.
//!
//! Rule: plain data; what a rule means is asked of `schedule`, what becomes of a period is decided in `policy`.

use crate::policy::{PeriodResult, SkipReason};
use crate::run::RunId;
use crate::schedule::{Period, StoredRule};

/// The schedule of a job, as it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRow {
    /// The job.
    pub job: String,
    /// Its version in force; `None` if it has no schedule any more.
    pub version: Option<i64>,
    /// Of everything that opening a period uses.
    pub digest: String,
    /// Every period up to this instant has its row, milliseconds.
    pub watermark_ms: i64,
    /// Instant of the next one, milliseconds.
    pub next_ms: Option<i64>,
    /// Instant of the last period that succeeded, milliseconds.
    pub succeeded_ms: Option<i64>,
}

/// A rule that is or was in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// Its number.
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
    /// Of everything that opening a period uses.
    pub digest: &'a str,
    /// In force for instants after this, milliseconds.
    pub from_ms: i64,
    /// Its first instant, milliseconds.
    pub next_ms: Option<i64>,
}

/// What a period, or consecutive periods of one result and without a run, came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodRow {
    /// Job of the schedule.
    pub job: String,
    /// Key of the first.
    pub period: String,
    /// Its instant, milliseconds.
    pub due_ms: i64,
    /// Key of the last.
    pub last_period: String,
    /// Its instant, milliseconds.
    pub last_due_ms: i64,
    /// How many.
    pub count: i64,
    /// Business date of the first.
    pub business_date: String,
    /// What they came to.
    pub result: PeriodResult,
    /// Why they have no run of their own.
    pub reason: Option<SkipReason>,
    /// The period whose run does the work.
    pub into: Option<String>,
    /// The run.
    pub run: Option<RunId>,
    /// The version of the schedule that they come from.
    pub version: i64,
    /// When it was decided, milliseconds.
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

    /// Whether `next`, which follows at once, can be told together with this one.
    pub(crate) fn takes(&self, next: &Self) -> bool {
        self.run.is_none()
            && next.run.is_none()
            && self.job == next.job
            && self.result == next.result
            && self.reason == next.reason
            && self.into == next.into
            && self.version == next.version
    }

    /// Makes one of two.
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
    /// Of this job.
    pub job: Option<String>,
    /// With this result.
    pub result: Option<PeriodResult>,
    /// At most so many.
    pub limit: i64,
    /// After leaving out so many.
    pub offset: i64,
}

/// The process that opens periods, as it described itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchedulerRow {
    /// Its process id.
    pub pid: Option<i64>,
    /// Its host.
    pub host: Option<String>,
    /// When it took over, milliseconds.
    pub started_ms: Option<i64>,
    /// The catalogue that schedules were loaded from last.
    pub catalogue: Option<String>,
    /// [`crate::policy::ClockGuard`] as JSON.
    pub clock: Option<String>,
    /// The acceptance of a clock by an operator, as JSON.
    pub accepted: Option<String>,
}

/// All schedules together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agenda {
    /// Schedules in force.
    pub schedules: i64,
    /// The next instant of any, milliseconds, and its job.
    pub next: Option<(i64, String)>,
}

/// The rows of a job that come from one version of its schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRows {
    /// The version.
    pub version: i64,
    /// How many rows.
    pub rows: i64,
    /// Instant of the first, milliseconds.
    pub first_due_ms: i64,
}

/// A run that a row names and that works something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignRun {
    /// The period of the row.
    pub period: String,
    /// The run.
    pub run: RunId,
    /// Its job.
    pub job: String,
    /// The period that it works.
    pub works: Option<String>,
}

/// A run of the calendar that the row of its period does not name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UntoldRun {
    /// Its period.
    pub period: String,
    /// The run.
    pub run: RunId,
    /// Instant of the period by the run, milliseconds.
    pub scheduled_ms: Option<i64>,
    /// Whether a row begins with the period.
    pub has_row: bool,
    /// The run that this row names.
    pub told: Option<RunId>,
}
