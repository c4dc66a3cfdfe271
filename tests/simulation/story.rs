//! One seed, one week: three workers, two schedulers, applications and operators on one host, and what goes wrong there. Then
//! the faults stop, everything must come to an end, and all invariants must hold.

use jobctl::run::WorkerId;
use jobctl::store::{Handover, Store};
use jobctl::worker::machine::Event;

use super::application::Application;
use super::catalogues::editions;
use super::host::{DAY, HOUR, Host, MINUTE, SECOND};
use super::operators;
use super::reaper::{Ghost, prune, reap};
use super::schedulers::Schedulers;
use super::worker::Worker;
use crate::scheduler::lab::instant;

pub(super) const WORKERS: usize = 3;

/// What a story is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weather {
    /// How long it lasts.
    lasts_ms: i64,
    /// How often the store begins to refuse everything, beside what happens anyway: in so many of a thousand steps, and in so
    /// many of a hundred starts, reloads and stops.
    outages: i64,
    outages_at_changes: i64,
}

/// A week in which everything happens now and then.
pub(super) const WEEK: Weather = Weather {
    lasts_ms: 7 * DAY,
    outages: 0,
    outages_at_changes: 2,
};

/// Most of a day over a store that fails again and again.
pub(super) const FAILING_STORE: Weather = Weather {
    lasts_ms: 18 * HOUR,
    outages: 12,
    outages_at_changes: 25,
};

/// Weeks with a change of the clock in some zone of the catalogue, and one at the end of a month.
const STARTS: &[&str] = &[
    "2027-03-10T22:00:00Z",
    "2027-03-24T20:00:00Z",
    "2027-04-01T09:00:00Z",
    "2027-09-28T12:00:00Z",
    "2027-10-28T00:00:00Z",
    "2027-11-03T03:00:00Z",
];

pub(super) struct Story {
    pub(super) host: Host,
    weather: Weather,
    /// What applications and operators use.
    pub(super) store: Store,
    pub(super) workers: [Option<Worker>; WORKERS],
    /// Workers that these have started for one run each.
    children: Vec<(Handover, Worker)>,
    pub(super) ghosts: Vec<Ghost>,
    pub(super) schedulers: Schedulers,
    pub(super) application: Application,
    /// What is due next may be near: small steps for a while.
    burst: i64,
    checked: u64,
}

impl Story {
    pub(super) fn new(seed: u64, weather: Weather, traced: bool) -> Self {
        let start_ms = instant(STARTS[seed as usize % STARTS.len()]);
        let (mut host, store) = Host::new(seed, start_ms, traced);
        host.outages.at_changes = weather.outages_at_changes;
        Self {
            host,
            weather,
            store,
            workers: [None, None, None],
            children: Vec::new(),
            ghosts: Vec::new(),
            schedulers: Schedulers::new(),
            application: Application::default(),
            burst: 0,
            checked: 0,
        }
    }

    /// All of it.
    pub(super) fn play(&mut self) {
        while self.host.true_ms < self.weather.lasts_ms {
            self.pass();
            self.disturb();
            self.act();
            self.checked += 1;
            if self.checked.is_multiple_of(100) {
                self.check();
            }
        }
        self.end();
    }

    /// Time passes: in bursts of small steps, or up to the better part of an hour.
    fn pass(&mut self) {
        if self.burst == 0 && self.host.dice.percent(12) {
            self.burst = self.host.dice.between(4, 16);
        }
        let ms = if self.burst > 0 || self.host.refuses() {
            self.burst = (self.burst - 1).max(0);
            self.host.dice.between(1, 4 * SECOND)
        } else {
            self.host.dice.between(SECOND, 45 * MINUTE)
        };
        self.host.pass(ms);
    }

