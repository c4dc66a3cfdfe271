//! A catalogue on its way into force: read, its rules saved, its schedules put in force, what it does not have taken out.
//!
//! Rule: each step is wanted until its write succeeded; a newer catalogue takes the place of one that is still on its way.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::{Error, Kind};

use super::super::agenda::Agenda;
use super::super::change::Applied;
use super::super::open::next_of;
use super::super::work::{Failure, Loaded, Put, Removed};
use super::{AGAIN_MS, Action, Control, RETRY_MS};

/// What is left to be done about one schedule.
pub(super) enum Slice {
    /// It is to be put in force.
    Apply(usize),
    /// It is to be taken out of force.
    Remove(String),
}

/// What is known of the catalogue, and what is still to be done about it.
#[derive(Default)]
pub(super) struct Load {
    /// The files are to be read, from then on; by the boot clock, milliseconds.
    pub(super) read_at_ms: Option<i64>,
    /// Only if they changed: somebody else's schedules are in force, and they are the leader's to take back.
    pub(super) only_if_changed: bool,
    /// The same of the read that is under way.
    pub(super) reads_if_changed: bool,
    /// A newer catalogue was read; its rules are to be saved, from then on. The schedules of the one before go on until they are.
    pub(super) newer: Option<(Arc<Loaded>, i64)>,
    /// Schedules of the book that are to be put in force; those that a standby is to look at.
    pub(super) apply: VecDeque<usize>,
    /// What could not be done, and from when on it is tried again.
    pub(super) failed: Vec<(i64, Slice)>,
    /// Whether jobs that have no schedule any more are to be looked for.
    pub(super) find_removed: bool,
    /// Those whose schedules are to be taken out of force.
    pub(super) remove: VecDeque<String>,
    /// Something of the above was not done when the last line about it was logged.
    pub(super) is_open: bool,
    /// When schedules were last taken back from somebody else, by the boot clock, milliseconds.
    pub(super) taken_back_ms: Option<i64>,
    /// Schedules of somebody else were in force when we last looked.
    pub(super) is_overruled: bool,
}

impl Control {
    /// The files of the catalogue are to be read, not before this time.
    pub(super) fn want_catalogue(&mut self, at_ms: i64, only_if_changed: bool) {
        let load = &mut self.load;
        load.only_if_changed =
            only_if_changed && (load.read_at_ms.is_none() || load.only_if_changed);
        load.read_at_ms = Some(load.read_at_ms.map_or(at_ms, |before| before.min(at_ms)));
    }

    /// Somebody else put a schedule in force, by other files or by another version of this program.
    pub(super) fn on_overruled(&mut self) {
        self.load.is_overruled = true;
        let now_ms = self.now.boot_ms;
        let before = self.load.taken_back_ms;
        let at_ms = before.map_or(now_ms, |before| now_ms.max(before + AGAIN_MS));
        // A standby has nothing to take back.
        self.want_catalogue(at_ms, !self.leads);
    }

