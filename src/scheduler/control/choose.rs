//! Which piece of work is next.
//!
//! Rule: what others wait for comes first; slices of what was missed and of a load take turns, so that neither stops the other.

use std::sync::Arc;

use crate::policy::ClockGuard;

use super::super::work::{Seen, Work};
use super::load::{Load, Slice};
use super::{Control, LOOK_MS};

/// Schedules that one transaction opens, or puts in force.
const SCHEDULES_MAX: usize = 500;

impl Load {
    /// Whether there is something to put in force or to take out of it.
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
            // Who wants the files to be read from now on may have changed them since: that is another read.
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
        if self.announces_lead && self.started {
            return Some(Work::Lead);
        }
        if !self.is_clock_saved || self.saved_jump != jump(&self.guard) {
            return Some(Work::SaveClock(self.guard.clone()));
        }
        if self.started && self.look_at_ms <= now_ms {
            // Even if it fails the next one is due only then.
            self.look_at_ms = now_ms + LOOK_MS;
            return Some(Work::Look(Seen {
                all: self.guard.suspicion().is_some(),
                ..self.seen.clone()
            }));
        }
        self.try_failed_again();
        self.is_loads_turn = !self.is_loads_turn;
        if self.is_loads_turn {
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
        let book = Arc::clone(&self.book);
        Some(Work::Open(book, self.guard.clone(), due, lag_ms))
    }

    fn choose_load(&mut self) -> Option<Work> {
        if !self.load.is_ready() {
            return None;
        }
        let book = Arc::clone(&self.book);
        if !self.load.apply.is_empty() {
            let n = self.load.apply.len().min(SCHEDULES_MAX);
            let indexes = self.load.apply.drain(..n).collect();
            return Some(if self.leads {
                Work::Apply(book, self.guard.clone(), indexes)
            } else {
                Work::Follow(book, indexes)
            });
        }
        if self.load.find_removed {
            return Some(Work::FindRemoved(book));
        }
        let n = self.load.remove.len().min(SCHEDULES_MAX);
        let jobs = self.load.remove.drain(..n).collect();
        Some(Work::Remove(book, self.guard.clone(), jobs))
    }

    fn try_failed_again(&mut self) {
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

/// The jump that is not believed, as it is compared.
pub(super) fn jump(guard: &ClockGuard) -> Option<i64> {
    guard.suspicion().map(|seen| seen.offset_ms)
}
