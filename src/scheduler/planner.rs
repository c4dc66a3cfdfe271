//! The scheduler without its surroundings: which schedules are in force, what is due, and opening it.
//!
//! Rule: time comes in with each call; nothing here waits. Whatever fails leaves the agenda as it was, so that the next call
//! does what is missing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::catalogue::Catalogue;
use crate::error::{Error, Kind, Result};
use crate::observe::log::{self, Level};
use crate::policy::{Backlog, ClockGuard, PeriodResult, Reading, Times};
use crate::store::{PeriodRow, Store, Tx};

use super::book::Book;
use super::change::{Applied, apply, remove};
use super::open::{Now, Opened, next_of, open};

/// Rows that one transaction writes.
const ROWS_MAX: usize = 500;

/// Schedules that one transaction looks at.
const SCHEDULES_MAX: usize = 500;

/// Schedules that one transaction of a load looks at.
const LOAD_MAX: usize = 200;

/// A schedule that fails is tried again after this.
const FAILED_MS: i64 = 60_000;

/// What a call did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Runs of periods in time.
    pub opened: i64,
    /// Runs of periods that were late.
    pub caught_up: i64,
    /// Periods without a run.
    pub skipped: i64,
    /// Periods whose work another run does.
    pub merged: i64,
}

/// What is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// When to come again, milliseconds by the wall clock; `None` if nothing is planned.
    pub wall_ms: Option<i64>,
    /// When to come again at the latest, by the boot clock, milliseconds: elapsed time does not follow the wall clock.
    pub boot_ms: Option<i64>,
}

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

type Agenda = BinaryHeap<Reverse<(i64, usize)>>;

