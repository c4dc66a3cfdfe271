//! A worker process: the worker's own machine and line of slots, fed and obeyed by a shell for the simulated host. Its ledger,
//! reader and slots are steps here, each of which may be late, fail or be the last.
//!
//! Rule: nothing is decided here. What it remembers dies with it; what stays is the store, its start marks and its processes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jobctl::error::{Error, Kind, Result};
use jobctl::run::{Fence, RunId, WorkerId};
use jobctl::store::{Claimed, EndedAttempt, Handover, Only, Store, Turns, WorkerRow};
use jobctl::worker::batch::{Batch, Write};
use jobctl::worker::machine::{Action, Event, Machine, Now, Remaining, Setup, Stop};
use jobctl::worker::{Line, Summary};

use super::children::Child;
use super::facts::Actor;
use super::foreground;
use super::host::{Answer, Died, Host, Life};
use super::slots::Attempt;

/// Attempts at a time.
pub(super) const SLOTS: usize = 2;

/// How long a stopping worker lets its attempts continue.
const STOP_AFTER: Duration = Duration::from_secs(30);

pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) store: Store,
    pub(super) machine: Machine,
    pub(super) line: Line<()>,
    /// What each slot works on.
    pub(super) attempts: [Option<Attempt>; SLOTS],
    /// Claims that a slot has handed over to a worker of their own.
    pub(super) children: [Option<Child>; SLOTS],
    /// Ended attempts whose process could not be ended.
    #[expect(
        clippy::vec_box,
        reason = "they come and go as events, which are boxed"
    )]
    pub(super) stuck: Vec<Box<EndedAttempt>>,
    /// What the main loop has not heard yet.
    pub(super) inbox: Vec<Event>,
    pub(super) turns: Turns,
    /// What the ledger has not written yet.
    pub(super) submitted: Option<Arc<Batch>>,
    /// When that was, by the true time.
    pub(super) submitted_ms: i64,
    /// The host lacks what any start needs, and a pause until then is the least.
    pub(super) short_until_ms: i64,
    /// When its main loop last compared the clocks, by the true time.
    ticked_ms: i64,
    /// The latest wall clock that it knows: its own readings since the last check, and before that those of all processes before its
    /// start.
    latest_ms: i64,
    must_read_remaining: bool,
    is_loading: bool,
    seen_version: i64,
    /// Claims that its main loop has, for a ghost to act upon.
    claims: BTreeMap<Fence, Claimed>,
    /// Stopped by a signal until then: alive, and not at work.
    pub(super) frozen_until_ms: i64,
    /// The run that it works, and no other.
    pub(super) only: Option<Only>,
    /// The number of the last check of other workers that its main loop requested.
    pub(super) check: u64,
}

/// The clocks as the main loop reads them.
pub(super) fn now(host: &Host) -> Now {
    let reading = host.reading();
    Now {
        steady: Duration::from_millis(host.true_ms as u64),
        wall_ms: reading.wall_ms,
        boot_ms: reading.boot_ms,
    }
}

impl Worker {
    /// A worker that serves every queue, or `run JOB`.
    pub(super) fn start(host: &mut Host) -> Life<Option<Self>> {
        host.changes();
        let Some((id, mut store)) = Self::register(host, None)? else {
            return Ok(None);
        };
        let Ok(kept) = foreground::enqueue(host, &mut store, id) else {
            host.locks.remove(&id);
            host.close(store);
            return Err(Died);
        };
        let setup = Setup {
            worker: id,
            slots: SLOTS,
            queues: Vec::new(),
            catalogue: host.catalogue(),
            max_runs: host.dice.percent(5).then(|| host.dice.between(1, 5) as u64),
            drain: host.drain(),
            only: kept.map(Only::Foreground),
            stop_after: STOP_AFTER,
        };
        Ok(Some(Self::new(setup, store, host)))
    }

    /// A worker of one slot for one attempt of a run that another one has claimed.
    pub(super) fn start_alone(host: &mut Host, from: Handover) -> Life<Option<Self>> {
        let Some((id, store)) = Self::register(host, Some(from.parent))? else {
            return Ok(None);
        };
        let setup = Setup {
            worker: id,
            slots: 1,
            queues: Vec::new(),
            catalogue: host.catalogue(),
            max_runs: Some(1),
            drain: None,
            only: Some(Only::HandedOver(from)),
            stop_after: STOP_AFTER,
        };
        Ok(Some(Self::new(setup, store, host)))
    }

    fn new(setup: Setup, store: Store, host: &Host) -> Self {
        Self {
            id: setup.worker,
            store,
            line: Line::new(setup.slots),
            attempts: [None, None],
            children: [None, None],
            stuck: Vec::new(),
            inbox: Vec::new(),
            turns: Turns::default(),
            submitted: None,
            submitted_ms: 0,
            ticked_ms: 0,
            latest_ms: host.witness.latest_ms,
            short_until_ms: 0,
            must_read_remaining: false,
            is_loading: false,
            seen_version: 0,
            claims: BTreeMap::new(),
            frozen_until_ms: 0,
            only: setup.only,
            check: 0,
            machine: Machine::new(setup, now(host)),
        }
    }

