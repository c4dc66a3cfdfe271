//! An attempt that ended, on its way into the store; and the follow-up of a death.

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
pub struct Ended {
    /// What was worked.
    pub claimed: Claimed,
    /// The job as it was started.
    pub job: Arc<Job>,
    /// How it ended.
    pub report: Report,
    /// False proves that the command did not run.
    pub started: bool,
    /// What the host lacked to start it: the claim is given back, and nothing is counted.
    pub shortage: Option<Shortage>,
    /// Processes that could not be ended: the run stays claimed while they live.
    pub stuck: Option<Stuck>,
    /// Random number for the backoff, drawn once so that a repeated write says the same.
    pub unit: f64,
}

/// What the write of an end came to.
#[derive(Debug)]
pub struct Written {
    /// Where the run is now.
    pub outcome: Outcome,
    /// What it meant; `None` where the claim was given back.
    meaning: Option<(Judged, Verdict)>,
    /// Changes of limits and breakers.
    flow: Vec<FlowEvent>,
}

impl Written {
    /// A run that is there now, and nothing else changed.
    #[cfg(test)]
    pub(super) fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            meaning: None,
            flow: Vec::new(),
        }
    }

    /// Logs what changed for others, once it is stored.
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

impl Ended {
    /// Whether it was stopped before its command was started, or the host lacked what a start needs: then the claim is simply
    /// given back.
    pub(super) fn was_not_started(&self) -> bool {
        let stopped = matches!(
            self.report.ending,
            Ending::Released { .. } | Ending::Cancelled { .. }
        );
        self.shortage.is_some() || (!self.started && stopped)
    }

    /// Whether the processes that could not be ended are gone by now; the ending is then the true one.
    pub(super) fn has_let_go(&mut self) -> bool {
        let stuck = &mut self.stuck;
        stuck.as_mut().is_none_or(|it| it.is_gone(&mut self.report))
    }

    /// Writes the end of the attempt, with the run that a death calls for; what it came to, and what it changed for limits.
    pub(super) fn write(
        &self,
        tx: &mut Tx<'_>,
        worker: WorkerId,
        catalogue: &Catalogue,
        keep: bool,
        now_ms: i64,
    ) -> Result<Written> {
        if self.was_not_started() {
            let outcome = tx.unclaim(self.claimed.run, self.claimed.fence)?;
            if keep && outcome == Outcome::Moved(State::Waiting) {
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
        } = tx.finish(holder, &self.report, &judged, verdict, keep, now_ms)?;
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

/// What the end of an attempt means and what becomes of its run; `unit` in `[0, 1)` spreads the backoff. Waits begin at
/// `now_ms`, when the end is written: the wall clock may have stepped since the attempt ended.
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
