//! What was decided about periods, in numbers.

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
