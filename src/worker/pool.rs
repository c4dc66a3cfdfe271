//! What the slots share: claimed runs that wait for a slot, and what each slot works on.
//!
//! Rule: a run is either queued or active, never both; moving it from one to the other happens under the one lock.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::clock;
use crate::process::Control;
use crate::process::control::{Command, Ticket};
use crate::run::{Fence, RunId};
use crate::store::{Claimed, Start};

use super::prepared::Prepared;

/// A claimed run with all that a slot needs to start it.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) claimed: Claimed,
    pub(super) job: Arc<Prepared>,
    pub(super) claimed_at: Instant,
}

/// What a slot works on.
#[derive(Debug, Clone, Copy)]
struct Active {
    run: RunId,
    fence: Fence,
    attempt: i64,
    ticket: Ticket,
    since: Instant,
    since_ms: i64,
    noted: bool,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Work>,
    active: Vec<Option<Active>>,
    closed: bool,
}

/// Shared by the slots and the main thread.
#[derive(Debug)]
pub(super) struct Pool {
    state: Mutex<State>,
    arrived: Condvar,
    controls: Vec<Control>,
}

impl Pool {
    pub(super) fn new(slots: usize) -> std::io::Result<Self> {
        let state = State {
            active: vec![None; slots],
            ..State::default()
        };
        Ok(Self {
            state: Mutex::new(state),
            arrived: Condvar::new(),
            controls: (0..slots)
                .map(|_| Control::new())
                .collect::<Result<_, _>>()?,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn control(&self, slot: usize) -> &Control {
        &self.controls[slot]
    }

    /// The slot's next work; blocks. `None` when the worker ends.
    pub(super) fn next(&self, slot: usize) -> Option<Work> {
        let mut state = self.state();
        loop {
            if let Some(work) = state.queue.pop_front() {
                state.active[slot] = Some(Active {
                    run: work.claimed.run,
                    fence: work.claimed.fence,
                    attempt: work.claimed.attempt,
                    ticket: self.controls[slot].arm(),
                    since: clock::monotonic(),
                    since_ms: clock::wall_ms(),
                    noted: false,
                });
                return Some(work);
            }
            if state.closed {
                return None;
            }
            state = self
                .arrived
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The slot's work is over; `report` tells the main thread, given the number of queued runs. Under the lock, so that it never sees a free slot whose
    /// attempt it has not heard of (it would end and forget it), nor hears of one whose slot is not yet free.
    pub(super) fn clear(&self, slot: usize, report: impl FnOnce(usize)) {
        let mut state = self.state();
        state.active[slot] = None;
        report(state.queue.len());
    }

    /// Adds claimed runs.
    pub(super) fn add(&self, work: Vec<Work>) {
        let n = work.len();
        self.state().queue.extend(work);
        for _ in 0..n {
            self.arrived.notify_one();
        }
    }

    /// No more work: idle slots end.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_all();
    }

    /// Number of slots.
    pub(super) fn slots(&self) -> usize {
        self.controls.len()
    }

    /// (idle slots, queued runs).
    pub(super) fn load(&self) -> (usize, usize) {
        let state = self.state();
        (
            state
                .active
                .iter()
                .filter(|active| active.is_none())
                .count(),
            state.queue.len(),
        )
    }

    /// Takes queued runs back: all, or those that no idle slot is about to take if they wait longer than `patience`.
    pub(super) fn take_back(&self, patience: Option<std::time::Duration>) -> Vec<Claimed> {
        let mut state = self.state();
        // An idle slot may only be slow to wake.
        let idle = state.active.iter().filter(|it| it.is_none()).count();
        let spared = patience.map_or(0, |_| idle.min(state.queue.len()));
        let overdue = match (patience, state.queue.get(spared)) {
            (Some(patience), Some(work)) => {
                clock::monotonic().duration_since(work.claimed_at) > patience
            }
            (None, _) => true,
            (_, None) => false,
        };
        if overdue {
            let taken = state.queue.drain(spared..);
            taken.map(|work| work.claimed).collect()
        } else {
            Vec::new()
        }
    }

    /// Takes one queued run back, if it was not yet started.
    pub(super) fn take_back_one(&self, fence: Fence) -> Option<Claimed> {
        let mut state = self.state();
        let index = state
            .queue
            .iter()
            .position(|work| work.claimed.fence == fence)?;
        state.queue.remove(index).map(|work| work.claimed)
    }

    /// Sends a command to the slot that works on this claim; whether one does.
    pub(super) fn send(&self, fence: Fence, command: Command) -> bool {
        let state = self.state();
        let slot = state
            .active
            .iter()
            .position(|active| active.is_some_and(|active| active.fence == fence));
        slot.is_some_and(|slot| {
            state.active[slot].is_some_and(|it| self.controls[slot].send(it.ticket, command))
        })
    }

    /// Sends a command to every busy slot.
    pub(super) fn send_all(&self, command: Command) {
        let state = self.state();
        for (slot, active) in state.active.iter().enumerate() {
            if let Some(active) = active {
                self.controls[slot].send(active.ticket, command);
            }
        }
    }

    /// Claims that are queued or active.
    pub(super) fn fences(&self) -> Vec<Fence> {
        let state = self.state();
        let queued = state.queue.iter().map(|work| work.claimed.fence);
        queued
            .chain(state.active.iter().flatten().map(|active| active.fence))
            .collect()
    }

    /// Attempts that run for longer than `age` and are not yet in the store; they count as noted from now on.
    pub(super) fn unnoted(&self, age: std::time::Duration) -> Vec<Start> {
        let now = clock::monotonic();
        let mut state = self.state();
        let mut starts = Vec::new();
        for active in state.active.iter_mut().flatten() {
            if !active.noted && now.duration_since(active.since) >= age {
                active.noted = true;
                starts.push(Start {
                    run: active.run,
                    fence: active.fence,
                    attempt: active.attempt,
                    started_ms: active.since_ms,
                });
            }
        }
        starts
    }

    /// Whether an active attempt is not yet in the store.
    pub(super) fn has_unnoted(&self) -> bool {
        self.state()
            .active
            .iter()
            .flatten()
            .any(|active| !active.noted)
    }
}
