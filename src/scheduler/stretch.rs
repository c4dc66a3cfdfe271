//! Stretches: rows that cover several consecutive periods.
//!
//! Rule: pure. A stretch covers consecutive periods of its rule, so it can be split again at any key.

use crate::schedule::{Period, PeriodsError, Rule};
use crate::store::PeriodRow;

/// Periods computed at a time.
const PAGE: usize = 10_000;

/// A stretch that is split around one of its periods.
pub struct Split {
    /// The periods before it.
    pub before: Option<PeriodRow>,
    /// The period alone.
    pub period: PeriodRow,
    /// The periods after it.
    pub behind: Option<PeriodRow>,
}

/// Splits a row at a key; `None` if the row does not cover the key.
///
/// # Errors
/// Those of the rule.
pub fn split(row: &PeriodRow, rule: &Rule, key: &str) -> Result<Option<Split>, PeriodsError> {
    if row.period == key {
        return Ok(Some(first(row, rule)?));
    }
    let mut before = PeriodRow {
        count: 0,
        ..row.clone()
    };
    let mut found = None;
    each(row, rule, |period| {
        if period.key == key {
            found = Some(period.clone());
            return false;
        }
        before.count += 1;
        before.last_period.clone_from(&period.key);
        before.last_due_ms = period.instant_ms;
        true
    })?;
    let Some(found) = found else {
        return Ok(None);
    };
    let rest = PeriodRow {
        period: found.key,
        due_ms: found.instant_ms,
        business_date: found.business_date.to_string(),
        count: row.count - before.count,
        ..row.clone()
    };
    Ok(Some(Split {
        before: Some(before),
        ..first(&rest, rule)?
    }))
}

/// Splits a row after its first period.
fn first(row: &PeriodRow, rule: &Rule) -> Result<Split, PeriodsError> {
    let period = PeriodRow {
        last_period: row.period.clone(),
        last_due_ms: row.due_ms,
        count: 1,
        ..row.clone()
    };
    let mut second = None;
    if row.count > 1 {
        let mut seen = 0;
        each(row, rule, |period| {
            seen += 1;
            if seen == 2 {
                second = Some(period.clone());
            }
            seen < 2
        })?;
    }
    let behind = second.map(|second| PeriodRow {
        period: second.key,
        due_ms: second.instant_ms,
        business_date: second.business_date.to_string(),
        count: row.count - 1,
        ..row.clone()
    });
    Ok(Split {
        before: None,
        period,
        behind,
    })
}

/// Calls `visit` with each period of a row, from its first to its last, until it returns false.
pub(super) fn each(
    row: &PeriodRow,
    rule: &Rule,
    mut visit: impl FnMut(&Period) -> bool,
) -> Result<(), PeriodsError> {
    let mut begun = false;
    let mut after_ms = row.due_ms - 1;
    loop {
        let page = rule.periods(after_ms, row.last_due_ms, PAGE)?;
        for period in &page {
            begun |= period.key == row.period;
            if begun && !visit(period) {
                return Ok(());
            }
            if begun && period.key == row.last_period {
                return Ok(());
            }
        }
        match page.last() {
            Some(last) if page.len() >= PAGE => after_ms = last.instant_ms,
            _ => return Ok(()),
        }
    }
}
