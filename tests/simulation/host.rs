//! The simulated machine: its clocks, processes and locks, and its faults.
//!
//! Rule: every transaction of every actor goes through [`Host::write`], where it may fail before, inside or after its COMMIT.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jobctl::catalogue::Catalogue;
use jobctl::error::{Error, Kind, Result};
use jobctl::policy::Reading;
use jobctl::run::{Fence, RunId, WorkerId};
use jobctl::store::{self, Handover, Store, Turns, Tx};
use jobctl::worker::Drain;
use jobctl::worker::batch::{Batch, Write};

use super::calendar::Calendar;
use super::catalogues::editions;
use super::children::Process;
use super::facts::Actor;
use super::outages::Outages;
use super::processes::Processes;
use super::witness::Witness;
use crate::dice::Dice;

pub(super) const SECOND: i64 = 1000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// The end of a simulated process, wherever it was.
#[derive(Debug)]
pub(super) struct Died;

/// The result of a step, unless the process dies in it.
pub(super) type Life<T> = Result<T, Died>;

/// The answer that a process gets about its transaction.
#[derive(Debug)]
pub(super) enum Answer<T> {
    Stored(T),
    /// It failed, and nothing is stored.
    NotStored,
    /// It failed at COMMIT. This is what was stored: for the story to know, not for the process.
    Unknown(T),
}

/// What happens to a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Another process holds the store.
    Busy,
    RolledBack(Kind),
    /// It is stored, but the process gets an error.
    Unknown,
}

/// Lines of a story that are shown when it fails.
const LINES: usize = 60;

pub(super) struct Host {
    pub(super) dice: Dice,
    pub(super) witness: Witness,
    pub(super) processes: Processes,
    /// True time, which cannot be set, milliseconds.
    pub(super) true_ms: i64,
    booted_ms: i64,
    /// The wall clock is so far ahead of it.
    offset_ms: i64,
    boots: u32,
    /// Locks of living workers, stopped ones too.
    pub(super) locks: BTreeSet<WorkerId>,
    /// Start marks by worker: files, which stay when it dies.
    pub(super) marks: BTreeMap<WorkerId, Vec<(RunId, Fence, i64)>>,
    /// Workers that workers started for one run each, by the claims that were handed over.
    pub(super) children: BTreeMap<(RunId, Fence), Process>,
    /// Those of them that are not there yet.
    pub(super) births: Vec<Handover>,
    /// The edition of the catalogue that is on disk.
    pub(super) edition: usize,
    /// How often things go wrong, in a thousand; 0 when the faults are over.
    pub(super) faults: i64,
    pub(super) calendar: Calendar,
    /// When the clock was last set back, by the true time.
    pub(super) set_back_ms: Option<i64>,
    /// When the store refuses everything.
    pub(super) outages: Outages,
    /// The store refuses to store the end of an attempt until then, and nothing else.
    pub(super) refuses_ends_until_ms: i64,
    /// How often each point of a crash was hit.
    pub(super) crashes: BTreeMap<&'static str, u64>,
    name: String,
    /// Connections of processes that are gone, for those that come: opening one takes longer than a hundred transactions.
    spare: Vec<Store>,
    trace: Option<VecDeque<String>>,
}

impl Host {
    pub(super) fn new(seed: u64, start_ms: i64, traced: bool) -> (Self, Store) {
        // Two tests may play the same seed at the same time.
        static STORES: AtomicU64 = AtomicU64::new(0);
        let mut dice = Dice(seed);
        let name = format!("simulation-{}", STORES.fetch_add(1, Ordering::Relaxed));
        let mut store = Store::in_memory(&name, start_ms).expect("a store");
        // Limits are the same in every edition.
        let catalogue = &editions()[0];
        let kept = store.write(|tx| tx.apply_catalogue(catalogue, start_ms));
        kept.expect("the rules");
        let faults = *dice.pick(&[2, 8, 25]).expect("one");
        let host = Self {
            witness: Witness::new(&name),
            processes: Processes::default(),
            true_ms: 0,
            booted_ms: -HOUR,
            offset_ms: start_ms,
            boots: 1,
            locks: BTreeSet::new(),
            marks: BTreeMap::new(),
            children: BTreeMap::new(),
            births: Vec::new(),
            edition: dice.between(0, editions().len() as i64 - 1) as usize,
            faults,
            calendar: Calendar::new(),
            set_back_ms: None,
            outages: Outages::default(),
            refuses_ends_until_ms: 0,
            crashes: BTreeMap::new(),
            dice,
            name,
            spare: Vec::new(),
            trace: traced.then(VecDeque::new),
        };
        (host, store)
    }

