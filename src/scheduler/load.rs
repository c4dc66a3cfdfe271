//! Loads a catalogue: brings every schedule of it into force, and takes out what it does not have any more.
//!
//! Rule: each transaction looks at some schedules; one that is cut off in between is simply done again.

use crate::catalogue::Catalogue;
use crate::error::Result;
use crate::observe::log::{self, Level};
use crate::policy::{Reading, Times};
use crate::process::memory::apart;
use crate::store::Store;

use super::agenda::Agenda;
use super::book::Book;
use super::change::{Applied, apply, remove};
use super::open::next_of;
use super::planner::{Planner, ROWS_MAX, now_of};
use super::report::{log_failed, log_rows};

/// Schedules that one transaction looks at.
const LOAD_MAX: usize = 200;

impl Planner {
    /// Replaces all schedules by those of a newer catalogue; the old ones stay where that fails.
    ///
    /// # Errors
    /// Those of the store.
    pub fn load(&mut self, catalogue: &Catalogue, now: Reading) -> Result<()> {
        let book = apart(|| Book::of(catalogue))?;
        let before = std::mem::replace(&mut self.book, book);
        let result = self.put_in_force(catalogue, now);
        if result.is_err() {
            self.book = before;
            self.plan_all(now);
        }
        result
    }

    pub(super) fn put_in_force(&mut self, catalogue: &Catalogue, now: Reading) -> Result<()> {
        let times = self.guard.look(now);
        let Self { store, book, .. } = self;
        let path = book.path.clone();
        store.write(|tx| {
            tx.keep_catalogue(catalogue, now.wall_ms)?;
            tx.loaded_from(&path)
        })?;
        self.agenda = Agenda::default();
        let mut first = 0;
        while first < self.book.entries.len() {
            let (book, store) = (&self.book, &mut self.store);
            let applied = store.write(|tx| {
                let mut budget = ROWS_MAX;
                let mut applied = Vec::new();
                for entry in book.entries.iter().skip(first).take(LOAD_MAX) {
                    let now = now_of(times, now, entry.plan.schedule.rule.is_elapsed(), book);
                    let result = apply(tx, entry, &book.data_version, now, &mut budget)?;
                    let again = matches!(result, Applied::Unfinished(_));
                    applied.push(result);
                    if again || budget == 0 {
                        break;
                    }
                }
                Ok(applied)
            })?;
            for result in applied {
                let again = matches!(result, Applied::Unfinished(_));
                self.note_applied(result, first);
                first += usize::from(!again);
            }
        }
        self.take_out_of_force(times, now)
    }

    fn note_applied(&mut self, applied: Applied, index: usize) {
        let job = &self.book.entries[index].job;
        let next_ms = match applied {
            Applied::Kept {
                watermark_ms,
                next_ms,
            } => match next_ms {
                Some(next_ms) => Some(next_ms),
                None => next_of(&self.book.entries[index].plan.schedule, watermark_ms)
                    .ok()
                    .flatten(),
            },
            Applied::Begun {
                next_ms,
                changed,
                rows,
            } => {
                let word = if changed {
                    "schedule_changed"
                } else {
                    "schedule_added"
                };
                log::event(Level::Debug, word, &[("job", job)]);
                log_rows(&rows);
                next_ms
            }
            Applied::Unfinished(rows) => {
                log_rows(&rows);
                return;
            }
            Applied::Failed(message) => {
                log_failed(job, &message);
                return;
            }
        };
        if let Some(next_ms) = next_ms {
            self.plan(index, next_ms);
        }
    }

    /// Jobs that have no schedule any more.
    fn take_out_of_force(&mut self, times: Times, now: Reading) -> Result<()> {
        let gone = |store: &Store, book: &Book| -> Result<Vec<String>> {
            let rows = store.schedules()?.into_iter();
            let gone = rows.filter(|row| row.version.is_some() && !book.has(&row.job));
            Ok(gone.map(|row| row.job).collect())
        };
        let gone = gone(&self.store, &self.book)?;
        for jobs in gone.chunks(LOAD_MAX) {
            let (book, store) = (&self.book, &mut self.store);
            store.write(|tx| {
                for job in jobs {
                    remove(tx, job, now_of(times, now, false, book))?;
                }
                Ok(())
            })?;
        }
        for job in &gone {
            log::event(Level::Info, "schedule_removed", &[("job", job)]);
        }
        Ok(())
    }
}
