//! How long the runs of each job take, to know which are short enough to be claimed ahead of a free slot.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::catalogue::Job;
use crate::run::Guarantee;

/// Runs whose median duration is below this may be claimed ahead of a free slot: the claim costs more than the wait.
const SHORT_MS: i64 = 50;

/// At most this much work, by the median duration of past runs, is claimed ahead for each slot.
const AHEAD_MS: i64 = 10;

/// The median is taken over the last `SAMPLES` durations and needs at least `SAMPLES_MIN`.
const SAMPLES: usize = 16;
const SAMPLES_MIN: usize = 5;

/// Durations of the jobs of one catalogue.
#[derive(Debug, Default)]
pub(super) struct Durations {
    jobs: HashMap<String, Samples>,
    /// Jobs whose runs may be claimed ahead.
    pub(super) short: Arc<HashSet<String>>,
}

#[derive(Debug, Default)]
struct Samples {
    last_ms: VecDeque<i64>,
    median_ms: i64,
}

impl Durations {
    /// Records the duration of an attempt.
    pub(super) fn learn(&mut self, name: &str, job: &Job, duration_ms: i64) {
        let intake = &job.intake;
        if intake.guarantee == Guarantee::AtMostOnce
            || intake.deadline_ms.is_some()
            || intake.sequence.is_some()
        {
            return;
        }
        let samples = match self.jobs.get_mut(name) {
            Some(samples) => samples,
            None => self.jobs.entry(name.to_owned()).or_default(),
        };
        if samples.last_ms.len() == SAMPLES {
            samples.last_ms.pop_front();
        }
        samples.last_ms.push_back(duration_ms);
        let mut sorted: Vec<i64> = samples.last_ms.iter().copied().collect();
        sorted.sort_unstable();
        samples.median_ms = sorted[sorted.len() / 2];
        let is_short = sorted.len() >= SAMPLES_MIN && samples.median_ms < SHORT_MS;
        if is_short != self.short.contains(name) {
            let short = Arc::make_mut(&mut self.short);
            if is_short {
                short.insert(name.to_owned());
            } else {
                short.remove(name);
            }
        }
    }

    /// How many runs may be claimed ahead for each slot, so that all of them start well before they would be taken back.
    pub(super) fn ahead_per_slot(&self) -> usize {
        let medians = self.short.iter().filter_map(|name| self.jobs.get(name));
        match medians.map(|samples| samples.median_ms).max() {
            Some(longest_ms) => ((AHEAD_MS / longest_ms.max(1)) as usize).clamp(2, 16),
            None => 0,
        }
    }
}
