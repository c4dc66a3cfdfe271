//! The scheduler without its surroundings: which schedules are in force, what is due, and opening it.
//!
//! Rule: time comes in with each call; nothing here waits. Whatever fails leaves the agenda as it was, so that the next call
//! does what is missing.

use crate::catalogue::Catalogue;
use crate::error::{Error, Kind, Result};
use crate::policy::{Backlog, ClockGuard, Reading, Times};
use crate::process::memory::apart;
use crate::store::{Store, Tx};

use super::agenda::{Agenda, Due, Next};
use super::book::Book;
use super::open::{Now, Opened, open};
use super::report::{Counts, log_failed, log_rows};

/// Rows that one transaction writes.
pub(super) const ROWS_MAX: usize = 500;

/// Schedules that one transaction looks at.
const SCHEDULES_MAX: usize = 500;

/// A schedule that fails is tried again after this.
const FAILED_MS: i64 = 60_000;

/// What a tick found.
#[derive(Debug)]
pub struct Ticked {
    /// What it did.
    pub counts: Counts,
    /// What is next.
    pub next: Next,
    /// Jobs for which the store has another schedule in force than this process: load the catalogue anew.
    pub stale: Vec<String>,
}

/// The schedules of a catalogue over a store.
pub struct Planner {
    pub(super) store: Store,
    pub(super) book: Book,
    pub(super) agenda: Agenda,
    pub(super) guard: ClockGuard,
    /// Whether the store knows of this clock, and of this jump.
    kept_clock: bool,
    kept_jump: Option<i64>,
}

