//! Rows of decided periods. Consecutive periods with equal results and without a run share a row.
//!
//! Rule: a row must not extend across a period that another row covers; the caller reports such a period with [`Rows::interrupt`].

use crate::error::Result;
use crate::store::{PeriodRow, Tx};

/// Rows of one schedule that one transaction writes.
pub(super) struct Rows {
    /// Whether periods of this rule may share rows.
    mergeable: bool,
    /// Whether the next period directly follows the last one.
    joins: bool,
    /// Whether the first row directly follows the last stored row.
    extends_stored: bool,
    /// All but the last are written.
    decided: Vec<PeriodRow>,
}

impl Rows {
    pub(super) fn new(mergeable: bool) -> Self {
        Self {
            mergeable,
            joins: true,
            extends_stored: false,
            decided: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.decided.len()
    }

    /// Reports that a period which is covered already lies between the last period and the next.
    pub(super) fn interrupt(&mut self) {
        self.joins = false;
    }

    pub(super) fn push(&mut self, tx: &mut Tx<'_>, row: PeriodRow) -> Result<()> {
        let joins = std::mem::replace(&mut self.joins, true) && self.mergeable;
        match self.decided.last_mut() {
            Some(last) if joins && last.can_merge(&row) => last.extend(&row),
            _ => {
                self.flush(tx)?;
                self.extends_stored = joins && self.decided.is_empty();
                self.decided.push(row);
            }
        }
        Ok(())
    }

    fn flush(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        let Some(row) = self.decided.last() else {
            return Ok(());
        };
        if self.extends_stored
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

    /// Writes the last row; returns all rows, for the log.
    pub(super) fn finish(mut self, tx: &mut Tx<'_>) -> Result<Vec<PeriodRow>> {
        self.flush(tx)?;
        Ok(self.decided)
    }
}
