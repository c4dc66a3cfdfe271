//! What a worker's main loop remembers and decides, as a value: events and clocks in, actions out.
//!
//! Rule: no I/O, clock, thread or lock in this directory. An intent (an end to be stored, a claim to be given back, rules to be
//! saved, ..) is a field that only the success of its write clears; while the write is under way it stands in `Writes::under_way`.

mod alone;
mod claims;
mod drain;
mod durations;
mod interface;
mod note;
mod reload;
mod requests;
mod shortages;
mod stages;
mod status;
mod stop;
#[cfg(test)]
mod tests;
mod writes;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::catalogue::Catalogue;
use crate::error::{Error, Result};
use crate::records::{ServedQueue, Waiting};
use crate::run::{Fence, RunId, WorkerId};

use super::Summary;
use super::batch::Only;
use super::ended::Ended;

pub use interface::{Action, AloneEnd, Event, Left, Now, Setup, TakeBack, View};
pub use note::Note;
pub use stages::Stop;
pub use status::{NOTHING_RUNS, longest_grace, stop_end};

use claims::Claiming;
use drain::Draining;
use reload::Reloading;
use shortages::Shortages;
use writes::Writes;

/// How often the worker looks around without being woken.
const TICK: Duration = Duration::from_secs(1);

/// Attempts older than this are shown as running with their number; shorter ones cost no write of their own.
pub(super) const NOTE_AFTER: Duration = Duration::from_millis(100);

/// A run claimed ahead that found no slot within this time goes back to the queue.
pub(super) const PATIENCE: Duration = Duration::from_millis(20);

/// While every slot has work, ended attempts wait so long for company in one transaction.
const LINGER: Duration = Duration::from_millis(5);

/// A claim of ours whose end is not stored.
#[derive(Debug)]
struct Held {
    run: RunId,
    /// A cancel was passed on and logged.
    cancelled: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Machine {
    worker: WorkerId,
    slots: usize,
    only: Option<Only>,
    /// The worker that has the run of the foreground, where that is another.
    elsewhere: Option<WorkerId>,
    catalogue: Arc<Catalogue>,
    /// Every claim that we were given, until its end, or that it was given back, is stored. What is not in here and ours by
    /// the store was never started by us.
    held: HashMap<Fence, Held>,
    /// Claims, with their jobs, whose workers of their own were killed: whether they had taken them over, their return tells.
    killed_alone: HashMap<Fence, String>,
    /// Attempts whose processes could not be ended: their runs stay claimed while these live.
    stuck: HashSet<Fence>,
    claiming: Claiming,
    writes: Writes,
    reloading: Reloading,
    draining: Draining,
    shortages: Shortages,
    stop: Stop,
    stop_after: Duration,
    next_tick: Duration,
    /// Wall clock minus boot clock at the last tick.
    offset_ms: i64,
    /// What the store last refused, until it takes something again.
    trouble: Option<String>,
    summary: Summary,
    end: Option<Result<()>>,
    actions: Vec<Action>,
}

impl Machine {
    /// A worker that holds nothing yet.
    pub fn new(setup: Setup, now: Now) -> Self {
        Self {
            worker: setup.worker,
            slots: setup.slots,
            only: setup.only,
            elsewhere: None,
            held: HashMap::new(),
            killed_alone: HashMap::new(),
            stuck: HashSet::new(),
            claiming: Claiming::new(setup.queues, &setup.catalogue, setup.max_runs),
            catalogue: setup.catalogue,
            writes: Writes::new(),
            reloading: Reloading::default(),
            draining: Draining::new(setup.drain),
            shortages: Shortages::default(),
            stop: Stop::No,
            stop_after: setup.stop_after,
            next_tick: now.steady + TICK,
            offset_ms: now.wall_ms - now.boot_ms,
            trouble: None,
            summary: Summary {
                foreground: setup.only.map(|only| only.run()),
                ..Summary::default()
            },
            end: None,
            actions: Vec::new(),
        }
    }

    /// Takes an event in; what follows from it is in [`Machine::take_actions`].
    pub fn on_event(&mut self, event: Event, now: Now) {
        match event {
            Event::Ended(ended) => self.on_ended(ended, now),
            Event::Answered(answers) => self.on_answers(answers, now),
            Event::TakenBack(runs) => self.give_back(runs),
            Event::Stuck { run, fence, pids } => {
                self.stuck.insert(fence);
                self.log(Note::Blocked { run, pids });
            }
            Event::AloneEnded {
                run,
                fence,
                job,
                end,
            } => self.on_alone_ended((run, fence), job, end, now),
            Event::Looked {
                freed,
                whole,
                asked,
            } => {
                if whole {
                    self.draining.see_others(asked);
                }
                self.claiming.look |= freed;
            }
            Event::Commits => {
                self.claiming.look = true;
                self.draining.ask_again();
            }
            Event::Requests { cancels, stop } => self.on_requests(cancels, stop, now),
            Event::Unregistered => self.on_unregistered(),
            Event::LockTampered => self.on_lock_tampered(now),
            Event::ReadFailed(error) => self.on_read_error(&error),
            Event::Left(answer) => self.on_left(answer),
            Event::Reload => self.on_reload(),
            Event::Loaded(answer) => self.on_loaded(answer),
            Event::Terminate => self.on_terminate(now),
            Event::Lost(error) => self.finish(Err(error)),
        }
    }

