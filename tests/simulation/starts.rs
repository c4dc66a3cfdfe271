//! From a claim to a started command, and back where it finds no slot.

use std::collections::HashSet;

use jobctl::run::{Fence, RunId, State};
use jobctl::store::{Claimed, Outcome, Start};

use super::commands::script;
use super::facts::Actor;
use super::host::{Answer, HOUR, Host, Life};
use super::worker::{Active, SLOTS, Worker};

impl Worker {
    /// Attempts that are not yet in the store, and long enough under way.
    pub(super) fn unnoted(&mut self, now_ms: i64) -> Vec<Start> {
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

    pub(super) fn start_queued(&mut self, host: &mut Host) -> Life<()> {
        let mut back = Vec::new();
        while self.active.len() < SLOTS && !self.queue.is_empty() {
            host.strike("after a claim, before the start mark")?;
            let claimed = self.queue.remove(0);
            let (run, fence) = (claimed.run, claimed.fence);
            if host.fails() {
                host.note(|| format!("run {run}: the host lacks what its start needs"));
                back.push(claimed);
                continue;
            }
            let marks = host.marks.entry(self.id).or_default();
            marks.push((run, fence, host.true_ms));
            host.witness.fact(run).begun = true;
            if let Err(died) = host.strike("after the start mark, before the start") {
                self.queue.push(claimed);
                return Err(died);
            }
            let started_ms = host.wall_ms();
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
                begun_ms: host.true_ms,
                noted: false,
            });
            host.strike("after the start")?;
        }
        // What could not be started goes back with what found no slot.
        self.queue.extend(back);
        Ok(())
    }

    pub(super) fn unclaim(&mut self, host: &mut Host, claims: &[Claimed]) {
        if claims.is_empty() {
            return;
        }
        let claims = claims.iter().map(|it| (it.run, it.fence));
        let claims: Vec<_> = claims.collect();
        let answer = self.give_back(host, &claims);
        self.reconcile |= !matches!(answer, Answer::Stored(()));
    }

    /// Gives back what the store says is ours and we do not know of.
    pub(super) fn give_back_unknown(&mut self, host: &mut Host) {
        let mut known: HashSet<Fence> = self.holds().map(|(_, fence)| fence).collect();
        known.extend(self.ended.iter().map(|it| it.claimed.fence));
        let held = self.store.held_by(self.id).expect("what it holds");
        let unknown: Vec<_> = held
            .into_iter()
            .filter(|(_, fence, _)| !known.contains(fence))
            .map(|(run, fence, _)| (run, fence))
            .collect();
        let answer = self.give_back(host, &unknown);
        self.reconcile = !matches!(answer, Answer::Stored(()));
    }

    /// What a `run JOB` keeps stays its own.
    fn give_back(&mut self, host: &mut Host, claims: &[(RunId, Fence)]) -> Answer<()> {
        let (worker, kept) = (self.id, self.foreground.filter(|_| self.keeps()));
        host.write(Actor::Worker, &mut self.store, |tx| {
            for &(run, fence) in claims {
                let outcome = tx.unclaim(run, fence)?;
                if kept == Some(run) && outcome == Outcome::Moved(State::Waiting) {
                    tx.keep_for(run, worker)?;
                }
            }
            Ok(())
        })
    }
}
