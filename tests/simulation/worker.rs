//! A worker as the engine is one, step by step, over the real verbs: it may die between any two of them.
//!
//! Rule: what it remembers dies with it; what stays is the store, its start marks and the processes that it started.

use std::sync::Arc;

use jobctl::attempt::{Class, Ending, Report, RetryAfter, Said};
use jobctl::catalogue::Catalogue;
use jobctl::recovery::follow_up;
use jobctl::run::{Fence, RunId, WorkerId};
use jobctl::store::{
    ClaimRequest, Claimed, Claims, Outcome, ServedQueue, Start, Store, Turns, WorkerRow,
};

use super::commands::{Ended, told};
use super::facts::{Actor, Counted};
use super::foreground;
use super::host::{Answer, Died, Host, Life};
use super::processes::Script;

/// Attempts at a time.
pub(super) const SLOTS: usize = 2;

/// An attempt that runs.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) claimed: Claimed,
    pub(super) process: usize,
    pub(super) started_ms: i64,
    /// Its start by a clock that does not step.
    pub(super) begun_ms: i64,
    pub(super) noted: bool,
}

pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) store: Store,
    pub(super) catalogue: Arc<Catalogue>,
    /// Claimed and not started.
    pub(super) queue: Vec<Claimed>,
    pub(super) active: Vec<Active>,
    pub(super) ended: Vec<Ended>,
    turns: Turns,
    /// A run that must be alone waits for us to be idle, or is running.
    alone: bool,
    /// After a write of unknown outcome: give back what we hold and do not know.
    pub(super) reconcile: bool,
    restart_waits: bool,
    /// Runs may be ready that it has not seen.
    look: bool,
    seen_version: i64,
    pub(super) next_due_ms: Option<i64>,
    offset_ms: i64,
    /// Told to stop; when it ends what still runs.
    pub(super) stop_at_ms: Option<i64>,
    /// Stopped by a signal until then: alive, and not at work.
    pub(super) frozen_until_ms: i64,
    /// The run that a `run JOB` works, and no other.
    pub(super) foreground: Option<RunId>,
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
            pid_ns: None,
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
        let Ok(foreground) = foreground::enqueue(host, &mut store, id) else {
            host.locks.remove(&id);
            host.close(store);
            return Err(Died);
        };
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
            foreground,
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

    pub(super) fn end(&mut self, host: &mut Host, active: Active, ending: Ending, said: Said) {
        host.witness.fact(active.claimed.run).ending = match ending {
            Ending::Released { .. } => Counted::Release,
            Ending::Exited(65) => Counted::Permanent,
            _ if said.class == Some(Class::RateLimited) => Counted::Nothing,
            _ => Counted::Failure,
        };
        if let Some(RetryAfter::In(wait_ms)) = said.retry_after {
            host.witness.fact(active.claimed.run).asked_wait_ms = wait_ms;
        }
        host.note(|| format!("run {}: {ending:?}", active.claimed.run));
        let report = Report {
            started_ms: active.started_ms,
            ran_ms: host.true_ms - active.begun_ms,
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
            self.stop(host);
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
            (None, _) if self.foreground.is_some() => (usize::from(free == SLOTS), 1),
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
        let (foreground, keep) = (self.foreground, self.keeps());
        let (ended, turns, restart) = (&self.ended, &mut self.turns, self.restart_waits);
        let queues = ["high", "default", "low"].map(ServedQueue::from);
        let idle = self.active.is_empty() && self.queue.is_empty();
        let answer = host.write(Actor::Worker, &mut self.store, |tx| {
            let mut outcomes = Vec::new();
            for ended in ended {
                outcomes.push(ended.write(tx, worker, &catalogue, keep, now_ms)?);
            }
            for start in &starts {
                tx.note_start(worker, start)?;
            }
            while restart && tx.restart_waits(now_ms)? {}
            if max == 0 {
                return Ok((outcomes, Claims::default()));
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
            if let Some(run) = foreground {
                if let Some(burial) = tx.expire_kept(run, worker, now_ms)? {
                    follow_up(tx, &burial, &catalogue, now_ms)?;
                }
                return Ok((outcomes, tx.claim_kept(run, &request, now_ms)?));
            }
            tx.promote(now_ms)?;
            for burial in tx.expire(now_ms)? {
                follow_up(tx, &burial, &catalogue, now_ms)?;
            }
            Ok((outcomes, tx.claim(&request, turns, now_ms)?))
        });
        if restart && !matches!(answer, Answer::NotStored) {
            host.witness.waits(now_ms);
        }
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
            let has_room = claims.runs.len() < free && !claims.full && !claims.wants_idle;
            if foreground.is_none() && has_room {
                host.witness.leaves_nothing(now_ms);
            }
            self.alone = claims.wants_idle;
            self.look = claims.full || claims.wants_idle;
            let due_ms = match foreground {
                Some(_) => None,
                None => self.store.next_due().expect("a look"),
            };
            let next_ms = [due_ms, claims.passed.opens_ms];
            self.next_due_ms = next_ms.into_iter().flatten().min();
        }
        // What is due and has to wait for others looks again when they have moved.
        if !claims.passed.gated && claims.passed.opens_ms.is_none() {
            self.look_after(host);
        }
        for ahead in claims.runs.iter().skip(free) {
            let free_of_limits = ahead.job == "mail" && ahead.tenant.is_empty();
            assert!(free_of_limits, "run {} waits for a slot here", ahead.run);
        }
        for claimed in &claims.runs {
            let alone = !claimed.must_be_alone() || (idle && claims.runs.len() == 1);
            assert!(alone, "run {} must be alone: {claims:?}", claimed.run);
            let expired = claimed.deadline_ms.is_some_and(|it| it <= now_ms);
            assert!(!expired, "run {} is past its deadline", claimed.run);
            host.note(|| format!("worker {worker} claims run {}", claimed.run));
            let keeper = host.witness.fact(claimed.run).keeper;
            let free = keeper.is_none_or(|it| it == worker || !host.locks.contains(&it));
            assert!(free, "run {} is kept by worker {keeper:?}", claimed.run);
        }
        self.queue.extend(claims.runs);
        Ok(())
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
