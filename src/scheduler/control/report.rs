//! The log events of the loop, and its status line for the service manager.

use crate::advice::Advice;
use crate::error::Error;
use crate::observe::event::{CatalogueSize, LogEvent, LoggedPeriod, Text};
use crate::policy::PeriodResult;
use crate::records::PeriodRow;
use crate::units::format_utc;

use super::super::accepted::{held_words, jump_words};
use super::{Action, Control, SLOW_RETRY_MS};

impl Control {
    fn log(&mut self, event: LogEvent<'static>) {
        self.out.push(Action::Log(event));
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

    fn job(&self, index: usize) -> Text<'static> {
        self.schedules.entries[index].job.to_string().into()
    }

    pub(super) fn log_started(&mut self) {
        self.out.push(Action::Started(LogEvent::SchedulerStarted {
            schedules: self.schedule_count(),
            role: self.role(),
        }));
    }

    pub(super) fn log_stop(&mut self) {
        self.log_unlogged();
        self.log(LogEvent::SchedulerStopped);
    }

    pub(super) fn log_lead(&mut self) {
        self.log(LogEvent::SchedulerLeads);
    }

    pub(super) fn log_loaded(&mut self) {
        let size = CatalogueSize::Schedules(self.schedule_count());
        self.log(LogEvent::CatalogueLoaded { size });
    }

    pub(super) fn log_refused(&mut self, error: &Error) {
        let error = error.message.clone().into();
        self.log(LogEvent::CatalogueRefused { error });
    }

    pub(super) fn log_reload_failed(&mut self, error: &Error) {
        let error = error.message.clone().into();
        self.log(LogEvent::ReloadFailed { error });
    }

    pub(super) fn log_store_error(&mut self, error: &Error) {
        let error = error.message.clone().into();
        self.log(LogEvent::StoreFailed { error });
    }

    pub(super) fn log_begun(&mut self, index: usize, changed: bool) {
        let job = self.job(index);
        self.log(if changed {
            LogEvent::ScheduleChanged { job }
        } else {
            LogEvent::ScheduleAdded { job }
        });
    }

    pub(super) fn log_removed(&mut self, job: &str) {
        let job = job.to_owned().into();
        self.log(LogEvent::ScheduleRemoved { job });
    }

    /// Logs a schedule whose periods cannot be opened.
    pub(super) fn log_failed(&mut self, job: &str, message: &str) {
        self.log(LogEvent::ScheduleFailed {
            job: job.to_owned().into(),
            error: message.to_owned().into(),
        });
    }

    /// Logs that schedules of another catalogue, or of another version of jobctl, are in force.
    pub(super) fn log_overruled(&mut self, index: Option<usize>, by: Option<&str>) {
        self.log(LogEvent::SchedulesOverruled {
            job: index.map(|index| self.job(index)),
            catalogue: self.last_poll.path.clone().into(),
            by: by.map(|by| by.to_owned().into()),
        });
    }

    pub(super) fn log_accepted(&mut self) {
        self.log(LogEvent::ClockAccepted);
    }

    /// Logs when calendar rules begin to be held, and when they resume.
    pub(super) fn log_clock(&mut self) {
        let suspicion = self.guard.suspicion();
        let was_held = std::mem::replace(&mut self.was_held, suspicion.is_some());
        match suspicion {
            Some(suspicion) if !was_held => {
                self.log(LogEvent::ClockJumped {
                    jump: jump_words(suspicion.jump_ms).into(),
                    held: held_words(&self.guard),
                    hint: Advice::AcceptClock,
                });
            }
            None if was_held => self.log(LogEvent::CalendarRulesResumed),
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
                    self.log_row(index, begun);
                    row
                }
                None => row,
            };
            if rows.peek().is_none() && more && row.run.is_none() {
                self.unlogged.insert(index, row);
                return;
            }
            self.log_row(index, row);
        }
        if let Some(begun) = before {
            if more {
                self.unlogged.insert(index, begun);
            } else {
                self.log_row(index, begun);
            }
        }
    }

    /// Logs a row. Equal outcomes of a schedule, such as a skipped period each second, are logged once a minute; the others at level
    /// debug.
    fn log_row(&mut self, index: usize, row: PeriodRow) {
        let (result, outcome) = (row.result, (row.result, row.reason));
        let now_ms = self.now.boot_ms;
        let before = self.logged.get(&index);
        let is_repeated = row.run.is_none()
            && before.is_some_and(|(it, at_ms)| *it == outcome && now_ms - at_ms < SLOW_RETRY_MS);
        if !is_repeated {
            self.logged.insert(index, (outcome, now_ms));
        }
        let period = Box::new(LoggedPeriod { row, is_repeated });
        self.log(match result {
            PeriodResult::Opened => LogEvent::PeriodOpened { period },
            PeriodResult::CaughtUp => LogEvent::PeriodCaughtUp { period },
            PeriodResult::Skipped => LogEvent::PeriodSkipped { period },
            PeriodResult::Merged => LogEvent::PeriodMerged { period },
        });
    }

    /// Logs the rows that will not be extended any more.
    pub(super) fn log_unlogged(&mut self) {
        for (index, row) in std::mem::take(&mut self.unlogged) {
            self.log_row(index, row);
        }
        self.logged.clear();
    }
}
