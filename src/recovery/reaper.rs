//! Recovers the runs of workers that died. The kernel's lock proves a death, never a clock.
//!
//! Rule: the dead worker's lock is held from the proof of its death until its runs are moved, so that one reaper acts.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::attempt::Mark;
use crate::catalogue::Catalogue;
use crate::clock;
use crate::error::{Error, Result};
use crate::fail_point;
use crate::local::{Life, Local, marks};
use crate::observe::event::LogEvent;
use crate::observe::log;
use crate::process::{last_words, leftovers};
use crate::run::{Fence, RunId, WorkerId};
use crate::store::{Cause, Recovered, Store, Tx, WorkerRow};

use super::follow_up::follow_up;
use super::judge::{DeadWorker, cause, is_left_to_parent, proves};

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
    /// Where workers have their files.
    pub local: &'a Local,
    /// This worker, which is not checked; `None` in a scheduler.
    pub own: Option<WorkerId>,
    /// Loads the catalogue, for `on_dead`; called only when a worker died.
    pub catalogue: &'a dyn Fn() -> Option<Arc<Catalogue>>,
    /// The processes that earlier checks logged.
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
            let (found, mut lock) = self.local.seize(&row.registration());
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
                match parent.map(|it| self.local.seize(&it.registration())) {
                    Some((found, lock)) => (found != Life::Dead, lock),
                    None => (false, None),
                };
            if is_left_to_parent(row.parent, self.own, parent_lives) {
                reaped.dying = true;
                continue;
            }
            let mut locks = lock.iter_mut().chain(&mut parent_lock);
            let was_ended_by_parent = locks.any(last_words::were_said);
            let same_boot = row.registration().is_of_this_boot();
            let cause = cause(same_boot, was_ended_by_parent);
            reaped.freed |= self.recover(row, (cause, proves(row.parent, self.own)))?;
            drop((lock, parent_lock));
        }
        Ok(reaped)
    }

    fn recover(&mut self, row: &WorkerRow, verdict: (Cause, bool)) -> Result<bool> {
        let (cause, _) = verdict;
        let marks_path = self.local.marks_path(row.worker);
        let held = self.store.held_by(row.worker)?.into_iter();
        let held: Vec<(RunId, Fence)> = held.map(|(run, fence, _)| (run, fence)).collect();
        let (marks, are_proof) = start_marks(row, &marks_path)?;
        let dead = DeadWorker::of(row.worker, verdict, (&marks, are_proof), &held);
        let claims = dead.claims_to_search();
        let left = if claims.is_empty() {
            leftovers::EndedTree::default()
        } else if row.registration().may_leave_hidden_processes() {
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
            log::write(&LogEvent::WorkerDied {
                worker,
                pid: row.pid,
                cause,
                unclaimed: recovered.unclaimed,
                lost: recovered.lost,
                dead: recovered.buried.len(),
                blocked: n_blocked,
                processes_ended: left.ended.len(),
                cannot_end: (!cannot_end.is_empty()).then(|| cannot_end.into()),
            });
        }
        if n_blocked == 0 {
            self.local.forget_worker(worker, row.slots);
        }
        Ok(recovered.lost + recovered.unclaimed > 0)
    }
}

/// The start marks of a dead worker, and whether a missing mark proves that a run was not started. It does not if the marks cannot
/// be read, or if the host may have rebooted since: marks are not synced.
fn start_marks(row: &WorkerRow, path: &Path) -> Result<(Vec<Mark>, bool)> {
    let same_boot = row.registration().is_of_this_boot() == Some(true);
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
