//! The log lines of ended attempts.

use crate::flow::{FlowChange, FlowEvent};
use crate::observe::log::{self, Level};
use crate::policy::Verdict;
use crate::records::EndedAttempt;
use crate::store::Outcome;
use crate::units::format_utc;

use super::machine::Written;

impl Written {
    /// Logs the changes of limits and breakers, once they are stored.
    pub(super) fn log(&self) {
        for FlowEvent { subject, change } in &self.flow {
            let (level, name, until_ms) = match *change {
                FlowChange::Opened { until_ms } => (Level::Warn, "breaker_opened", Some(until_ms)),
                FlowChange::Closed => (Level::Info, "breaker_closed", None),
                FlowChange::Waits { until_ms } => (Level::Info, "limit_paused", Some(until_ms)),
            };
            let mut fields = vec![log::text(subject.kind(), subject.name())];
            fields.extend(until_ms.map(|until_ms| log::text("until", format_utc(until_ms))));
            log::event(level, name, &fields);
        }
    }
}

impl EndedAttempt {
    /// Logs the end once it is stored.
    pub(super) fn log(&self, written: &Written) {
        let claimed = &self.claimed;
        let ran_ms = self.report.ran_ms;
        let common = [
            log::number("run", claimed.run.0),
            log::text("job", &claimed.job),
            log::number("attempt", claimed.attempt),
            log::number("ran_ms", ran_ms),
        ];
        let with = |level, name, more: &[log::Field]| {
            log::event(level, name, &[&common[..], more].concat());
        };
        if written.outcome == Outcome::Fenced {
            return with(Level::Warn, "attempt_fenced", &[]);
        }
        if let Some(shortage) = &self.shortage {
            return with(
                Level::Warn,
                "run_not_started",
                &[log::text("shortage", &shortage.message)],
            );
        }
        let Some((judged, verdict)) = &written.meaning else {
            return with(Level::Info, "run_unclaimed", &[]);
        };
        let error = judged.error.as_deref().unwrap_or_default();
        match *verdict {
            Verdict::Succeed => with(Level::Debug, "run_succeeded", &[]),
            Verdict::Defer { due_ms, .. } => {
                let due = format_utc(due_ms);
                let class = judged.class;
                with(
                    Level::Info,
                    "run_deferred",
                    &[
                        log::text("class", class),
                        log::text("due", due),
                        log::text("error", error),
                    ],
                );
            }
            Verdict::Release => with(Level::Info, "run_released", &[]),
            Verdict::Cancel => with(Level::Info, "run_cancelled", &[]),
            Verdict::Bury { reason, .. } => {
                with(
                    Level::Warn,
                    "run_dead",
                    &[log::text("reason", reason), log::text("error", error)],
                );
            }
        }
        if self.report.leaked > 0 {
            with(
                Level::Warn,
                "leftovers",
                &[log::number("processes", self.report.leaked)],
            );
        }
    }
}
