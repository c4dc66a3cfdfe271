//! Which work is next.
//!
//! Rule: work that other processes wait for comes first. Slices of a backlog and of a load alternate, so that neither blocks the other.

use std::sync::Arc;

use crate::policy::ClockGuard;

use super::super::work::{LastPoll, Work};
use super::load::{Load, Slice};
use super::{Control, POLL_MS};

/// Most schedules that one transaction opens or puts in force.
const SCHEDULES_MAX: usize = 500;

impl Load {
    /// Whether schedules are left to put in force or to take out of force.
    pub(super) fn has_slices(&self) -> bool {
        !self.apply.is_empty() || !self.failed.is_empty() || !self.remove.is_empty()
    }

    fn is_ready(&self) -> bool {
        !self.apply.is_empty() || self.find_removed || !self.remove.is_empty()
    }
}

impl Control {
    pub(super) fn choose(&mut self) -> Option<Work> {
        let now_ms = self.now.boot_ms;
        if self.load.read_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            // Files may change after this read begins, so a later request for a reload causes another read.
            self.load.read_at_ms = None;
            self.load.reads_if_changed = std::mem::take(&mut self.load.only_if_changed);
            return Some(Work::Read);
        }
        if self.retry_at_ms.is_some_and(|at_ms| at_ms > now_ms) {
            return None;
        }
        if let Some((newer, at_ms)) = &self.load.newer
            && *at_ms <= now_ms
        {
            return Some(Work::SaveRules(Arc::clone(newer)));
        }
        if self.is_lead_unsaved && self.started {
            return Some(Work::Lead);
        }
        if !self.is_clock_saved || self.saved_jump != jump(&self.guard) {
            return Some(Work::SaveClock(self.guard.clone()));
        }
        if self.started && self.poll_at_ms <= now_ms {
            // A failed poll is not repeated earlier.
            self.poll_at_ms = now_ms + POLL_MS;
            return Some(Work::Poll(LastPoll {
                force: self.guard.suspicion().is_some(),
                ..self.last_poll.clone()
            }));
        }
        self.requeue_failed();
        self.is_turn_of_load = !self.is_turn_of_load;
        if self.is_turn_of_load {
            self.choose_load().or_else(|| self.choose_due())
        } else {
            self.choose_due().or_else(|| self.choose_load())
        }
    }

    fn choose_due(&mut self) -> Option<Work> {
        let lag_ms = self.lag_ms();
        let due = self.agenda.take_due(self.times, lag_ms, SCHEDULES_MAX);
        if due.is_empty() {
            return None;
        }
        let schedules = Arc::clone(&self.schedules);
        Some(Work::Open(schedules, self.guard.clone(), due, lag_ms))
    }

    fn choose_load(&mut self) -> Option<Work> {
        if !self.load.is_ready() {
            return None;
        }
        let schedules = Arc::clone(&self.schedules);
        if !self.load.apply.is_empty() {
            let n = self.load.apply.len().min(SCHEDULES_MAX);
            let indexes = self.load.apply.drain(..n).collect();
            return Some(if self.leads {
                Work::Apply(schedules, self.guard.clone(), indexes)
            } else {
                Work::Follow(schedules, indexes)
            });
        }
        if self.load.find_removed {
            return Some(Work::FindRemoved(schedules));
        }
        let n = self.load.remove.len().min(SCHEDULES_MAX);
        let jobs = self.load.remove.drain(..n).collect();
        Some(Work::Remove(schedules, self.guard.clone(), jobs))
    }

    fn requeue_failed(&mut self) {
        let now_ms = self.now.boot_ms;
        let load = &mut self.load;
        let again = load.failed.extract_if(.., |(at_ms, _)| *at_ms <= now_ms);
        for (_, slice) in again {
            match slice {
                Slice::Apply(index) => load.apply.push_back(index),
                Slice::Remove(job) => load.remove.push_back(job),
            }
        }
        let again = self.agenda.take_failed(self.now);
        self.put_back(again);
    }
}

/// The offset of the jump that is not accepted yet, which identifies it.
pub(super) fn jump(guard: &ClockGuard) -> Option<i64> {
    guard.suspicion().map(|suspicion| suspicion.offset_ms)
}