    /// Does what is due by now, and submits what is to be written. `view` is what the slots are like after all actions so far; to
    /// be called again while it leaves actions.
    pub fn turn(&mut self, view: &View, now: Now) {
        self.claiming.pass_time(now);
        self.claiming.look |= self.shortages.pass_time(now);
        self.pass_time_of_stop(now);
        if now.steady >= self.next_tick {
            self.next_tick = now.steady + TICK;
            self.tick(view, now);
        }
        if view.overdue {
            self.actions.push(Action::TakeBack(TakeBack::Overdue));
        }
        self.end_if_done();
        self.submit(view, now);
    }

    /// How long nothing is to be done unless an event comes.
    pub fn sleep(&self, view: &View, now: Now) -> Duration {
        let mut until = self.next_tick;
        let mut at = |moment: Duration| until = until.min(moment);
        self.writes
            .wakes_at(self.is_comfortable(view), view, now, &mut at);
        if view.queued > 0 {
            at(now.steady + PATIENCE);
        }
        if let Some(end) = self.shortages.wakes_at() {
            at(end);
        }
        if let Stop::Graceful(end) = self.stop {
            at(end);
        }
        let wait = until.saturating_sub(now.steady);
        self.claiming
            .due_ms()
            .map_or(wait, |due_ms| wait.min(millis(due_ms - now.wall_ms)))
    }

    /// Whether every slot has more work waiting: then what ends can wait for company.
    pub fn is_comfortable(&self, view: &View) -> bool {
        view.idle == 0 && view.queued >= self.slots
    }

    /// What is to be done now, in this order.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// Whether [`Machine::take_actions`] would give any.
    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// Whether the loop is over, and how it ended.
    pub fn ended(&self) -> Option<&Result<()>> {
        self.end.as_ref()
    }

    /// What came of it.
    pub fn into_summary(self) -> Summary {
        self.summary
    }

    /// The queues that are served, by name.
    pub fn queues(&self) -> &Arc<Vec<ServedQueue>> {
        &self.claiming.queues
    }

    /// Attempts at a time.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// How far stopping has come.
    pub fn stop(&self) -> Stop {
        self.stop
    }

    /// Claims whose end is not stored, for tests.
    #[doc(hidden)]
    pub fn holds(&self) -> impl Iterator<Item = (RunId, Fence)> {
        self.held.iter().map(|(&fence, held)| (held.run, fence))
    }

    /// Whether something is to be stored that is not, for tests.
    #[doc(hidden)]
    pub fn has_intents(&self) -> bool {
        let writes = &self.writes;
        let left = writes.rebase
            || writes.rules
            || self.reloading.unsaved
            || self.shortages.lacking() != self.shortages.stored.as_ref();
        left || !writes.is_idle() || writes.given_up() > 0
    }

    /// The catalogue that it works with.
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    fn tick(&mut self, view: &View, now: Now) {
        let offset_ms = now.wall_ms - now.boot_ms;
        if offset_ms < self.offset_ms - 500 {
            let by_ms = self.offset_ms - offset_ms;
            self.log(Note::ClockSteppedBack { by_ms });
            self.writes.rebase = true;
            self.claiming.look = true;
        }
        self.offset_ms = offset_ms;
        self.draining.ask_again();
        let busy = view.idle < self.slots || view.queued > 0;
        self.actions.push(Action::Tick { busy });
    }

    fn on_ended(&mut self, ended: Box<Ended>, now: Now) {
        let job = &ended.claimed.job;
        match &ended.shortage {
            Some(shortage) => {
                self.shortages.meet(shortage, job, now);
                self.claiming.uncount(1);
                self.summary.lacks = true;
            }
            None => self.summary.attempts += 1,
        }
        if ended.started {
            self.shortages.start(job);
        }
        // It may open a gate: then the next claim goes with its end.
        self.claiming.look |= self.claiming.passed.gated;
        self.claiming.learn(&ended);
        self.stuck.remove(&ended.claimed.fence);
        self.writes.end(Arc::from(ended), now);
        if self.summary.lacks && matches!(self.only, Some(Only::HandedOver(_))) {
            // The worker that handed it over knows how long to wait.
            self.stop_gracefully(now);
        }
    }

    /// The run that stays ours until it has ended.
    fn kept(&self) -> Option<RunId> {
        match self.only {
            Some(Only::Kept(run)) => Some(run),
            Some(Only::HandedOver(_)) | None => None,
        }
    }

    /// The store failed; whether it can recover is for the reader to find out.
    fn on_store_error(&mut self, error: &Error) {
        self.log(Note::StoreFailed(error.clone()));
        self.trouble = Some(error.to_string());
        self.actions.push(Action::Examine(error.clone()));
    }

    /// The reader repeats the read each second: the same trouble is no news.
    fn on_read_error(&mut self, error: &Error) {
        if self.trouble.as_deref() != Some(error.message.as_str()) {
            self.on_store_error(error);
        }
    }

    fn finish(&mut self, result: Result<()>) {
        if self.end.is_none() {
            self.end = Some(result);
        }
    }

    fn log(&mut self, note: Note) {
        self.actions.push(Action::Log(note));
    }
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.max(0) as u64)
}

/// Waiting runs by queue and job, which is what a drain leaves.
pub(super) type WaitingRuns = Vec<Waiting>;
