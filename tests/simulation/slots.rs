//! The slots of a worker: from a claim to a started command, and from its end to the main loop.

use std::sync::Arc;

use jobctl::attempt::StopCommand;
use jobctl::attempt::{
    Class, Ending, NotStarted, Report, RetryAfter, Said, Shortage, ShortageScope,
};
use jobctl::run::RunId;
use jobctl::store::{Claimed, EndedAttempt};
use jobctl::worker::admit;
use jobctl::worker::machine::Event;

use super::catalogues::{NO_OPTIONS, editions};
use super::commands::{outcome, script};
use super::facts::Counted;
use super::host::{Died, HOUR, Host, Life, SECOND};
use super::processes::Script;
use super::worker::{SLOTS, Worker, now};

/// The start of an attempt that has run for this long is stored.
const NOTE_AFTER_MS: i64 = 100;

/// An attempt that runs.
#[derive(Debug)]
pub(super) struct Attempt {
    claimed: Claimed,
    /// Its process.
    process: usize,
    /// Start, by the wall clock and by the true time.
    started_ms: i64,
    started_true_ms: i64,
}

impl Attempt {
    /// Its run and number, if it had run long enough for its start to be stored.
    pub(super) fn to_be_noted(&self, then_ms: i64) -> Option<(RunId, i64)> {
        let claimed = &self.claimed;
        (self.started_true_ms + NOTE_AFTER_MS <= then_ms).then_some((claimed.run, claimed.attempt))
    }
}

impl Worker {
    /// What has come to its end by itself.
    pub(super) fn end_attempts(&mut self, host: &mut Host) -> Life<()> {
        for slot in 0..SLOTS {
            let stopped = |it: &mut Attempt| host.processes.get(it.process).stopped;
            let Some(attempt) = self.attempts[slot].take_if(stopped) else {
                continue;
            };
            let script = host.processes.get(attempt.process).script;
            if script == Script::KillsItsWorker {
                host.note(|| format!("run {} kills its worker", attempt.claimed.run));
                return Err(Died);
            }
            if script == Script::Exits(0) {
                host.witness.fact(attempt.claimed.run).successes += 1;
            }
            let (ending, said) = outcome(script);
            self.end(host, slot, attempt, ending, said, false);
        }
        host.strike("after an exit, before its end is stored")
    }

    /// A slot reports the end of its attempt.
    fn end(
        &mut self,
        host: &mut Host,
        slot: usize,
        attempt: Attempt,
        ending: Ending,
        said: Said,
        stuck: bool,
    ) {
        host.witness.fact(attempt.claimed.run).ending = match ending {
            Ending::Released { .. } => Counted::Release,
            Ending::Exited(65) => Counted::Permanent,
            _ if said.class == Some(Class::RateLimited) => Counted::Nothing,
            _ => Counted::Failure,
        };
        if let Some(RetryAfter::In(wait_ms)) = said.retry_after {
            host.witness.fact(attempt.claimed.run).asked_wait_ms = wait_ms;
        }
        host.note(|| format!("run {}: {ending:?}", attempt.claimed.run));
        let process = host.processes.get(attempt.process);
        let took_ms = process.stopped_at(host.true_ms) - attempt.started_true_ms;
        let report = Report {
            started_ms: attempt.started_ms,
            ran_ms: took_ms,
            ending,
            output_tail: Vec::new(),
            output_bytes: 0,
            leaked: 0,
            said,
        };
        let job = &self.machine.catalogue().jobs[&attempt.claimed.job];
        self.line.clear(slot);
        let ended = Box::new(EndedAttempt {
            job: Arc::clone(job),
            claimed: attempt.claimed,
            report,
            started: true,
            shortage: None,
            unit: host.dice.unit(),
        });
        if stuck {
            let (run, fence) = (ended.claimed.run, ended.claimed.fence);
            let pids = vec![attempt.process as i32];
            self.inbox.push(Event::Stuck { run, fence, pids });
            self.stuck.push(ended);
        } else {
            self.inbox.push(Event::Ended(ended));
        }
    }

    /// Ends the command of a slot, as far as it can be ended.
    fn stop(&mut self, slot: usize, ending: Ending, host: &mut Host) {
        let Some(attempt) = self.attempts[slot].take() else {
            return;
        };
        let (run, fence) = (attempt.claimed.run, attempt.claimed.fence);
        let stuck = !host.processes.end_left(run, fence, host.true_ms);
        self.end(host, slot, attempt, ending, Said::default(), stuck);
    }

    pub(super) fn cancel(&mut self, slot: usize, host: &mut Host) {
        let ending = Ending::Cancelled {
            exit_code: None,
            signal: Some(15),
        };
        self.stop(slot, ending, host);
    }

