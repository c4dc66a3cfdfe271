//! The log lines of ended attempts.

use crate::flow::{FlowChange, FlowEvent};
use crate::observe::event::{LogEvent, LoggedAttempt, UtcMs};
use crate::observe::log;
use crate::policy::Verdict;
use crate::records::EndedAttempt;
use crate::run::State;
use crate::store::Outcome;

use super::machine::Written;

impl Written {
    /// Logs the changes of limits and breakers; to be called once they are stored.
    pub(super) fn log(&self) {
        for FlowEvent { subject, change } in &self.flow {
            log::write(&match *change {
                FlowChange::Opened { until_ms } => LogEvent::BreakerOpened {
                    subject,
                    until: UtcMs(until_ms),
                },
                FlowChange::Closed => LogEvent::BreakerClosed { subject },
                FlowChange::Waits { until_ms } => LogEvent::LimitPaused {
                    subject,
                    until: UtcMs(until_ms),
                },
            });
        }
    }
}

impl EndedAttempt {
    /// Logs the end; to be called once it is stored.
    pub(super) fn log(&self, written: &Written) {
        let claimed = &self.claimed;
        let attempt = LoggedAttempt {
            run: claimed.run,
            job: &claimed.job,
            attempt: claimed.attempt,
            ran_ms: self.report.ran_ms,
        };
        if written.outcome == Outcome::Fenced {
            return log::write(&LogEvent::AttemptFenced { attempt });
        }
        if let Some(shortage) = &self.shortage {
            return log::write(&LogEvent::RunNotStarted {
                run: attempt.run,
                job: attempt.job.into(),
                attempt: Some(attempt.attempt),
                ran_ms: Some(attempt.ran_ms),
                shortage: (&shortage.message).into(),
            });
        }
        let Some((judged, verdict)) = &written.meaning else {
            return log::write(&LogEvent::RunUnclaimed { attempt });
        };
        let error = judged.error.as_deref().unwrap_or_default().into();
        log::write(&match *verdict {
            // A cancel that was requested meanwhile overrides the verdict.
            _ if written.outcome == Outcome::Moved(State::Cancelled) => {
                LogEvent::RunCancelled { attempt }
            }
            Verdict::Succeed => LogEvent::RunSucceeded { attempt },
            Verdict::Defer { due_ms, .. } => LogEvent::RunDeferred {
                attempt,
                class: judged.class,
                due: UtcMs(due_ms),
                error,
            },
            Verdict::Release => LogEvent::RunReleased { attempt },
            Verdict::Cancel => LogEvent::RunCancelled { attempt },
            Verdict::Bury { reason, .. } => LogEvent::RunDead {
                attempt,
                reason,
                error,
            },
        });
        if self.report.leaked > 0 {
            log::write(&LogEvent::Leftovers {
                attempt,
                processes: self.report.leaked,
            });
        }
    }
}
