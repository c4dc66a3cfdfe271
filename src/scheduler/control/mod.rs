//! The state machine of the scheduler's loop: events and clocks in, actions out.
//!
//! Rule: no I/O, clock or thread here. An intent is a field that is cleared only when its write succeeds. One piece of work is under
//! way at a time and each is small, so that a signal, another job or a newer catalogue waits for one piece only.

mod answers;
mod choose;
mod load;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::observe::event::LogEvent;
use crate::policy::{ClockGuard, PeriodResult, Reading, SkipReason, Times};
use crate::records::PeriodRow;

use super::accepted::Accepted;
use super::agenda::{Agenda, Due, Next};
use super::counts::Counts;
use super::schedule_set::ScheduleSet;
use super::work::{Answer, LastPoll, Loaded, Work};

use load::{Load, Slice};

/// How often the scheduler polls the store for changes by other processes.
const POLL_MS: i64 = 1000;

/// Delay before work is retried after an error of the store.
const STORE_RETRY_MS: i64 = 500;

/// Delay before work is retried after any other error. Also the shortest interval between two times that schedules are taken back
/// from another catalogue, and between log lines about equal outcomes of one schedule.
const SLOW_RETRY_MS: i64 = 60_000;

/// How long a stop waits for the work under way. All work can be repeated, so it may be interrupted.
const STOP_MS: i64 = 1000;

/// Work that takes longer than this hangs: a wait for the write lock ends after half a minute.
const STUCK_MS: i64 = 150_000;

/// A standby opens a period that the leader has not opened this long after its instant.
pub(super) const STANDBY_LAG_MS: i64 = 1000;

/// An input of the loop.
pub enum Event {
    /// A stop was requested.
    Stop,
    /// A reload of the catalogue was requested.
    Reload,
    /// This process was a standby and leads from now on.
    Lead,
    /// The result of the work under way.
    Answer(Answer),
}

/// An output of the loop, which the process must perform.
pub enum Action {
    /// Do this work. No other work is given out until its answer has come.
    Do(Work),
    /// Log this.
    Log(LogEvent<'static>),
    /// Log this, unless the process ends after one pass: the first catalogue is in force.
    Started(LogEvent<'static>),
    /// Notify the service manager that the start or a reload is complete.
    Ready,
    /// Notify the service manager that a reload begins.
    Reloading,
    /// Notify the service manager that a stop begins.
    Stopping,
    /// Return the memory of a load to the system.
    GiveBackMemory,
    /// End the process.
    End(Result<()>),
}

/// When the loop must be called again unless an event comes before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wait {
    /// By the wall clock, milliseconds.
    pub wall_ms: Option<i64>,
    /// By the boot clock, milliseconds.
    pub boot_ms: Option<i64>,
}

/// The stage of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not stopping.
    Working,
    /// Stopping since this time of the boot clock, milliseconds; the work under way may still end.
    Stopping(i64),
    /// The loop has ended.
    Ended,
}

/// The state of the loop.
pub struct Control {
    schedules: Arc<ScheduleSet>,
    agenda: Agenda,
    guard: ClockGuard,
    times: Times,
    now: Reading,
    leads: bool,
    load: Load,
    /// Whether the store has not recorded yet that this process leads.
    is_lead_unsaved: bool,
    /// Whether the store has the state of this clock, and the offset of the jump that it has.
    is_clock_saved: bool,
    saved_jump: Option<i64>,
    /// Whether calendar rules were held according to the last log line.
    was_held: bool,
    /// The state of the store at the last poll.
    last_poll: LastPoll,
    generation: Option<i64>,
    accepted: Option<String>,
    /// When the next poll is due, by the boot clock, milliseconds.
    poll_at_ms: i64,
    /// Since when work is under way, by the boot clock, milliseconds.
    under_way_since_ms: Option<i64>,
    /// No work with the store before this time of the boot clock, milliseconds.
    retry_at_ms: Option<i64>,
    /// Whether the last slice was chosen from a load first; load and due periods alternate.
    is_turn_of_load: bool,
    /// By schedule, the last row of a slice, which the next slice may extend; logged when it is complete.
    unlogged: BTreeMap<usize, PeriodRow>,
    /// By schedule, the outcome that was last logged at its full level, and when, by the boot clock, milliseconds.
    logged: BTreeMap<usize, ((PeriodResult, Option<SkipReason>), i64)>,
    /// The error of the last work, if the store failed.
    store_error: Option<String>,
    /// Why the newest catalogue was refused.
    refused: Option<String>,
    stage: Stage,
    started: bool,
    /// Whether the service manager waits for the end of the start or of a reload.
    is_ready_pending: bool,
    counts: Counts,
    stale: Vec<String>,
    out: Vec<Action>,
}