    /// What happens to the host and to its clock.
    fn disturb(&mut self) {
        let host = &mut self.host;
        if self.weather.outages > 0 && host.dice.per_mille(self.weather.outages) {
            self.outage();
        }
        let host = &mut self.host;
        match host.dice.between(1, 3000) {
            1..=12 => {
                let by_ms = host.dice.between(-50 * MINUTE, 50 * MINUTE);
                self.set_clock(by_ms);
            }
            13..=16 => {
                let by_ms = host.dice.between(-DAY, DAY);
                self.set_clock(by_ms);
            }
            17..=18 => {
                for worker in self.workers.iter_mut().filter_map(Option::take) {
                    worker.die(host);
                }
                for (_, child) in self.children.drain(..) {
                    child.die(host);
                }
                self.schedulers.end();
                host.reboot();
            }
            19..=22 => Schedulers::accept_clock(host, &mut self.store),
            29..=31 => self.outage(),
            34 => Application::flood(host, &mut self.store),
            35..=36 => {
                host.note(|| "all workers are stopped".to_owned());
                let until_ms = host.true_ms + host.dice.between(HOUR, 8 * HOUR);
                for worker in self.workers.iter_mut().flatten() {
                    worker.frozen_until_ms = until_ms;
                }
            }
            32..=33 => {
                host.refuses_ends_until_ms = host.true_ms + host.dice.between(MINUTE, 2 * HOUR);
                self.burst = 24;
                host.note(|| "the store refuses ends".to_owned());
            }
            23..=28 => {
                host.edition = host.dice.between(0, editions().len() as i64 - 1) as usize;
                host.note(|| "the catalogue is edited".to_owned());
            }
            _ => {}
        }
    }

    /// Somebody sets the clock; now and then nothing of what follows from it can be stored at first.
    fn set_clock(&mut self, by_ms: i64) {
        self.host.set_clock(by_ms);
        if self.host.dice.percent(30) {
            self.host.refuse();
        }
    }

    /// The store begins to refuse everything, now and then just when a period is due.
    fn outage(&mut self) {
        let host = &mut self.host;
        if host.dice.percent(50) {
            let job = *host
                .dice
                .pick(&["hourly", "hourly", "elapsed", "nightly"])
                .expect("one");
            let sql = format!(
                "SELECT coalesce(min(next_ms), 0) FROM schedule WHERE version IS NOT NULL AND job = '{job}'"
            );
            let wait_ms = host.witness.number(&sql) - host.wall_ms();
            if (0..4 * HOUR).contains(&wait_ms) {
                host.pass(wait_ms);
            }
        }
        host.refuse();
    }

    /// Somebody does something.
    fn act(&mut self) {
        match self.host.dice.between(1, 100) {
            1..=62 => {
                let last = WORKERS + self.children.len() - 1;
                match self.host.dice.between(0, last as i64) as usize {
                    index if index < WORKERS => self.work(index),
                    index => self.work_alone(index - WORKERS),
                }
            }
            63..=84 => self.schedulers.step(&mut self.host),
            85..=93 => self.application.step(&mut self.host, &mut self.store),
            94..=96 => operators::act(&mut self.host, &mut self.store),
            97 => self.ask_to_stop(),
            _ => self.haunt(),
        }
    }

    /// A turn of a worker, if it is there and not stopped.
    pub(super) fn work(&mut self, index: usize) {
        let host = &mut self.host;
        let Some(mut worker) = self.workers[index].take() else {
            self.workers[index] = Worker::start(host).unwrap_or_default();
            return;
        };
        if host.true_ms < worker.frozen_until_ms {
            self.workers[index] = Some(worker);
            return;
        }
        if host.fails() {
            // Stopped by a signal: it keeps its lock, and so its runs.
            worker.frozen_until_ms = host.true_ms + host.dice.between(SECOND, 6 * HOUR);
            host.note(|| format!("worker {} is stopped for a while", worker.id));
        }
        match host.dice.between(1, 200) {
            1..=4 => {
                host.changes();
                worker.on_event(Event::Reload);
            }
            5 if host.faults > 0 => {
                host.changes();
                for _ in 0..host.dice.between(1, 3) {
                    worker.on_event(Event::Terminate);
                }
            }
            _ => {}
        }
        let lived = self.turn(&mut worker);
        match lived {
            Ok(true) => self.workers[index] = Some(worker),
            Ok(false) => drop(worker.sign_off(&mut self.host)),
            Err(_) => self.bury(worker),
        }
        self.bear();
    }

