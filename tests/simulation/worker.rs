//! A worker as the engine is one, step by step, over the real verbs: it may die between any two of them.
//!
//! Rule: what it remembers dies with it; what stays is the store, its start marks and the processes that it started.

use std::collections::HashSet;
use std::sync::Arc;

use jobctl::attempt::{Class, Ending, Report, RetryAfter, Said};
use jobctl::catalogue::Catalogue;
use jobctl::recovery::follow_up;
use jobctl::run::{Fence, RunId, State, WorkerId};
use jobctl::store::{
    ClaimRequest, Claimed, Claims, Holder, Outcome, ServedQueue, Start, Store, Turns, Tx, WorkerRow,
};
use jobctl::worker::decide;

use super::host::{Answer, Died, HOUR, Host, Life, MINUTE, SECOND};
use super::processes::Script;
use super::witness::Actor;

/// Attempts at a time.
const SLOTS: usize = 2;

/// An attempt that runs.
#[derive(Debug)]
struct Active {
    claimed: Claimed,
    process: usize,
    started_ms: i64,
    noted: bool,
}

/// An attempt that is over and not yet stored.
#[derive(Debug)]
struct Ended {
    claimed: Claimed,
    report: Report,
    unit: f64,
}

pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) store: Store,
    pub(super) catalogue: Arc<Catalogue>,
    /// Claimed and not started.
    queue: Vec<Claimed>,
    active: Vec<Active>,
    ended: Vec<Ended>,
    turns: Turns,
    /// A run that must be alone waits for us to be idle, or is running.
    alone: bool,
    /// After a write of unknown outcome: give back what we hold and do not know.
    reconcile: bool,
    restart_waits: bool,
    /// Runs may be ready that it has not seen.
    look: bool,
    seen_version: i64,
    next_due_ms: Option<i64>,
    offset_ms: i64,
    /// Told to stop; when it ends what still runs.
    pub(super) stop_at_ms: Option<i64>,
    /// Stopped by a signal until then: alive, and not at work.
    pub(super) frozen_until_ms: i64,
}

