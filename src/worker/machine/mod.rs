//! The state machine of a worker's main loop: events and clocks in, actions out.
//!
//! Rule: no I/O, clock, thread or lock in this directory. An intent (an end to store, a claim to give back, rules to save, ..) is a
//! field that is cleared only when its write succeeds; while the write is under way the intent is in `Writes::under_way`.

mod alone;
mod claims;
mod drain;
mod durations;
mod interface;
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
use crate::observe::event::LogEvent;
use crate::records::{EndedAttempt, Only, ServedQueue, Waiting};
use crate::run::{Fence, RunId, WorkerId};

pub use interface::{
    Action, AloneEnd, Drain, Event, Now, Remaining, Setup, Summary, TakeBack, View, Written,
};
pub use stages::Stop;
pub use status::{NOTHING_RUNS, longest_grace, stop_end};

use claims::Claiming;
use drain::Draining;
use reload::Reloading;
use shortages::Shortages;
use writes::Writes;

/// How often the worker acts without an event.
const TICK: Duration = Duration::from_secs(1);

/// The start of an attempt is stored once the attempt is older than this. Shorter attempts save that write.
pub(super) const NOTE_AFTER: Duration = Duration::from_millis(100);

/// A run claimed ahead that found no slot within this time goes back to the queue.
pub(super) const SLOT_WAIT_MAX: Duration = Duration::from_millis(20);

/// While every slot has work, the end of an attempt waits this long so that several ends share a transaction.
const LINGER: Duration = Duration::from_millis(5);

