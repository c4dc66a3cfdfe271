//! The ledger of a worker: the batch under way in one transaction, held against what must hold of it.

use jobctl::run::Guarantee;
use jobctl::store::{Answer, ClaimAnswer, ClaimOrder, Outcome};
use jobctl::worker::batch::{Batch, Write};
use jobctl::worker::machine::Event;

use super::host::{Host, Life};
use super::worker::{SLOTS, Worker};

impl Worker {
    /// Writes what was submitted, and answers.
    pub(super) fn write(&mut self, host: &mut Host) -> Life<()> {
        let Some(batch) = self.submitted.take() else {
            return Ok(());
        };
        let now_ms = host.wall_ms();
        let (answers, may_be_stored) = host.write_batch(&mut self.store, &batch, &mut self.turns);
        let rebases = batch.writes.iter().zip(&may_be_stored);
        let mut rebases =
            rebases.filter(|(write, stored)| matches!(write, Write::Rebase) && **stored);
        if rebases.next().is_some() {
            host.witness.waits(now_ms);
        }
        host.strike("after a transaction")?;
        for (write, answer) in batch.writes.iter().zip(&answers) {
            if let Ok(answer) = answer {
                self.judge(&batch, write, answer, now_ms, host);
            }
        }
        if answers.iter().all(Result::is_ok) {
            self.judge_starts(host);
        }
        self.inbox.push(Event::Answered(answers));
        Ok(())
    }

    /// Every attempt that had run for a while when this was submitted is stored as started.
    fn judge_starts(&self, host: &Host) {
        let attempts = self.attempts.iter().flatten();
        for (run, number) in attempts.filter_map(|it| it.to_be_noted(self.submitted_ms)) {
            let sql =
                format!("SELECT count(*) FROM attempt WHERE run = {run} AND number = {number}");
            let noted = host.witness.number(&sql) == 1;
            assert!(
                noted,
                "worker {}: nobody knows that run {run} has started",
                self.id
            );
        }
    }

    fn judge(&self, batch: &Batch, write: &Write, answer: &Answer, now_ms: i64, host: &mut Host) {
        match (write, answer) {
            // Of an unstarted run only a claim that is given back may be stale: by a write with an unknown outcome.
            (Write::End { ended, .. }, Answer::Finished { finished, .. }) => {
                let run = ended.claimed.run;
                let fenced = ended.started && finished.outcome == Outcome::Fenced;
                let lost = fenced && !host.witness.fact(run).gone;
                assert!(!lost, "worker {} lost run {run} while it lived", self.id);
            }
            (Write::End { ended, .. }, answer) => {
                let given_back = matches!(answer, Answer::Unclaimed(_)) && !ended.started;
                assert!(given_back, "{ended:?} got {answer:?}");
            }
            (Write::Claim(order), Answer::Claimed(answer)) => {
                self.judge_claim(batch, order, answer, now_ms, host);
            }
            _ => {}
        }
    }

    fn judge_claim(
        &self,
        batch: &Batch,
        order: &ClaimOrder,
        answer: &ClaimAnswer,
        now_ms: i64,
        host: &mut Host,
    ) {
        let claims = &answer.claims;
        let worker = self.id;
        host.note(|| {
            let (max, free) = (order.max, order.free);
            let (runs, full) = (claims.runs.len(), claims.full);
            let passed = claims.passed;
            format!(
                "worker {worker} wants {max} ({free} free), gets {runs}, full {full}, {passed:?}"
            )
        });
        let knows_all =
            order.held_back.is_empty() && batch.catalogue.jobs.len() == host.catalogue().jobs.len();
        let has_room = claims.runs.len() < order.free && !claims.full;
        if order.only.is_none() && has_room && knows_all {
            host.witness.leaves_nothing(now_ms);
        }
        for ahead in claims.runs.iter().skip(order.free) {
            let is_free_of_limits = ahead.job == "mail" && ahead.tenant.is_empty();
            assert!(is_free_of_limits, "run {} waits for a slot here", ahead.run);
        }
        for claimed in &claims.runs {
            let run = claimed.run;
            let expired = claimed.deadline_ms.is_some_and(|it| it <= now_ms);
            assert!(!expired, "run {run} is past its deadline");
            assert!(claims.runs.len() <= order.max && order.max <= 40 * SLOTS);
            host.note(|| format!("worker {worker} claims run {run}"));
            let (guarantee, attempts) = batch.catalogue.terms(&claimed.job).expect("a job");
            let once = guarantee == Guarantee::AtMostOnce;
            let obeys = claimed.guarantee == Guarantee::AtMostOnce
                || (!once && claimed.max_attempts <= attempts.max(claimed.failures + 1));
            assert!(obeys, "run {run} does not obey its job: {claimed:?}");
            let keeper = host.witness.fact(run).keeper;
            let free = keeper.is_none_or(|it| it == worker || !host.locks.contains(&it));
            assert!(free, "run {run} is kept by worker {keeper:?}");
        }
    }
}
