//! Removes files of workers that have no row: they died after creating their files and before their registration.

use std::path::Path;

use fs2::FileExt;

use crate::error::Result;
use crate::owned::Dir;
use crate::run::WorkerId;
use crate::store::{Store, Tx};

use super::files::open_lock;
use super::reaper::remove_files;

/// A write that removes files while it holds the write lock.
pub type Sweep = Box<dyn FnOnce(&mut Tx<'_>) -> Result<bool> + Send>;

/// Removes the files of workers without a row; returns whether none are left. Files whose lock a child holds that has not executed
/// its command yet can be removed later.
///
/// # Errors
/// Those of the store.
pub fn sweep(
    store: &Store,
    own: WorkerId,
    write: impl FnOnce(Sweep) -> Result<bool>,
) -> Result<bool> {
    let state = store.dir().to_owned();
    let known = store.workers()?;
    let mut unregistered = workers_with_files(&state);
    unregistered.retain(|worker| *worker != own && known.iter().all(|row| row.worker != *worker));
    if unregistered.is_empty() {
        return Ok(true);
    }
    // While we hold the write lock, no worker is registering.
    write(Box::new(move |tx| {
        let mut clean = true;
        for worker in tx.without_row(&unregistered)? {
            let lock = open_lock(&state, worker);
            let dead = match &lock {
                Ok(lock) => FileExt::try_lock_exclusive(lock).is_ok(),
                Err(error) => error.kind() == std::io::ErrorKind::NotFound,
            };
            // A file that we may not open is left alone.
            clean &= dead || lock.is_err();
            if dead {
                let slots = slots_with_files(&state, worker);
                remove_files(&state, worker, slots);
            }
        }
        Ok(clean)
    }))
}

/// The workers named by files in the store directory.
fn workers_with_files(state: &Path) -> Vec<WorkerId> {
    let mut workers: Vec<WorkerId> = Vec::new();
    for dir in ["workers", "work"] {
        let numbers = names(state, dir).filter_map(|name| name.split('.').next()?.parse().ok());
        workers.extend(numbers.map(WorkerId));
    }
    workers.sort_unstable();
    workers.dedup();
    workers
}

/// One more than the highest slot of a worker that has a directory; 0 if none has.
fn slots_with_files(state: &Path, worker: WorkerId) -> i64 {
    let of_worker = format!("{worker}.");
    names(state, "work")
        .filter_map(|name| name.strip_prefix(&of_worker)?.parse::<u32>().ok())
        .map(|slot| i64::from(slot) + 1)
        .max()
        .unwrap_or(0)
}

fn names(state: &Path, dir: &str) -> impl Iterator<Item = String> {
    let names = Dir::open(state).and_then(|state| state.dir(dir)?.names());
    let names = names.unwrap_or_default().into_iter();
    names.filter_map(|name| name.into_string().ok())
}
