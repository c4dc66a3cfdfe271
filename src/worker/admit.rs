//! Whether a claimed run may be started, by the catalogue of the worker that claimed it.
//!
//! Rule: pure. The run may have been enqueued with another catalogue, and the job may have been edited since.

use std::collections::BTreeMap;

use crate::attempt::NotStarted;
use crate::catalogue::Job;
use crate::run::Guarantee;
use crate::store::Claimed;

/// The parameters for the command of a claimed run.
///
/// # Errors
/// [`NotStarted`], permanently: the run started before and may start at most once, or the job does not accept the stored parameters
/// or payload.
pub fn admit(claimed: &Claimed, job: &Job) -> Result<BTreeMap<String, String>, NotStarted> {
    if claimed.guarantee == Guarantee::AtMostOnce && claimed.started_before {
        // The job became at-most-once while the run waited for its next attempt.
        let error = "its job starts at most once, and it was started before";
        return Err(NotStarted::for_good(error));
    }
    let stored: BTreeMap<String, String> = match &claimed.params {
        None => BTreeMap::new(),
        Some(text) => serde_json::from_str(text).map_err(|error| {
            NotStarted::for_good(format!("the stored parameters cannot be read: {error}"))
        })?,
    };
    let payload_bytes = claimed.payload.as_ref().map_or(0, Vec::len) as u64;
    let checked = job.intake.recheck(&claimed.job, stored, payload_bytes);
    checked.map_err(|error| NotStarted::for_good(error.message))
}
