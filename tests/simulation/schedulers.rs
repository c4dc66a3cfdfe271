//! Two schedulers, one of which leads: stopped, killed between and in the middle of transactions, restarted, told to read another
//! catalogue, over a store that refuses, answers late, or does not say what it stored.
//!
//! Rule: what they decide is decided by the loop of the program, `Control`; here is only a host that does what it wants.

use std::path::Path;
use std::sync::Arc;

use jobctl::catalogue::Catalogue;
use jobctl::error::{Error, Kind};
use jobctl::local::Local;
use jobctl::policy::ClockGuard;
use jobctl::scheduler::{Action, Answer, Control, Event, Loaded, Reload, Work, accept, perform};
use jobctl::store::Store;

use super::catalogues::SCHEDULED;
use super::facts::Actor;
use super::host::{HOUR, Host, Life, MINUTE, SECOND};

/// Pieces of work until a loop that is never done is a defect.
const PIECES_MAX: usize = 10_000;

/// What failed before is over after this.
const WELL_MS: i64 = 3 * MINUTE;

/// A scheduler process.
struct Process {
    control: Control,
    store: Store,
    leads: bool,
    /// Work that was done and whose answer is still on its way.
    late: Option<Answer>,
    /// Stopped by a signal until then, by the true time; it keeps the lead.
    frozen_until_ms: i64,
    /// The edition of the catalogue at the last request to reload it.
    edition: usize,
    /// Since when nothing of its work failed, by the true time; `None` where something did just now.
    well_since_ms: Option<i64>,
}

pub(super) struct Schedulers {
    processes: [Option<Box<Process>>; 2],
    leader: usize,
}

/// Whether a process continues.
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
            host.refuse();
        }
        self.step_of(index, host);
    }

    fn step_of(&mut self, index: usize, host: &mut Host) {
        let Some(mut process) = self.processes[index].take() else {
            host.changes();
            if !host.refuses() {
                if self.processes[self.leader].is_none() {
                    self.leader = index;
                }
                self.processes[index] = Some(start(host, index == self.leader));
            }
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
        match process.turn(host, index == self.leader) {
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
        if host.refuses() {
            return;
        }
        let accepted = accept(store, &host.boot_id(), host.reading()).expect("it is stored");
        host.witness.look(Actor::Operator, &host.processes);
        host.note(|| format!("the clock is accepted: {accepted:?}"));
        let sql = format!(
            "SELECT count(*) FROM schedule WHERE version IS NOT NULL AND job <> 'elapsed' AND watermark_ms > {}",
            host.wall_ms() + MINUTE
        );
        assert_eq!(
            host.witness.number(&sql),
            0,
            "schedules wait for a clock that was ahead"
        );
    }

    /// Nobody is there to do what the leader forgets.
    pub(super) fn end_standby(&mut self) {
        self.processes[1 - self.leader] = None;
    }

    /// Requests living schedulers to reload the catalogue.
    pub(super) fn reload(&mut self, host: &mut Host) {
        for process in self.processes.iter_mut().flatten() {
            process.frozen_until_ms = 0;
            process.reload(host);
        }
    }

    /// One turn of each that lives.
    pub(super) fn step_all(&mut self, host: &mut Host) {
        for index in 0..self.processes.len() {
            if self.processes[index].is_some() {
                self.step_of(index, host);
            }
        }
    }

    /// Those that live have put the catalogue on disk in force, and no other.
    pub(super) fn check_loaded(&self, host: &Host) {
        let schedules = host
            .catalogue()
            .jobs
            .values()
            .filter(|job| job.schedule.is_some())
            .count();
        for process in self.processes.iter().flatten() {
            let control = &process.control;
            assert!(control.is_loaded(), "a scheduler forgot its catalogue");
            assert_eq!(
                control.schedule_count(),
                schedules,
                "a scheduler has another catalogue"
            );
        }
        if self.processes.iter().flatten().next().is_some() {
            let sql = "SELECT count(*) FROM schedule WHERE version IS NOT NULL";
            assert_eq!(
                host.witness.number(sql),
                schedules as i64,
                "schedules in force"
            );
        }
    }

    /// Everything that is due is opened by a new one, which believes the clock.
    pub(super) fn settle(&mut self, host: &mut Host) {
        self.end();
        let mut process = start(host, true);
        process.control.accept_clock(host.reading());
        let turn = process.turn(host, true).expect("nothing kills it");
        assert_eq!(turn, Turn::Goes);
        assert!(process.control.is_loaded(), "its catalogue is in force");
    }
}

fn start(host: &mut Host, leads: bool) -> Box<Process> {
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
        control: Control::new(loaded, guard, leads, now),
        store,
        leads,
        late: None,
        frozen_until_ms: 0,
        edition: host.edition,
        well_since_ms: None,
    })
}

