//! Reads the history of a schedule as an audit and an operator need it: by version, by instant, and with the runs.
//!
//! Rule: reads only; all reads inside one snapshot are consistent.

use rusqlite::{Connection, params};

use super::periods::{COLUMNS, period_row};
use super::writer::Tx;
use crate::error::Result;
use crate::run::RunId;
use crate::store::{ForeignRun, PeriodRow, UnrecordedRun, VersionRows};

fn stretches(conn: &Connection, job: &str, version: i64, at_ms: i64) -> Result<Vec<PeriodRow>> {
    // Rows of one version do not overlap: only the rows that begin at the instant, and the last row that begins before it, can cover it.
    let sql = format!(
        "SELECT {COLUMNS} FROM period INDEXED BY period_job WHERE job = ?1 AND due_ms = ?3 AND version = ?2
         UNION ALL SELECT * FROM (
            SELECT {COLUMNS} FROM period INDEXED BY period_job WHERE job = ?1 AND due_ms < ?3 AND version = ?2
            ORDER BY due_ms DESC, last_due_ms DESC LIMIT 1)"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut found = Vec::new();
    for row in statement.query_map(params![job, version, at_ms], period_row)? {
        let row = row?;
        if row.count > 1 && row.last_due_ms >= at_ms {
            found.push(row);
        }
    }
    Ok(found)
}

impl Tx<'_> {
    /// The rows of several periods, of one version, that cover an instant.
    pub fn stretches(&self, job: &str, version: i64, at_ms: i64) -> Result<Vec<PeriodRow>> {
        stretches(self.conn, job, version, at_ms)
    }
}

impl super::Store {
    /// Calls `read` inside one snapshot: later commits of other processes are not visible.
    pub fn snapshot<T>(&self, read: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let transaction = self.connection()?.unchecked_transaction()?;
        let answer = read(self);
        // Nothing was written, so the rollback loses nothing.
        drop(transaction);
        answer
    }

    /// The rows of several periods, of one version, that cover an instant.
    pub fn stretches(&self, job: &str, version: i64, at_ms: i64) -> Result<Vec<PeriodRow>> {
        stretches(self.connection()?, job, version, at_ms)
    }

    /// The versions to which the rows of a job belong.
    pub fn row_versions(&self, job: &str) -> Result<Vec<VersionRows>> {
        const SQL: &str = "
            SELECT version, count(*) AS rows, min(due_ms) AS first_due_ms FROM period INDEXED BY period_job WHERE job = ?1
            GROUP BY version ORDER BY version";
        let mut statement = self.connection()?.prepare_cached(SQL)?;
        let rows = statement
            .query_map([job], |row| {
                Ok(VersionRows {
                    version: row.get("version")?,
                    rows: row.get("rows")?,
                    first_due_ms: row.get("first_due_ms")?,
                })
            })?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// The next rows of one version after an (instant, key), in order; at most `limit` and the rest of the last instant.
    pub fn version_rows_after(
        &self,
        job: &str,
        version: i64,
        (due_ms, key): (i64, &str),
        limit: i64,
    ) -> Result<Vec<PeriodRow>> {
        // Rows of the same instant first, then later ones: one statement with a row value would read from the start.
        let same = format!(
            "SELECT {COLUMNS} FROM period INDEXED BY period_job
             WHERE job = ?1 AND version = ?2 AND due_ms = ?3 AND period > ?4 ORDER BY period"
        );
        let behind = format!(
            "SELECT {COLUMNS} FROM period INDEXED BY period_job
             WHERE job = ?1 AND version = ?2 AND due_ms > ?3 ORDER BY due_ms, period LIMIT ?4"
        );
        let conn = self.connection()?;
        let mut statement = conn.prepare_cached(&same)?;
        let mut rows: Vec<PeriodRow> = statement
            .query_map(params![job, version, due_ms, key], period_row)?
            .collect::<Result<_, _>>()?;
        let mut statement = conn.prepare_cached(&behind)?;
        for row in statement.query_map(params![job, version, due_ms, limit], period_row)? {
            rows.push(row?);
        }
        Ok(rows)
    }

    /// Runs that rows of a job name but that belong to another job or period.
    pub fn foreign_runs(&self, job: &str) -> Result<Vec<ForeignRun>> {
        const SQL: &str = "
            SELECT period.period, run.id, run.job, run.period AS run_period
            FROM period INDEXED BY period_job JOIN run ON run.id = period.run
            WHERE period.job = ?1 AND (run.job <> ?1 OR run.period IS NOT period.period)
            ORDER BY period.due_ms";
        let mut statement = self.connection()?.prepare_cached(SQL)?;
        let runs = statement
            .query_map([job], |row| {
                Ok(ForeignRun {
                    period: row.get("period")?,
                    run: RunId(row.get("id")?),
                    job: row.get("job")?,
                    run_period: row.get("run_period")?,
                })
            })?
            .collect::<Result<_, _>>()?;
        Ok(runs)
    }

    /// Runs of a schedule that the row of their period does not name.
    pub fn unrecorded_runs(&self, job: &str) -> Result<Vec<UnrecordedRun>> {
        const SQL: &str = "
            SELECT run.period, run.id, run.scheduled_ms, period.id IS NOT NULL AS has_row, period.run AS row_run
            FROM run INDEXED BY run_job LEFT JOIN period ON period.job = run.job AND period.period = run.period
            WHERE run.job = ?1 AND run.trigger = 'period' AND run.period IS NOT NULL AND period.run IS NOT run.id
            ORDER BY run.id";
        let mut statement = self.connection()?.prepare_cached(SQL)?;
        let runs = statement
            .query_map([job], |row| {
                Ok(UnrecordedRun {
                    period: row.get("period")?,
                    run: RunId(row.get("id")?),
                    scheduled_ms: row.get("scheduled_ms")?,
                    has_row: row.get("has_row")?,
                    row_run: row.get::<_, Option<i64>>("row_run")?.map(RunId),
                })
            })?
            .collect::<Result<_, _>>()?;
        Ok(runs)
    }
}
