//! The scheduler in `status`: whether one runs, what is next, and whether it is late.
//!
//! Rule: only the kernel's lock shows whether a scheduler runs; what it stored about itself is shown only if it does.

use serde_json::{Value, json};

use super::calendar::Calendar;
use super::{Context, Paint, when};
use crate::catalogue::Catalogue;
use crate::document;
use crate::error::Result;
use crate::store::{Agenda, SchedulerRow, Store};
use crate::units::counted;

/// A period that is not opened this long after its instant is overdue, milliseconds.
pub(super) const OVERDUE_MS: i64 = 2_000;

/// What this process can find out about the scheduler.
pub(super) struct Outlook {
    /// `None` if the lock cannot be opened.
    alive: Option<bool>,
    row: SchedulerRow,
    agenda: Agenda,
    /// Schedules with periods that are overdue.
    overdue: i64,
    calendar: Calendar,
}

impl Outlook {
    /// Reads the lock and the store.
    pub(super) fn of(store: &Store, context: &Context) -> Result<Self> {
        let now_ms = context.now_ms();
        let alive = context.local()?.is_led();
        let mut agenda = store.agenda()?;
        if agenda.schedules == 0 && alive == Some(false) {
            agenda.schedules = in_catalogue(context);
        }
        let row = match alive {
            Some(false) => SchedulerRow::default(),
            _ => store.scheduler()?,
        };
        Ok(Self {
            alive,
            row,
            overdue: store.overdue(now_ms - OVERDUE_MS)?,
            calendar: Calendar::of(store, now_ms)?,
            agenda,
        })
    }

    /// Its JSON.
    pub(super) fn document(&self) -> Value {
        let next = self.agenda.next.as_ref();
        let scheduler = json!({
            "alive": self.alive,
            "pid": self.row.pid,
            "host": self.row.host,
            "since": document::maybe_time(self.row.started_ms),
            "schedules": self.agenda.schedules,
            "next": next.map(|(due_ms, job)| json!({ "job": job, "due": document::time(*due_ms) })),
            "overdue": self.overdue,
        });
        document::merged(scheduler, self.calendar.document())
    }

    /// Lines for people; none if there is nothing to schedule.
    pub(super) fn lines(&self, now_ms: i64) -> Vec<(String, Paint)> {
        let n = self.agenda.schedules;
        let mut lines = Vec::new();
        if self.alive == Some(false) {
            if n > 0 {
                let wait = if n == 1 { "waits" } else { "wait" };
                let text = format!(
                    "no scheduler: {} {wait}; `jobctl schedule` starts one",
                    counted(n, "schedule")
                );
                lines.push((text, Paint::Bad));
            }
        } else {
            // The lock may be unreadable, but overdue periods are always visible.
            let whose = if self.alive.is_none() {
                " (its lock cannot be opened)"
            } else {
                ""
            };
            let pid = self
                .row
                .pid
                .map_or_else(|| "?".to_owned(), |pid| pid.to_string());
            let (outlook, paint) = self.outlook(now_ms);
            let text = format!(
                "scheduler{whose}: pid {pid}, {}{outlook}",
                counted(n, "schedule")
            );
            lines.push((text, paint));
        }
        if n > 0 {
            let clock = self.calendar.lines(now_ms).into_iter();
            lines.extend(clock.map(|text| (text, Paint::Bad)));
        }
        lines
    }

    /// The next period, or how many are overdue; not overdue while calendar schedules are on hold.
    fn outlook(&self, now_ms: i64) -> (String, Paint) {
        match &self.agenda.next {
            Some((due_ms, job)) if self.overdue > 0 && !self.calendar.is_held() => {
                let late = when::span(now_ms - due_ms);
                let text = format!(", {} overdue, the first is {job} by {late}", self.overdue);
                (text, Paint::Bad)
            }
            Some((due_ms, job)) => {
                let text = format!(", next {job} {}", when::relative(*due_ms, now_ms));
                (text, Paint::Plain)
            }
            None if self.agenda.schedules > 0 => (", none is due again".to_owned(), Paint::Plain),
            None => (String::new(), Paint::Plain),
        }
    }
}

/// Number of schedules in the catalogue file, for a store in which no scheduler has run yet.
fn in_catalogue(context: &Context) -> i64 {
    let Ok(catalogue) = Catalogue::load(&context.catalogue_path()) else {
        return 0;
    };
    let jobs = catalogue.jobs.values();
    jobs.filter(|job| job.schedule.is_some()).count() as i64
}
