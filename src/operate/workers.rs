//! Requests a worker to stop.
//!
//! Rule: a request is only stored; the worker stops once it has read it and its runs have ended.

use crate::error::Result;
use crate::local::Local;
use crate::run::WorkerId;
use crate::store::Store;

/// The result of a request to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopAnswer {
    /// The request is stored.
    Asked,
    /// There is no such worker; nothing was changed.
    Unknown,
    /// The worker has ended already; nothing was changed.
    Gone,
}

/// Asks a worker to stop.
///
/// # Errors
/// Those of the store.
pub fn stop_worker(
    store: &mut Store,
    local: &Local,
    worker: WorkerId,
    now_ms: i64,
) -> Result<StopAnswer> {
    let Some(row) = store.worker(worker)? else {
        return Ok(StopAnswer::Unknown);
    };
    if local.is_alive(&row.registration()) == Some(false) {
        return Ok(StopAnswer::Gone);
    }
    let is_asked = store.write(|tx| tx.ask_worker_to_stop(worker, now_ms))?;
    Ok(if is_asked {
        StopAnswer::Asked
    } else {
        StopAnswer::Unknown
    })
}

/// The registered workers that are not known to be dead.
///
/// # Errors
/// Those of the store.
pub fn living_workers(store: &Store, local: &Local) -> Result<Vec<WorkerId>> {
    let rows = store.workers()?;
    let alive = rows
        .iter()
        .filter(|row| local.is_alive(&row.registration()) != Some(false));
    Ok(alive.map(|row| row.worker).collect())
}
