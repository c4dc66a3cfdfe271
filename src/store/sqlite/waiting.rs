//! Waiting runs: made ready when they are due, buried when they are late, and what workers read about them.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::writer::Tx;
use crate::error::Result;
use crate::run::{RunId, State, WorkerId};
use crate::store::decide::Depth;
use crate::store::{Burial, Waiting};

/// Delayed runs that are made ready per transaction.
const PROMOTE_MAX: i64 = 1000;

/// Expired runs that are buried per transaction.
const EXPIRE_MAX: i64 = 100;

/// Restarts relative waits that began later than now. The bound of a hundred years is for rows of other programs: a sum beyond 64
/// bits would make every attempt fail.
pub(super) const REBASE_RELATIVE_DELAYS: &str = "
    UPDATE run SET wait_set_ms = ?1,
        due_ms = iif(due_ms > ?1, ?1 + min(max(due_ms - wait_set_ms, -3155760000000), 3155760000000), due_ms)
    WHERE id IN (
        SELECT id FROM run INDEXED BY run_wait WHERE state = 'waiting' AND wait_set_ms > ?1 LIMIT ?2)";

impl Tx<'_> {
    /// Makes due runs ready. Returns whether more may be due.
    pub fn promote(&mut self, now_ms: i64) -> Result<bool> {
        const SQL: &str = "
            UPDATE run SET ready = 1, wait_set_ms = NULL
            WHERE id IN (
                SELECT id FROM run INDEXED BY run_due
                WHERE state = 'waiting' AND ready = 0 AND worker IS NULL AND gates = 0 AND due_ms <= ?1
                ORDER BY due_ms LIMIT ?2)
            RETURNING queue, tenant";
        let mut statement = self.conn.prepare_cached(SQL)?;
        let rows: Vec<(String, String)> = statement
            .query_map([now_ms, PROMOTE_MAX], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (queue, tenant) in &rows {
            self.count(queue, tenant, Depth::DELAYED, Depth::READY);
        }
        Ok(rows.len() as i64 == PROMOTE_MAX)
    }

    /// To be called after the wall clock stepped back: relative waits that began later than now restart now with their full length,
    /// including those of limits. Returns whether more may be left.
    pub fn rebase_relative_delays(&mut self, now_ms: i64) -> Result<bool> {
        self.rebase_throttles(now_ms)?;
        let mut statement = self.conn.prepare_cached(REBASE_RELATIVE_DELAYS)?;
        Ok(statement.execute([now_ms, PROMOTE_MAX])? as i64 == PROMOTE_MAX)
    }

    /// Buries waiting runs whose deadline has passed.
    pub fn expire(&mut self, now_ms: i64) -> Result<Vec<Burial>> {
        const SQL: &str = "
            SELECT id FROM run INDEXED BY run_deadline
            WHERE state = 'waiting' AND deadline_ms IS NOT NULL AND deadline_ms <= ?1
            ORDER BY deadline_ms LIMIT ?2";
        let runs: Vec<i64> = self
            .conn
            .prepare_cached(SQL)?
            .query_map([now_ms, EXPIRE_MAX], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        runs.into_iter()
            .map(|run| self.bury_expired(RunId(run), now_ms))
            .collect()
    }

    /// Buries the run that is reserved for this worker, if its deadline has passed.
    pub fn expire_reserved(
        &mut self,
        run: RunId,
        worker: WorkerId,
        now_ms: i64,
    ) -> Result<Option<Burial>> {
        const SQL: &str = "
            SELECT 1 FROM run WHERE id = ?1 AND state = 'waiting' AND worker = ?2 AND deadline_ms <= ?3";
        let mut statement = self.conn.prepare_cached(SQL)?;
        let expired = statement.exists(params![run.0, worker.0, now_ms])?;
        drop(statement);
        expired.then(|| self.bury_expired(run, now_ms)).transpose()
    }
}

impl super::Store {
    /// Waiting runs by queue and job: how many, and the earliest due time of those not yet due.
    pub fn waiting(&self) -> Result<Vec<Waiting>> {
        const SQL: &str = "
            SELECT queue, job, count(*), NULL FROM run INDEXED BY run_ready WHERE ready = 1
            GROUP BY queue, job
            UNION ALL
            SELECT queue, job, count(*), NULL FROM run INDEXED BY run_gated
            WHERE gates > 0 AND state = 'waiting' AND worker IS NULL GROUP BY queue, job
            UNION ALL
            SELECT queue, job, count(*), min(due_ms) FROM run INDEXED BY run_due
            WHERE state = 'waiting' AND ready = 0 AND worker IS NULL AND gates = 0 GROUP BY queue, job";
        let mut statement = self.connection()?.prepare_cached(SQL)?;
        let rows = statement
            .query_map([], |row| {
                Ok(Waiting {
                    queue: row.get(0)?,
                    job: row.get(1)?,
                    runs: row.get(2)?,
                    due_ms: row.get(3)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// State of a run, its due time, and the worker that runs it or for which it is reserved.
    pub fn run_location(&self, run: RunId) -> Result<Option<RunLocation>> {
        run_location(self.connection()?, run)
    }

    /// Names of the paused jobs.
    pub fn paused_jobs(&self, now_ms: i64) -> Result<HashSet<String>> {
        let pauses = self.pauses(now_ms)?.into_iter();
        Ok(pauses.map(|pause| pause.job).collect())
    }
}

/// State of a run, its due time in milliseconds, and the worker that runs it or for which it is reserved.
type RunLocation = (State, i64, Option<WorkerId>);

fn run_location(conn: &Connection, run: RunId) -> Result<Option<RunLocation>> {
    const SQL: &str = "SELECT state, due_ms, worker FROM run WHERE id = ?1";
    let row: Option<(String, i64, Option<i64>)> = conn
        .prepare_cached(SQL)?
        .query_row([run.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    Ok(row.and_then(|(state, due_ms, worker)| {
        Some((State::from_word(&state)?, due_ms, worker.map(WorkerId)))
    }))
}

impl Tx<'_> {
    /// As [`super::Store::run_location`], within the transaction.
    pub fn run_location(&self, run: RunId) -> Result<Option<RunLocation>> {
        run_location(self.conn, run)
    }

    /// When the next delayed run becomes due or a waiting one expires, milliseconds. Ready runs do not count: after a claim without
    /// runs they wait for something other than time.
    pub fn next_due(&self) -> Result<Option<i64>> {
        const DUE: &str = "
            SELECT due_ms FROM run INDEXED BY run_due
            WHERE state = 'waiting' AND ready = 0 AND worker IS NULL AND gates = 0 ORDER BY due_ms LIMIT 1";
        const DEADLINE: &str = "
            SELECT deadline_ms FROM run INDEXED BY run_deadline
            WHERE state = 'waiting' AND deadline_ms IS NOT NULL ORDER BY deadline_ms LIMIT 1";
        let due: Option<i64> = self
            .conn
            .prepare_cached(DUE)?
            .query_row([], |row| row.get(0))
            .optional()?;
        let deadline: Option<i64> = self
            .conn
            .prepare_cached(DEADLINE)?
            .query_row([], |row| row.get(0))
            .optional()?;
        Ok([due, deadline].into_iter().flatten().min())
    }
}
