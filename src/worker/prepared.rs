//! A job of the catalogue with everything that its attempts share, computed once per load of the catalogue.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::attempt::Ending;
use crate::catalogue::Job;
use crate::process::command::CommandPlan;
use crate::process::environment::BaseEnvironment;
use crate::run::Guarantee;

/// Work whose median is shorter than this may be claimed ahead of a free slot: the claim then costs more than the wait.
const SHORT_MS: i64 = 50;

/// Durations that the median is taken over, and how many it needs.
const SAMPLES: usize = 16;
const SAMPLES_MIN: usize = 5;

/// A job, ready to be started.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) job: Arc<Job>,
    /// Command line and environment, or why it cannot be started.
    pub(super) launch: Result<(CommandPlan, BaseEnvironment), Ending>,
    durations_ms: Mutex<VecDeque<i64>>,
}

impl Prepared {
    pub(super) fn new(job: &Arc<Job>, state: &Path, catalogue: &Path, own_binary: &Path) -> Self {
        let inherited = |name: &str| std::env::var_os(name);
        let launch = CommandPlan::new(job, own_binary).and_then(|line| {
            Ok((
                line,
                BaseEnvironment::new(job, inherited, state, catalogue)?,
            ))
        });
        Self {
            job: Arc::clone(job),
            launch,
            durations_ms: Mutex::new(VecDeque::new()),
        }
    }

    /// Learns how long an attempt took.
    pub(super) fn observe(&self, duration_ms: i64) {
        let mut durations = self
            .durations_ms
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if durations.len() == SAMPLES {
            durations.pop_front();
        }
        durations.push_back(duration_ms);
    }

    /// The median duration, milliseconds, of a job whose runs may be claimed ahead of a free slot; `None` for others.
    pub(super) fn short_ms(&self) -> Option<i64> {
        let intake = &self.job.intake;
        if intake.guarantee == Guarantee::AtMostOnce
            || intake.deadline_ms.is_some()
            || intake.sequence.is_some()
        {
            return None;
        }
        let durations = self
            .durations_ms
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut sorted: Vec<i64> = durations.iter().copied().collect();
        drop(durations);
        sorted.sort_unstable();
        let median_ms = *sorted.get(sorted.len() / 2)?;
        (sorted.len() >= SAMPLES_MIN && median_ms < SHORT_MS).then_some(median_ms)
    }
}