impl Control {
    /// A loop whose first work is to put this catalogue in force.
    pub fn new(loaded: Loaded, guard: ClockGuard, leads: bool, now: Reading) -> Self {
        let loaded = Arc::new(loaded);
        let mut guard = guard;
        let times = guard.update(now);
        let empty = Arc::new(ScheduleSet::empty(&loaded.schedules));
        Self {
            last_poll: LastPoll {
                path: loaded.schedules.path.clone(),
                stamp: loaded.schedules.stamp.clone(),
                ..LastPoll::default()
            },
            schedules: empty,
            agenda: Agenda::default(),
            guard,
            times,
            now,
            leads,
            load: Load {
                newer: Some((loaded, now.boot_ms)),
                ..Load::default()
            },
            is_lead_unsaved: leads,
            is_clock_saved: false,
            saved_jump: None,
            was_held: false,
            generation: None,
            accepted: None,
            poll_at_ms: now.boot_ms,
            under_way_since_ms: None,
            retry_at_ms: None,
            is_turn_of_load: true,
            unlogged: BTreeMap::new(),
            logged: BTreeMap::new(),
            store_error: None,
            refused: None,
            stage: Stage::Working,
            started: false,
            is_ready_pending: true,
            counts: Counts::default(),
            stale: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Handles one event.
    pub fn on_event(&mut self, event: Event, now: Reading) {
        self.update_clocks(now);
        match event {
            Event::Stop => self.stop(),
            Event::Reload => {
                self.is_ready_pending = true;
                self.out.push(Action::Reloading);
                self.request_reload(self.now.boot_ms, false);
            }
            Event::Lead => {
                self.leads = true;
                self.is_lead_unsaved = true;
                if self.started {
                    self.log_lead();
                }
                if self.generation.is_some() {
                    self.put_in_force();
                }
                // The previous leader may have read newer files than ours.
                self.request_reload(self.now.boot_ms, false);
            }
            Event::Answer(answer) => {
                self.under_way_since_ms = None;
                self.on_answer(answer);
            }
        }
    }

    /// The actions to perform now.
    pub fn next(&mut self, now: Reading) -> Vec<Action> {
        self.update_clocks(now);
        self.end_if_stopped();
        if self.stage == Stage::Working
            && self.under_way_since_ms.is_none()
            && let Some(work) = self.choose()
        {
            self.under_way_since_ms = Some(now.boot_ms);
            self.out.push(Action::Do(work));
        }
        std::mem::take(&mut self.out)
    }

    fn update_clocks(&mut self, now: Reading) {
        self.now = now;
        self.times = self.guard.update(now);
        self.log_clock();
    }

    fn stop(&mut self) {
        self.stage = match self.stage {
            Stage::Working => {
                self.out.push(Action::Stopping);
                Stage::Stopping(self.now.boot_ms)
            }
            // A second request ends the wait for the work under way.
            Stage::Stopping(_) => Stage::Stopping(i64::MIN),
            Stage::Ended => Stage::Ended,
        };
    }

    fn end_if_stopped(&mut self) {
        let Stage::Stopping(since_ms) = self.stage else {
            return;
        };
        let waits = since_ms.saturating_add(STOP_MS) > self.now.boot_ms;
        if self.under_way_since_ms.is_none() || !waits {
            self.log_stop();
            self.end(Ok(()));
        }
    }

    fn end(&mut self, result: Result<(), Error>) {
        if self.stage != Stage::Ended {
            self.stage = Stage::Ended;
            self.out.push(Action::End(result));
        }
    }

    /// An operator accepted the clock as it is.
    pub fn accept_clock(&mut self, now: Reading) {
        self.guard.accept(now);
        self.update_clocks(now);
    }

    /// Puts a newer catalogue in force with the next work.
    pub(super) fn offer(&mut self, loaded: Loaded, now: Reading) {
        self.load.newer = Some((Arc::new(loaded), now.boot_ms));
    }

    /// Sets whether this process leads, without recording it in the store.
    pub(super) fn set_leads(&mut self, leads: bool) {
        self.leads = leads;
    }

    /// Retries failed work without further delay.
    pub(super) fn clear_retry_delay(&mut self) {
        self.retry_at_ms = None;
    }

    /// Cancels a requested reload, for a caller that supplies the catalogues itself.
    pub(super) fn cancel_reload(&mut self) {
        self.load.read_at_ms = None;
    }

    /// Since the last call: the decided periods, and the jobs for which the store has another schedule in force.
    pub(super) fn take_counts(&mut self) -> (Counts, Vec<String>) {
        (
            std::mem::take(&mut self.counts),
            std::mem::take(&mut self.stale),
        )
    }

    /// The state of the clock.
    pub fn guard(&self) -> &ClockGuard {
        &self.guard
    }

    /// The number of schedules.
    pub fn schedule_count(&self) -> usize {
        self.schedules.entries.len()
    }

    /// Whether the newest catalogue is completely in force.
    pub fn is_loaded(&self) -> bool {
        self.load.newer.is_none() && !self.load.has_slices() && !self.load.find_removed
    }

    /// Whether the work under way takes so long that it must hang.
    pub fn is_stuck(&self, now: Reading) -> bool {
        self.under_way_since_ms
            .is_some_and(|since_ms| now.boot_ms - since_ms > STUCK_MS)
    }

    /// When to call [`Control::next`] again if no event comes before.
    pub fn wait(&self) -> Wait {
        if let Stage::Stopping(since_ms) = self.stage {
            return Wait {
                wall_ms: None,
                boot_ms: Some(since_ms.saturating_add(STOP_MS)),
            };
        }
        if self.under_way_since_ms.is_some() {
            return Wait::default();
        }
        let retry_ms = self.retry_at_ms.filter(|at_ms| *at_ms > self.now.boot_ms);
        if retry_ms.is_some() {
            return Wait {
                wall_ms: None,
                boot_ms: retry_ms,
            };
        }
        let Next { wall_ms, boot_ms } = self.next_due();
        let boot = [
            self.started.then_some(self.poll_at_ms),
            boot_ms,
            self.load.read_at_ms,
            self.load.newer.as_ref().map(|(_, at_ms)| *at_ms),
            self.load.failed.iter().map(|(at_ms, _)| *at_ms).min(),
        ];
        Wait {
            wall_ms,
            boot_ms: boot.into_iter().flatten().min(),
        }
    }

    /// When the next schedule is due.
    pub fn next_due(&self) -> Next {
        self.agenda.next(self.times, self.now, self.lag_ms())
    }

    fn lag_ms(&self) -> i64 {
        if self.leads { 0 } else { STANDBY_LAG_MS }
    }

    fn plan(&mut self, index: usize, at_ms: i64) {
        let elapsed = self.schedules.entries[index].is_elapsed();
        self.agenda.plan(index, at_ms, elapsed);
    }

    /// Retries a schedule that could not be opened after [`SLOW_RETRY_MS`].
    fn retry_later(&mut self, due: Due) {
        self.agenda.retry_at(self.now.boot_ms + SLOW_RETRY_MS, due);
    }

    /// Handles the clock that an operator accepted last, as the store has it.
    fn on_accepted_clock(&mut self, accepted: Option<String>) {
        if accepted == self.accepted {
            return;
        }
        self.accepted.clone_from(&accepted);
        let Some(accepted) = accepted.and_then(|text| Accepted::read(&text)) else {
            return;
        };
        if accepted.matches_clock(self.guard.boot_id(), self.now)
            && self.guard.suspicion().is_some()
        {
            self.accept_clock(self.now);
            self.log_accepted();
        }
        // In any case: the operator's command took back what a clock that was ahead had opened, so it may be due again.
        self.load.apply = (0..self.schedules.entries.len()).collect();
        let failed = &mut self.load.failed;
        failed.retain(|(_, slice)| !matches!(slice, Slice::Apply(_)));
        self.agenda = Agenda::default();
    }
}