/// A claim of ours whose end is not stored.
#[derive(Debug)]
struct HeldClaim {
    run: RunId,
    /// A request to cancel it was passed on and logged.
    cancelled: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Machine {
    worker: WorkerId,
    slots: usize,
    only: Option<Only>,
    /// The other worker that has the run of `jobctl run`, if one has it.
    elsewhere: Option<WorkerId>,
    catalogue: Arc<Catalogue>,
    /// Every claim that we got, until the store has its end or its return. A claim that the store calls ours and that is not
    /// in here was never started by us.
    held: HashMap<Fence, HeldClaim>,
    /// Claims, with their jobs, whose own worker was killed. Returning the claim shows whether that worker had taken it over.
    killed_alone: HashMap<Fence, String>,
    /// Attempts whose processes could not be ended; their runs stay claimed while the processes live.
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
    /// The last error of the store; cleared by the next batch that is stored completely.
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

    /// Handles an event; [`Machine::take_actions`] returns the resulting actions.
    pub fn on_event(&mut self, event: Event, now: Now) {
        match event {
            Event::Ended(ended) => self.on_ended(ended, now),
            Event::Answered(answers) => self.on_answers(answers, now),
            Event::TakenBack(runs) => self.give_back(runs),
            Event::Stuck { run, fence, pids } => {
                self.stuck.insert(fence);
                self.log(LogEvent::RunBlockedByProcesses { run, pids });
            }
            Event::AloneEnded {
                run,
                fence,
                job,
                end,
            } => self.on_alone_ended((run, fence), job, end, now),
            Event::OthersChecked {
                freed,
                all_recovered,
                check,
            } => {
                if all_recovered {
                    self.draining.on_others_checked(check);
                }
                self.claiming.should_claim |= freed;
            }
            Event::Commits => {
                self.claiming.should_claim = true;
                self.draining.ask_again();
            }
            Event::Requests { cancels, stop } => self.on_requests(cancels, stop, now),
            Event::Unregistered => self.on_unregistered(),
            Event::LockTampered => self.on_lock_tampered(now),
            Event::ReadFailed(error) => self.on_read_error(&error),
            Event::Remaining(answer) => self.on_remaining(answer),
            Event::Reload => self.on_reload(),
            Event::Loaded(answer) => self.on_loaded(answer),
            Event::Terminate => self.on_terminate(now),
            Event::Lost(error) => self.finish(Err(error)),
        }
    }

    /// Does what is due by now and submits pending writes. `view` is the state of the slots after all earlier actions. The caller
    /// repeats the call until it produces no more actions.
    pub fn turn(&mut self, view: &View, now: Now) {
        self.claiming.pass_time(now);
        self.claiming.should_claim |= self.shortages.pass_time(now);
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

    /// How long the loop may sleep unless an event arrives.
    pub fn sleep(&self, view: &View, now: Now) -> Duration {
        let mut until = self.next_tick;
        let mut at = |moment: Duration| until = until.min(moment);
        self.writes
            .wakes_at(self.has_backlog(view), view, now, &mut at);
        if view.queued > 0 {
            at(now.steady + SLOT_WAIT_MAX);
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

    /// Whether every slot has more work queued. Then the store of an end may wait for further ends.
    pub fn has_backlog(&self, view: &View) -> bool {
        view.idle == 0 && view.queued >= self.slots
    }

    /// The actions to perform now, in this order.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// Whether [`Machine::take_actions`] would return any.
    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// The result of the loop, once it is over.
    pub fn ended(&self) -> Option<&Result<()>> {
        self.end.as_ref()
    }

    /// The totals of this worker, for its caller.
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

    /// Whether a write is pending or under way, for tests.
    #[doc(hidden)]
    pub fn has_intents(&self) -> bool {
        let writes = &self.writes;
        let left = writes.rebase
            || writes.rules
            || self.reloading.unsaved
            || self.shortages.lacking() != self.shortages.stored.as_ref();
        left || !writes.is_idle() || writes.given_up() > 0
    }

    /// The catalogue in use.
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    fn tick(&mut self, view: &View, now: Now) {
        let offset_ms = now.wall_ms - now.boot_ms;
        if offset_ms < self.offset_ms - 500 {
            let by_ms = self.offset_ms - offset_ms;
            self.log(LogEvent::ClockSteppedBack { by_ms });
            self.writes.rebase = true;
            self.claiming.should_claim = true;
        }
        self.offset_ms = offset_ms;
        self.draining.ask_again();
        let busy = view.idle < self.slots || view.queued > 0;
        self.actions.push(Action::Tick { busy });
    }

    fn on_ended(&mut self, ended: Box<EndedAttempt>, now: Now) {
        let job = &ended.claimed.job;
        match &ended.shortage {
            Some(shortage) => {
                self.shortages.on_shortage(shortage, job, now);
                self.claiming.uncount(1);
                self.summary.lacks = true;
            }
            None => self.summary.attempts += 1,
        }
        if ended.started {
            self.shortages.on_started(job);
        }
        // The end may open a gate, so the next claim shares its transaction.
        self.claiming.should_claim |= self.claiming.passed_over.gated;
        self.claiming.learn(&ended);
        self.stuck.remove(&ended.claimed.fence);
        self.writes.end(Arc::from(ended), now);
        if self.summary.lacks && matches!(self.only, Some(Only::HandedOver(_))) {
            // The worker that handed the run over decides how long to wait.
            self.stop_gracefully(now);
        }
    }

    /// The run of `jobctl run`, which stays reserved for this worker until it has ended.
    fn foreground_run(&self) -> Option<RunId> {
        match self.only {
            Some(Only::Foreground(run)) => Some(run),
            Some(Only::HandedOver(_)) | None => None,
        }
    }

    /// The store failed; the reader checks whether it can recover.
    fn on_store_error(&mut self, error: &Error) {
        let message = error.message.clone().into();
        self.log(LogEvent::StoreFailed { error: message });
        self.trouble = Some(error.to_string());
        self.actions.push(Action::Examine(error.clone()));
    }

    /// The reader repeats a failed read each second, so a repeated error is not logged again.
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

    fn log(&mut self, event: LogEvent<'static>) {
        self.actions.push(Action::Log(event));
    }
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.max(0) as u64)
}

/// Waiting runs by queue and job.
pub(super) type WaitingRuns = Vec<Waiting>;
