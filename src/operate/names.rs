//! Checks that a job, a queue or a limit exists, so that a mistyped name changes nothing.
//!
//! Rule: a name exists if the store or the catalogue's file has it, so a job that was removed from the file can still be paused.

use super::ActError;
use crate::catalogue::Catalogue;
use crate::error::Result;
use crate::flow::{FlowView, Rules, Subject};
use crate::store::Store;

/// Reads the catalogue's file; `None` if it cannot be loaded. It is called only for names that the store does not have.
pub type ReadCatalogue<'a> = &'a dyn Fn() -> Option<Catalogue>;

/// The current flow control; with the rules of the catalogue's file if no process has loaded a catalogue yet.
///
/// # Errors
/// Those of the store.
pub fn flow(store: &Store, read: ReadCatalogue<'_>, now_ms: i64) -> Result<FlowView> {
    store.flow(|| rules(read), now_ms)
}

/// Fails unless the store or the catalogue has this job: one that was removed from the catalogue may still have runs.
///
/// # Errors
/// [`ActError::Unknown`], and those of the store.
pub fn check_job(store: &Store, job: &str, read: ReadCatalogue<'_>) -> Result<(), ActError> {
    let known = store.known_jobs()?;
    if known.iter().any(|name| name == job) || store.has_runs_of(job)? {
        return Ok(());
    }
    let known = match read() {
        Some(catalogue) if catalogue.jobs.contains_key(job) => return Ok(()),
        Some(catalogue) => catalogue.jobs.into_keys().collect(),
        None => known,
    };
    let subject = Subject::Job(job.to_owned());
    Err(ActError::Unknown { subject, known })
}

/// Fails unless a catalogue has this queue, runs are in it, or an operator changed it. Returns the current flow control.
///
/// # Errors
/// [`ActError::Unknown`], and those of the store.
pub fn check_queue(
    store: &Store,
    queue: &str,
    read: ReadCatalogue<'_>,
    now_ms: i64,
) -> Result<FlowView, ActError> {
    let flow = flow(store, read, now_ms)?;
    let rows = store.queues(now_ms)?;
    let mut known: Vec<String> = rows.into_iter().map(|row| row.queue).collect();
    known.extend(flow.rules.queues.keys().cloned());
    let of_file = || rules(read).map(|rules| rules.queues.into_keys().collect());
    check_known(Subject::Queue(queue.to_owned()), known, of_file)?;
    Ok(flow)
}

/// Fails unless a catalogue has this limit or an operator changed it.
///
/// # Errors
/// [`ActError::Unknown`], and those of the store.
pub fn check_limit(
    store: &Store,
    limit: &str,
    read: ReadCatalogue<'_>,
    now_ms: i64,
) -> Result<(), ActError> {
    let flow = flow(store, read, now_ms)?;
    let mut known: Vec<String> = flow.rules.limits.keys().cloned().collect();
    let changed = flow.overrides.iter().filter(|it| !it.key.is_of_queue());
    known.extend(changed.map(|change| change.name.clone()));
    let of_file = || rules(read).map(|rules| rules.limits.into_keys().collect());
    check_known(Subject::Limit(limit.to_owned()), known, of_file)
}

fn rules(read: ReadCatalogue<'_>) -> Option<Rules> {
    read().map(|catalogue| catalogue.flow_rules())
}

fn check_known(
    subject: Subject,
    known: Vec<String>,
    of_file: impl FnOnce() -> Option<Vec<String>>,
) -> Result<(), ActError> {
    let has = |names: &[String]| names.iter().any(|it| it == subject.name());
    if has(&known) {
        return Ok(());
    }
    let mut all = of_file().unwrap_or_default();
    if has(&all) {
        return Ok(());
    }
    all.extend(known);
    all.sort();
    all.dedup();
    Err(ActError::Unknown {
        subject,
        known: all,
    })
}
