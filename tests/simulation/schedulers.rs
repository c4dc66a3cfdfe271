//! Two schedulers, one of which leads: stopped, killed in the middle of a transaction, restarted with another catalogue.

use jobctl::scheduler::Planner;

use super::catalogues::{SCHEDULED, editions};
use super::facts::Actor;
use super::host::{HOUR, Host, Life, SECOND};

/// A standby opens what is still not opened so long after its instant.
const LAG_MS: i64 = SECOND;

/// A scheduler process.
enum Process {
    Dead,
    Alive(Box<Planner>),
    /// Stopped by a signal until then, by the true time; it keeps the lead.
    Stopped(Box<Planner>, i64),
}

pub(super) struct Schedulers {
    processes: [Process; 2],
    leader: usize,
}

impl Schedulers {
    pub(super) fn new() -> Self {
        Self {
            processes: [Process::Dead, Process::Dead],
            leader: 0,
        }
    }

    /// All are gone.
    pub(super) fn end(&mut self) {
        self.processes = [Process::Dead, Process::Dead];
    }

    /// One turn of one of them.
    pub(super) fn step(&mut self, host: &mut Host) {
        let index = host.dice.between(0, 1) as usize;
        let process = std::mem::replace(&mut self.processes[index], Process::Dead);
        self.processes[index] = match process {
            Process::Dead => match start(host) {
                Some(planner) => Process::Alive(planner),
                None => Process::Dead,
            },
            Process::Stopped(planner, until_ms) if host.true_ms < until_ms => {
                Process::Stopped(planner, until_ms)
            }
            Process::Alive(planner) if host.fails() => {
                host.note(|| format!("scheduler {index} is stopped"));
                Process::Stopped(planner, host.true_ms + host.dice.between(SECOND, 3 * HOUR))
            }
            Process::Alive(mut planner) | Process::Stopped(mut planner, _) => {
                let lag_ms = if index == self.leader { 0 } else { LAG_MS };
                if tick(&mut planner, host, lag_ms).is_ok() {
                    Process::Alive(planner)
                } else {
                    self.leader = 1 - index;
                    Process::Dead
                }
            }
        };
    }

    /// An operator believes the clock.
    pub(super) fn accept_clock(&mut self, host: &mut Host) {
        for process in &mut self.processes {
            if let Process::Alive(planner) = process {
                planner.accept_clock(host.reading());
            }
        }
        host.note(|| "the clock is accepted".to_owned());
    }

    /// Everything that is due is opened by a new one, which believes the clock.
    pub(super) fn settle(&mut self, host: &mut Host) {
        self.end();
        let mut planner = start(host).expect("nothing fails any more");
        planner.accept_clock(host.reading());
        tick(&mut planner, host, 0).expect("it lives");
    }
}

fn start(host: &mut Host) -> Option<Box<Planner>> {
    let store = host.open();
    let (catalogue, now, boot_id) = (host.catalogue(), host.reading(), host.boot_id());
    let fails = arm(host);
    let planner = Planner::start(store, &catalogue, &boot_id, now);
    host.witness.look(Actor::Scheduler, &host.processes);
    disarm(host, fails);
    host.note(|| format!("a scheduler starts: {}", planner.is_ok()));
    match planner {
        Ok(planner) => Some(Box::new(planner)),
        Err(error) => {
            assert!(fails, "{error}");
            None
        }
    }
}

/// Opens what is due; dies in it now and then.
fn tick(planner: &mut Planner, host: &mut Host, lag_ms: i64) -> Life<()> {
    let now = host.reading();
    if host.fails() {
        host.while_busy(|| drop(planner.tick(now, lag_ms)));
        host.witness.look(Actor::Nobody, &host.processes);
        host.note(|| "a scheduler found the store busy".to_owned());
    }
    let fails = arm(host);
    let ticked = planner.tick(now, lag_ms);
    host.witness.look(Actor::Scheduler, &host.processes);
    disarm(host, fails);
    if fails {
        // What it knows is gone with it, half of what was due may be opened.
        host.strike("in the middle of opening")?;
    }
    let ticked = match ticked {
        Ok(ticked) => ticked,
        Err(error) => panic!("a scheduler: {error}"),
    };
    let opened = ticked.counts.opened + ticked.counts.caught_up;
    host.note(|| {
        format!(
            "a scheduler looked: {opened} opened, stale {:?}",
            ticked.stale
        )
    });
    let stale = !ticked.stale.is_empty() || planner.catalogue().1 != editions()[host.edition].stamp;
    if stale && (!ticked.stale.is_empty() || host.dice.percent(30)) {
        let loaded = planner.load(&host.catalogue(), now);
        host.witness.look(Actor::Scheduler, &host.processes);
        host.note(|| format!("a scheduler loads the catalogue: {}", loaded.is_ok()));
        loaded.expect("it is loaded");
    }
    host.strike("between two looks of a scheduler")
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
