//! What was decided, in numbers and for the log.

use std::fmt::Display;

use crate::observe::log::{self, Level};
use crate::policy::PeriodResult;
use crate::store::PeriodRow;

/// Periods by what they came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Runs of periods in time.
    pub opened: i64,
    /// Runs of periods that were late.
    pub caught_up: i64,
    /// Periods without a run.
    pub skipped: i64,
    /// Periods whose work another run does.
    pub merged: i64,
}

impl Counts {
    pub(super) fn add(&mut self, rows: &[PeriodRow]) {
        for row in rows {
            *match row.result {
                PeriodResult::Opened => &mut self.opened,
                PeriodResult::CaughtUp => &mut self.caught_up,
                PeriodResult::Skipped => &mut self.skipped,
                PeriodResult::Merged => &mut self.merged,
            } += row.count;
        }
    }
}

/// Logs each row; what went as planned only for those who ask.
pub(super) fn log_rows(rows: &[PeriodRow]) {
    for row in rows {
        let (level, event) = match row.result {
            PeriodResult::Opened => (Level::Debug, "period_opened"),
            PeriodResult::CaughtUp => (Level::Info, "period_caught_up"),
            PeriodResult::Skipped => (Level::Info, "period_skipped"),
            PeriodResult::Merged => (Level::Info, "period_merged"),
        };
        let mut fields: Vec<(&str, &dyn Display)> =
            vec![("job", &row.job), ("period", &row.period)];
        if row.count > 1 {
            fields.push(("last_period", &row.last_period));
            fields.push(("count", &row.count));
        }
        if let Some(reason) = &row.reason {
            fields.push(("reason", reason));
        }
        if let Some(into) = &row.into {
            fields.push(("into", into));
        }
        let late_ms = row.decided_ms - row.due_ms;
        if let Some(run) = &row.run {
            fields.push(("run", run));
            fields.push(("late_ms", &late_ms));
        }
        log::event(level, event, &fields);
    }
}

/// A schedule whose periods cannot be opened.
pub(super) fn log_failed(job: &str, message: &str) {
    log::event(
        Level::Error,
        "schedule_failed",
        &[("job", &job), ("error", &message)],
    );
}
