//! An attempt that ended and how its end is stored, with the follow-up of a death.

use std::sync::Arc;

use crate::attempt::{Ending, Report, Shortage};
use crate::catalogue::{Catalogue, Job};
use crate::error::Result;
use crate::flow::{FlowChange, FlowEvent};
use crate::observe::log::{self, Level};
use crate::policy::{self, Budget, Judged, Verdict};
use crate::process::Stuck;
use crate::recovery::follow_up;
use crate::run::{State, WorkerId};
use crate::store::{Claimed, Finished, Holder, Outcome, Tx};
use crate::units::format_utc;

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
