//! An attempt that ended, and the verdict on its run.

use std::sync::Arc;

use crate::attempt::{Ending, Report, Shortage};
use crate::catalogue::Job;
use crate::policy::{self, Budget, Judged, Verdict};

use super::claims::Claimed;

/// An attempt that ended and is not stored yet.
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
    /// A resource that the host lacked to start the command: the claim is given back and no attempt is counted.
    pub shortage: Option<Shortage>,
    /// Random number in `[0, 1)` for the backoff, drawn once so that a retried write stores the same delay.
    pub unit: f64,
}

impl EndedAttempt {
    /// Whether the attempt was stopped before its command started, or the host lacked what a start needs. Then the claim is
    /// given back.
    pub fn was_not_started(&self) -> bool {
        let stopped = matches!(
            self.report.ending,
            Ending::Released { .. } | Ending::Cancelled { .. }
        );
        self.shortage.is_some() || (!self.started && stopped)
    }

    /// The class of the attempt and the verdict on its run. Delays begin at `now_ms`, when the end is stored: the wall clock may have
    /// stepped since the attempt ended.
    pub fn decide(&self, now_ms: i64) -> (Judged, Verdict) {
        let Self {
            claimed,
            job,
            report,
            ..
        } = self;
        let judged = policy::classify(report, &job.exit);
        let budget = Budget {
            guarantee: claimed.guarantee,
            failures: claimed.failures,
            max_attempts: claimed.max_attempts,
            deadline_ms: claimed.deadline_ms,
            limited_ms: claimed.limited_ms,
            rate_limited_for_ms: job.rate_limited_for_ms,
        };
        let failures = claimed.failures.saturating_add(1);
        let backoff_ms = policy::delay_ms(&job.backoff, failures, self.unit);
        let verdict = policy::verdict(&report.ending, &judged, &budget, backoff_ms, now_ms);
        (judged, verdict)
    }
}
