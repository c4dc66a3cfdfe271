//! The steps that put a catalogue in force: read it, save its rules, put its schedules in force, take removed schedules out of force.
//!
//! Rule: each step is repeated until its write succeeds. A newer catalogue replaces one that is not completely in force yet.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::{Error, Kind};

use super::super::agenda::{Agenda, next_of};
use super::super::work::{Applied, ApplyResult, Failure, Loaded, RemoveResult};
use super::{Action, Control, SLOW_RETRY_MS, STORE_RETRY_MS};

/// A failed step about one schedule.
pub(super) enum Slice {
    /// Put it in force.
    Apply(usize),
    /// Take it out of force.
    Remove(String),
}

/// The pending steps of a load.
#[derive(Default)]
pub(super) struct Load {
    /// When the files are to be read, by the boot clock, milliseconds.
    pub(super) read_at_ms: Option<i64>,
    /// Use the files that are read only if they changed: other schedules are in force, and only the leader takes ours back.
    pub(super) only_if_changed: bool,
    /// As `only_if_changed`, for the read that is under way.
    pub(super) reads_if_changed: bool,
    /// A newer catalogue that was read, and when its rules are to be saved, by the boot clock, milliseconds. Until then the old
    /// schedules stay in use.
    pub(super) newer: Option<(Arc<Loaded>, i64)>,
    /// Indexes of the schedules to put in force or, on a standby, to follow.
    pub(super) apply: VecDeque<usize>,
    /// Failed steps, and when to retry each, by the boot clock, milliseconds.
    pub(super) failed: Vec<(i64, Slice)>,
    /// Whether to search the store for jobs that have no schedule any more.
    pub(super) find_removed: bool,
    /// Jobs whose schedules are to be taken out of force.
    pub(super) remove: VecDeque<String>,
    /// Whether the end of the load has not been logged yet.
    pub(super) is_unfinished: bool,
    /// When schedules were last taken back from another catalogue, by the boot clock, milliseconds.
    pub(super) taken_back_ms: Option<i64>,
    /// Whether schedules of another catalogue or version were in force at the last poll.
    pub(super) is_overruled: bool,
}

impl Control {
    /// Requests that the files of the catalogue are read at this time of the boot clock, or earlier if an earlier request is pending.
    pub(super) fn request_reload(&mut self, at_ms: i64, only_if_changed: bool) {
        let load = &mut self.load;
        load.only_if_changed =
            only_if_changed && (load.read_at_ms.is_none() || load.only_if_changed);
        load.read_at_ms = Some(load.read_at_ms.map_or(at_ms, |before| before.min(at_ms)));
    }

    /// Another process put schedules in force, from other files or by another version of jobctl.
    pub(super) fn on_overruled(&mut self) {
        self.load.is_overruled = true;
        let now_ms = self.now.boot_ms;
        let before = self.load.taken_back_ms;
        let at_ms = before.map_or(now_ms, |before| now_ms.max(before + SLOW_RETRY_MS));
        // A standby takes nothing back.
        self.request_reload(at_ms, !self.leads);
    }

    pub(super) fn on_read(&mut self, result: Result<Arc<Loaded>, Error>) {
        let only_if_changed = self.load.reads_if_changed;
        match result {
            Ok(loaded) => {
                self.refused = None;
                if only_if_changed && loaded.schedules.is_same(&self.schedules) {
                    self.out.push(Action::GiveBackMemory);
                    return self.ready();
                }
                if self.load.is_overruled {
                    self.load.taken_back_ms = Some(self.now.boot_ms);
                }
                self.load.newer = Some((loaded, self.now.boot_ms));
            }
            Err(error) => {
                if error.kind == Kind::Io {
                    self.request_reload(self.now.boot_ms + SLOW_RETRY_MS, only_if_changed);
                }
                self.log_refused(&error);
                self.refused = Some(error.to_string());
                self.ready();
            }
        }
    }

    pub(super) fn on_rules_saved(&mut self, loaded: &Arc<Loaded>, result: Result<i64, Failure>) {
        let is_newest = |newer: &(Arc<Loaded>, i64)| Arc::ptr_eq(&newer.0, loaded);
        let is_newest = self.load.newer.as_ref().is_some_and(is_newest);
        match result {
            Ok(generation) => {
                if is_newest {
                    self.load.newer = None;
                }
                self.begin(loaded, generation);
            }
            Err(failure) if failure.is_final || is_temporary(&failure.error) || !self.started => {
                self.on_failure(failure);
            }
            Err(failure) => {
                // The old schedules stay in use.
                self.log_reload_failed(&failure.error);
                self.refused = Some(failure.error.to_string());
                if let Some((_, at_ms)) = self.load.newer.as_mut().filter(|_| is_newest) {
                    *at_ms = self.now.boot_ms + SLOW_RETRY_MS;
                }
                self.ready();
            }
        }
    }

    /// Uses the schedules of this catalogue from now on.
    fn begin(&mut self, loaded: &Loaded, generation: i64) {
        self.log_unlogged();
        self.schedules = Arc::clone(&loaded.schedules);
        self.last_poll.path.clone_from(&self.schedules.path);
        self.last_poll.stamp.clone_from(&self.schedules.stamp);
        self.generation = Some(generation);
        self.put_in_force();
        self.load.is_overruled = false;
        self.refused = None;
    }

