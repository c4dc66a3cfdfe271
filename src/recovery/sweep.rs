//! Removes files of workers that have no row: they died after creating their files and before their registration.

use crate::error::Result;
use crate::local::Local;
use crate::run::WorkerId;
use crate::store::{Store, Tx};

/// A write that removes files while it holds the write lock.
pub type Sweep = Box<dyn FnOnce(&mut Tx<'_>) -> Result<bool> + Send>;

/// Removes the files of workers without a row; returns whether none are left. Files whose lock a child holds that has not executed
/// its command yet can be removed later.
///
/// # Errors
/// Those of the store.
pub fn sweep(
    store: &Store,
    local: &Local,
    own: WorkerId,
    write: impl FnOnce(Sweep) -> Result<bool>,
) -> Result<bool> {
    let local = local.clone();
    let known = store.workers()?;
    let mut unregistered = local.workers_with_files();
    unregistered.retain(|worker| *worker != own && known.iter().all(|row| row.worker != *worker));
    if unregistered.is_empty() {
        return Ok(true);
    }
    // While we hold the write lock, no worker is registering.
    write(Box::new(move |tx| {
        let mut clean = true;
        for worker in tx.without_row(&unregistered)? {
            clean &= local.forget_unregistered(worker);
        }
        Ok(clean)
    }))
}
