//! What `status` says of the scheduler: whether one runs, what is next, and whether it is late.
//!
//! Rule: that one runs is known from the kernel's lock alone; what it wrote about itself is shown only with that.

use serde_json::{Value, json};

use super::{Context, Paint, when};
use crate::catalogue::Catalogue;
use crate::clock;
use crate::document;
use crate::error::Result;
use crate::policy::Reading;
use crate::scheduler::{Ahead, Held, ahead, held, is_led, jump_words};
use crate::store::{Agenda, SchedulerRow, Store};
use crate::units::counted;

/// What is still not opened so long after its instant is overdue.
pub(super) const OVERDUE_MS: i64 = 2_000;

/// The scheduler as it can be seen from here.
pub(super) struct Outlook {
    /// `None` where we may not judge.
    alive: Option<bool>,
    row: SchedulerRow,
    agenda: Agenda,
    /// Schedules with periods that are overdue.
    overdue: i64,
    held: Option<Held>,
    /// Schedules that wait for a time to which a clock that was ahead had opened them.
    ahead: Vec<Ahead>,
}

impl Outlook {
    /// Looks.
    pub(super) fn of(store: &Store, context: &Context) -> Result<Self> {
        let now_ms = context.now_ms();
        let alive = is_led(store.dir());
        let mut agenda = store.agenda()?;
        if agenda.schedules == 0 && alive == Some(false) {
            agenda.schedules = in_catalogue(context);
        }
        let now = Reading {
            wall_ms: now_ms,
            boot_ms: clock::boottime_ms(),
        };
        let row = match alive {
            Some(false) => SchedulerRow::default(),
            _ => store.scheduler()?,
        };
        Ok(Self {
            alive,
            row,
            overdue: store.overdue(now_ms - OVERDUE_MS)?,
            held: held(store, &clock::boot_id(), now)?,
            ahead: ahead(store, now_ms)?,
            agenda,
        })
    }

    /// Its JSON.
    pub(super) fn document(&self) -> Value {
        let next = self.agenda.next.as_ref();
        json!({
            "alive": self.alive,
            "pid": self.row.pid,
            "host": self.row.host,
            "since": document::maybe_time(self.row.started_ms),
            "schedules": self.agenda.schedules,
            "next": next.map(|(due_ms, job)| json!({ "job": job, "due": document::time(*due_ms) })),
            "held": self.held.map(|held| {
                json!({ "jump_ms": held.jump_ms, "until": document::maybe_time(held.until_ms) })
            }),
            "overdue": self.overdue,
            "ahead": self.ahead.iter().map(|ahead| {
                json!({ "job": ahead.job, "until": document::time(ahead.until_ms) })
            }).collect::<Vec<_>>(),
        })
    }

    /// Lines for people; none where there is nothing to schedule.
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
            // Whether that one still runs is not ours to see, but what is overdue is.
            let whose = if self.alive.is_none() {
                " whose lock cannot be opened"
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
        if let Some(held) = self.held.filter(|_| n > 0) {
            let until = held.until_ms.map_or_else(String::new, |until_ms| {
                format!(" until {}", when::clock(until_ms, now_ms))
            });
            let text = format!(
                "calendar rules are held{until}: the clock jumped {}; `jobctl schedule --accept-clock` if it is right",
                jump_words(held.jump_ms)
            );
            lines.push((text, Paint::Bad));
        }
        lines.extend(self.ahead_line(now_ms).map(|text| (text, Paint::Bad)));
        lines
    }

    fn ahead_line(&self, now_ms: i64) -> Option<String> {
        let until_ms = self.ahead.iter().map(|ahead| ahead.until_ms).max()?;
        Some(format!(
            "{} opened up to {} by a clock that was ahead; nothing of that runs before: `jobctl schedule --accept-clock` opens it again",
            counted(self.ahead.len() as i64, "schedule"),
            when::clock(until_ms, now_ms)
        ))
    }

    /// What is next; while calendar rules are held, being late is what they should be.
    fn outlook(&self, now_ms: i64) -> (String, Paint) {
        match &self.agenda.next {
            Some((due_ms, job)) if self.overdue > 0 && self.held.is_none() => {
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

/// Schedules that no scheduler has read yet.
fn in_catalogue(context: &Context) -> i64 {
    let Ok(catalogue) = Catalogue::load(&context.catalogue_path()) else {
        return 0;
    };
    let jobs = catalogue.jobs.values();
    jobs.filter(|job| job.schedule.is_some()).count() as i64
}
