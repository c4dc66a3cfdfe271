//! Recovers the runs of workers that died. The kernel's lock proves a death, never a clock.
//!
//! Rule: the dead worker's lock is held from the proof of its death until its runs are moved, so that one reaper acts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fs2::FileExt;

use crate::attempt::Mark;
use crate::catalogue::Catalogue;
use crate::clock;
use crate::error::{Error, Result};
use crate::fail_point;
use crate::observe::log::{self, Level};
use crate::owned::Dir;
use crate::process::{last_words, leftovers, marks};
use crate::run::{Fence, RunId, WorkerId};
use crate::store::{Cause, Recovered, Store, Tx, WorkerRow};

use super::files::{
    ProcessState, has_ended, lock_name, lock_path, marks_name, marks_path, open_lock, process_state,
};
use super::follow_up::follow_up;
use super::foreign::may_leave_hidden_processes;
use super::judge::{DeadWorker, Life, Lock, cause, is_left_to_parent, life, proves};

/// Time between SIGTERM and SIGKILL for processes that a dead worker left. Its runs wait until they are gone.
const GRACE: Duration = Duration::from_secs(1);

/// The result of one check of all workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Runs became claimable.
    pub freed: bool,
    /// A worker has died and can be recovered only at a later check.
    pub dying: bool,
}

/// A write about a dead worker.
pub type Body = Box<dyn FnOnce(&mut Tx<'_>) -> Result<Recovered> + Send>;

/// For each dead worker whose runs stay blocked, the processes that cannot be ended, as they were logged last.
#[derive(Debug, Default)]
pub struct LoggedLeftovers(BTreeMap<WorkerId, Vec<(RunId, i32)>>);

impl LoggedLeftovers {
    /// Records the processes that a check found; returns whether the result differs from that of the last check and must be logged.
    fn update(&mut self, worker: WorkerId, moved: bool, remaining: &[(RunId, i32)]) -> bool {
        let before = if remaining.is_empty() {
            self.0.remove(&worker)
        } else {
            self.0.insert(worker, remaining.to_owned())
        };
        moved || before.is_none_or(|before| before != remaining)
    }
}

/// Recovers dead workers.
pub struct Reaper<'a> {
    /// The store to read from.
    pub store: &'a Store,
    /// This worker, which is not checked; `None` in a scheduler.
    pub own: Option<WorkerId>,
    /// Loads the catalogue, for `on_dead`; called only when a worker died.
    pub catalogue: &'a dyn Fn() -> Option<Arc<Catalogue>>,
    /// What earlier checks logged.
    pub logged: &'a mut LoggedLeftovers,
    /// Performs a write in its own transaction.
    pub write: &'a mut dyn FnMut(Body) -> Result<Recovered>,
}

impl Reaper<'_> {
    /// Checks every other worker once and recovers the dead ones.
    ///
    /// # Errors
    /// Those of the store; workers that were not recovered are found again by the next check.
    pub fn reap(&mut self) -> Result<Reaped> {
        let mut reaped = Reaped::default();
        let rows = self.store.workers()?;
        // A separate worker comes before its parent: the last words of the parent count for both.
        for row in rows.iter().rev() {
            if Some(row.worker) == self.own {
                continue;
            }
            let (found, mut lock) = check_worker(self.store.dir(), row);
            match found {
                Life::Alive => continue,
                Life::Dying => {
                    reaped.dying = true;
                    continue;
                }
                Life::Dead => {}
            }
            let mut parent = rows.iter().find(|it| Some(it.worker) == row.parent);
            parent = parent.filter(|it| Some(it.worker) != self.own);
            let (parent_lives, mut parent_lock) =
                match parent.map(|it| check_worker(self.store.dir(), it)) {
                    Some((found, lock)) => (found != Life::Dead, lock),
                    None => (false, None),
                };
            if is_left_to_parent(row.parent, self.own, parent_lives) {
                reaped.dying = true;
                continue;
            }
            let mut locks = lock.iter_mut().chain(&mut parent_lock);
            let was_ended_by_parent = locks.any(last_words::were_said);
            let same_boot = clock::same_boot(&row.boot_id, &clock::boot_id());
            let cause = cause(same_boot, was_ended_by_parent);
            reaped.freed |= self.recover(row, (cause, proves(row.parent, self.own)))?;
            drop((lock, parent_lock));
        }
        Ok(reaped)
    }

    fn recover(&mut self, row: &WorkerRow, verdict: (Cause, bool)) -> Result<bool> {
        let (cause, _) = verdict;
        let state = self.store.dir();
        let marks_path = marks_path(state, row.worker);
        let held = self.store.held_by(row.worker)?.into_iter();
        let held: Vec<(RunId, Fence)> = held.map(|(run, fence, _)| (run, fence)).collect();
        let (marks, are_proof) = start_marks(row, &marks_path)?;
        let dead = DeadWorker::of(row.worker, verdict, (&marks, are_proof), &held);
        let claims = dead.claims_to_search();
        let left = if claims.is_empty() {
            leftovers::EndedTree::default()
        } else if may_leave_hidden_processes(row) {
            // Processes in another namespace cannot be seen: the runs wait until an operator confirms that these are gone.
            let number = i32::try_from(row.pid).unwrap_or_default();
            leftovers::EndedTree {
                ended: Vec::new(),
                remaining: held.iter().map(|&(run, ..)| (run, number)).collect(),
            }
        } else {
            leftovers::end_tree(claims, self.store.uuid(), GRACE)
        };
        fail_point::reach("left_ended");
        let died_ms = fs::metadata(&marks_path)
            .ok()
            .and_then(|meta| Some(meta.mtime().checked_mul(1000)? + meta.mtime_nsec() / 1_000_000))
            .unwrap_or_else(clock::wall_ms);
        let remaining = left.remaining.iter().map(|(run, _)| *run);
        let death = dead.death(remaining, |_| died_ms);
        let (worker, n_blocked) = (row.worker, death.blocked.len());
        let catalogue = (self.catalogue)();
        let recovered: Recovered = (self.write)(Box::new(move |tx| {
            let now_ms = clock::wall_ms();
            let recovered = tx.recover(&death, now_ms)?;
            for burial in &recovered.buried {
                if let Some(catalogue) = &catalogue {
                    follow_up(tx, burial, catalogue, now_ms)?;
                }
            }
            Ok(recovered)
        }))?;
        fail_point::reach("recovered");
        let moved = recovered.lost + recovered.unclaimed > 0 || !recovered.buried.is_empty();
        if self.logged.update(worker, moved, &left.remaining) {
            let cannot_end = left.remaining.iter();
            let cannot_end = cannot_end.map(|(run, pid)| format!("{pid} of run {run}"));
            let cannot_end = cannot_end.collect::<Vec<_>>().join(", ");
            let (dead, ended) = (recovered.buried.len(), left.ended.len());
            let cause = cause.word();
            let mut fields = vec![
                log::number("worker", worker.0),
                log::number("pid", row.pid),
                log::text("cause", cause),
                log::number("unclaimed", recovered.unclaimed),
                log::number("lost", recovered.lost),
                log::number("dead", dead),
                log::number("blocked", n_blocked),
                log::number("processes_ended", ended),
            ];
            if !cannot_end.is_empty() {
                fields.push(log::text("cannot_end", cannot_end));
            }
            log::event(Level::Warn, "worker_died", &fields);
        }
        if n_blocked == 0 {
            remove_files(state, worker, row.slots);
        }
        Ok(recovered.lost + recovered.unclaimed > 0)
    }
}

