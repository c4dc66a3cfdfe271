//! Rows of what was decided, one after another: consecutive periods with one result and without a run share a row.
//!
//! Rule: a row must not reach over a period that another row tells of; whoever passes over one says so with [`Rows::part`].

use crate::error::Result;
use crate::store::{PeriodRow, Tx};

/// Rows of one schedule that one transaction writes.
pub(super) struct Rows {
    /// Whether periods of this rule may share rows.
    mergeable: bool,
    /// Whether the next one follows the last one at once.
    joins: bool,
    /// Whether the first one follows the last one of the store at once.
    goes_on: bool,
    /// The last one is not written yet.
    decided: Vec<PeriodRow>,
}

impl Rows {
    pub(super) fn new(mergeable: bool) -> Self {
        Self {
            mergeable,
            joins: true,
            goes_on: false,
            decided: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.decided.len()
    }

    /// A period that is told already lies between the last one and the next.
    pub(super) fn part(&mut self) {
        self.joins = false;
    }

    pub(super) fn push(&mut self, tx: &mut Tx<'_>, row: PeriodRow) -> Result<()> {
        let joins = std::mem::replace(&mut self.joins, true) && self.mergeable;
        match self.decided.last_mut() {
            Some(last) if joins && last.can_merge(&row) => last.extend(&row),
            _ => {
                self.flush(tx)?;
                self.goes_on = joins && self.decided.is_empty();
                self.decided.push(row);
            }
        }
        Ok(())
    }

    fn flush(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        let Some(row) = self.decided.last() else {
            return Ok(());
        };
        if self.goes_on
            && row.run.is_none()
            && let Some(mut last) = tx.last_period(&row.job)?
            && last.last_due_ms <= row.due_ms
            && last.can_merge(row)
        {
            last.extend(row);
            return tx.change_period(&last);
        }
        tx.add_period(row)
    }

    /// Writes the last row; all that were decided, for the log.
    pub(super) fn finish(mut self, tx: &mut Tx<'_>) -> Result<Vec<PeriodRow>> {
        self.flush(tx)?;
        Ok(self.decided)
    }
}