impl Worker {
    /// Registers a worker: first an id, then its lock, then its row.
    pub(super) fn start(host: &mut Host) -> Life<Option<Self>> {
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
            host: "host".to_owned(),
            uid: 0,
            queues: String::new(),
            slots: SLOTS as i64,
            started_ms: host.wall_ms(),
            stop_ms: None,
        };
        let answer = host.write(Actor::Worker, &mut store, |tx| tx.add_worker(&row));
        if !matches!(answer, Answer::Stored(())) || host.strike("registered").is_err() {
            host.locks.remove(&id);
            host.close(store);
            return Ok(None);
        }
        host.note(|| format!("worker {id} starts"));
        Ok(Some(Self {
            id,
            store,
            catalogue: host.catalogue(),
            queue: Vec::new(),
            active: Vec::new(),
            ended: Vec::new(),
            turns: Turns::default(),
            alone: false,
            reconcile: false,
            restart_waits: true,
            look: true,
            seen_version: 0,
            next_due_ms: None,
            offset_ms: host.wall_ms() - host.true_ms,
            stop_at_ms: None,
            frozen_until_ms: 0,
        }))
    }

    /// One turn of the main loop; whether it goes on.
    pub(super) fn step(&mut self, host: &mut Host) -> Life<bool> {
        self.hear_ends(host)?;
        self.obey(host)?;
        if self.reconcile {
            self.give_back_unknown(host);
        }
        self.write(host)?;
        self.start_queued(host)?;
        // What found no slot goes back.
        let back = std::mem::take(&mut self.queue);
        self.unclaim(host, &back);
        Ok(self.go_on_or_end(host))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.active.is_empty() && self.queue.is_empty() && self.ended.is_empty()
    }

    /// What it believes to hold.
    pub(super) fn holds(&self) -> impl Iterator<Item = (RunId, Fence)> {
        let queued = self
            .queue
            .iter()
            .map(|claimed| (claimed.run, claimed.fence));
        let active = self
            .active
            .iter()
            .map(|it| (it.claimed.run, it.claimed.fence));
        queued.chain(active)
    }

    /// Its memory, for a ghost to act upon when it is dead.
    pub(super) fn die(self, host: &mut Host) -> Vec<Claimed> {
        host.locks.remove(&self.id);
        host.close(self.store);
        let active = self.active.into_iter().map(|it| it.claimed);
        let ended = self.ended.into_iter().map(|it| it.claimed);
        active.chain(ended).chain(self.queue).collect()
    }

    fn hear_ends(&mut self, host: &mut Host) -> Life<()> {
        let over: Vec<Active> = self
            .active
            .extract_if(.., |it| host.processes.get(it.process).stopped)
            .collect();
        for active in over {
            let script = host.processes.get(active.process).script;
            if script == Script::KillsItsWorker {
                host.note(|| format!("run {} kills its worker", active.claimed.run));
                return Err(Died);
            }
            if script == Script::Exits(0) {
                host.witness.fact(active.claimed.run).successes += 1;
            }
            let (ending, said) = told(script);
            self.end(host, active, ending, said);
        }
        host.strike("after an exit, before its end is stored")
    }

    fn end(&mut self, host: &mut Host, active: Active, ending: Ending, said: Said) {
        host.note(|| format!("run {}: {ending:?}", active.claimed.run));
        let report = Report {
            started_ms: active.started_ms,
            ended_ms: host.wall_ms(),
            ending,
            output_tail: Vec::new(),
            output_bytes: 0,
            leaked: 0,
            said,
        };
        self.ended.push(Ended {
            claimed: active.claimed,
            report,
            unit: host.dice.unit(),
        });
    }

    /// Cancels, a request to stop, a step of the clock.
    fn obey(&mut self, host: &mut Host) -> Life<()> {
        for (run, fence) in self.store.cancels_for(self.id).expect("cancels") {
            if let Some(at) = self.active.iter().position(|it| it.claimed.fence == fence) {
                let active = self.active.remove(at);
                host.processes.end(active.process);
                let signal = Some(15);
                let ending = Ending::Cancelled {
                    exit_code: None,
                    signal,
                };
                self.end(host, active, ending, Said::default());
                host.note(|| format!("worker {} ends run {run}", self.id));
            }
        }
        let row = self.store.worker(self.id).expect("a look");
        let row = row.expect("a living worker keeps its row");
        if row.stop_ms.is_some() && self.stop_at_ms.is_none() {
            self.stop_at_ms = Some(host.true_ms + 30 * SECOND);
        }
        let offset_ms = host.wall_ms() - host.true_ms;
        if offset_ms < self.offset_ms - 500 {
            self.restart_waits = true;
            self.look = true;
        }
        self.offset_ms = offset_ms;
        host.strike("between two turns")
    }

    /// Commits of others, and what is due by now.
    fn notice(&mut self, now_ms: i64) {
        let version = self.store.data_version().expect("a look");
        let due = self.next_due_ms.is_some_and(|due_ms| due_ms <= now_ms);
        self.look |= version != self.seen_version || due;
        self.seen_version = version;
    }

    /// How many runs it wants, and how many of them have a slot.
    fn wanted(&self) -> (usize, usize) {
        let free = SLOTS.saturating_sub(self.active.len() + self.queue.len());
        match (self.stop_at_ms, self.alone) {
            (None, true) if self.is_idle() => (1, 1),
            (Some(_), _) | (None, true) => (0, 0),
            // One ahead of a free slot.
            (None, false) => (free + usize::from(free > 0), free),
        }
    }

    /// Ends, start notes and the next claim, in one transaction.
    fn write(&mut self, host: &mut Host) -> Life<()> {
        let now_ms = host.wall_ms();
        self.notice(now_ms);
        let (max, free) = if self.look { self.wanted() } else { (0, 0) };
        let starts: Vec<Start> = self.unnoted(now_ms);
        if max == 0 && self.ended.is_empty() && starts.is_empty() && !self.restart_waits {
            return Ok(());
        }
        let (worker, catalogue) = (self.id, Arc::clone(&self.catalogue));
        let (ended, turns, restart) = (&self.ended, &mut self.turns, self.restart_waits);
        let queues = ["high", "default", "low"].map(ServedQueue::from);
        let idle = self.active.is_empty() && self.queue.is_empty();
        let answer = host.write(Actor::Worker, &mut self.store, |tx| {
            let mut outcomes = Vec::new();
            for ended in ended {
                outcomes.push(ended.write(tx, worker, &catalogue, now_ms)?);
            }
            for start in &starts {
                tx.note_start(worker, start)?;
            }
            while restart && tx.restart_waits(now_ms)? {}
            if max == 0 {
                return Ok((outcomes, Claims::default()));
            }
            tx.promote(now_ms)?;
            for burial in tx.expire(now_ms)? {
                follow_up(tx, &burial, &catalogue, now_ms)?;
            }
            let request = ClaimRequest {
                worker,
                queues: &queues,
                knows: &|job| catalogue.jobs.contains_key(job),
                known_behind: &|job| catalogue.job_behind(job).map(str::to_owned),
                max,
                free,
                is_short: &|job| job == "mail",
                idle,
            };
            Ok((outcomes, tx.claim(&request, turns, now_ms)?))
        });
        host.strike("after a transaction")?;
        let (outcomes, claims) = match answer {
            Answer::Stored(stored) => stored,
            Answer::NotStored | Answer::Unknown(_) => {
                self.reconcile = true;
                self.look = true;
                return Ok(());
            }
        };
        self.restart_waits = false;
        for (ended, outcome) in std::mem::take(&mut self.ended).into_iter().zip(outcomes) {
            let run = ended.claimed.run;
            let lost = outcome == Outcome::Fenced && !host.witness.fact(run).gone;
            assert!(!lost, "worker {} lost run {run} while it lived", self.id);
            self.alone &= !ended.claimed.must_be_alone();
            self.look = true;
        }
        if max > 0 {
            self.alone = claims.wants_idle;
            self.look = claims.full || claims.wants_idle;
            let due_ms = self.store.next_due().expect("a look");
            let next_ms = [due_ms, claims.passed.opens_ms];
            self.next_due_ms = next_ms.into_iter().flatten().min();
        }
        for claimed in &claims.runs {
            let alone = !claimed.must_be_alone() || (idle && claims.runs.len() == 1);
            assert!(alone, "run {} must be alone: {claims:?}", claimed.run);
            let expired = claimed.deadline_ms.is_some_and(|it| it <= now_ms);
            assert!(!expired, "run {} is past its deadline", claimed.run);
            host.note(|| format!("worker {worker} claims run {}", claimed.run));
        }
        self.queue.extend(claims.runs);
        Ok(())
    }

    /// Attempts that are not yet in the store, and long enough under way.
    fn unnoted(&mut self, now_ms: i64) -> Vec<Start> {
        let mut starts = Vec::new();
        for it in self.active.iter_mut().filter(|it| !it.noted) {
            it.noted = true;
            if now_ms != it.started_ms {
                starts.push(Start {
                    run: it.claimed.run,
                    fence: it.claimed.fence,
                    attempt: it.claimed.attempt,
                    started_ms: it.started_ms,
                });
            }
        }
        starts
    }

    fn start_queued(&mut self, host: &mut Host) -> Life<()> {
        while self.active.len() < SLOTS && !self.queue.is_empty() {
            host.strike("after a claim, before the start mark")?;
            let claimed = self.queue.remove(0);
            let (run, fence) = (claimed.run, claimed.fence);
            let marks = host.marks.entry(self.id).or_default();
            marks.push((run, fence, host.true_ms));
            if let Err(died) = host.strike("after the start mark, before the start") {
                self.queue.push(claimed);
                return Err(died);
            }
            let started_ms = host.wall_ms();
            if host.fails() {
                let ending = Ending::CannotStart {
                    error: "no memory".to_owned(),
                    transient: true,
                };
                let process = usize::MAX;
                let active = Active {
                    claimed,
                    process,
                    started_ms,
                    noted: true,
                };
                self.end(host, active, ending, Said::default());
                continue;
            }
            let (script, lasts_ms) = script(host, &claimed);
            let stops_ms = host.true_ms + lasts_ms;
            let stuck_ms = if host.fails() { 2 * HOUR } else { 0 };
            host.witness.start(run, claimed.attempt);
            let stuck_ms = host.true_ms + stuck_ms;
            let process = host
                .processes
                .start((run, fence), script, stops_ms, stuck_ms);
            host.note(|| format!("run {run} starts, attempt {}: {script:?}", claimed.attempt));
            self.active.push(Active {
                claimed,
                process,
                started_ms,
                noted: false,
            });
            host.strike("after the start")?;
        }
        Ok(())
    }

    fn unclaim(&mut self, host: &mut Host, claims: &[Claimed]) {
        if claims.is_empty() {
            return;
        }
        let answer = host.write(Actor::Worker, &mut self.store, |tx| {
            for claimed in claims {
                tx.unclaim(claimed.run, claimed.fence)?;
            }
            Ok(())
        });
        self.reconcile |= !matches!(answer, Answer::Stored(()));
    }

    /// Gives back what the store says is ours and we do not know of.
    fn give_back_unknown(&mut self, host: &mut Host) {
        let mut known: HashSet<Fence> = self.holds().map(|(_, fence)| fence).collect();
        known.extend(self.ended.iter().map(|it| it.claimed.fence));
        let held = self.store.held_by(self.id).expect("what it holds");
        let unknown: Vec<_> = held
            .into_iter()
            .filter(|(_, fence, _)| !known.contains(fence))
            .collect();
        let answer = host.write(Actor::Worker, &mut self.store, |tx| {
            for (run, fence, _) in &unknown {
                tx.unclaim(*run, *fence)?;
            }
            Ok(())
        });
        self.reconcile = !matches!(answer, Answer::Stored(()));
    }

    /// A stopping worker lets its runs end, then gives them back, and at last goes.
    fn go_on_or_end(&mut self, host: &mut Host) -> bool {
        let Some(stop_at_ms) = self.stop_at_ms else {
            return true;
        };
        if host.true_ms >= stop_at_ms {
            for active in std::mem::take(&mut self.active) {
                host.processes.end(active.process);
                let ending = Ending::Released {
                    exit_code: None,
                    signal: Some(15),
                };
                self.end(host, active, ending, Said::default());
            }
        }
        if !self.is_idle() || self.reconcile {
            return true;
        }
        let worker = self.id;
        host.note(|| format!("worker {worker} ends"));
        host.write(Actor::Worker, &mut self.store, |tx| {
            tx.remove_worker(worker)
        });
        false
    }
}

