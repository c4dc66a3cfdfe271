//! Runs a period that has no run.
//!
//! Rule: like every new run, it is refused while the disk or the database has no room for its queue.

use crate::error::Result;
use crate::scheduler::{PeriodRequest, PeriodRunAnswer, work_period};
use crate::store::Store;

/// Enqueues the run of a skipped or merged period, due now.
///
/// # Errors
/// [`crate::error::Kind::TryAgain`] if space is short; those of [`work_period`].
pub fn run_period(
    store: &mut Store,
    request: PeriodRequest<'_>,
    now_ms: i64,
) -> Result<PeriodRunAnswer> {
    let guard = store.guard(request.settings)?;
    match guard.refusal(&request.intake.queue) {
        Some(refusal) => Err(refusal),
        None => work_period(store, request, now_ms),
    }
}