    pub(super) fn release_all(&mut self, command: StopCommand, host: &mut Host) {
        for slot in 0..SLOTS {
            if let Some(child) = &self.children[slot] {
                child.tell(command, host);
            }
            let ending = Ending::Released {
                exit_code: None,
                signal: Some(15),
            };
            self.stop(slot, ending, host);
        }
    }

    /// The stuck attempts whose process is gone.
    #[expect(
        clippy::vec_box,
        reason = "they come and go as events, which are boxed"
    )]
    pub(super) fn end_stuck(&mut self, host: &mut Host) -> Vec<Box<EndedAttempt>> {
        let now_ms = host.true_ms;
        let is_gone = |ended: &mut Box<EndedAttempt>| {
            let claimed = &ended.claimed;
            host.processes.end_left(claimed.run, claimed.fence, now_ms)
        };
        self.stuck.extract_if(.., is_gone).collect()
    }

    pub(super) fn start_attempts(&mut self, host: &mut Host) -> Life<()> {
        for slot in 0..SLOTS {
            let is_there = slot < self.machine.slots();
            if !is_there || self.attempts[slot].is_some() || self.children[slot].is_some() {
                continue;
            }
            let Some(next) = self.line.try_next(slot, now(host)) else {
                return Ok(());
            };
            assert!(
                next.alone == (next.claimed.must_be_alone() && self.only.is_none()),
                "run {} must be alone",
                next.claimed.run
            );
            if next.alone {
                self.hand_over(slot, next.claimed, host)?;
            } else {
                self.start_attempt(slot, next.claimed, host)?;
            }
        }
        Ok(())
    }

    /// The host lacks what a start needs: nothing was started.
    fn lack(&mut self, slot: usize, claimed: Claimed, host: &mut Host) {
        let run = claimed.run;
        host.note(|| format!("run {run}: the host lacks what its start needs"));
        let scopes = [ShortageScope::Worker, ShortageScope::Job];
        let scope = *host.dice.pick(&scopes).expect("one");
        if scope == ShortageScope::Worker {
            self.short_until_ms = host.true_ms + SECOND;
        }
        let shortage = Shortage {
            scope,
            message: "no memory".to_owned(),
        };
        let ending = Ending::Released {
            exit_code: None,
            signal: None,
        };
        self.end_unstarted(slot, claimed, ending, Some(shortage), host);
    }

    /// The slot reports that it started nothing.
    fn end_unstarted(
        &mut self,
        slot: usize,
        claimed: Claimed,
        ending: Ending,
        shortage: Option<Shortage>,
        host: &mut Host,
    ) {
        self.line.clear(slot);
        self.inbox.push(Event::Ended(Box::new(EndedAttempt {
            job: Arc::clone(&self.machine.catalogue().jobs[&claimed.job]),
            claimed,
            report: Report::not_started(ending, host.wall_ms()),
            started: false,
            shortage,
            unit: host.dice.unit(),
        })));
    }

    fn start_attempt(&mut self, slot: usize, claimed: Claimed, host: &mut Host) -> Life<()> {
        host.strike("after a claim, before the start mark")?;
        let job = &self.machine.catalogue().jobs[&claimed.job];
        match admit(&claimed, job) {
            Ok(params) => {
                let strict = Arc::ptr_eq(self.machine.catalogue(), &editions()[NO_OPTIONS]);
                let good = claimed.job != "ledger" || !strict || !params["of"].starts_with('-');
                assert!(good, "run {}: {params:?}", claimed.run);
            }
            Err(NotStarted::Ended(ending)) => {
                host.note(|| format!("run {}: {ending:?}", claimed.run));
                host.witness.fact(claimed.run).refused = true;
                self.end_unstarted(slot, claimed, ending, None, host);
                return Ok(());
            }
            Err(NotStarted::Shortage(_)) => unreachable!("it lacks nothing"),
        }
        if host.fails() {
            self.lack(slot, claimed, host);
            return Ok(());
        }
        let (run, fence) = (claimed.run, claimed.fence);
        let marks = host.marks.entry(self.id).or_default();
        marks.push((run, fence, host.true_ms));
        host.witness.fact(run).begun = true;
        host.strike("after the start mark, before the start")?;
        let (started_ms, started_true_ms) = (host.wall_ms(), host.true_ms);
        let (script, lasts_ms) = script(host, &claimed);
        let stops_ms = host.true_ms + lasts_ms;
        let stuck_ms = if host.fails() { 2 * HOUR } else { 0 };
        let number = claimed.attempt;
        host.witness.start(&claimed);
        let stuck_ms = host.true_ms + stuck_ms;
        let process = host
            .processes
            .start((run, fence), script, stops_ms, stuck_ms);
        host.note(|| format!("run {run} starts, attempt {number}: {script:?}"));
        self.attempts[slot] = Some(Attempt {
            claimed,
            process,
            started_ms,
            started_true_ms,
        });
        host.strike("after the start")
    }
}