    /// Opens the store, as a new process does.
    pub(super) fn open(&mut self) -> Store {
        let spare = self.spare.pop();
        spare.unwrap_or_else(|| Store::in_memory(&self.name, self.wall_ms()).expect("the store"))
    }

    /// Takes back the store of a process that is gone.
    pub(super) fn close(&mut self, store: Store) {
        self.spare.push(store);
    }

    pub(super) fn wall_ms(&self) -> i64 {
        self.true_ms + self.offset_ms
    }

    pub(super) fn reading(&self) -> Reading {
        Reading {
            wall_ms: self.wall_ms(),
            boot_ms: self.true_ms - self.booted_ms,
        }
    }

    pub(super) fn boot_id(&self) -> String {
        format!("boot-{}", self.boots)
    }

    /// The catalogue on disk.
    pub(super) fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&editions()[self.edition])
    }

    /// Time passes.
    pub(super) fn pass(&mut self, ms: i64) {
        self.true_ms += ms;
        self.processes.pass(self.true_ms);
        self.look_at_clock();
        self.refuse_again();
    }

    fn look_at_clock(&mut self) {
        self.witness.now_ms = self.wall_ms();
        self.witness.latest_ms = self.witness.latest_ms.max(self.wall_ms());
    }

    /// Somebody sets the wall clock.
    pub(super) fn set_clock(&mut self, by_ms: i64) {
        let before_ms = self.wall_ms();
        self.offset_ms += by_ms;
        self.calendar.set_clock(before_ms, self.wall_ms());
        if by_ms < 0 {
            self.set_back_ms = Some(self.true_ms);
        }
        self.look_at_clock();
        self.note(|| format!("the wall clock is set by {} s", by_ms / SECOND));
    }

    /// The machine goes down and comes up: another boot, and nothing runs.
    pub(super) fn reboot(&mut self) {
        self.note(|| "the host reboots".to_owned());
        self.processes.end_all();
        self.locks.clear();
        self.births.clear();
        self.children.clear();
        self.true_ms += self.dice.between(MINUTE, 20 * MINUTE);
        self.booted_ms = self.true_ms;
        self.boots += 1;
        self.calendar.boot();
        self.look_at_clock();
    }

    /// Adds a line to the trace, if it is recorded.
    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        let (wall_ms, true_ms) = (self.wall_ms(), self.true_ms);
        if let Some(trace) = &mut self.trace {
            if trace.len() == LINES {
                trace.pop_front();
            }
            let wall = jobctl::units::format_utc(wall_ms);
            trace.push_back(format!(
                "+{:>9.3} s {wall} {}",
                true_ms as f64 / 1e3,
                line()
            ));
        }
    }

    pub(super) fn last_lines(&self) -> String {
        let lines = self.trace.iter().flatten().cloned();
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Whether something goes wrong here.
    pub(super) fn fails(&mut self) -> bool {
        self.faults > 0 && self.dice.per_mille(self.faults)
    }

    /// A point at which a process may die.
    pub(super) fn strike(&mut self, point: &'static str) -> Life<()> {
        if !self.fails() {
            return Ok(());
        }
        self.note(|| format!("killed: {point}"));
        *self.crashes.entry(point).or_insert(0) += 1;
        Err(Died)
    }

    /// Whether a thread is late with its work.
    pub(super) fn is_late(&mut self) -> bool {
        self.faults > 0 && self.dice.percent(10)
    }

    /// How a new worker is to end by itself.
    pub(super) fn drain(&mut self) -> Option<Drain> {
        let drains = [None, Some(Drain::Now), Some(Drain::All)];
        if self.faults > 0 && self.dice.percent(10) {
            *self.dice.pick(&drains).expect("one")
        } else {
            None
        }
    }

    /// What happens to the next transaction.
    fn fault(&mut self) -> Fault {
        if self.refuses() {
            return match self.refusal() {
                Kind::TryAgain => Fault::Busy,
                kind => Fault::RolledBack(kind),
            };
        }
        if !self.fails() {
            return Fault::None;
        }
        match self.dice.between(1, 8) {
            1 => Fault::Busy,
            2 => Fault::RolledBack(Kind::Io),
            3..=4 => Fault::RolledBack(Kind::Failed),
            _ => Fault::Unknown,
        }
    }

    /// One transaction.
    pub(super) fn write<T>(
        &mut self,
        actor: Actor,
        store: &mut Store,
        body: impl FnOnce(&mut Tx<'_>) -> Result<T>,
    ) -> Answer<T> {
        match self.fault() {
            Fault::Busy => {
                self.note(|| format!("{actor:?}: the store is busy"));
                self.while_busy(|| assert!(store.write(body).is_err()));
            }
            Fault::RolledBack(kind) => {
                // After an error of the disk it reopens the database.
                let failed = store.write(|tx| {
                    body(tx)?;
                    Err::<(), _>(Error::new(kind, "injected"))
                });
                self.note(|| format!("{actor:?}: rolled back"));
                assert_eq!(
                    failed.map_err(|error| error.message),
                    Err("injected".into())
                );
            }
            fault => {
                let stored = match store.write(body) {
                    Ok(stored) => stored,
                    Err(error) => panic!("{actor:?}: {error}"),
                };
                self.witness.look(actor, &self.processes);
                if fault == Fault::Unknown {
                    self.note(|| format!("{actor:?}: committed, but the outcome is unknown"));
                    return Answer::Unknown(stored);
                }
                return Answer::Stored(stored);
            }
        }
        self.witness.look(Actor::Nobody, &self.processes);
        Answer::NotStored
    }

    /// A batch in one transaction, as a ledger writes it: what each write is answered, and whether it may be stored. One alone may
    /// be refused, and ends of attempts are for a while.
    pub(super) fn write_batch(
        &mut self,
        store: &mut Store,
        batch: &Batch,
        turns: &mut Turns,
    ) -> (Vec<Result<store::Answer>>, Vec<bool>) {
        let actor = Actor::Worker;
        let n = batch.writes.len();
        let fault = self.fault();
        let refused = |kind| Error::new(kind, "injected");
        let ends_are_refused = self.true_ms < self.refuses_ends_until_ms;
        // What refuses ends refuses other writes too, now and then.
        let one = if self.fails() || (ends_are_refused && self.dice.percent(15)) {
            Some(self.dice.between(0, n as i64 - 1) as usize)
        } else {
            None
        };
        let is_end = |place: usize| matches!(batch.writes[place], Write::End { .. });
        let fails = |place| match fault {
            Fault::RolledBack(kind) => Some(kind),
            _ if one == Some(place) || (ends_are_refused && is_end(place)) => Some(Kind::Bug),
            _ => None,
        };
        let now_ms = self.wall_ms();
        let mut write = || {
            let mut then = |tx: &mut Tx<'_>, place, answer: &store::Answer, now_ms| {
                batch.follow_up(tx, answer, now_ms)?;
                fails(place).map_or(Ok(()), |kind| Err(refused(kind)))
            };
            store.perform(batch.orders(), turns, &|| now_ms, &mut then)
        };
        let mut answers = Vec::new();
        if fault == Fault::Busy {
            self.note(|| format!("{actor:?}: the store is busy"));
            self.while_busy(|| answers = write());
            assert!(answers.iter().all(Result::is_err));
        } else {
            answers = write();
        }
        for answer in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            let known = answer.message == "injected" || fault == Fault::Busy;
            assert!(known, "{actor:?}: {answer}");
        }
        let stored: Vec<bool> = answers.iter().map(Result::is_ok).collect();
        let any = stored.contains(&true);
        let who = if any { actor } else { Actor::Nobody };
        self.witness.look(who, &self.processes);
        if fault == Fault::Unknown {
            self.note(|| format!("{actor:?}: committed, but the outcome is unknown"));
            answers = (0..n).map(|_| Err(refused(Kind::Unknown))).collect();
        } else if !any {
            self.note(|| format!("{actor:?}: nothing was stored"));
        }
        (answers, stored)
    }

    /// While another process holds the store.
    pub(super) fn while_busy(&self, meanwhile: impl FnOnce()) {
        let held = self.witness.conn.execute_batch("BEGIN IMMEDIATE");
        held.expect("the store was free");
        meanwhile();
        self.witness
            .conn
            .execute_batch("ROLLBACK")
            .expect("it ends");
    }
}
