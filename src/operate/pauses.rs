//! Pauses and resumes jobs, queues and limits, and resets breakers.
//!
//! Rule: a pause stops starts, not running commands. Repeating an act is not an error: the answer says that nothing was changed.

use super::ActError;
use super::names::{ReadCatalogue, check_job, check_limit, check_queue};
use crate::flow::{Override, Rules, Subject};
use crate::store::{Act, Reset, Store};

/// The changes made by resuming a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResumedJob {
    /// Whether it was paused.
    pub was_paused: bool,
    /// Whether its breaker was open, and is closed now.
    pub breaker_closed: bool,
}

/// The changes made by resuming a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResumedQueue {
    /// Whether it was paused.
    pub was_paused: bool,
    /// Whether the catalogue pauses it, so that it is resumed only until the change is removed.
    pub catalogue_pauses: bool,
}

/// Pauses a job. Returns `false`, without a change, if it was already paused.
///
/// # Errors
/// [`ActError::Unknown`], and those of the store.
pub fn pause_job(
    store: &mut Store,
    job: &str,
    act: &Act<'_>,
    read: ReadCatalogue<'_>,
) -> Result<bool, ActError> {
    check_job(store, job, read)?;
    Ok(store.write(|tx| tx.pause_job(job, act))?)
}

/// Resumes a job and closes its breaker, in one transaction.
///
/// # Errors
/// As [`pause_job`].
pub fn resume_job(
    store: &mut Store,
    job: &str,
    act: &Act<'_>,
    read: ReadCatalogue<'_>,
) -> Result<ResumedJob, ActError> {
    check_job(store, job, read)?;
    let subject = Subject::Job(job.to_owned());
    Ok(store.write(|tx| {
        Ok(ResumedJob {
            was_paused: tx.resume_job(job, act)?,
            breaker_closed: tx.reset(&subject, act)?.breaker,
        })
    })?)
}

/// Pauses a queue. If an operator has already paused it, nothing changes, and that pause is returned.
///
/// # Errors
/// [`ActError::Unknown`], and those of the store.
pub fn pause_queue(
    store: &mut Store,
    queue: &str,
    act: &Act<'_>,
    read: ReadCatalogue<'_>,
) -> Result<Option<Override>, ActError> {
    check_queue(store, queue, read, act.now_ms)?;
    Ok(store.write(|tx| tx.pause_queue(queue, act))?)
}

/// Resumes a queue, even if the catalogue pauses it.
///
/// # Errors
/// As [`pause_queue`].
pub fn resume_queue(
    store: &mut Store,
    queue: &str,
    act: &Act<'_>,
    read: ReadCatalogue<'_>,
) -> Result<ResumedQueue, ActError> {
    let flow = check_queue(store, queue, read, act.now_ms)?;
    let pauses = |rules: &Rules| {
        let rules = rules.queues.get(queue);
        rules.is_some_and(|queue| queue.paused.is_some())
    };
    Ok(store.write(|tx| {
        let loaded = tx.catalogue_rules()?;
        // Before any catalogue is loaded, the file decides.
        let catalogue_pauses = if loaded.queues.is_empty() {
            pauses(&flow.catalogue)
        } else {
            pauses(&loaded)
        };
        Ok(ResumedQueue {
            was_paused: tx.resume_queue(queue, catalogue_pauses, act)?,
            catalogue_pauses,
        })
    })?)
}

/// Pauses a limit. If it is already paused, nothing changes, and that pause is returned.
///
/// # Errors
/// [`ActError::Unknown`], and those of the store.
pub fn pause_limit(
    store: &mut Store,
    limit: &str,
    act: &Act<'_>,
    read: ReadCatalogue<'_>,
) -> Result<Option<Override>, ActError> {
    check_limit(store, limit, read, act.now_ms)?;
    Ok(store.write(|tx| tx.pause_limit(limit, act))?)
}

/// Resumes a limit. Returns the ended pause. Its breaker and a wait that a service asked for do not change.
///
/// # Errors
/// As [`pause_limit`].
pub fn resume_limit(
    store: &mut Store,
    limit: &str,
    act: &Act<'_>,
    read: ReadCatalogue<'_>,
) -> Result<Option<Override>, ActError> {
    check_limit(store, limit, read, act.now_ms)?;
    Ok(store.write(|tx| tx.resume_limit(limit, act))?)
}

/// Closes the breaker of a limit and cancels the wait that a service asked for. A pause and the settings do not change.
///
/// # Errors
/// As [`pause_limit`].
pub fn reset_limit(
    store: &mut Store,
    limit: &str,
    act: &Act<'_>,
    read: ReadCatalogue<'_>,
) -> Result<Reset, ActError> {
    check_limit(store, limit, read, act.now_ms)?;
    let subject = Subject::Limit(limit.to_owned());
    Ok(store.write(|tx| tx.reset(&subject, act))?)
}
