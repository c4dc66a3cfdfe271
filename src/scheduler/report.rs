//! Decided periods as counts and as log lines.

use crate::observe::log::{Level, number, text};
use crate::policy::PeriodResult;
use crate::store::PeriodRow;

use super::control::Line;

/// Decided periods by result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Periods with a run, in time.
    pub opened: i64,
    /// Late periods with a run.
    pub caught_up: i64,
    /// Periods without a run.
    pub skipped: i64,
    /// Periods that share the run of another period.
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

/// The log line about a row. A period that is opened in time is logged at level debug.
pub(super) fn row_line(row: &PeriodRow) -> Line {
    let (level, event) = match row.result {
        PeriodResult::Opened => (Level::Debug, "period_opened"),
        PeriodResult::CaughtUp => (Level::Info, "period_caught_up"),
        PeriodResult::Skipped => (Level::Info, "period_skipped"),
        PeriodResult::Merged => (Level::Info, "period_merged"),
    };
    let mut fields = vec![text("job", &row.job), text("period", &row.period)];
    if row.count > 1 {
        fields.push(text("last_period", &row.last_period));
        fields.push(number("count", row.count));
    }
    fields.extend(row.reason.map(|reason| text("reason", reason)));
    fields.extend(row.into.as_ref().map(|into| text("into", into)));
    if let Some(run) = row.run {
        fields.push(number("run", run.0));
        fields.push(number("late_ms", row.decided_ms - row.due_ms));
    }
    Line {
        level,
        event,
        fields,
    }
}
