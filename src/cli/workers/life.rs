//! Whether anybody works on the store.

use crate::error::Result;
use crate::local::Local;
use crate::store::{NO_QUEUES, Tx};

/// Whether a worker or a scheduler lives: then they alone put a catalogue in force. What is not ours to judge counts as living; a
/// `jobctl run` is no worker for others.
pub(in crate::cli) fn is_anybody_in_charge(tx: &Tx<'_>, local: &Local) -> Result<bool> {
    if local.is_led() != Some(false) {
        return Ok(true);
    }
    let workers = tx.workers()?;
    let mut workers = workers.iter().filter(|row| row.queues != NO_QUEUES);
    Ok(workers.any(|row| local.is_alive(&row.registration()) != Some(false)))
}
