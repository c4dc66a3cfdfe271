//! What a worker does beside its runs: it recovers workers that died, and prunes. And what the dead still write.

use std::sync::Arc;

use jobctl::attempt::{Class, Ending, Mark, Report, Said};
use jobctl::local::{self, Lock, life};
use jobctl::policy::{Judged, Verdict};
use jobctl::recovery::{DeadWorker, cause, follow_up, is_left_to_parent, proves};
use jobctl::run::{Fence, Reason, RunId, WorkerId};
use jobctl::store::{
    Cause, Claimed, Holder, Outcome, PruneRule, Pruning, Start, Store, Tx, WorkerRow,
};
use jobctl::worker::machine::Event;

use super::facts::Actor;
use super::host::{Answer, Host, Life};
use super::worker::Worker;

/// Looks at every other worker and recovers those whose lock is free.
pub(super) fn reap(worker: &mut Worker, host: &mut Host) -> Life<()> {
    if host.refuses() {
        // The next check is a second later.
        host.refusal();
        return Ok(());
    }
    let rows = worker.store.workers().expect("workers");
    for row in rows.iter().rev() {
        let lock = if host.locks.contains(&row.worker) {
            Lock::Held
        } else {
            // While it is recovered its lock is held, so that one reaper acts.
            Lock::Ours
        };
        let parent_lives = row.parent.is_some_and(|it| host.locks.contains(&it));
        let is_left = is_left_to_parent(row.parent, Some(worker.id), parent_lives);
        if life(lock, || false) == local::Life::Dead && !is_left {
            recover(worker, host, row)?;
        }
    }
    let lives = |row: &WorkerRow| host.locks.contains(&row.worker);
    let all_recovered = worker.store.workers().expect("workers").iter().all(lives);
    worker.on_event(Event::OthersChecked {
        freed: false,
        all_recovered,
        check: worker.check,
    });
    Ok(())
}

fn recover(worker: &mut Worker, host: &mut Host, row: &WorkerRow) -> Life<()> {
    let cause = cause(Some(row.boot_id == host.boot_id()), false);
    let held = worker.store.held_by(row.worker).expect("what it held");
    let held: Vec<_> = held.iter().map(|it| (it.0, it.1)).collect();
    let marked = host.marks.get(&row.worker).cloned().unwrap_or_default();
    let mark = |&(run, fence, _): &(RunId, Fence, i64)| Mark {
        run,
        fence,
        process: None,
    };
    let marks: Vec<Mark> = marked.iter().map(mark).collect();
    let proof = proves(row.parent, Some(worker.id));
    let dead = DeadWorker::of(row.worker, (cause, proof), (&marks, true), &held);
    let mut remaining = Vec::new();
    for mark in dead.claims_to_search() {
        if !host.processes.end_left(mark.run, mark.fence, host.true_ms) {
            remaining.push(mark.run);
        }
    }
    host.strike("after leftovers were ended, before the recovery")?;
    let now_ms = host.wall_ms();
    let death = dead.death(remaining, |mark| {
        let at_ms = marked.iter().find(|it| it.1 == mark.fence).map(|it| it.2);
        at_ms.map_or(now_ms, |at_ms| now_ms - (host.true_ms - at_ms))
    });
    let rebooted = cause == Cause::Reboot;
    let started = death.started.len();
    let catalogue = Arc::clone(worker.machine.catalogue());
    let answer = host.write(Actor::Reaper { rebooted }, &mut worker.store, |tx| {
        let recovered = tx.recover(&death, now_ms)?;
        for burial in &recovered.buried {
            follow_up(tx, burial, &catalogue, now_ms)?;
        }
        Ok(recovered)
    });
    host.strike("after a recovery")?;
    if let Answer::Stored(recovered) = answer {
        let mut poison = recovered.buried.iter().map(|it| it.reason);
        let proved = started == 1 || poison.all(|it| it != Reason::Poison);
        assert!(proved, "{:?}: one of {started} did it", recovered.buried);
        for burial in recovered
            .buried
            .iter()
            .filter(|it| it.reason == Reason::Poison)
        {
            let twice = format!(
                "SELECT crashes >= 2 * max_crashes FROM run WHERE id = {}",
                burial.run
            );
            let enough = proof || host.witness.number(&twice) == 1;
            assert!(enough, "{burial:?}, and its parent died too");
        }
        host.note(|| format!("worker {} is recovered: {recovered:?}", row.worker));
        worker.on_event(Event::OthersChecked {
            freed: true,
            all_recovered: false,
            check: worker.check,
        });
        if death.blocked.is_empty() {
            host.marks.remove(&row.worker);
        }
    }
    Ok(())
}

