//! Whether a claimed run may be started at all, by the catalogue of the worker that has it.
//!
//! Rule: pure. The catalogue of whoever stored it may have been another, and the job may have been edited since.

use std::collections::BTreeMap;

use crate::attempt::NotStarted;
use crate::catalogue::Job;
use crate::run::Guarantee;
use crate::store::Claimed;

/// The parameters that its command gets.
///
/// # Errors
/// Why it is not started and never will be: it was, and may be only once; or its job does not take what is stored with it.
pub fn admit(claimed: &Claimed, job: &Job) -> Result<BTreeMap<String, String>, NotStarted> {
    if claimed.guarantee == Guarantee::AtMostOnce && claimed.started_before {
        // Its job became so while it waited for another attempt.
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