    fn bury(&mut self, worker: Worker) {
        let id = worker.id;
        self.host.note(|| format!("worker {id} is dead"));
        let claims = worker.die(&mut self.host).into_iter();
        let ghosts = claims.map(|claimed| Ghost {
            worker: id,
            claimed,
        });
        self.ghosts.extend(ghosts);
    }

    /// Workers for one run that were started are there.
    fn bear(&mut self) {
        for from in std::mem::take(&mut self.host.births) {
            match Worker::start_alone(&mut self.host, from) {
                Ok(Some(child)) => self.children.push((from, child)),
                Ok(None) => self.ends(from, Some(1)),
                Err(_) => self.ends(from, None),
            }
        }
    }

    /// A worker for one run has ended, with this exit code or by a signal.
    fn ends(&mut self, from: Handover, code: Option<i32>) {
        if let Some(process) = self.host.children.get_mut(&(from.run, from.fence)) {
            process.ended = Some(Ok(code));
        }
    }

    /// A turn of a worker for one run.
    fn work_alone(&mut self, index: usize) {
        let (from, mut child) = self.children.swap_remove(index);
        if let Some(process) = self.host.children.get_mut(&(from.run, from.fence)) {
            while process.heard < process.sent {
                process.heard += 1;
                child.on_event(Event::Terminate);
            }
        }
        match child.step(&mut self.host) {
            Ok(true) => self.children.push((from, child)),
            Ok(false) => {
                let summary = child.sign_off(&mut self.host);
                let lacks = summary.lacks && summary.attempts == 0;
                self.ends(from, Some(if lacks { 75 } else { 0 }));
            }
            Err(_) => {
                self.bury(child);
                self.ends(from, None);
                self.take_parent_along(from);
            }
        }
    }

    /// Sometimes what kills a worker for one run kills the one that started it too.
    fn take_parent_along(&mut self, from: Handover) {
        let is_parent = |it: &mut Worker| it.id == from.parent;
        if self.host.dice.percent(70) || self.host.faults == 0 {
            return;
        }
        for index in 0..WORKERS {
            if let Some(parent) = self.workers[index].take_if(is_parent) {
                self.bury(parent);
            }
        }
    }

    fn turn(&mut self, worker: &mut Worker) -> super::host::Life<bool> {
        let host = &mut self.host;
        if host.dice.percent(35) {
            reap(worker, host)?;
        }
        if worker.is_idle() && host.faults > 0 && host.dice.per_mille(8) {
            let before_ms = host.wall_ms() - 2 * DAY;
            self.application.forget(before_ms, host.wall_ms());
            prune(&mut worker.store, host, before_ms)?;
        }
        worker.step(host)
    }

    fn ask_to_stop(&mut self) {
        let living = self.workers.iter().flatten();
        let living = living.chain(self.children.iter().map(|(_, child)| child));
        let living: Vec<WorkerId> = living.map(|worker| worker.id).collect();
        if let Some(&id) = self.host.dice.pick(&living) {
            let now_ms = self.host.wall_ms();
            let actor = super::facts::Actor::Operator;
            self.host.write(actor, &mut self.store, |tx| {
                tx.ask_worker_to_stop(id, now_ms)
            });
        }
    }

    pub(super) fn haunt(&mut self) {
        let late = |ghost: &mut Ghost| !ghost.haunt(&mut self.host, &mut self.store);
        self.ghosts.retain_mut(late);
    }

    /// What must hold at every moment: also that a living worker has what it believes to have.
    pub(super) fn check(&self) {
        self.host.witness.check();
        let children = self.children.iter().map(|(_, child)| child);
        for worker in self.workers.iter().flatten().chain(children) {
            let held = self.store.held_by(worker.id).expect("what it holds");
            let given: Vec<_> = worker.attempts_of().collect();
            for (run, fence) in given {
                let held = held.iter().any(|it| (it.0, it.1) == (run, fence));
                assert!(held, "worker {} lives and has lost run {run}", worker.id);
            }
        }
    }

    /// Workers for one run that are there do something; whether there are any.
    pub(super) fn children_go_on(&mut self) -> bool {
        for index in (0..self.children.len()).rev() {
            self.work_alone(index);
        }
        !self.children.is_empty()
    }
}
