//! Recovers the runs of workers that died: the kernel's lock says who is dead, never a clock.
//!
//! Rule: the dead worker's lock is held from the proof of its death until its runs are moved, so that one reaper acts.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fs2::FileExt;

use crate::catalogue::Catalogue;
use crate::clock;
use crate::error::Result;
use crate::observe::log::{self, Level};
use crate::process::{leftovers, marks};
use crate::run::{RunId, WorkerId};
use crate::store::{Death, Ledger, Recovered, Store, WorkerRow};

use super::ended::follow_up;
use super::identity::{lock_path, marks_path, start_ticks, workers_dir};

/// Between SIGTERM and SIGKILL for what a dead worker left; its runs wait for it.
const GRACE: Duration = Duration::from_secs(1);

/// What is known of another worker.
enum Life {
    /// Its lock is held, or it is another user's.
    Alive,
    /// Its lock was free and is now ours; `None` where its file is gone.
    Dead(Option<File>),
}

/// Looks at every other worker once and recovers the dead; whether runs became free.
pub(super) fn reap(
    store: &Store,
    ledger: &Ledger,
    own: WorkerId,
    catalogue: &Arc<Catalogue>,
) -> Result<bool> {
    let boot_id = clock::boot_id();
    let mut freed = false;
    for row in store.workers()? {
        if row.worker == own {
            continue;
        }
        if let Life::Dead(lock) = look(store.dir(), &row, &boot_id) {
            freed |= recover(store, ledger, &row, row.boot_id != boot_id, catalogue)?;
            drop(lock);
        }
    }
    Ok(freed)
}

fn look(state: &Path, row: &WorkerRow, boot_id: &str) -> Life {
    let path = lock_path(state, row.worker);
    let opened = fs::OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(&path);
    match opened {
        Ok(lock) => {
            if FileExt::try_lock_exclusive(&lock).is_err() {
                return Life::Alive;
            }
            // Another reaper may have finished and removed the file between our open and our lock.
            let same = match (lock.metadata(), fs::symlink_metadata(&path)) {
                (Ok(held), Ok(named)) => held.dev() == named.dev() && held.ino() == named.ino(),
                _ => false,
            };
            if same {
                Life::Dead(Some(lock))
            } else {
                Life::Alive
            }
        }
        // A missing file is tampering, not death: the process itself must be gone.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let pid = u32::try_from(row.pid).unwrap_or(0);
            let runs = row.boot_id == boot_id && start_ticks(pid).ok() == Some(row.pid_start);
            if runs { Life::Alive } else { Life::Dead(None) }
        }
        // Another user's worker is not ours to judge.
        Err(_) => Life::Alive,
    }
}

fn recover(
    store: &Store,
    ledger: &Ledger,
    row: &WorkerRow,
    rebooted: bool,
    catalogue: &Arc<Catalogue>,
) -> Result<bool> {
    let state = store.dir();
    let marks_path = marks_path(state, row.worker);
    let all = marks::read(&marks_path).unwrap_or_default();
    // Marks of finished runs may still stand in the file: only claims that the store knows matter.
    let held = store.held_by(row.worker)?;
    let open: Vec<marks::Mark> = all
        .into_iter()
        .filter(|mark| held.iter().any(|(_, fence, _)| *fence == mark.fence))
        .collect();
    let left = if rebooted {
        leftovers::LeftOver::default()
    } else {
        leftovers::end_tree(&open, store.uuid(), GRACE)
    };
    let mut blocked: Vec<RunId> = left.remaining.iter().map(|(run, _)| *run).collect();
    blocked.dedup();
    let died_ms = fs::metadata(&marks_path)
        .ok()
        .and_then(|meta| Some(meta.mtime().checked_mul(1000)? + meta.mtime_nsec() / 1_000_000))
        .unwrap_or_else(clock::wall_ms);
    let death = Death {
        worker: row.worker,
        rebooted,
        started: open
            .iter()
            .map(|mark| ((mark.run, mark.fence), died_ms))
            .collect(),
        blocked,
    };
    let (worker, n_blocked) = (row.worker, death.blocked.len());
    let catalogue = Arc::clone(catalogue);
    let recovered: Recovered = ledger.call(move |tx| {
        let now_ms = clock::wall_ms();
        let recovered = tx.recover(&death, now_ms)?;
        for burial in &recovered.buried {
            follow_up(tx, burial, &catalogue, now_ms)?;
        }
        Ok(recovered)
    })?;
    log::event(
        Level::Warn,
        "worker_died",
        &[
            ("worker", &worker),
            ("pid", &row.pid),
            ("rebooted", &rebooted),
            ("unclaimed", &recovered.unclaimed),
            ("lost", &recovered.lost),
            ("dead", &recovered.buried.len()),
            ("blocked", &n_blocked),
            ("processes_ended", &left.ended.len()),
        ],
    );
    if n_blocked == 0 {
        forget_files(state, worker, row.slots);
    }
    Ok(recovered.lost + recovered.unclaimed > 0)
}

/// Removes what a worker whose row is gone left in the state directory; its lock last, which keeps others away.
fn forget_files(state: &Path, worker: WorkerId, slots: i64) {
    for slot in 0..slots {
        drop(fs::remove_dir_all(
            state.join("work").join(format!("{worker}.{slot}")),
        ));
    }
    drop(fs::remove_file(marks_path(state, worker)));
    drop(fs::remove_file(lock_path(state, worker)));
}

/// Removes what is left of workers that died between their row and their files, or had only files.
pub(super) fn sweep(store: &Store, ledger: &Ledger, own: WorkerId) -> Result<()> {
    let state = store.dir().to_owned();
    let known = store.workers()?;
    let mut strange = workers_with_files(&state);
    strange.retain(|worker| *worker != own && known.iter().all(|row| row.worker != *worker));
    if strange.is_empty() {
        return Ok(());
    }
    // In our turn to write nobody is just being born.
    ledger.call(move |tx| {
        for worker in tx.without_row(&strange)? {
            let lock = fs::OpenOptions::new()
                .write(true)
                .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
                .open(lock_path(&state, worker));
            let dead = match &lock {
                Ok(lock) => FileExt::try_lock_exclusive(lock).is_ok(),
                Err(error) => error.kind() == std::io::ErrorKind::NotFound,
            };
            if dead {
                let slots = slots_with_files(&state, worker);
                forget_files(&state, worker, slots);
            }
        }
        Ok(())
    })
}

/// The workers that files are named after.
fn workers_with_files(state: &Path) -> Vec<WorkerId> {
    let mut workers: Vec<WorkerId> = Vec::new();
    for dir in [workers_dir(state), state.join("work")] {
        let numbers = names(&dir).filter_map(|name| name.split('.').next()?.parse().ok());
        workers.extend(numbers.map(WorkerId));
    }
    workers.sort_unstable();
    workers.dedup();
    workers
}

/// One more than the last slot of a worker that has a directory.
fn slots_with_files(state: &Path, worker: WorkerId) -> i64 {
    let of_worker = format!("{worker}.");
    names(&state.join("work"))
        .filter_map(|name| name.strip_prefix(&of_worker)?.parse::<u32>().ok())
        .map(|slot| i64::from(slot) + 1)
        .max()
        .unwrap_or(0)
}

fn names(dir: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}
