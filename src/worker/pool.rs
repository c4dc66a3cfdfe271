//! The queue of claimed runs, behind a lock: slots pull from it; the main thread adds, takes back and sends commands.
//!
//! Rule: the lock is held for a few instructions at a time and never during a wait for anything else.

mod line;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::attempt::StopCommand;
use crate::process::Control;
use crate::process::control::Ticket;
use crate::run::{Fence, RunId};
use crate::store::Claimed;

use super::machine::{Now, TakeBack, View};
use super::prepared::Prepared;

pub use line::{InLine, Line};

/// A claimed run with what a slot needs to start it.
pub(super) type Work = InLine<Arc<Prepared>>;

#[derive(Debug)]
struct State {
    line: Line<Arc<Prepared>>,
    /// For each slot, the address of commands to its attempt.
    tickets: Vec<Option<Ticket>>,
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
            line: Line::new(slots),
            tickets: vec![None; slots],
            closed: false,
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

    /// Waits for the slot's next work. `None` when the worker ends.
    pub(super) fn next(&self, slot: usize) -> Option<Work> {
        let mut state = self.state();
        loop {
            if let Some(work) = state.line.try_next(slot, Now::read()) {
                state.tickets[slot] = Some(self.controls[slot].arm());
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

    /// Frees the slot, then calls `report` with the number of queued runs, both under the lock: the main thread must not get the
    /// end of an attempt whose slot is not yet free.
    pub(super) fn clear(&self, slot: usize, report: impl FnOnce(usize)) {
        let mut state = self.state();
        state.line.clear(slot);
        state.tickets[slot] = None;
        report(state.line.queued());
    }

    /// Adds claimed runs.
    pub(super) fn add(&self, work: Vec<(Claimed, Arc<Prepared>)>, alone: bool, now: Now) {
        let n = work.len();
        let mut state = self.state();
        for (claimed, job) in work {
            state.line.add(claimed, job, alone, now);
        }
        drop(state);
        for _ in 0..n {
            self.arrived.notify_one();
        }
    }

    /// Closes the pool: idle slots end.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_all();
    }

    /// Number of slots.
    pub(super) fn slots(&self) -> usize {
        self.controls.len()
    }

    /// The state of the slots for the machine.
    pub(super) fn view(&self, now: Now) -> View {
        self.state().line.view(now)
    }

    pub(super) fn take_back(&self, which: TakeBack, now: Now) -> Vec<(RunId, Fence)> {
        self.state().line.take_back(which, now)
    }

    /// Ends the attempt of this claim. A claim that is still queued is taken back and returned.
    pub(super) fn cancel(&self, fence: Fence) -> Option<(RunId, Fence)> {
        let mut state = self.state();
        if let Some(slot) = state.line.slot_of(fence) {
            self.send(&state, slot, StopCommand::Cancel);
            return None;
        }
        state.line.take_back_one(fence)
    }

    /// Sends a command to every busy slot.
    pub(super) fn send_all(&self, command: StopCommand) {
        let state = self.state();
        for slot in state.line.busy() {
            self.send(&state, slot, command);
        }
    }

    fn send(&self, state: &State, slot: usize, command: StopCommand) {
        if let Some(ticket) = state.tickets[slot] {
            self.controls[slot].send(ticket, command);
        }
    }

    pub(super) fn note(&self, fences: &[Fence]) {
        self.state().line.note(fences);
    }
}
