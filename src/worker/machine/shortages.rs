//! Shortages of the host: claiming, or claiming runs of one job, pauses for a time that grows while the shortage lasts.
//!
//! Rule: a shortage is never counted against a run. An attempt that starts shows that a shortage is over and resets its pause.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::Now;
use crate::attempt::{Shortage, ShortageScope};
use crate::records::Lacking;

/// The first pause, and the longest.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Shortages {
    /// The pause of all claims.
    worker: Option<Pause>,
    jobs: BTreeMap<String, Pause>,
    /// The shortage that the store has for this worker.
    pub(super) stored: Option<Lacking>,
}

/// A pause of claims. After its end its length is retained until an attempt starts, so that the next pause is longer.
#[derive(Debug)]
struct Pause {
    until: Duration,
    length: Duration,
    is_over: bool,
    lacking: Lacking,
}

impl Pause {
    /// The pause that follows this one. While a pause lasts it is not extended: attempts that fail together met one shortage.
    fn next(before: Option<Self>, words: String, now: Now) -> Self {
        let length = match before {
            Some(pause) if !pause.is_over => return pause,
            Some(pause) => (pause.length * 2).min(PAUSE_MAX),
            None => PAUSE_MIN,
        };
        Self {
            until: now.steady + length,
            length,
            is_over: false,
            lacking: Lacking {
                words,
                until_ms: now.wall_ms + length.as_millis() as i64,
            },
        }
    }
}

impl Shortages {
    pub(super) fn on_shortage(&mut self, shortage: &Shortage, job: &str, now: Now) {
        let why = &shortage.message;
        match shortage.scope {
            ShortageScope::Worker => {
                let words = format!("runs cannot be started for now: {why}");
                self.worker = Some(Pause::next(self.worker.take(), words, now));
            }
            ShortageScope::Job => {
                let words = format!("runs of job `{job}` cannot be started for now: {why}");
                let pause = Pause::next(self.jobs.remove(job), words, now);
                self.jobs.insert(job.to_owned(), pause);
            }
        }
    }

    /// An attempt of this job has started.
    pub(super) fn on_started(&mut self, job: &str) {
        if self.worker.as_ref().is_some_and(|pause| pause.is_over) {
            self.worker = None;
        }
        self.jobs.remove(job);
    }

    /// Ends the pauses that are over by now; returns whether one ended.
    pub(super) fn pass_time(&mut self, now: Now) -> bool {
        let mut ended = false;
        for pause in self.worker.iter_mut().chain(self.jobs.values_mut()) {
            let ends = !pause.is_over && now.steady >= pause.until;
            pause.is_over |= ends;
            ended |= ends;
        }
        ended
    }

    fn pauses(&self) -> impl Iterator<Item = &Pause> {
        let all = self.worker.iter().chain(self.jobs.values());
        all.filter(|pause| !pause.is_over)
    }

    /// When the next pause ends.
    pub(super) fn wakes_at(&self) -> Option<Duration> {
        self.pauses().map(|pause| pause.until).min()
    }

    /// Whether any pause lasts.
    pub(super) fn is_any(&self) -> bool {
        self.pauses().next().is_some()
    }

    /// Whether the pause of all claims lasts.
    pub(super) fn stops_all(&self) -> bool {
        self.worker.as_ref().is_some_and(|pause| !pause.is_over)
    }

    /// Jobs whose runs are not claimed for now.
    pub(super) fn held_back(&self) -> HashSet<String> {
        let jobs = self.jobs.iter().filter(|(_, pause)| !pause.is_over);
        jobs.map(|(job, _)| job.clone()).collect()
    }

    /// The shortage to show to operators.
    pub(super) fn lacking(&self) -> Option<&Lacking> {
        self.pauses().next().map(|pause| &pause.lacking)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now {
            steady: Duration::from_millis(ms),
            wall_ms: 0,
            boot_ms: 0,
        }
    }

    #[test]
    fn a_pause_doubles_while_a_shortage_lasts_and_simultaneous_failures_count_once() {
        let shortage = Shortage {
            scope: ShortageScope::Worker,
            message: "too many open files".to_owned(),
        };
        let mut shortages = Shortages::default();
        let mut now_ms = 0;
        for pause_s in [1, 2, 4, 8, 16, 30, 30] {
            for _ in 0..480 {
                shortages.on_shortage(&shortage, "a", at(now_ms));
            }
            assert!(shortages.stops_all());
            let wakes_at = shortages.wakes_at().unwrap();
            assert_eq!(
                wakes_at,
                Duration::from_millis(now_ms) + Duration::from_secs(pause_s)
            );
            now_ms = wakes_at.as_millis() as u64;
            assert!(shortages.pass_time(at(now_ms)));
            assert!(!shortages.stops_all() && !shortages.is_any());
        }
        shortages.on_started("a");
        shortages.on_shortage(&shortage, "a", at(now_ms));
        assert_eq!(
            shortages.wakes_at(),
            Some(Duration::from_millis(now_ms + 1000))
        );
        let lacking = shortages.lacking().unwrap();
        let words = "runs cannot be started for now: too many open files";
        assert_eq!((lacking.words.as_str(), lacking.until_ms), (words, 1000));
    }

    #[test]
    fn a_shortage_of_one_job_holds_back_that_job_only() {
        let shortage = Shortage {
            scope: ShortageScope::Job,
            message: "the secret cannot be read".to_owned(),
        };
        let mut shortages = Shortages::default();
        shortages.on_shortage(&shortage, "a", at(0));
        assert!(!shortages.stops_all() && shortages.is_any());
        assert_eq!(shortages.held_back(), HashSet::from(["a".to_owned()]));
        let words = "runs of job `a` cannot be started for now: the secret cannot be read";
        assert_eq!(shortages.lacking().unwrap().words, words);
        assert!(shortages.pass_time(at(1000)));
        assert_eq!(shortages.held_back(), HashSet::new());
        assert_eq!(shortages.lacking(), None);
    }
}
