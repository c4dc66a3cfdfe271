//! The scheduler's loop as a value: everything that it remembers and decides. Events go in, and it says what is to be done.
//!
//! Rule: no I/O, clock or thread here. What is wanted is a field that only the success of its write clears; one piece of work is
//! out at a time, and each is small, so that a signal, another job or a newer catalogue waits for one piece only.

mod answers;
mod choose;
mod load;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::policy::{ClockGuard, PeriodResult, Reading, SkipReason, Times};
use crate::records::PeriodRow;

use super::accept::Accepted;
use super::agenda::{Agenda, Due, Next};
use super::book::Book;
use super::counts::Counts;
use super::work::{Answer, Loaded, Seen, Work};

use load::{Load, Slice};
pub use report::Line;

/// How often the scheduler looks at what other processes did.
const LOOK_MS: i64 = 1000;

/// A store that failed is tried again after this.
const RETRY_MS: i64 = 500;

/// What fails for another reason than the store is tried again after this; a schedule is taken back from another catalogue no
/// more often.
const AGAIN_MS: i64 = 60_000;

/// A stop waits so long for the work that is out. What it does can be done again, so it may be cut off.
const STOP_MS: i64 = 1000;

/// Work that is out for longer hangs: a wait for the store ends after half a minute.
const STUCK_MS: i64 = 150_000;

/// A standby opens what is still not opened so long after its instant.
pub(super) const STANDBY_LAG_MS: i64 = 1000;

/// What happens to a scheduler.
pub enum Event {
    /// Somebody wants it to end.
    Stop,
    /// Somebody wants the catalogue to be read again.
    Reload,
    /// This process, which was a standby, leads from now on.
    Lead,
    /// A piece of work came back.
    Answer(Answer),
}

/// What is to be done.
pub enum Action {
    /// A piece of work, beside which nothing else is given out.
    Do(Work),
    /// A line for the log.
    Log(Line),
    /// A line for the log of a process that goes on: its first catalogue is in force.
    Started(Line),
    /// The start, or a reload, is complete.
    Ready,
    /// A reload begins.
    Reloading,
    /// The end begins.
    Stopping,
    /// Much that was needed for a load is not needed any more.
    GiveBackMemory,
    /// The process ends.
    End(Result<()>),
}

/// Until when nothing is to be done, unless an event comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wait {
    /// By the wall clock, milliseconds.
    pub wall_ms: Option<i64>,
    /// By the boot clock, milliseconds.
    pub boot_ms: Option<i64>,
}

/// How far the end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not begun.
    Working,
    /// Asked for, by the boot clock, milliseconds; the work that is out may come back.
    Stopping(i64),
    /// Nothing more is done.
    Ended,
}

/// The scheduler.
pub struct Control {
    book: Arc<Book>,
    agenda: Agenda,
    guard: ClockGuard,
    times: Times,
    now: Reading,
    leads: bool,
    load: Load,
    /// Whether this process is to be written down as the leader.
    announces_lead: bool,
    /// Whether the store knows of this clock, and of which jump.
    is_clock_saved: bool,
    saved_jump: Option<i64>,
    /// Whether calendar rules were held when that was last logged.
    was_held: bool,
    /// What the last look saw, and when the next one is due, by the boot clock, milliseconds.
    seen: Seen,
    generation: Option<i64>,
    accepted: Option<String>,
    look_at_ms: i64,
    /// Since when a piece of work is out, by the boot clock, milliseconds.
    out_since_ms: Option<i64>,
    /// Nothing is asked of the store before this, by the boot clock, milliseconds.
    retry_at_ms: Option<i64>,
    /// Whether the next slice is one of a load.
    is_loads_turn: bool,
    /// Rows that later slices may go on with, by schedule: logged when they end.
    unlogged: BTreeMap<usize, PeriodRow>,
    /// What the last period of a schedule that was logged for everybody came to, and when that was, by the boot clock,
    /// milliseconds.
    logged: BTreeMap<usize, ((PeriodResult, Option<SkipReason>), i64)>,
    /// Why the last work failed.
    trouble: Option<String>,
    /// Why the last catalogue was refused.
    refused: Option<String>,
    stage: Stage,
    started: bool,
    /// Whether the service manager waits for the end of a reload.
    owes_ready: bool,
    counts: Counts,
    stale: Vec<String>,
    out: Vec<Action>,
}

