//! The queue of claimed runs that wait for a slot, and what each slot works on, as a value.
//!
//! Rule: a run is either in line or active, never both, and moves from one to the other in one step.

use std::collections::VecDeque;
use std::time::Duration;

use crate::records::{Claimed, Start};
use crate::run::{Fence, RunId};
use crate::worker::machine::{NOTE_AFTER, Now, SLOT_WAIT_MAX, TakeBack, View};

/// A claimed run in line, with what a slot needs to start it.
#[derive(Debug)]
pub struct InLine<J> {
    /// The run.
    pub claimed: Claimed,
    /// The prepared job.
    pub job: J,
    /// Whether a separate worker works it.
    pub alone: bool,
    /// When it was added, by the monotonic clock.
    since: Duration,
}

/// What a slot works on.
#[derive(Debug, Clone, Copy)]
struct Active {
    run: RunId,
    fence: Fence,
    attempt: i64,
    since: Duration,
    since_ms: i64,
    noted: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Line<J> {
    waiting: VecDeque<InLine<J>>,
    active: Vec<Option<Active>>,
    idle: usize,
}

impl<J> Line<J> {
    /// An empty line and this many idle slots.
    pub fn new(slots: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            active: vec![None; slots],
            idle: slots,
        }
    }

    /// Adds a claimed run at the end.
    pub fn add(&mut self, claimed: Claimed, job: J, alone: bool, now: Now) {
        self.waiting.push_back(InLine {
            claimed,
            job,
            alone,
            since: now.steady,
        });
    }

    /// The next run, if there is one, for a slot without work.
    pub fn try_next(&mut self, slot: usize, now: Now) -> Option<InLine<J>> {
        let next = self.waiting.pop_front()?;
        self.active[slot] = Some(Active {
            run: next.claimed.run,
            fence: next.claimed.fence,
            attempt: next.claimed.attempt,
            since: now.steady,
            since_ms: now.wall_ms,
            // The separate worker stores its start.
            noted: next.alone,
        });
        self.idle -= 1;
        Some(next)
    }

    /// Marks the slot as idle.
    pub fn clear(&mut self, slot: usize) {
        if self.active[slot].take().is_some() {
            self.idle += 1;
        }
    }

    /// The number of runs in line.
    pub fn queued(&self) -> usize {
        self.waiting.len()
    }

    /// Takes runs out of the line.
    pub fn take_back(&mut self, which: TakeBack, now: Now) -> Vec<(RunId, Fence)> {
        let from = match which {
            TakeBack::All => 0,
            TakeBack::Overdue if self.is_overdue(now) => self.spared(),
            TakeBack::Overdue => return Vec::new(),
        };
        let taken = self.waiting.drain(from..);
        taken.map(|it| (it.claimed.run, it.claimed.fence)).collect()
    }

    /// Takes one run out of the line, if it was not yet started.
    pub fn take_back_one(&mut self, fence: Fence) -> Option<(RunId, Fence)> {
        let mut waiting = self.waiting.iter();
        let place = waiting.position(|it| it.claimed.fence == fence)?;
        let taken = self.waiting.remove(place)?;
        Some((taken.claimed.run, taken.claimed.fence))
    }

    /// The number of runs at the front that idle slots are about to take: these slots are only slow to wake.
    fn spared(&self) -> usize {
        self.idle.min(self.waiting.len())
    }

    fn is_overdue(&self, now: Now) -> bool {
        let first = self.waiting.get(self.spared());
        first.is_some_and(|it| now.steady.saturating_sub(it.since) > SLOT_WAIT_MAX)
    }

    /// The slot that works on this claim.
    pub fn slot_of(&self, fence: Fence) -> Option<usize> {
        let mut active = self.active.iter();
        active.position(|it| it.is_some_and(|it| it.fence == fence))
    }

    /// The slots that work.
    pub fn busy(&self) -> impl Iterator<Item = usize> {
        let active = self.active.iter().enumerate();
        active.filter_map(|(slot, active)| active.map(|_| slot))
    }

    /// The starts of these claims are stored.
    pub fn note(&mut self, fences: &[Fence]) {
        for active in self.active.iter_mut().flatten() {
            active.noted |= fences.contains(&active.fence);
        }
    }

    /// The state of the slots for the machine.
    pub fn view(&self, now: Now) -> View {
        let mut starts = Vec::new();
        let mut is_unnoted = false;
        for active in self.active.iter().flatten().filter(|it| !it.noted) {
            is_unnoted = true;
            if now.steady.saturating_sub(active.since) >= NOTE_AFTER {
                starts.push(Start {
                    run: active.run,
                    fence: active.fence,
                    attempt: active.attempt,
                    started_ms: active.since_ms,
                });
            }
        }
        View {
            idle: self.idle,
            queued: self.waiting.len(),
            overdue: self.is_overdue(now),
            starts,
            unnoted: is_unnoted,
        }
    }
}
