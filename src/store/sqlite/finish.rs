//! Ends attempts: one named statement per transition out of `running`, each fenced.
//!
//! Rule: if no row changes, the claim is no longer valid, and nothing else about the run is written.

use rusqlite::{OptionalExtension, params};

use super::leave::{Lane, Last};
use super::moves::{exactly_one, no_such_move};
use super::writer::Tx;
use crate::attempt::{EndingKind, Report};
use crate::error::Result;
use crate::policy::{Judged, Verdict};
use crate::run::{Fence, RunId, State, WorkerId};
use crate::store::decide::{
    Depth, EndWrites, Loss, RunEnd, StoredFacts, end_of_attempt, end_of_lost,
};
use crate::store::{Burial, Finished, Holder, Outcome, Start};

impl Tx<'_> {
    /// Records that an attempt has started, so that readers see it while it runs.
    pub fn note_start(&mut self, worker: WorkerId, start: &Start) -> Result<Outcome> {
        const RUN: &str = "
            UPDATE run SET attempts = ?3, started_ms = coalesce(started_ms, ?4)
            WHERE id = ?1 AND fence = ?2 AND state = 'running'";
        const ATTEMPT: &str = "
            INSERT INTO attempt (run, number, fence, worker, started_ms) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (run, number) DO NOTHING";
        let changed = self.conn.prepare_cached(RUN)?.execute(params![
            start.run.0,
            start.fence.0,
            start.attempt,
            start.started_ms
        ])?;
        if changed != 1 {
            return Ok(Outcome::Fenced);
        }
        self.conn.prepare_cached(ATTEMPT)?.execute(params![
            start.run.0,
            start.attempt,
            start.fence.0,
            worker.0,
            start.started_ms
        ])?;
        Ok(Outcome::Moved(State::Running))
    }

    /// Ends an attempt according to the verdict; a cancel that was requested meanwhile overrides every verdict but success.
    ///
    /// Idempotent for one claim: after an unknown COMMIT the same call returns the same outcome.
    pub fn finish(
        &mut self,
        holder: Holder,
        report: &Report,
        judged: &Judged,
        verdict: Verdict,
        keep: bool,
        now_ms: i64,
    ) -> Result<Finished> {
        let held = if verdict == Verdict::Succeed {
            // Saves a read at the most frequent end: success does not depend on the stored row.
            let lane = self.succeed(holder, report, now_ms)?;
            lane.map(|lane| (lane, StoredFacts::default()))
        } else {
            self.held(holder)?
        };
        let Some((lane, facts)) = held else {
            return Ok(Finished::of(self.already_ended(holder)?, Vec::new()));
        };
        let end = end_of_attempt(verdict, judged, facts, keep, now_ms);
        let flow = match end.limits {
            Some(learnt) => self.note_ending(&lane, holder.fence, learnt, now_ms)?,
            None => Vec::new(),
        };
        self.end_attempt(holder, report, judged)?;
        let last = Last {
            started_ms: report.started_ms,
            exit_code: report.ending.exit_code(),
            error: judged.error.as_deref(),
        };
        if end.writes == EndWrites::Cancelled {
            self.cancel_running(holder, last, now_ms)?;
        }
        let (outcome, burial) =
            self.leave_running(holder, lane, &end, last, &report.output_tail, now_ms)?;
        Ok(Finished {
            outcome,
            burial,
            flow,
        })
    }

    /// Writes a run that waits again or is dead, and counts it. Other statements write succeeded and cancelled runs.
    fn leave_running(
        &mut self,
        holder: Holder,
        lane: Lane,
        end: &RunEnd,
        last: Last<'_>,
        tail: &[u8],
        now_ms: i64,
    ) -> Result<(Outcome, Option<Burial>)> {
        let Lane {
            queue, tenant, job, ..
        } = lane;
        let mut burial = None;
        match end.writes {
            EndWrites::Succeeded | EndWrites::Cancelled => {}
            EndWrites::Waiting(waits) => self.back_to_waiting(holder, &waits, last)?,
            EndWrites::Dead {
                reason,
                failures,
                crashes,
            } => {
                self.bury_running(holder, reason, (failures, crashes), last, now_ms)?;
                self.dead_letter(holder.run, &job, reason, last.error, tail, now_ms)?;
                burial = Some(Burial {
                    run: holder.run,
                    job,
                    reason,
                });
            }
        }
        self.count(&queue, &tenant, Depth::RUNNING, end.writes.depth());
        let state = State::Running
            .after(end.event)
            .ok_or_else(|| no_such_move("end a run"))?;
        Ok((Outcome::Moved(state), burial))
    }

    /// The outcome if this attempt has already ended, for a call that is repeated after an unknown COMMIT; else `Fenced`.
    fn already_ended(&self, holder: Holder) -> Result<Outcome> {
        const SQL: &str = "
            SELECT run.state FROM attempt JOIN run ON run.id = attempt.run
            WHERE attempt.run = ?1 AND attempt.number = ?2 AND attempt.fence = ?3 AND attempt.ended_ms IS NOT NULL
                AND attempt.ending <> 'lost'";
        let state: Option<String> = self
            .conn
            .prepare_cached(SQL)?
            .query_row(
                params![holder.run.0, holder.attempt, holder.fence.0],
                |row| row.get(0),
            )
            .optional()?;
        Ok(state
            .as_deref()
            .and_then(State::from_word)
            .map_or(Outcome::Fenced, Outcome::Moved))
    }

    fn end_attempt(&self, holder: Holder, report: &Report, judged: &Judged) -> Result<()> {
        const SQL: &str = "
            INSERT INTO attempt (run, number, fence, worker, started_ms, ended_ms, ending, exit_code, signal, class,
                error, output_tail, output_bytes, leaked)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
            ON CONFLICT (run, number) DO UPDATE SET
                ended_ms = attempt.started_ms + (excluded.ended_ms - excluded.started_ms),
                ending = excluded.ending, exit_code = excluded.exit_code,
                signal = excluded.signal, class = excluded.class, error = excluded.error,
                output_tail = excluded.output_tail, output_bytes = excluded.output_bytes, leaked = excluded.leaked";
        let tail = (!report.output_tail.is_empty()).then_some(&report.output_tail);
        self.conn.prepare_cached(SQL)?.execute(params![
            holder.run.0,
            holder.attempt,
            holder.fence.0,
            holder.worker.0,
            report.started_ms,
            report.ended_ms(),
            report.ending.kind().word(),
            report.ending.exit_code(),
            report.ending.signal(),
            judged.class.word(),
            judged.error,
            tail,
            report.output_bytes as i64,
            report.leaked,
        ])?;
        Ok(())
    }

    /// Returns a claim whose command was certainly not started; a recorded start is removed.
    pub fn unclaim(&mut self, run: RunId, fence: Fence) -> Result<Outcome> {
        const NOTED: &str = "
            DELETE FROM attempt WHERE run = ?1 AND fence = ?2 AND ended_ms IS NULL RETURNING number";
        const NOT_STARTED: &str = "
            UPDATE run SET attempts = ?3 - 1, started_ms = CASE ?3 WHEN 1 THEN NULL ELSE started_ms END
            WHERE id = ?1 AND fence = ?2 AND state = 'running'";
        const SQL: &str = "
            UPDATE run SET state = 'waiting', ready = 1, worker = NULL, fence = ?3
            WHERE id = ?1 AND fence = ?2 AND state = 'running' AND cancel_ms IS NULL
            RETURNING queue, tenant";
        const CANCEL: &str = "
            UPDATE run SET state = 'cancelled', worker = NULL, fence = ?3,
                ended_ms = max(cancel_ms, coalesce(started_ms, cancel_ms)), reason = 'cancelled'
            WHERE id = ?1 AND fence = ?2 AND state = 'running' AND cancel_ms IS NOT NULL
            RETURNING queue, tenant";
        let noted: Option<i64> = self
            .conn
            .prepare_cached(NOTED)?
            .query_row([run.0, fence.0], |row| row.get(0))
            .optional()?;
        if let Some(number) = noted {
            self.conn
                .prepare_cached(NOT_STARTED)?
                .execute([run.0, fence.0, number])?;
        }
        let new_fence = self.fences(1)?;
        for (sql, to, state) in [
            (SQL, Depth::READY, State::Waiting),
            (CANCEL, Depth::NONE, State::Cancelled),
        ] {
            let mut statement = self.conn.prepare_cached(sql)?;
            let row: Option<(String, String)> = statement
                .query_row([run.0, fence.0, new_fence], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            drop(statement);
            if let Some((queue, tenant)) = row {
                self.count(&queue, &tenant, Depth::RUNNING, to);
                return Ok(Outcome::Moved(state));
            }
        }
        Ok(Outcome::Fenced)
    }

    /// Ends an attempt whose worker died after the start mark.
    pub(super) fn lose(
        &mut self,
        holder: Holder,
        loss: &Loss,
        now_ms: i64,
    ) -> Result<(Outcome, Option<Burial>)> {
        const ATTEMPT: &str = "
            INSERT INTO attempt (run, number, fence, worker, started_ms, ended_ms, ending, class, error)
            VALUES (?1, ?2, ?3, ?4,
                -- The start is only known from a file time, whose clock lags a little.
                max(?5, coalesce((SELECT ended_ms FROM attempt WHERE run = ?1 AND number = ?2 - 1), ?5)),
                max(?5, ?6, coalesce((SELECT ended_ms FROM attempt WHERE run = ?1 AND number = ?2 - 1), ?5)),
                ?7, 'transient', ?8)
            ON CONFLICT (run, number) DO UPDATE SET
                ended_ms = max(excluded.ended_ms, attempt.started_ms), ending = excluded.ending,
                class = excluded.class, error = excluded.error";
        const CANCEL: &str = "
            UPDATE run SET state = 'cancelled', worker = NULL, fence = ?3, attempts = ?4,
                ended_ms = max(?5, coalesce(started_ms, ?5)),
                last_error = ?6, reason = 'cancelled'
            WHERE id = ?1 AND fence = ?2 AND state = 'running'";
        let Some((lane, facts)) = self.held(holder)? else {
            return Ok((Outcome::Fenced, None));
        };
        let error = loss.error.as_str();
        self.conn.prepare_cached(ATTEMPT)?.execute(params![
            holder.run.0,
            holder.attempt,
            holder.fence.0,
            holder.worker.0,
            loss.started_ms,
            now_ms,
            EndingKind::Lost.word(),
            error
        ])?;
        let end = end_of_lost(loss, facts, now_ms);
        if end.writes == EndWrites::Cancelled {
            let fence = self.fences(1)?;
            let changed = self.conn.prepare_cached(CANCEL)?.execute(params![
                holder.run.0,
                holder.fence.0,
                fence,
                holder.attempt,
                now_ms,
                error
            ])?;
            exactly_one(changed, "cancel a run")?;
        }
        let last = Last {
            started_ms: loss.started_ms,
            exit_code: None,
            error: Some(error),
        };
        self.leave_running(holder, lane, &end, last, &[], now_ms)
    }
}