impl Control {
    /// Begins with a catalogue that is to be put in force, what is known of the clock, and whether this process leads.
    pub fn new(loaded: Loaded, guard: ClockGuard, leads: bool, now: Reading) -> Self {
        let loaded = Arc::new(loaded);
        let mut guard = guard;
        let times = guard.look(now);
        let empty = Arc::new(Book::empty(&loaded.book));
        Self {
            seen: Seen {
                path: loaded.book.path.clone(),
                stamp: loaded.book.stamp.clone(),
                ..Seen::default()
            },
            book: empty,
            agenda: Agenda::default(),
            guard,
            times,
            now,
            leads,
            load: Load {
                newer: Some((loaded, now.boot_ms)),
                ..Load::default()
            },
            announces_lead: leads,
            is_clock_saved: false,
            saved_jump: None,
            was_held: false,
            generation: None,
            accepted: None,
            look_at_ms: now.boot_ms,
            out_since_ms: None,
            retry_at_ms: None,
            is_loads_turn: true,
            unlogged: BTreeMap::new(),
            logged: BTreeMap::new(),
            trouble: None,
            refused: None,
            stage: Stage::Working,
            started: false,
            owes_ready: true,
            counts: Counts::default(),
            stale: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Takes an event at a time.
    pub fn on_event(&mut self, event: Event, now: Reading) {
        self.look_at_clocks(now);
        match event {
            Event::Stop => self.stop(),
            Event::Reload => {
                self.owes_ready = true;
                self.out.push(Action::Reloading);
                self.want_catalogue(self.now.boot_ms, false);
            }
            Event::Lead => {
                self.leads = true;
                self.announces_lead = true;
                if self.started {
                    self.log_lead();
                }
                if self.generation.is_some() {
                    self.put_in_force();
                }
                // The leader before may have read newer files than ours.
                self.want_catalogue(self.now.boot_ms, false);
            }
            Event::Answer(answer) => {
                self.out_since_ms = None;
                self.on_answer(answer);
            }
        }
    }

    /// What is to be done now.
    pub fn next(&mut self, now: Reading) -> Vec<Action> {
        self.look_at_clocks(now);
        self.end_if_stopped();
        if self.stage == Stage::Working
            && self.out_since_ms.is_none()
            && let Some(work) = self.choose()
        {
            self.out_since_ms = Some(now.boot_ms);
            self.out.push(Action::Do(work));
        }
        std::mem::take(&mut self.out)
    }

    fn look_at_clocks(&mut self, now: Reading) {
        self.now = now;
        self.times = self.guard.look(now);
        self.log_clock();
    }

    fn stop(&mut self) {
        self.stage = match self.stage {
            Stage::Working => {
                self.out.push(Action::Stopping);
                Stage::Stopping(self.now.boot_ms)
            }
            // Whoever asks twice does not want to wait.
            Stage::Stopping(_) => Stage::Stopping(i64::MIN),
            Stage::Ended => Stage::Ended,
        };
    }

    fn end_if_stopped(&mut self) {
        let Stage::Stopping(since_ms) = self.stage else {
            return;
        };
        let waits = since_ms.saturating_add(STOP_MS) > self.now.boot_ms;
        if self.out_since_ms.is_none() || !waits {
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

    /// An operator believes the clock as it is.
    pub fn accept_clock(&mut self, now: Reading) {
        self.guard.accept(now);
        self.look_at_clocks(now);
    }

    /// A newer catalogue is to be put in force.
    pub(super) fn offer(&mut self, loaded: Loaded, now: Reading) {
        self.load.newer = Some((Arc::new(loaded), now.boot_ms));
    }

    /// Whether this process leads, which it says nobody.
    pub(super) fn set_leads(&mut self, leads: bool) {
        self.leads = leads;
    }

    /// Waits for nothing that failed before.
    pub(super) fn try_now(&mut self) {
        self.retry_at_ms = None;
    }

    /// Whoever drives the loop gives it catalogues; it reads none.
    pub(super) fn forget_reload(&mut self) {
        self.load.read_at_ms = None;
    }

    /// What was opened, and which schedules were not ours, since the last call.
    pub(super) fn take_counts(&mut self) -> (Counts, Vec<String>) {
        (
            std::mem::take(&mut self.counts),
            std::mem::take(&mut self.stale),
        )
    }

    /// What is known of the clock.
    pub fn guard(&self) -> &ClockGuard {
        &self.guard
    }

    /// How many schedules there are.
    pub fn schedules(&self) -> usize {
        self.book.entries.len()
    }

    /// Whether everything of the last catalogue is in force.
    pub fn is_loaded(&self) -> bool {
        self.load.newer.is_none() && !self.load.has_slices() && !self.load.find_removed
    }

    /// Whether work has been out for so long that it must hang.
    pub fn is_stuck(&self, now: Reading) -> bool {
        self.out_since_ms
            .is_some_and(|since_ms| now.boot_ms - since_ms > STUCK_MS)
    }

    /// When to come again, if no event comes before.
    pub fn wait(&self) -> Wait {
        if let Stage::Stopping(since_ms) = self.stage {
            return Wait {
                wall_ms: None,
                boot_ms: Some(since_ms.saturating_add(STOP_MS)),
            };
        }
        if self.out_since_ms.is_some() {
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
            self.started.then_some(self.look_at_ms),
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

    /// When something is due next.
    pub fn next_due(&self) -> Next {
        self.agenda.next(self.times, self.now, self.lag_ms())
    }

    fn lag_ms(&self) -> i64 {
        if self.leads { 0 } else { STANDBY_LAG_MS }
    }

    fn plan(&mut self, index: usize, at_ms: i64) {
        let elapsed = self.book.entries[index].is_elapsed();
        self.agenda.plan(index, at_ms, elapsed);
    }

    /// A schedule that cannot be opened is tried again later.
    fn plan_again(&mut self, due: Due) {
        self.agenda.try_again(self.now.boot_ms + AGAIN_MS, due);
    }

    /// Whether an operator accepted this clock.
    fn obey(&mut self, accepted: Option<String>) {
        if accepted == self.accepted {
            return;
        }
        self.accepted.clone_from(&accepted);
        let Some(accepted) = accepted.and_then(|text| Accepted::read(&text)) else {
            return;
        };
        if accepted.means(self.guard.boot_id(), self.now) && self.guard.suspicion().is_some() {
            self.accept_clock(self.now);
            self.log_accepted();
        }
        // Whatever the clock is by now: what one that was ahead had opened was taken back, and may be due again.
        self.load.apply = (0..self.book.entries.len()).collect();
        let failed = &mut self.load.failed;
        failed.retain(|(_, slice)| !matches!(slice, Slice::Apply(_)));
        self.agenda = Agenda::default();
    }
}