    /// Registers a worker: first an id, then its lock, then its row.
    fn register(host: &mut Host, parent: Option<WorkerId>) -> Life<Option<(WorkerId, Store)>> {
        let mut store = host.open();
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method itself is not general over the lifetime of the transaction"
        )]
        let answer = host.write(Actor::Worker, &mut store, |tx| tx.next_worker_id());
        let Answer::Stored(id) = answer else {
            host.close(store);
            return Ok(None);
        };
        host.strike("registering, before the lock")?;
        host.locks.insert(id);
        let row = WorkerRow {
            worker: id,
            pid: id.0,
            pid_start: id.0,
            boot_id: host.boot_id(),
            pid_ns: None,
            host: "host".to_owned(),
            uid: 0,
            queues: String::new(),
            slots: SLOTS as i64,
            started_ms: host.wall_ms(),
            stop_ms: None,
            parent,
        };
        let answer = host.write(Actor::Worker, &mut store, |tx| tx.add_worker(&row));
        if !matches!(answer, Answer::Stored(())) || host.strike("registered").is_err() {
            host.locks.remove(&id);
            host.close(store);
            return Ok(None);
        }
        host.note(|| format!("worker {id} starts"));
        Ok(Some((id, store)))
    }

    /// Lets each of its threads do a step; returns whether the worker continues.
    pub(super) fn step(&mut self, host: &mut Host) -> Life<bool> {
        self.end_attempts(host)?;
        self.hear_of_children(host);
        self.read(host);
        self.turn(host);
        host.strike("between two turns")?;
        if !host.is_late() {
            self.write(host)?;
            self.turn(host);
        }
        if !host.is_late() {
            self.start_attempts(host)?;
        }
        self.judge_waits(host);
        self.go_on_or_end(host)
    }

    /// Where nothing is to be stored any more, no wait after an attempt began by a clock that was set back, if this worker can
    /// know that it was.
    fn judge_waits(&mut self, host: &Host) {
        if self.machine.has_intents() || host.set_back_ms.is_none_or(|it| self.ticked_ms <= it) {
            return;
        }
        let now_ms = host.wall_ms();
        let sql = format!(
            "SELECT coalesce(min(id), 0) FROM run WHERE state = 'waiting' AND attempts > 0 AND wait_set_ms > {now_ms} AND wait_set_ms <= {}",
            self.latest_ms
        );
        let run = host.witness.number(&sql);
        assert_eq!(
            run,
            0,
            "its wait began later than {now_ms}: {:?}",
            host.witness.portrait(RunId(run))
        );
        // Times stored from now on by a clock that is ahead are known only to processes that read that clock.
        self.latest_ms = now_ms;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.machine.holds().next().is_none()
    }

    /// What its slots work on, and what waits for them.
    pub(super) fn attempts_of(&self) -> impl Iterator<Item = (RunId, Fence)> {
        self.machine.holds().filter(|(_, fence)| {
            self.line
                .slot_of(*fence)
                .is_some_and(|slot| self.children[slot].is_none())
                || self.stuck.iter().any(|it| it.claimed.fence == *fence)
        })
    }

    /// A signal, or news of another process.
    pub(super) fn on_event(&mut self, event: Event) {
        self.inbox.push(event);
    }

    /// The result, if it has ended by itself.
    pub(super) fn sign_off(self, host: &mut Host) -> Summary {
        host.locks.remove(&self.id);
        host.close(self.store);
        self.machine.into_summary()
    }

    /// Whether it serves queues; then it puts the rules of its catalogue in force.
    pub(super) fn serves(&self) -> bool {
        self.only.is_none() && self.machine.stop() == Stop::No
    }

    /// Its memory, for a ghost to act upon when it is dead.
    pub(super) fn die(self, host: &mut Host) -> Vec<Claimed> {
        host.locks.remove(&self.id);
        host.close(self.store);
        self.claims.into_values().collect()
    }

    /// The main loop.
    fn turn(&mut self, host: &mut Host) {
        let now = now(host);
        for event in std::mem::take(&mut self.inbox) {
            self.machine.on_event(event, now);
        }
        loop {
            let actions = self.machine.take_actions();
            for action in actions {
                self.perform(action, now, host);
            }
            let view = self.line.view(now);
            self.machine.turn(&view, now);
            if !self.machine.has_actions() {
                break;
            }
        }
        let stops = self.machine.stop() != Stop::No && self.submitted.is_none();
        if let (Some(Only::Foreground(run)), true) = (self.only, stops) {
            // What it keeps is for others then. A claim that is under way was asked for before the stop.
            host.witness.fact(run).keeper = None;
        }
        let held: Vec<Fence> = self.machine.holds().map(|(_, fence)| fence).collect();
        self.claims.retain(|fence, _| held.contains(fence));
    }

    fn perform(&mut self, action: Action, now: Now, host: &mut Host) {
        match action {
            Action::Submit(batch) => {
                let claims = batch.writes.iter().any(|it| matches!(it, Write::Claim(_)));
                let short = claims && host.true_ms < self.short_until_ms;
                assert!(!short, "worker {} claims what it cannot start", self.id);
                assert!(self.submitted.is_none(), "two batches are under way");
                self.submitted = Some(batch);
                self.submitted_ms = host.true_ms;
            }
            Action::Offer(runs) => self.offer(runs, false, now),
            Action::OfferAlone(runs) => self.offer(runs, true, now),
            Action::Noted(fences) => self.line.note(&fences),
            Action::TakeBack(which) => {
                let taken = self.line.take_back(which, now);
                self.machine.on_event(Event::TakenBack(taken), now);
            }
            Action::Cancel(fence) => {
                if let Some(slot) = self.line.slot_of(fence) {
                    self.cancel(slot, host);
                } else if let Some(taken) = self.line.take_back_one(fence) {
                    self.machine.on_event(Event::TakenBack(vec![taken]), now);
                }
            }
            Action::SendAll(command) => self.release_all(command, host),
            Action::CheckOthers(check) => self.check = check,
            Action::Load => self.is_loading = true,
            Action::ReadRemaining => self.must_read_remaining = true,
            Action::Tick { .. } => {
                self.ticked_ms = host.true_ms;
                self.latest_ms = self.latest_ms.max(host.wall_ms());
                for ended in self.end_stuck(host) {
                    self.machine.on_event(Event::Ended(ended), now);
                }
            }
            Action::Log(event) => {
                let id = self.id;
                host.note(|| format!("worker {id}: {event:?}"));
            }
            Action::LogEnd(ended, _) => {
                let (id, run) = (self.id, ended.claimed.run);
                host.note(|| format!("worker {id}: the end of run {run} is stored"));
            }
            // Files, clocks and the service manager.
            Action::Forget(_)
            | Action::Use(_)
            | Action::Examine(_)
            | Action::NotifyReloading
            | Action::NotifyReady
            | Action::NotifyStop => {}
        }
    }

    fn offer(&mut self, runs: Vec<Claimed>, alone: bool, now: Now) {
        for claimed in runs {
            self.claims.insert(claimed.fence, claimed.clone());
            self.line.add(claimed, (), alone, now);
        }
    }

    /// The reader: commits of others, requests of operators, what was asked; and the thread that loads the catalogue.
    fn read(&mut self, host: &mut Host) {
        if std::mem::take(&mut self.is_loading) {
            let loaded = if host.fails() {
                Err(Error::new(Kind::Config, "injected"))
            } else {
                Ok(host.catalogue())
            };
            self.inbox.push(Event::Loaded(loaded));
        }
        if host.is_late() {
            return;
        }
        if host.fails() || host.refuses() {
            let error = Error::new(host.refusal(), "injected");
            if std::mem::take(&mut self.must_read_remaining) {
                self.inbox.push(Event::Remaining(Err(error.clone())));
            }
            self.inbox.push(Event::ReadFailed(error));
            return;
        }
        let version = self.store.data_version().expect("a look");
        if version != self.seen_version {
            self.seen_version = version;
            self.inbox.push(Event::Commits);
        }
        let cancels = self.store.cancels_for(self.id).expect("cancels");
        let row = self.store.worker(self.id).expect("a look");
        let row = row.expect("a living worker keeps its row");
        let stop = row.stop_ms.is_some();
        if stop || !cancels.is_empty() {
            self.inbox.push(Event::Requests { cancels, stop });
        }
        if std::mem::take(&mut self.must_read_remaining) {
            let left = self.left(host.wall_ms());
            self.inbox.push(Event::Remaining(left));
        }
    }

    fn left(&self, now_ms: i64) -> Result<Remaining> {
        Ok(Remaining {
            waiting: self.store.waiting()?,
            paused: self.store.paused_jobs(now_ms)?,
            behind: self.store.behind_running()?,
        })
    }

    fn go_on_or_end(&mut self, host: &mut Host) -> Life<bool> {
        let Some(end) = self.machine.ended() else {
            return Ok(true);
        };
        if let Err(error) = end {
            // It ends what runs, as one that is killed does not.
            host.note(|| format!("a worker gives up: {error}"));
            return Err(Died);
        }
        let worker = self.id;
        host.note(|| format!("worker {worker} ends"));
        host.write(Actor::Worker, &mut self.store, |tx| {
            tx.remove_worker(worker)
        });
        Ok(false)
    }
}
