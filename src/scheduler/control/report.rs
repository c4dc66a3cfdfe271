//! The log lines of the loop, and its status line for the service manager.

use crate::error::Error;
use crate::observe::log::{self, Field, Level, number, text};
use crate::policy::PeriodResult;
use crate::records::PeriodRow;
use crate::units::format_utc;

use super::super::accepted::{held_words, jump_words};
use super::{Action, Control, SLOW_RETRY_MS};

/// A line for the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub(crate) level: Level,
    pub(crate) event: &'static str,
    pub(crate) fields: Vec<Field>,
}

impl Line {
    /// Writes the line to the log.
    pub fn write(&self) {
        log::event(self.level, self.event, &self.fields);
    }
}

/// The line about a row; what went as planned is only for those who ask.
fn row_line(row: &PeriodRow) -> Line {
    let (level, event) = match row.result {
        PeriodResult::Opened => (Level::Debug, "period_opened"),
        PeriodResult::CaughtUp => (Level::Info, "period_caught_up"),
        PeriodResult::Skipped => (Level::Info, "period_skipped"),
        PeriodResult::Merged => (Level::Info, "period_merged"),
    };
    let mut fields = vec![text("job", &row.job), text("period", &row.period)];
    if row.count > 1 {
        fields.push(text("last_period", &row.last_period));
        fields.push(number("count", row.count));
    }
    fields.extend(row.reason.map(|reason| text("reason", reason)));
    fields.extend(row.into.as_ref().map(|into| text("into", into)));
    if let Some(run) = row.run {
        fields.push(number("run", run.0));
        fields.push(number("late_ms", row.decided_ms - row.due_ms));
    }
    Line {
        level,
        event,
        fields,
    }
}

impl Control {
    fn log(&mut self, level: Level, event: &'static str, fields: Vec<Field>) {
        self.out.push(Action::Log(Line {
            level,
            event,
            fields,
        }));
    }

    /// The status line that `systemctl status` shows.
    pub fn status(&self) -> String {
        let mut parts = vec![
            self.role().to_owned(),
            format!("{} schedules", self.schedule_count()),
        ];
        if let Some((at_ms, index)) = self.agenda.first() {
            let job = &self.schedules.entries[index].job;
            parts.push(format!("next {job} at {}", format_utc(at_ms)));
        }
        if let Some(suspicion) = self.guard.suspicion() {
            let jump = jump_words(suspicion.jump_ms);
            parts.push(format!("calendar rules are held: the clock jumped {jump}"));
        }
        if self.load.newer.is_some() && self.started {
            parts.push("a newer catalogue is not in force yet".to_owned());
        }
        if self.load.is_overruled {
            parts.push("schedules of another catalogue or version are in force".to_owned());
        }
        parts.extend(self.store_error.as_ref().map(|why| format!("store: {why}")));
        let refused = self.refused.as_ref();
        parts.extend(refused.map(|why| format!("catalogue refused: {why}")));
        parts.join("; ")
    }