impl Ended {
    /// As the worker writes it.
    fn write(
        &self,
        tx: &mut Tx<'_>,
        worker: WorkerId,
        catalogue: &Catalogue,
        now_ms: i64,
    ) -> jobctl::error::Result<Outcome> {
        let claimed = &self.claimed;
        let job = &catalogue.jobs[&claimed.job];
        let (judged, verdict) = decide(claimed, job, &self.report, self.unit);
        let holder = Holder {
            run: claimed.run,
            fence: claimed.fence,
            worker,
            attempt: claimed.attempt,
        };
        let finished = tx.finish(holder, &self.report, &judged, verdict, false, now_ms)?;
        if let Some(burial) = finished.burial {
            assert_eq!(finished.outcome, Outcome::Moved(State::Dead));
            follow_up(tx, &burial, catalogue, now_ms)?;
        }
        Ok(finished.outcome)
    }
}

/// What a command will do, and for how long.
fn script(host: &mut Host, claimed: &Claimed) -> (Script, i64) {
    let short = host.dice.percent(70);
    let lasts_ms = if short {
        host.dice.between(1, 5 * SECOND)
    } else {
        host.dice.between(SECOND, 50 * MINUTE)
    };
    let roll = host.dice.between(1, 100);
    // When the faults are over commands go well more often.
    let well = if host.faults > 0 { 60 } else { 90 };
    let script = match roll {
        _ if roll <= well => Script::Exits(0),
        91..=93 if claimed.job == "fragile" => Script::KillsItsWorker,
        61..=75 if claimed.job == "sync" => Script::Limited(host.dice.between(1, 2 * HOUR)),
        61..=85 => Script::Exits(1),
        86..=90 => Script::Exits(65),
        91..=95 => Script::Signalled,
        96..=97 => return (Script::Hangs, HOUR),
        _ => Script::Exits(75),
    };
    (script, lasts_ms)
}

/// How it ended, and what it said.
fn told(script: Script) -> (Ending, Said) {
    let mut said = Said::default();
    let ending = match script {
        Script::Exits(code) => Ending::Exited(code),
        Script::Signalled | Script::KillsItsWorker => Ending::Signalled(9),
        Script::Hangs => Ending::TimedOut {
            exit_code: None,
            signal: Some(15),
        },
        Script::Limited(wait_ms) => {
            said.class = Some(Class::RateLimited);
            said.retry_after = Some(RetryAfter::In(wait_ms));
            Ending::Exited(75)
        }
    };
    (ending, said)
}