impl Planner {
    /// Puts the schedules of a catalogue in force.
    ///
    /// # Errors
    /// Those of the store.
    pub fn start(store: Store, catalogue: &Catalogue, boot_id: &str, now: Reading) -> Result<Self> {
        let kept = store.scheduler()?.clock;
        let kept = kept.and_then(|text| serde_json::from_str::<ClockGuard>(&text).ok());
        let guard = match kept {
            Some(guard) => guard.resume(boot_id, now),
            None => ClockGuard::new(boot_id, now),
        };
        let mut planner = Self {
            store,
            book: apart(|| Book::of(catalogue))?,
            agenda: Agenda::default(),
            guard,
            kept_clock: false,
            kept_jump: None,
        };
        planner.put_in_force(catalogue, now)?;
        Ok(planner)
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The store, to write to it.
    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// How many schedules there are.
    pub fn schedules(&self) -> usize {
        self.book.entries.len()
    }

    /// Path and stamp of the catalogue.
    pub fn catalogue(&self) -> (&str, &str) {
        (&self.book.path, &self.book.stamp)
    }

    /// The job that is next, and its instant, milliseconds.
    pub fn first(&self) -> Option<(&str, i64)> {
        let (at_ms, index) = self.agenda.first()?;
        Some((&self.book.entries[index].job, at_ms))
    }

    /// What is known of the clock.
    pub fn guard(&self) -> &ClockGuard {
        &self.guard
    }

    /// An operator believes the clock as it is.
    pub fn accept_clock(&mut self, now: Reading) {
        self.guard.accept(now);
    }

    pub(super) fn plan(&mut self, index: usize, at_ms: i64) {
        let elapsed = self.book.entries[index].plan.schedule.rule.is_elapsed();
        self.agenda.plan(index, at_ms, elapsed);
    }

    /// Plans every schedule from what the store says, or at once.
    pub(super) fn plan_all(&mut self, now: Reading) {
        self.agenda = Agenda::default();
        for index in 0..self.book.entries.len() {
            self.plan(index, now.wall_ms);
        }
    }

    /// Opens everything that has been due for `lag_ms`, and says when to come again. A standby gives a lag; whatever the
    /// leader has opened by then is left alone.
    ///
    /// # Errors
    /// Those of the store; what was not opened stays due.
    pub fn tick(&mut self, now: Reading, lag_ms: i64) -> Result<Ticked> {
        let times = self.guard.look(now);
        let mut ticked = Ticked {
            counts: Counts::default(),
            next: Next::default(),
            stale: Vec::new(),
        };
        self.keep_clock()?;
        loop {
            let mut due = self.agenda.take_due(times, lag_ms, SCHEDULES_MAX);
            if due.is_empty() {
                break;
            }
            if lag_ms > 0 {
                due = self.leave_opened(due)?;
            }
            if let Err(error) = self.open_slice(&due, times, now, &mut ticked) {
                for (at_ms, index) in due {
                    self.plan(index, at_ms);
                }
                return Err(error);
            }
        }
        ticked.next = self.agenda.next(times, now, lag_ms);
        Ok(ticked)
    }

    /// Of these, what nobody has opened yet; the others are planned again.
    fn leave_opened(&mut self, due: Vec<Due>) -> Result<Vec<Due>> {
        let mut left = Vec::new();
        for (at_ms, index) in due {
            let entry = &self.book.entries[index];
            let row = self.store.schedule(&entry.job);
            let row = match row {
                Ok(row) => row,
                Err(error) => {
                    left.push((at_ms, index));
                    for (at_ms, index) in left {
                        self.plan(index, at_ms);
                    }
                    return Err(error);
                }
            };
            match row {
                Some(row) if row.digest == entry.plan.digest && row.watermark_ms >= at_ms => {
                    if let Some(next_ms) = row.next_ms {
                        self.plan(index, next_ms);
                    }
                }
                _ => left.push((at_ms, index)),
            }
        }
        Ok(left)
    }

    fn open_slice(
        &mut self,
        due: &[Due],
        times: Times,
        now: Reading,
        ticked: &mut Ticked,
    ) -> Result<()> {
        self.find_missed(due, times)?;
        let guard = guard_text(&self.guard)?;
        let book = &self.book;
        let all = self.store.write(|tx| {
            let mut budget = ROWS_MAX;
            tx.keep_clock(&guard)?;
            open_each(tx, book, due, (times, now), &mut budget)
        });
        let outcomes = match all {
            Ok(outcomes) => outcomes,
            Err(error) if matches!(error.kind, Kind::Bug | Kind::Failed | Kind::Refused) => {
                // One of them breaks the transaction: each on its own, so that it stops none of the others.
                self.open_singly(due, times, now)
            }
            Err(error) => return Err(error),
        };
        let rest = due.iter().skip(outcomes.len());
        for &(at_ms, index) in rest {
            self.plan(index, at_ms);
        }
        for (opened, &(at_ms, index)) in outcomes.into_iter().zip(due) {
            self.note_opened(opened, index, at_ms, (times, now), ticked);
        }
        Ok(())
    }

    fn open_singly(&mut self, due: &[Due], times: Times, now: Reading) -> Vec<Opened> {
        let book = &self.book;
        let mut outcomes = Vec::new();
        for one in due {
            let opened = self.store.write(|tx| {
                let mut budget = ROWS_MAX;
                open_each(
                    tx,
                    book,
                    std::slice::from_ref(one),
                    (times, now),
                    &mut budget,
                )
            });
            outcomes.push(match opened.map(|mut opened| opened.pop()) {
                Ok(Some(opened)) => opened,
                Ok(None) => Opened::Failed("nothing was opened".to_owned()),
                Err(error) => Opened::Failed(error.to_string()),
            });
        }
        outcomes
    }

    /// Looks at what was missed, before the transaction: a week of seconds takes a while to count.
    fn find_missed(&mut self, due: &[Due], times: Times) -> Result<()> {
        for &(at_ms, index) in due {
            let entry = &self.book.entries[index];
            let now_ms = time_of(times, entry.plan.schedule.rule.is_elapsed());
            let late = now_ms.saturating_sub(at_ms) > entry.plan.schedule.late_grace_ms;
            if !late || entry.backlog.is_some() {
                continue;
            }
            let Some(row) = self.store.schedule(&entry.job)? else {
                continue;
            };
            if let Ok(backlog) = Backlog::of(&entry.plan.schedule, row.watermark_ms, now_ms) {
                self.book.entries[index].backlog = Some(Box::new((now_ms, backlog)));
            }
        }
        Ok(())
    }

    fn note_opened(
        &mut self,
        opened: Opened,
        index: usize,
        at_ms: i64,
        (times, now): (Times, Reading),
        ticked: &mut Ticked,
    ) {
        let entry = &mut self.book.entries[index];
        match opened {
            Opened::Done {
                more,
                next_ms,
                rows,
            } => {
                ticked.counts.add(&rows);
                log_rows(&rows);
                if !more {
                    entry.backlog = None;
                }
                if let Some(next_ms) = next_ms {
                    self.plan(index, next_ms);
                }
            }
            Opened::Stale => {
                ticked.stale.push(entry.job.to_string());
                self.plan(index, at_ms.max(now.wall_ms) + FAILED_MS);
            }
            Opened::Failed(message) => {
                log_failed(&entry.job, &message);
                let elapsed = entry.plan.schedule.rule.is_elapsed();
                let now_ms = time_of(times, elapsed).max(now.wall_ms).max(at_ms);
                self.plan(index, now_ms + FAILED_MS);
            }
        }
    }

    /// Writes what is known of the clock when a jump begins or ends; otherwise it goes with the next period.
    fn keep_clock(&mut self) -> Result<()> {
        let jump = self.guard.suspicion().map(|seen| seen.offset_ms);
        if self.kept_clock && self.kept_jump == jump {
            return Ok(());
        }
        let guard = guard_text(&self.guard)?;
        self.store.write(|tx| tx.keep_clock(&guard))?;
        (self.kept_clock, self.kept_jump) = (true, jump);
        Ok(())
    }
}

fn guard_text(guard: &ClockGuard) -> Result<String> {
    serde_json::to_string(guard).map_err(|error| Error::new(Kind::Bug, error.to_string()))
}

/// What the time is for a kind of rule. While the calendar is held, its last believed time goes on.
fn time_of(times: Times, elapsed: bool) -> i64 {
    match times.calendar_ms {
        Some(calendar_ms) if !elapsed => calendar_ms,
        _ => times.elapsed_ms,
    }
}

pub(super) fn now_of(times: Times, now: Reading, elapsed: bool, book: &Book) -> Now<'_> {
    Now {
        at_ms: time_of(times, elapsed),
        wall_ms: now.wall_ms,
        settings: &book.settings,
    }
}

fn open_each(
    tx: &mut Tx<'_>,
    book: &Book,
    due: &[Due],
    (times, now): (Times, Reading),
    budget: &mut usize,
) -> Result<Vec<Opened>> {
    let mut outcomes = Vec::with_capacity(due.len());
    for &(_, index) in due {
        if *budget == 0 {
            break;
        }
        let entry = &book.entries[index];
        let now = now_of(times, now, entry.plan.schedule.rule.is_elapsed(), book);
        outcomes.push(open(tx, entry, now, budget)?);
    }
    Ok(outcomes)
}
