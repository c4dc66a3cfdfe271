//! Runs a period that has no run.
//!
//! Rule: like every new run, it is refused while the disk or the database has no room for its queue.

use crate::error::Result;
use crate::scheduler::{PeriodOrder, Worked, work_period};
use crate::store::Store;

/// Enqueues the run of a skipped or merged period, due now.
///
/// # Errors
/// [`crate::error::Kind::TryAgain`] if space is short; those of [`work_period`].
pub fn run_period(store: &mut Store, order: PeriodOrder<'_>, now_ms: i64) -> Result<Worked> {
    let guard = store.guard(order.settings)?;
    match guard.refusal(&order.intake.queue) {
        Some(refusal) => Err(refusal),
        None => work_period(store, order, now_ms),
    }
}
