//! An attempt that ended and how its end is stored, with the follow-up of a death.

use std::sync::Arc;

use crate::attempt::{Ending, Report, Shortage};
use crate::catalogue::{Catalogue, Job};
use crate::error::Result;
use crate::flow::{FlowChange, FlowEvent};
use crate::observe::event::{LogEvent, LoggedAttempt, UtcMs};
use crate::observe::log;
use crate::policy::{self, Budget, Judged, Verdict};
use crate::process::Stuck;
use crate::recovery::follow_up;
use crate::run::{State, WorkerId};
use crate::store::{Claimed, Finished, Holder, Outcome, Tx};

/// An ended attempt.
#[derive(Debug)]
pub struct EndedAttempt {
    /// The claim of the attempt.
    pub claimed: Claimed,
    /// The job, as it was when the attempt started.
    pub job: Arc<Job>,
    /// How it ended.
    pub report: Report,
    /// Whether the command may have run; `false` proves that it did not.
    pub started: bool,
    /// What the host lacked to start the command: the claim is given back and no attempt is counted.
    pub shortage: Option<Shortage>,
    /// Processes that could not be ended; the run stays claimed while they live.
    pub stuck: Option<Stuck>,
    /// Random number in `[0, 1)` for the backoff, drawn once so that a retried write stores the same delay.
    pub unit: f64,
}

/// The result of storing an end.
#[derive(Debug)]
pub struct Written {
    /// The state of the run afterwards.
    pub outcome: Outcome,
    /// The class and the verdict; `None` if the claim was given back.
    meaning: Option<(Judged, Verdict)>,
    /// Changes of limits and breakers.
    flow: Vec<FlowEvent>,
}

impl Written {
    /// A result in which only the state of the run changed.
    #[cfg(test)]
    pub(super) fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            meaning: None,
            flow: Vec::new(),
        }
    }

    /// Logs the changes of limits and breakers, once they are stored.
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
    /// Whether the attempt was stopped before its command started, or the host lacked what a start needs. Then the claim is
    /// given back.
    pub(super) fn was_not_started(&self) -> bool {
        let stopped = matches!(
            self.report.ending,
            Ending::Released { .. } | Ending::Cancelled { .. }
        );
        self.shortage.is_some() || (!self.started && stopped)
    }

    /// Whether the processes that could not be ended are gone by now; if so, corrects the ending in the report.
    pub(super) fn stuck_processes_are_gone(&mut self) -> bool {
        let stuck = &mut self.stuck;
        stuck.as_mut().is_none_or(|it| it.is_gone(&mut self.report))
    }

    /// Stores the end of the attempt; if the run is dead, also enqueues its follow-up run.
    pub(super) fn write(
        &self,
        tx: &mut Tx<'_>,
        worker: WorkerId,
        catalogue: &Catalogue,
        reserve: bool,
        now_ms: i64,
    ) -> Result<Written> {
        if self.was_not_started() {
            let outcome = tx.unclaim(self.claimed.run, self.claimed.fence)?;
            if reserve && outcome == Outcome::Moved(State::Waiting) {
                tx.reserve_for(self.claimed.run, worker)?;
            }
            return Ok(Written {
                outcome,
                meaning: None,
                flow: Vec::new(),
            });
        }
        let holder = Holder {
            run: self.claimed.run,
            fence: self.claimed.fence,
            worker,
            attempt: self.claimed.attempt,
        };
        let (judged, verdict) = decide(&self.claimed, &self.job, &self.report, self.unit, now_ms);
        let Finished {
            outcome,
            burial,
            flow,
        } = tx.finish(holder, &self.report, &judged, verdict, reserve, now_ms)?;
        if let Some(burial) = burial {
            follow_up(tx, &burial, catalogue, now_ms)?;
        }
        Ok(Written {
            outcome,
            meaning: Some((judged, verdict)),
            flow,
        })
    }

    /// Logs the end once it is stored.
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

/// The class of an ended attempt and the verdict on its run; `unit` in `[0, 1)` spreads the backoff. Delays begin at `now_ms`, when
/// the end is stored: the wall clock may have stepped since the attempt ended.
pub fn decide(
    claimed: &Claimed,
    job: &Job,
    report: &Report,
    unit: f64,
    now_ms: i64,
) -> (Judged, Verdict) {
    let judged = policy::classify(report, &job.exit);
    let budget = Budget {
        guarantee: claimed.guarantee,
        failures: claimed.failures,
        max_attempts: claimed.max_attempts,
        deadline_ms: claimed.deadline_ms,
        limited_ms: claimed.limited_ms,
        rate_limited_for_ms: job.rate_limited_for_ms,
    };
    let backoff_ms = policy::delay_ms(&job.backoff, claimed.failures.saturating_add(1), unit);
    let verdict = policy::verdict(&report.ending, &judged, &budget, backoff_ms, now_ms);
    (judged, verdict)
}