    /// Starts to put our schedules in force, and no others. Only the leader does that: a standby may have older files than the leader.
    /// A standby only reads when the schedules in force are due.
    pub(super) fn put_in_force(&mut self) {
        self.agenda = Agenda::default();
        self.load.apply = (0..self.schedules.entries.len()).collect();
        self.load.failed.clear();
        self.load.remove.clear();
        self.load.find_removed = self.leads;
        self.load.is_unfinished = true;
    }

    pub(super) fn on_applied(
        &mut self,
        indexes: Vec<usize>,
        result: Result<Vec<ApplyResult>, Failure>,
    ) {
        let put = match result {
            Ok(put) => put,
            Err(failure) => {
                for index in indexes.into_iter().rev() {
                    self.load.apply.push_front(index);
                }
                return self.on_failure(failure);
            }
        };
        self.store_error = None;
        for index in indexes.iter().skip(put.len()).rev() {
            self.load.apply.push_front(*index);
        }
        for (ApplyResult(applied), index) in put.into_iter().zip(indexes) {
            self.record_applied(applied, index);
        }
        self.finish_load();
    }

    fn record_applied(&mut self, applied: Applied, index: usize) {
        let next_ms = match applied {
            Applied::Kept {
                watermark_ms,
                next_ms,
            } => next_ms.or_else(|| {
                let rule = &self.schedules.entries[index].plan.schedule.rule;
                next_of(rule, watermark_ms).ok().flatten()
            }),
            Applied::Begun {
                next_ms,
                changed,
                rows,
            } => {
                self.log_begun(index, changed);
                self.log_rows(index, rows, false);
                next_ms
            }
            Applied::Unfinished(rows) => {
                self.log_rows(index, rows, true);
                self.load.apply.push_back(index);
                // The rest may take minutes, so the service manager need not wait for it.
                self.ready();
                return;
            }
            Applied::NotInForce => {
                let at_ms = self.now.boot_ms + SLOW_RETRY_MS;
                self.load.failed.push((at_ms, Slice::Apply(index)));
                return;
            }
            Applied::Failed(message) => {
                let job = self.schedules.entries[index].job.clone();
                self.log_failed(&job, &message);
                let at_ms = self.now.boot_ms + SLOW_RETRY_MS;
                self.load.failed.push((at_ms, Slice::Apply(index)));
                return;
            }
        };
        if let Some(next_ms) = next_ms {
            self.plan(index, next_ms);
        }
    }

    pub(super) fn on_found_removed(&mut self, result: Result<Vec<String>, Failure>) {
        match result {
            Ok(jobs) => {
                self.store_error = None;
                self.load.find_removed = false;
                self.load.remove = jobs.into();
                self.finish_load();
            }
            Err(failure) => self.on_failure(failure),
        }
    }

    pub(super) fn on_removed(
        &mut self,
        jobs: Vec<String>,
        result: Result<Vec<RemoveResult>, Failure>,
    ) {
        let removed = match result {
            Ok(removed) => removed,
            Err(failure) => {
                self.load.remove.extend(jobs);
                return self.on_failure(failure);
            }
        };
        self.store_error = None;
        let mut removed = removed.into_iter();
        for job in jobs {
            match removed.next() {
                Some(RemoveResult::Done) => self.log_removed(&job),
                Some(RemoveResult::Unfinished) | None => self.load.remove.push_back(job),
                Some(RemoveResult::Failed(message)) => {
                    self.log_failed(&job, &message);
                    let at_ms = self.now.boot_ms + SLOW_RETRY_MS;
                    self.load.failed.push((at_ms, Slice::Remove(job)));
                }
            }
        }
        self.finish_load();
    }

    /// Logs the end of the load when every step is done.
    fn finish_load(&mut self) {
        let is_done =
            self.load.apply.is_empty() && self.load.remove.is_empty() && !self.load.find_removed;
        if !is_done || !std::mem::take(&mut self.load.is_unfinished) {
            return;
        }
        self.out.push(Action::GiveBackMemory);
        if self.started {
            self.log_loaded();
        } else {
            self.started = true;
            self.log_started();
        }
        self.ready();
    }

    /// Notifies the service manager if it waits for the start or a reload, unless files are to be read now.
    pub(super) fn ready(&mut self) {
        let reads = self.load.read_at_ms;
        let reads = reads.is_some_and(|at_ms| at_ms <= self.now.boot_ms);
        if self.started && !reads && std::mem::take(&mut self.is_ready_pending) {
            self.out.push(Action::Ready);
        }
    }

    /// Retries after a temporary error; ends after any other, such as a lost or damaged database.
    pub(super) fn on_failure(&mut self, failure: Failure) {
        let Failure { error, is_final } = failure;
        if is_final || !is_temporary(&error) {
            return self.end(Err(error));
        }
        let text = error.to_string();
        if self.store_error.as_ref() != Some(&text) {
            self.log_store_error(&error);
        }
        self.store_error = Some(text);
        self.retry_at_ms = Some(self.now.boot_ms + STORE_RETRY_MS);
        self.ready();
    }
}

/// Whether an error may pass without an operator.
pub(super) fn is_temporary(error: &Error) -> bool {
    matches!(error.kind, Kind::Io | Kind::TryAgain | Kind::Unknown)
}
