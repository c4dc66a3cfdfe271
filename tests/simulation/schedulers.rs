//! Two schedulers, one of which leads: stopped, killed between and in the middle of transactions, restarted, told to read another
//! catalogue, over a store that refuses, answers late, or does not say what it stored.
//!
//! Rule: what they decide is decided by the loop of the program, `Control`; here is only a host that does what it wants.

use std::sync::Arc;

use jobctl::catalogue::Catalogue;
use jobctl::error::{Error, Kind};
use jobctl::policy::ClockGuard;
use jobctl::scheduler::{Action, Answer, Control, Event, Loaded, Reload, Work, accept, perform};
use jobctl::store::Store;

use super::catalogues::SCHEDULED;
use super::facts::Actor;
use super::host::{HOUR, Host, Life, SECOND};

/// A store that refuses does so for at least as long as any process waits for its turn.
const OUTAGE_MS: i64 = 40 * SECOND;

/// Pieces of work until a loop that is never done is a defect.
const PIECES_MAX: usize = 10_000;

/// A scheduler process.
struct Process {
    control: Control,
    store: Store,
    leads: bool,
    /// Work that was done and whose answer is still on its way.
    late: Option<Answer>,
    /// Stopped by a signal until then, by the true time; it keeps the lead.
    frozen_until_ms: i64,
    /// The edition of the catalogue when it was last told to read it.
    edition: usize,
}

pub(super) struct Schedulers {
    processes: [Option<Box<Process>>; 2],
    leader: usize,
    /// Until when the store refuses every write, by the true time.
    refuses_until_ms: i64,
}

/// Whether a process goes on.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Goes,
    Ended,
}

impl Schedulers {
    pub(super) fn new() -> Self {
        Self {
            processes: [None, None],
            leader: 0,
            refuses_until_ms: 0,
        }
    }

    /// All are gone.
    pub(super) fn end(&mut self) {
        self.processes = [None, None];
    }

    /// One turn of one of them.
    pub(super) fn step(&mut self, host: &mut Host) {
        let index = host.dice.between(0, 1) as usize;
        if host.fails() && host.dice.percent(30) {
            self.refuses_until_ms = host.true_ms + OUTAGE_MS;
            host.note(|| "the store refuses schedulers for 40 s".to_owned());
        }
        let Some(mut process) = self.processes[index].take() else {
            self.processes[index] = Some(start(host));
            return;
        };
        if host.true_ms < process.frozen_until_ms {
            self.processes[index] = Some(process);
            return;
        }
        if host.fails() {
            host.note(|| format!("scheduler {index} is stopped"));
            process.frozen_until_ms = host.true_ms + host.dice.between(SECOND, 3 * HOUR);
        }
        let refuses = host.true_ms < self.refuses_until_ms;
        match process.turn(host, index == self.leader, refuses) {
            Ok(Turn::Goes) => self.processes[index] = Some(process),
            // The kernel hands the lock on.
            Ok(Turn::Ended) | Err(_) => {
                self.leader = 1 - index;
                host.close(process.store);
            }
        }
    }

    /// An operator believes the clock, and takes back what one that was ahead had opened.
    pub(super) fn accept_clock(host: &mut Host, store: &mut Store) {
        let accepted = accept(store, &host.boot_id(), host.reading()).expect("it is stored");
        host.witness.look(Actor::Operator, &host.processes);
        host.note(|| format!("the clock is accepted: {accepted:?}"));
    }

    /// Everything that is due is opened by a new one, which believes the clock.
    pub(super) fn settle(&mut self, host: &mut Host) {
        self.end();
        let mut process = start(host);
        process.control.accept_clock(host.reading());
        let turn = process.turn(host, true, false).expect("nothing kills it");
        assert_eq!(turn, Turn::Goes);
        assert!(process.control.is_loaded(), "its catalogue is in force");
    }
}

fn start(host: &mut Host) -> Box<Process> {
    let store = host.open();
    let now = host.reading();
    let kept = store.scheduler().expect("a row").clock;
    let guard = match kept.and_then(|text| serde_json::from_str::<ClockGuard>(&text).ok()) {
        Some(guard) => guard.resume(&host.boot_id(), now),
        None => ClockGuard::new(&host.boot_id(), now),
    };
    host.note(|| "a scheduler starts".to_owned());
    let loaded = Loaded::of(Catalogue::clone(&host.catalogue())).expect("schedules");
    Box::new(Process {
        control: Control::new(loaded, guard, now),
        store,
        leads: false,
        late: None,
        frozen_until_ms: 0,
        edition: host.edition,
    })
}