    fn role(&self) -> &'static str {
        if self.leads { "leader" } else { "standby" }
    }

    fn counted_schedules(&self) -> Field {
        number("schedules", self.schedule_count())
    }

    fn job(&self, index: usize) -> Field {
        text("job", &self.schedules.entries[index].job)
    }

    pub(super) fn log_started(&mut self) {
        self.out.push(Action::Started(Line {
            level: Level::Info,
            event: "scheduler_started",
            fields: vec![self.counted_schedules(), text("role", self.role())],
        }));
    }

    pub(super) fn log_stop(&mut self) {
        self.log_unlogged();
        self.log(Level::Info, "scheduler_stopped", Vec::new());
    }

    pub(super) fn log_lead(&mut self) {
        self.log(Level::Info, "scheduler_leads", Vec::new());
    }

    pub(super) fn log_loaded(&mut self) {
        let fields = vec![self.counted_schedules()];
        self.log(Level::Info, "catalogue_loaded", fields);
    }

    pub(super) fn log_refused(&mut self, error: &Error) {
        let fields = vec![text("error", error)];
        self.log(Level::Error, "catalogue_refused", fields);
    }

    pub(super) fn log_reload_failed(&mut self, error: &Error) {
        let fields = vec![text("error", error)];
        self.log(Level::Error, "reload_failed", fields);
    }

    pub(super) fn log_store_error(&mut self, error: &Error) {
        let fields = vec![text("error", error)];
        self.log(Level::Warn, "store_failed", fields);
    }

    pub(super) fn log_begun(&mut self, index: usize, changed: bool) {
        let event = if changed {
            "schedule_changed"
        } else {
            "schedule_added"
        };
        let fields = vec![self.job(index)];
        self.log(Level::Debug, event, fields);
    }

    pub(super) fn log_removed(&mut self, job: &str) {
        let fields = vec![text("job", job)];
        self.log(Level::Info, "schedule_removed", fields);
    }

    /// Logs a schedule whose periods cannot be opened.
    pub(super) fn log_failed(&mut self, job: &str, message: &str) {
        let fields = vec![text("job", job), text("error", message)];
        self.log(Level::Error, "schedule_failed", fields);
    }

    /// Logs that schedules of another catalogue, or of another version of jobctl, are in force.
    pub(super) fn log_overruled(&mut self, index: Option<usize>, by: Option<&str>) {
        let mut fields: Vec<_> = index.map(|index| self.job(index)).into_iter().collect();
        fields.push(text("catalogue", &self.last_poll.path));
        fields.extend(by.map(|by| text("by", by)));
        self.log(Level::Warn, "schedules_overruled", fields);
    }

    pub(super) fn log_accepted(&mut self) {
        self.log(Level::Info, "clock_accepted", Vec::new());
    }

    /// Logs when calendar rules begin to be held, and when they resume.
    pub(super) fn log_clock(&mut self) {
        let suspicion = self.guard.suspicion();
        let was_held = std::mem::replace(&mut self.was_held, suspicion.is_some());
        match suspicion {
            Some(suspicion) if !was_held => {
                let fields = vec![
                    text("jump", jump_words(suspicion.jump_ms)),
                    text("held", held_words(&self.guard)),
                    text("hint", "jobctl schedule --accept-clock"),
                ];
                self.log(Level::Warn, "clock_jumped", fields);
            }
            None if was_held => self.log(Level::Info, "calendar_rules_resumed", Vec::new()),
            _ => {}
        }
    }

    /// Logs decided periods. The next slice may extend the last row of this one, which is logged when it is complete.
    pub(super) fn log_rows(&mut self, index: usize, rows: Vec<PeriodRow>, more: bool) {
        let mut before = self.unlogged.remove(&index);
        let mut rows = rows.into_iter().peekable();
        while let Some(row) = rows.next() {
            let row = match before.take() {
                Some(mut begun) if begun.can_merge(&row) => {
                    begun.extend(&row);
                    begun
                }
                Some(begun) => {
                    self.log_row(index, &begun);
                    row
                }
                None => row,
            };
            if rows.peek().is_none() && more && row.run.is_none() {
                self.unlogged.insert(index, row);
                return;
            }
            self.log_row(index, &row);
        }
        if let Some(begun) = before {
            if more {
                self.unlogged.insert(index, begun);
            } else {
                self.log_row(index, &begun);
            }
        }
    }

    /// Logs a row. Equal outcomes of a schedule, such as a skipped period each second, are logged once a minute; the others at level
    /// debug.
    fn log_row(&mut self, index: usize, row: &PeriodRow) {
        let outcome = (row.result, row.reason);
        let now_ms = self.now.boot_ms;
        let before = self.logged.get(&index);
        let is_repeated =
            before.is_some_and(|(it, at_ms)| *it == outcome && now_ms - at_ms < SLOW_RETRY_MS);
        let mut line = row_line(row);
        if is_repeated && row.run.is_none() {
            line.level = Level::Debug;
        } else {
            self.logged.insert(index, (outcome, now_ms));
        }
        self.out.push(Action::Log(line));
    }

    /// Logs the rows that will not be extended any more.
    pub(super) fn log_unlogged(&mut self) {
        for (index, row) in std::mem::take(&mut self.unlogged) {
            self.log_row(index, &row);
        }
        self.logged.clear();
    }
}