/// Removes what is old, in small slices, until it is interrupted.
pub(super) fn prune(store: &mut Store, host: &mut Host, before_ms: i64) -> Life<()> {
    if host.refuses() {
        host.refusal();
        return Ok(());
    }
    let upto = store.beyond_newest(60, 50).expect("a look");
    let rule = PruneRule {
        ended_before_ms: Some(before_ms),
        upto: upto.filter(|_| host.dice.percent(20)),
    };
    let mut at = Some(Pruning::default());
    while let Some(from) = at {
        let now_ms = host.wall_ms();
        let pruned = host.write(Actor::Prune, store, |tx| tx.prune(&rule, &from, 40, now_ms));
        host.strike("between two slices of a prune")?;
        at = match pruned {
            Answer::Stored(pruned) => pruned.next,
            Answer::NotStored | Answer::Unknown(_) => None,
        };
    }
    host.note(|| "pruned".to_owned());
    Ok(())
}

/// A claim of a dead worker: a write about it comes too late.
#[derive(Debug)]
pub(super) struct Ghost {
    pub(super) worker: WorkerId,
    pub(super) claimed: Claimed,
}

impl Ghost {
    /// Writes about a claim that is not its any more, which must change nothing. Not before its run was taken away: until
    /// then it would be the last thing that the worker did.
    pub(super) fn haunt(&self, host: &mut Host, store: &mut Store) -> bool {
        let (run, fence) = (self.claimed.run, self.claimed.fence);
        if host.refuses() {
            return false;
        }
        let held = store.held_by(self.worker).expect("what it held");
        if held.iter().any(|(_, it, _)| *it == fence) {
            return false;
        }
        let before = host.witness.portrait(run);
        let now_ms = host.wall_ms();
        let what = host.dice.between(1, 4);
        let answer = store.write(|tx| self.write(tx, what, now_ms));
        host.witness.look(Actor::Nobody, &host.processes);
        let outcome = answer.expect("it is only refused");
        host.note(|| {
            format!(
                "a late write of worker {} about run {run}: {outcome:?}",
                self.worker
            )
        });
        let after = host.witness.portrait(run);
        assert_eq!(before, after, "a stale fence changed run {run}");
        true
    }

    fn write(&self, tx: &mut Tx<'_>, what: i64, now_ms: i64) -> jobctl::error::Result<Outcome> {
        let claimed = &self.claimed;
        let holder = Holder {
            run: claimed.run,
            fence: claimed.fence,
            worker: self.worker,
            attempt: claimed.attempt,
        };
        let start = Start {
            run: claimed.run,
            fence: claimed.fence,
            attempt: claimed.attempt,
            started_ms: now_ms,
        };
        let verdict = match what {
            1 => return tx.unclaim(claimed.run, claimed.fence),
            2 => return tx.note_start(self.worker, &start),
            3 => Verdict::Succeed,
            _ => Verdict::Release,
        };
        let report = Report {
            started_ms: now_ms,
            ran_ms: 0,
            ending: Ending::Exited(0),
            output_tail: Vec::new(),
            output_bytes: 0,
            leaked: 0,
            said: Said::default(),
        };
        let judged = Judged {
            class: Class::Success,
            retry_after: None,
            error: None,
        };
        let finished = tx.finish(holder, &report, &judged, verdict, false, now_ms);
        finished.map(|finished| finished.outcome)
    }
}