/// Whether a worker lives; and its lock, if we hold it now.
fn check_worker(state: &Path, row: &WorkerRow) -> (Life, Option<File>) {
    let (seen, lock) = check_lock(state, row.worker);
    let has_ended = || match seen {
        Lock::Missing => process_state(row) == ProcessState::Gone,
        _ => has_ended(row),
    };
    (life(seen, has_ended), lock)
}

/// The state of a worker's lock; and the lock, if we hold it now.
fn check_lock(state: &Path, worker: WorkerId) -> (Lock, Option<File>) {
    let path = lock_path(state, worker);
    // Not opened for writing: the close would wake every reaper, this one too, and two workers would wake each other for ever.
    match open_lock(state, worker) {
        Ok(lock) => {
            if FileExt::try_lock_exclusive(&lock).is_err() {
                return (Lock::Held, None);
            }
            // Another reaper may have finished and removed the file between our open and our lock.
            let same = match (lock.metadata(), fs::symlink_metadata(&path)) {
                (Ok(held), Ok(named)) => held.dev() == named.dev() && held.ino() == named.ino(),
                _ => false,
            };
            if same {
                (Lock::Ours, Some(lock))
            } else {
                (Lock::Replaced, None)
            }
        }
        Err(error) => {
            let is_missing = matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::PermissionDenied
            );
            // Other errors, such as a lack of descriptors, are temporary: the next check will find out.
            let seen = if is_missing {
                Lock::Missing
            } else {
                Lock::Unknown
            };
            (seen, None)
        }
    }
}

/// The start marks of a dead worker, and whether a missing mark proves that a run was not started. It does not if the marks cannot
/// be read, or if the host may have rebooted since: marks are not synced.
fn start_marks(row: &WorkerRow, path: &Path) -> Result<(Vec<Mark>, bool)> {
    let same_boot = clock::same_boot(&row.boot_id, &clock::boot_id()) == Some(true);
    match marks::read(path) {
        Ok(marks) => Ok((marks, same_boot)),
        // These errors are temporary: the next check retries.
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR)
            ) =>
        {
            Err(Error::io("read", path, &error))
        }
        Err(_) => Ok((Vec::new(), false)),
    }
}

/// Removes the files of a worker whose row is gone; the lock last, since it keeps other reapers away.
pub(super) fn remove_files(state: &Path, worker: WorkerId, slots: i64) {
    let Ok(state) = Dir::open(state) else {
        return;
    };
    if let Ok(work) = state.dir("work") {
        for slot in 0..slots {
            drop(work.remove_tree(format!("{worker}.{slot}")));
        }
    }
    if let Ok(workers) = state.dir("workers") {
        for name in [marks_name(worker), lock_name(worker)] {
            drop(workers.remove_file(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_that_cannot_be_ended_are_logged_again_only_when_they_change() {
        let mut logged = LoggedLeftovers::default();
        let mut update =
            |moved, remaining: &[(RunId, i32)]| logged.update(WorkerId(1), moved, remaining);
        assert!(update(true, &[(RunId(5), 77)]));
        assert!(!update(false, &[(RunId(5), 77)]));
        assert!(update(false, &[(RunId(5), 77), (RunId(5), 78)]));
        assert!(update(false, &[]));
        // Each worker is recorded separately.
        assert!(logged.update(WorkerId(2), false, &[(RunId(6), 79)]));
        assert!(!logged.update(WorkerId(2), false, &[(RunId(6), 79)]));
    }
}