/// The schedules of a catalogue over a store.
pub struct Planner {
    store: Store,
    book: Book,
    /// By instant: calendar rules, and rules of elapsed time.
    calendar: Agenda,
    elapsed: Agenda,
    guard: ClockGuard,
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
            book: Book::of(catalogue)?,
            calendar: Agenda::new(),
            elapsed: Agenda::new(),
            guard,
            kept_clock: false,
            kept_jump: None,
        };
        planner.put_in_force(catalogue, now)?;
        Ok(planner)
    }

    /// Replaces all schedules by those of a newer catalogue; the old ones stay where that fails.
    ///
    /// # Errors
    /// Those of the store.
    pub fn load(&mut self, catalogue: &Catalogue, now: Reading) -> Result<()> {
        let book = Book::of(catalogue)?;
        let before = std::mem::replace(&mut self.book, book);
        let result = self.put_in_force(catalogue, now);
        if result.is_err() {
            self.book = before;
            self.plan_all(now);
        }
        result
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

    /// What is known of the clock.
    pub fn guard(&self) -> &ClockGuard {
        &self.guard
    }

    /// An operator believes the clock as it is.
    pub fn accept_clock(&mut self, now: Reading) {
        self.guard.accept(now);
    }

    fn put_in_force(&mut self, catalogue: &Catalogue, now: Reading) -> Result<()> {
        let times = self.guard.look(now);
        let Self { store, book, .. } = self;
        let path = book.path.clone();
        store.write(|tx| {
            tx.keep_catalogue(catalogue, now.wall_ms)?;
            tx.loaded_from(&path)
        })?;
        self.calendar.clear();
        self.elapsed.clear();
        let mut first = 0;
        while first < self.book.entries.len() {
            let (book, store) = (&self.book, &mut self.store);
            let applied = store.write(|tx| {
                let mut budget = ROWS_MAX;
                let mut applied = Vec::new();
                for entry in book.entries.iter().skip(first).take(LOAD_MAX) {
                    let now = now_of(times, now, entry.schedule.rule.is_elapsed(), book);
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
                None => next_of(&self.book.entries[index].schedule, watermark_ms)
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
                let fields: [(&str, &dyn std::fmt::Display); 2] =
                    [("job", job), ("error", &message)];
                log::event(Level::Error, "schedule_failed", &fields);
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

    fn plan(&mut self, index: usize, at_ms: i64) {
        let agenda = if self.book.entries[index].schedule.rule.is_elapsed() {
            &mut self.elapsed
        } else {
            &mut self.calendar
        };
        agenda.push(Reverse((at_ms, index)));
    }

    /// Plans every schedule from what the store says, or at once.
    fn plan_all(&mut self, now: Reading) {
        self.calendar.clear();
        self.elapsed.clear();
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
            next: Next {
                wall_ms: None,
                boot_ms: None,
            },
            stale: Vec::new(),
        };
        self.keep_clock()?;
        loop {
            let mut due = self.take_due(times, lag_ms);
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
        ticked.next = self.next(times, now, lag_ms);
        Ok(ticked)
    }

    fn take_due(&mut self, times: Times, lag_ms: i64) -> Vec<(i64, usize)> {
        let mut due = Vec::new();
        let agendas = [
            (&mut self.calendar, times.calendar_ms),
            (&mut self.elapsed, Some(times.elapsed_ms)),
        ];
        for (agenda, now_ms) in agendas {
            let Some(now_ms) = now_ms else {
                continue;
            };
            while due.len() < SCHEDULES_MAX
                && let Some(&Reverse((at_ms, index))) = agenda.peek()
                && at_ms.saturating_add(lag_ms) <= now_ms
            {
                agenda.pop();
                due.push((at_ms, index));
            }
        }
        due
    }

    /// Of these, what nobody has opened yet; the others are planned again.
    fn leave_opened(&mut self, due: Vec<(i64, usize)>) -> Result<Vec<(i64, usize)>> {
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
                Some(row) if row.digest == entry.digest && row.watermark_ms >= at_ms => {
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
        due: &[(i64, usize)],
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

    fn open_singly(&mut self, due: &[(i64, usize)], times: Times, now: Reading) -> Vec<Opened> {
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
    fn find_missed(&mut self, due: &[(i64, usize)], times: Times) -> Result<()> {
        for &(at_ms, index) in due {
            let entry = &self.book.entries[index];
            let now_ms = time_of(times, entry.schedule.rule.is_elapsed());
            let late = now_ms.saturating_sub(at_ms) > entry.schedule.late_grace_ms;
            if !late || entry.backlog.is_some() {
                continue;
            }
            let Some(row) = self.store.schedule(&entry.job)? else {
                continue;
            };
            if let Ok(backlog) = Backlog::of(&entry.schedule, row.watermark_ms, now_ms) {
                self.book.entries[index].backlog = Some((now_ms, backlog));
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
                count(&mut ticked.counts, &rows);
                log_rows(&rows);
                if !more {
                    entry.backlog = None;
                }
                if let Some(next_ms) = next_ms {
                    self.plan(index, next_ms);
                }
            }
            Opened::Stale => {
                ticked.stale.push(entry.job.clone());
                self.plan(index, at_ms.max(now.wall_ms) + FAILED_MS);
            }
            Opened::Failed(message) => {
                let fields: [(&str, &dyn std::fmt::Display); 2] =
                    [("job", &entry.job), ("error", &message)];
                log::event(Level::Error, "schedule_failed", &fields);
                let elapsed = entry.schedule.rule.is_elapsed();
                let now_ms = time_of(times, elapsed).max(now.wall_ms).max(at_ms);
                self.plan(index, now_ms + FAILED_MS);
            }
        }
    }

    fn next(&self, times: Times, now: Reading, lag_ms: i64) -> Next {
        let first = |agenda: &Agenda| {
            let Reverse((at_ms, _)) = agenda.peek()?;
            Some(at_ms.saturating_add(lag_ms))
        };
        Next {
            wall_ms: first(&self.calendar),
            boot_ms: first(&self.elapsed)
                .map(|at_ms| now.boot_ms.saturating_add(at_ms - times.elapsed_ms)),
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

fn now_of(times: Times, now: Reading, elapsed: bool, book: &Book) -> Now<'_> {
    Now {
        at_ms: time_of(times, elapsed),
        wall_ms: now.wall_ms,
        settings: &book.settings,
    }
}

fn open_each(
    tx: &mut Tx<'_>,
    book: &Book,
    due: &[(i64, usize)],
    (times, now): (Times, Reading),
    budget: &mut usize,
) -> Result<Vec<Opened>> {
    let mut outcomes = Vec::with_capacity(due.len());
    for &(_, index) in due {
        if *budget == 0 {
            break;
        }
        let entry = &book.entries[index];
        let now = now_of(times, now, entry.schedule.rule.is_elapsed(), book);
        outcomes.push(open(tx, entry, now, budget)?);
    }
    Ok(outcomes)
}

fn count(counts: &mut Counts, rows: &[PeriodRow]) {
    for row in rows {
        *match row.result {
            PeriodResult::Opened => &mut counts.opened,
            PeriodResult::CaughtUp => &mut counts.caught_up,
            PeriodResult::Skipped => &mut counts.skipped,
            PeriodResult::Merged => &mut counts.merged,
        } += row.count;
    }
}

fn log_rows(rows: &[PeriodRow]) {
    for row in rows {
        let level = match row.result {
            PeriodResult::Opened => Level::Debug,
            _ => Level::Info,
        };
        let event = match row.result {
            PeriodResult::Opened => "period_opened",
            PeriodResult::CaughtUp => "period_caught_up",
            PeriodResult::Skipped => "period_skipped",
            PeriodResult::Merged => "period_merged",
        };
        let mut fields: Vec<(&str, &dyn std::fmt::Display)> =
            vec![("job", &row.job), ("period", &row.period)];
        if row.count > 1 {
            fields.extend([
                ("last_period", &row.last_period as &dyn std::fmt::Display),
                ("count", &row.count),
            ]);
        }
        if let Some(run) = &row.run {
            fields.push(("run", run));
        }
        if let Some(reason) = &row.reason {
            fields.push(("reason", reason));
        }
        if let Some(into) = &row.into {
            fields.push(("into", into));
        }
        let late_ms = row.decided_ms - row.due_ms;
        if row.run.is_some() {
            fields.push(("late_ms", &late_ms));
        }
        log::event(level, event, &fields);
    }
}
