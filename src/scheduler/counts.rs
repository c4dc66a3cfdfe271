//! Counts of decided periods.

use crate::policy::PeriodResult;
use crate::records::PeriodRow;

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
