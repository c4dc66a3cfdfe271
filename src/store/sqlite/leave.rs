//! The statements that move a run out of `running`, each fenced; those with a dead letter are in `bury`.

use rusqlite::{OptionalExtension, Row, params};

use super::moves::exactly_one;
use super::writer::Tx;
use crate::attempt::Report;
use crate::error::Result;
use crate::store::Holder;
use crate::store::decide::{StoredFacts, WaitsAgain};

/// The columns of a run that describe its last attempt.
#[derive(Clone, Copy)]
pub(super) struct Last<'a> {
    pub(super) started_ms: i64,
    pub(super) exit_code: Option<i32>,
    pub(super) error: Option<&'a str>,
}

/// The lane of a run, and the limits with which it was claimed.
pub(super) struct Lane {
    pub(super) queue: String,
    pub(super) tenant: String,
    pub(super) job: String,
    pub(super) limits: Option<String>,
}

impl Tx<'_> {
    /// Marks the run as succeeded. Returns its lane; `None` if the claim is no longer valid.
    pub(super) fn succeed(
        &self,
        holder: Holder,
        report: &Report,
        now_ms: i64,
    ) -> Result<Option<Lane>> {
        const SQL: &str = "
            UPDATE run SET state = 'succeeded', worker = NULL, attempts = ?3, ended_ms = max(?4, coalesce(started_ms, ?5)),
                started_ms = coalesce(started_ms, ?5), exit_code = ?6, result = ?7, limited_ms = NULL
            WHERE id = ?1 AND fence = ?2 AND state = 'running' RETURNING queue, tenant, job, limits";
        let results = &report.said.results;
        let result = (!results.is_empty()).then(|| format!("[{}]", results.join(",")));
        let mut statement = self.conn.prepare_cached(SQL)?;
        let values = params![
            holder.run.0,
            holder.fence.0,
            holder.attempt,
            now_ms,
            report.started_ms,
            report.ending.exit_code(),
            result
        ];
        let moved = statement.query_row(values, lane_of);
        Ok(moved.optional()?)
    }

    /// The run of a claim; `None` if the claim is no longer valid.
    pub(super) fn held(&self, holder: Holder) -> Result<Option<(Lane, StoredFacts)>> {
        const SQL: &str = "
            SELECT queue, tenant, job, limits, cancel_ms IS NOT NULL AS cancel, limited_ms FROM run
            WHERE id = ?1 AND fence = ?2 AND state = 'running'";
        let mut statement = self.conn.prepare_cached(SQL)?;
        let held = statement.query_row([holder.run.0, holder.fence.0], |row| {
            let facts = StoredFacts {
                cancel: row.get("cancel")?,
                limited_ms: row.get("limited_ms")?,
            };
            Ok((lane_of(row)?, facts))
        });
        Ok(held.optional()?)
    }

    pub(super) fn cancel_running(
        &mut self,
        holder: Holder,
        last: Last<'_>,
        now_ms: i64,
    ) -> Result<()> {
        const SQL: &str = "
            UPDATE run SET state = 'cancelled', worker = NULL, fence = ?3, attempts = ?4,
                ended_ms = max(?5, coalesce(started_ms, ?6)), started_ms = coalesce(started_ms, ?6), exit_code = ?7, last_error = ?8, reason = 'cancelled'
            WHERE id = ?1 AND fence = ?2 AND state = 'running'";
        let fence = self.fences(1)?;
        let changed = self.conn.prepare_cached(SQL)?.execute(params![
            holder.run.0,
            holder.fence.0,
            fence,
            holder.attempt,
            now_ms,
            last.started_ms,
            last.exit_code,
            last.error
        ])?;
        exactly_one(changed, "cancel a run")
    }

    /// Defer, release and lose: the run waits again.
    pub(super) fn back_to_waiting(
        &mut self,
        holder: Holder,
        waits: &WaitsAgain,
        last: Last<'_>,
    ) -> Result<()> {
        const SQL: &str = "
            UPDATE run SET state = 'waiting', ready = ?3, worker = ?4, fence = ?5, due_ms = ?6, wait_set_ms = ?7,
                attempts = ?8, failures = failures + ?9, releases = min(releases, 1000000000000) + ?10, crashes = crashes + ?11,
                limited_ms = ?12, exit_code = ?13, last_error = ?14, started_ms = coalesce(started_ms, ?15)
            WHERE id = ?1 AND fence = ?2 AND state = 'running'";
        let fence = self.fences(1)?;
        let keeper = waits.reserved.then_some(holder.worker.0);
        let changed = self.conn.prepare_cached(SQL)?.execute(params![
            holder.run.0,
            holder.fence.0,
            waits.is_ready(),
            keeper,
            fence,
            waits.due_ms,
            waits.wait_set_ms,
            holder.attempt,
            waits.failures,
            waits.releases,
            waits.crashes,
            waits.limited_ms,
            last.exit_code,
            last.error,
            last.started_ms
        ])?;
        exactly_one(changed, "put a run back")
    }
}

fn lane_of(row: &Row<'_>) -> rusqlite::Result<Lane> {
    Ok(Lane {
        queue: row.get("queue")?,
        tenant: row.get("tenant")?,
        job: row.get("job")?,
        limits: row.get("limits")?,
    })
}