impl Process {
    /// Does what the loop wants until it waits, or until something comes between.
    fn turn(&mut self, host: &mut Host, leads: bool, refuses: bool) -> Life<Turn> {
        let now = host.reading();
        if leads && !self.leads {
            self.leads = true;
            self.control.on_event(Event::Lead, now);
        }
        if let Some(answer) = self.late.take() {
            self.control.on_event(Event::Answer(answer), now);
        }
        // Whoever edits the catalogue tells one of them; the other one sees it in the store.
        if host.edition != self.edition && host.dice.percent(20) || host.dice.percent(1) {
            self.edition = host.edition;
            host.note(|| "a scheduler is told to read the catalogue".to_owned());
            self.control.on_event(Event::Reload, now);
        }
        if host.faults > 0 && host.dice.per_mille(3) {
            host.note(|| "a scheduler is told to end".to_owned());
            self.control.on_event(Event::Stop, now);
        }
        for _ in 0..PIECES_MAX {
            let mut work = None;
            for action in self.control.next(now) {
                match action {
                    Action::Do(given) => work = Some(given),
                    Action::End(Ok(())) => return Ok(Turn::Ended),
                    Action::End(Err(error)) => panic!("a scheduler ends: {error}"),
                    _ => {}
                }
            }
            let Some(work) = work else {
                return Ok(Turn::Goes);
            };
            let answer = self.perform(work, host, refuses)?;
            if host.faults > 0 && host.dice.percent(5) {
                self.late = Some(answer);
                return Ok(Turn::Goes);
            }
            self.control.on_event(Event::Answer(answer), now);
            if host.faults > 0 && host.dice.percent(5) {
                return Ok(Turn::Goes);
            }
        }
        panic!("a scheduler has never enough");
    }

    fn perform(&mut self, work: Work, host: &mut Host, refuses: bool) -> Life<Answer> {
        let now = host.reading();
        let clock = || now;
        let load = reload(host);
        if refuses || host.fails() {
            let mut answer = None;
            let store = &mut self.store;
            host.while_busy(|| answer = Some(perform(work, store, &load, &clock)));
            host.witness.look(Actor::Nobody, &host.processes);
            return Ok(answer.expect("it came back"));
        }
        let fails = arm(host);
        let answer = perform(work, &mut self.store, &load, &clock);
        host.witness.look(Actor::Scheduler, &host.processes);
        disarm(host, fails);
        if let Some(error) = answer.failure() {
            let allowed = fails || error.kind == Kind::Config;
            assert!(allowed, "a scheduler: {error}");
        }
        if fails {
            // What it knows is gone with it, half of what was due may be opened.
            host.strike("in the middle of opening")?;
        }
        host.strike("between two pieces of work of a scheduler")?;
        if host.fails() {
            host.note(|| "a scheduler does not know what was stored".to_owned());
            return Ok(answer.into_failure(Error::new(Kind::Unknown, "injected").into()));
        }
        Ok(answer)
    }
}

/// Reads the catalogue that is on disk; now and then it is one that is refused.
fn reload(host: &mut Host) -> Reload {
    let catalogue = host.catalogue();
    let refused = host.fails();
    Arc::new(move || {
        if refused {
            return Err(Error::new(Kind::Config, "injected"));
        }
        Ok(Catalogue::clone(&catalogue))
    })
}

/// Lets the next write about one schedule fail, in the middle of its transaction; whether it does.
fn arm(host: &mut Host) -> bool {
    let fails = host.fails() || host.fails();
    if fails {
        let job = *host.dice.pick(SCHEDULED).expect("a job");
        let sql = "INSERT INTO sim_fault VALUES (?1)";
        host.witness.conn.execute(sql, [job]).expect(sql);
    }
    fails
}

fn disarm(host: &mut Host, armed: bool) {
    if armed {
        let sql = "DELETE FROM sim_fault";
        host.witness.conn.execute(sql, []).expect(sql);
    }
}
