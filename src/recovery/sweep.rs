//! Removes files of workers that nobody knows: they died between their files and their row.

use crate::error::Result;
use crate::local::Local;
use crate::run::WorkerId;
use crate::store::{Store, Tx};

/// What is done in our turn to write.
pub type Sweep = Box<dyn FnOnce(&mut Tx<'_>) -> Result<bool> + Send>;

/// Removes what is left of workers that died between their row and their files, or had only files; whether nothing is left. What
/// a child between its birth and its command still holds can be removed later.
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
    let mut strange = local.workers_with_files();
    strange.retain(|worker| *worker != own && known.iter().all(|row| row.worker != *worker));
    if strange.is_empty() {
        return Ok(true);
    }
    // In our turn to write nobody is just being born.
    write(Box::new(move |tx| {
        let mut clean = true;
        for worker in tx.without_row(&strange)? {
            clean &= local.forget_stranger(worker);
        }
        Ok(clean)
    }))
}
