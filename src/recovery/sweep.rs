//! Removes files of workers that nobody knows: they died between their files and their row.

use std::path::Path;

use fs2::FileExt;

use crate::error::Result;
use crate::local::Local;
use crate::owned::Dir;
use crate::run::WorkerId;
use crate::store::{Store, Tx};

use super::files::open_lock;
use super::reaper::forget_files;

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
    let state = local.dir().to_owned();
    let known = store.workers()?;
    let mut strange = workers_with_files(&state);
    strange.retain(|worker| *worker != own && known.iter().all(|row| row.worker != *worker));
    if strange.is_empty() {
        return Ok(true);
    }
    // In our turn to write nobody is just being born.
    write(Box::new(move |tx| {
        let mut clean = true;
        for worker in tx.without_row(&strange)? {
            let lock = open_lock(&state, worker);
            let dead = match &lock {
                Ok(lock) => FileExt::try_lock_exclusive(lock).is_ok(),
                Err(error) => error.kind() == std::io::ErrorKind::NotFound,
            };
            // What is not ours to open is not ours to remove.
            clean &= dead || lock.is_err();
            if dead {
                let slots = slots_with_files(&state, worker);
                forget_files(&state, worker, slots);
            }
        }
        Ok(clean)
    }))
}

/// The workers that files are named after.
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

/// One more than the last slot of a worker that has a directory.
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