impl Process {
    /// Performs actions of the loop until it waits or an event interrupts it.
    fn turn(&mut self, host: &mut Host, leads: bool) -> Life<Turn> {
        let now = host.reading();
        if leads && !self.leads {
            self.leads = true;
            self.control.on_event(Event::Lead, now);
        }
        if let Some(answer) = self.late.take() {
            self.control.on_event(Event::Answer(answer), now);
        }
        // An edit is announced to one scheduler; the other sees it in the store.
        if host.edition != self.edition && host.dice.percent(20) || host.dice.percent(1) {
            self.reload(host);
        }
        if host.faults > 0 && host.dice.per_mille(3) {
            host.note(|| "a scheduler is asked to end".to_owned());
            host.changes();
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
                self.is_done(host);
                return Ok(Turn::Goes);
            };
            let answer = self.perform(work, host)?;
            if host.faults > 0 && host.dice.percent(5) {
                self.late = Some(answer);
                return Ok(Turn::Goes);
            }
            self.control.on_event(Event::Answer(answer), now);
            if host.faults > 0 && host.dice.percent(5) {
                return Ok(Turn::Goes);
            }
        }
        panic!("a scheduler makes no progress");
    }

    /// Checks a scheduler that has nothing to do.
    fn is_done(&mut self, host: &mut Host) {
        let since_ms = *self.well_since_ms.get_or_insert(host.true_ms);
        let well = self.leads && host.true_ms - since_ms > WELL_MS;
        host.elapsed_goes_on(well);
        if well && self.control.guard().suspicion().is_none() {
            host.nothing_is_overdue();
        }
    }

    fn reload(&mut self, host: &mut Host) {
        self.edition = host.edition;
        host.note(|| "a scheduler is asked to reload the catalogue".to_owned());
        host.changes();
        self.control.on_event(Event::Reload, host.reading());
    }

    fn perform(&mut self, work: Work, host: &mut Host) -> Life<Answer> {
        let now = host.reading();
        let clock = || now;
        let load = reload(host);
        let local = Local::unchecked(Path::new(""));
        if matches!(
            work,
            Work::SaveRules(_) | Work::Apply(..) | Work::FindRemoved(_) | Work::Remove(..)
        ) {
            // One step of a reload may be done, and the next one not.
            host.changes();
        }
        if host.refuses() || host.fails() {
            self.well_since_ms = None;
            let mut answer = None;
            let store = &mut self.store;
            host.while_busy(|| answer = Some(perform(work, store, &local, &load, &clock)));
            host.witness.look(Actor::Nobody, &host.processes);
            let answer = answer.expect("it came back");
            return Ok(refused(answer, host));
        }
        let fails = arm(host);
        let answer = perform(work, &mut self.store, &local, &load, &clock);
        host.witness.look(Actor::Scheduler, &host.processes);
        let held = self.control.guard().suspicion().is_some();
        let has_edition_0 = self.control.schedule_count() == SCHEDULED.len();
        host.calendar.decided(&host.witness, held, has_edition_0);
        disarm(host, fails);
        if let Some(error) = answer.failure() {
            let allowed = fails || error.kind == Kind::Config;
            assert!(allowed, "a scheduler: {error}");
        }
        if fails {
            self.well_since_ms = None;
            // Its memory is lost, and some of the due periods may be opened.
            host.strike("in the middle of opening")?;
        }
        host.strike("between two pieces of work of a scheduler")?;
        if host.fails() {
            host.note(|| "a scheduler does not know what was stored".to_owned());
            self.well_since_ms = None;
            return Ok(answer.into_failure(Error::new(Kind::Unknown, "injected").into()));
        }
        Ok(answer)
    }
}

/// The store refuses reads as well, and for other reasons than that it is busy.
fn refused(answer: Answer, host: &mut Host) -> Answer {
    match answer {
        Answer::Read(_) => answer,
        answer if host.refuses() => {
            let error = Error::new(host.refusal(), "injected");
            answer.into_failure(error.into())
        }
        answer => answer,
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