    pub(super) fn on_read(&mut self, result: Result<Arc<Loaded>, Error>) {
        let only_if_changed = self.load.reads_if_changed;
        match result {
            Ok(loaded) => {
                self.refused = None;
                if only_if_changed && loaded.book.is_same(&self.book) {
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
                    self.want_catalogue(self.now.boot_ms + AGAIN_MS, only_if_changed);
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
            Err(failure) if failure.is_final || waits(&failure.error) || !self.started => {
                self.on_failure(failure);
            }
            Err(failure) => {
                // The schedules of the catalogue before go on.
                self.log_not_loaded(&failure.error);
                self.refused = Some(failure.error.to_string());
                if let Some((_, at_ms)) = self.load.newer.as_mut().filter(|_| is_newest) {
                    *at_ms = self.now.boot_ms + AGAIN_MS;
                }
                self.ready();
            }
        }
    }

    /// From here on the schedules of this catalogue are ours.
    fn begin(&mut self, loaded: &Loaded, generation: i64) {
        self.log_unlogged();
        self.book = Arc::clone(&loaded.book);
        self.seen.path.clone_from(&self.book.path);
        self.seen.stamp.clone_from(&self.book.stamp);
        self.generation = Some(generation);
        self.put_in_force();
        self.load.is_overruled = false;
        self.refused = None;
    }

    /// The schedules of the book are to be in force, and no others. That is the leader's work: a standby could have read older files
    /// than the leader, and be late with them. It only learns what is due of those that are in force.
    pub(super) fn put_in_force(&mut self) {
        self.agenda = Agenda::default();
        self.load.apply = (0..self.book.entries.len()).collect();
        self.load.failed.clear();
        self.load.remove.clear();
        self.load.find_removed = self.leads;
        self.load.is_open = true;
    }

    pub(super) fn on_applied(&mut self, indexes: Vec<usize>, result: Result<Vec<Put>, Failure>) {
        let put = match result {
            Ok(put) => put,
            Err(failure) => {
                for index in indexes.into_iter().rev() {
                    self.load.apply.push_front(index);
                }
                return self.on_failure(failure);
            }
        };
        self.trouble = None;
        for index in indexes.iter().skip(put.len()).rev() {
            self.load.apply.push_front(*index);
        }
        for (Put(applied), index) in put.into_iter().zip(indexes) {
            self.note_applied(applied, index);
        }
        self.finish_load();
    }

    fn note_applied(&mut self, applied: Applied, index: usize) {
        let next_ms = match applied {
            Applied::Kept {
                watermark_ms,
                next_ms,
            } => next_ms.or_else(|| {
                let rule = &self.book.entries[index].plan.schedule.rule;
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
                // This may take minutes.
                self.ready();
                return;
            }
            Applied::NotInForce => {
                let at_ms = self.now.boot_ms + AGAIN_MS;
                self.load.failed.push((at_ms, Slice::Apply(index)));
                return;
            }
            Applied::Failed(message) => {
                let job = self.book.entries[index].job.clone();
                self.log_failed(&job, &message);
                let at_ms = self.now.boot_ms + AGAIN_MS;
                self.load.failed.push((at_ms, Slice::Apply(index)));
                return;
            }
        };
        if let Some(next_ms) = next_ms {
            self.plan(index, next_ms);
        }
    }

    pub(super) fn on_removed(&mut self, result: Result<Vec<String>, Failure>) {
        match result {
            Ok(jobs) => {
                self.trouble = None;
                self.load.find_removed = false;
                self.load.remove = jobs.into();
                self.finish_load();
            }
            Err(failure) => self.on_failure(failure),
        }
    }

    pub(super) fn on_taken_out(
        &mut self,
        jobs: Vec<String>,
        result: Result<Vec<Removed>, Failure>,
    ) {
        let removed = match result {
            Ok(removed) => removed,
            Err(failure) => {
                self.load.remove.extend(jobs);
                return self.on_failure(failure);
            }
        };
        self.trouble = None;
        let mut removed = removed.into_iter();
        for job in jobs {
            match removed.next() {
                Some(Removed::Done) => self.log_removed(&job),
                Some(Removed::Unfinished) | None => self.load.remove.push_back(job),
                Some(Removed::Failed(message)) => {
                    self.log_failed(&job, &message);
                    let at_ms = self.now.boot_ms + AGAIN_MS;
                    self.load.failed.push((at_ms, Slice::Remove(job)));
                }
            }
        }
        self.finish_load();
    }

    /// Says so when everything is done.
    fn finish_load(&mut self) {
        let is_done =
            self.load.apply.is_empty() && self.load.remove.is_empty() && !self.load.find_removed;
        if !is_done || !std::mem::take(&mut self.load.is_open) {
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

    /// A service manager that waits need not wait longer, unless for files that are to be read now.
    pub(super) fn ready(&mut self) {
        let reads = self.load.read_at_ms;
        let reads = reads.is_some_and(|at_ms| at_ms <= self.now.boot_ms);
        if self.started && !reads && std::mem::take(&mut self.owes_ready) {
            self.out.push(Action::Ready);
        }
    }

    /// What can be waited out is waited out; a lost or damaged database is the end.
    pub(super) fn on_failure(&mut self, failure: Failure) {
        let Failure { error, is_final } = failure;
        if is_final || !waits(&error) {
            return self.end(Err(error));
        }
        let text = error.to_string();
        if self.trouble.as_ref() != Some(&text) {
            self.log_trouble(&error);
        }
        self.trouble = Some(text);
        self.retry_at_ms = Some(self.now.boot_ms + RETRY_MS);
        self.ready();
    }
}

/// Whether an error ends by itself.
pub(super) fn waits(error: &Error) -> bool {
    matches!(error.kind, Kind::Io | Kind::TryAgain | Kind::Unknown)
}
