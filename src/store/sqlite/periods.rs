//! Rows of periods, and the runs of a schedule that have not ended.
//!
//! Rule: a period is decided once: its row and its run are written in one transaction, and the unique index on (job, period)
//! refuses a second one.

use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use super::writer::Tx;
use crate::error::Result;
use crate::policy::{PeriodResult, SkipReason, Unfinished, Waiting};
use crate::run::RunId;
use crate::store::{PeriodFilter, PeriodRow};

/// Largest number of waiting runs that one period cancels; there are more only after `overlap` was changed.
const REPLACED_MAX: i64 = 1000;

pub(super) const COLUMNS: &str = "
    job, period, due_ms, last_period, last_due_ms, count, business_date, result, reason, into_period, run, version,
    decided_ms";

pub(super) fn period_row(row: &Row<'_>) -> rusqlite::Result<PeriodRow> {
    let result: String = row.get("result")?;
    let reason: Option<String> = row.get("reason")?;
    Ok(PeriodRow {
        job: row.get("job")?,
        period: row.get("period")?,
        due_ms: row.get("due_ms")?,
        last_period: row.get("last_period")?,
        last_due_ms: row.get("last_due_ms")?,
        count: row.get("count")?,
        business_date: row.get("business_date")?,
        // The CHECK of the schema allows no other word.
        result: PeriodResult::from_word(&result).unwrap_or(PeriodResult::Skipped),
        reason: reason.as_deref().and_then(SkipReason::from_word),
        into: row.get("into_period")?,
        run: row.get::<_, Option<i64>>("run")?.map(RunId),
        version: row.get("version")?,
        decided_ms: row.get("decided_ms")?,
    })
}

fn period(conn: &Connection, job: &str, key: &str) -> Result<Option<PeriodRow>> {
    let sql = format!("SELECT {COLUMNS} FROM period WHERE job = ?1 AND period = ?2");
    let mut statement = conn.prepare_cached(&sql)?;
    Ok(statement.query_row([job, key], period_row).optional()?)
}

impl Tx<'_> {
    /// The row that begins with this period.
    pub fn period(&self, job: &str, key: &str) -> Result<Option<PeriodRow>> {
        period(self.conn, job, key)
    }

    /// The last row of a job, by instant. `None` also if two rows begin at the last instant, as happens with times that a clock change
    /// skips: rows that were split have new ids, so their order is unknown.
    pub fn last_period(&self, job: &str) -> Result<Option<PeriodRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM period INDEXED BY period_job WHERE job = ?1 ORDER BY due_ms DESC LIMIT 2"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let mut rows = statement.query_map([job], period_row)?;
        let (last, before) = (rows.next().transpose()?, rows.next().transpose()?);
        let alone = |last: &PeriodRow| before.is_none_or(|before| before.due_ms < last.due_ms);
        Ok(last.filter(alone))
    }

    /// Adds a row.
    pub fn add_period(&mut self, row: &PeriodRow) -> Result<()> {
        const SQL: &str = "
            INSERT INTO period (job, period, due_ms, last_period, last_due_ms, count, business_date, result, reason,
                into_period, run, version, decided_ms)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
        self.conn.prepare_cached(SQL)?.execute(params![
            row.job,
            row.period,
            row.due_ms,
            row.last_period,
            row.last_due_ms,
            row.count,
            row.business_date,
            row.result.word(),
            row.reason.map(SkipReason::word),
            row.into,
            row.run.map(|run| run.0),
            row.version,
            row.decided_ms,
        ])?;
        Ok(())
    }

    /// Replaces the row that begins with the same period.
    pub fn change_period(&mut self, row: &PeriodRow) -> Result<()> {
        self.remove_period(&row.job, &row.period)?;
        self.add_period(row)
    }

    /// Removes the row that begins with this period, to be replaced by others.
    pub fn remove_period(&mut self, job: &str, key: &str) -> Result<()> {
        const SQL: &str = "DELETE FROM period WHERE job = ?1 AND period = ?2";
        self.conn.prepare_cached(SQL)?.execute([job, key])?;
        Ok(())
    }

    /// Whether a job has a row after an instant: only then can a key that is an instant be decided already.
    pub fn has_periods_after(&self, job: &str, after_ms: i64) -> Result<bool> {
        const SQL: &str =
            "SELECT 1 FROM period INDEXED BY period_job WHERE job = ?1 AND due_ms > ?2 LIMIT 1";
        Ok(self
            .conn
            .prepare_cached(SQL)?
            .exists(params![job, after_ms])?)
    }

    /// Rows of several periods that begin at or before an instant and end after it.
    pub fn rows_over(&self, job: &str, at_ms: i64) -> Result<Vec<PeriodRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM period INDEXED BY period_job
             WHERE job = ?1 AND due_ms <= ?2 AND last_due_ms > ?2 AND run IS NULL"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement
            .query_map(params![job, at_ms], period_row)?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// Removes the rows after an instant whose periods have no run.
    pub fn remove_rows_without_run(&mut self, job: &str, after_ms: i64) -> Result<()> {
        const SQL: &str = "DELETE FROM period WHERE job = ?1 AND due_ms > ?2 AND run IS NULL";
        self.conn
            .prepare_cached(SQL)?
            .execute(params![job, after_ms])?;
        Ok(())
    }

    /// Runs of the schedule of a job that have not ended, without waiting runs whose deadline has passed.
    pub fn unfinished(&self, job: &str, now_ms: i64) -> Result<Unfinished> {
        const WAITING: &str = "
            SELECT id, period,
                EXISTS (SELECT 1 FROM period WHERE period.job = run.job AND period.period = run.period AND result = 'caught_up')
                    AS caught_up
            FROM run INDEXED BY run_scheduled
            WHERE trigger = 'period' AND state IN ('waiting', 'running') AND state = 'waiting' AND job = ?1
                AND (deadline_ms IS NULL OR deadline_ms > ?2)
            ORDER BY scheduled_ms DESC, id DESC LIMIT 1";
        const RUNNING: &str = "
            SELECT id FROM run INDEXED BY run_scheduled
            WHERE trigger = 'period' AND state IN ('waiting', 'running') AND state = 'running' AND job = ?1 ORDER BY id";
        let waiting = self
            .conn
            .prepare_cached(WAITING)?
            .query_row(params![job, now_ms], |row| {
                Ok(Waiting {
                    run: RunId(row.get("id")?),
                    period: row.get("period")?,
                    caught_up: row.get("caught_up")?,
                })
            })
            .optional()?;
        let mut statement = self.conn.prepare_cached(RUNNING)?;
        let running = statement
            .query_map([job], |row| Ok(RunId(row.get(0)?)))?
            .collect::<Result<_, _>>()?;
        Ok(Unfinished { waiting, running })
    }

    /// Cancels the runs of the schedule of a job that have not ended: waiting runs at once.
    pub fn cancel_unfinished(&mut self, job: &str, actor: &str, now_ms: i64) -> Result<Vec<RunId>> {
        const SQL: &str = "
            SELECT id FROM run INDEXED BY run_scheduled
            WHERE trigger = 'period' AND state IN ('waiting', 'running') AND job = ?1 LIMIT ?2";
        let mut statement = self.conn.prepare_cached(SQL)?;
        let runs: Vec<RunId> = statement
            .query_map(params![job, REPLACED_MAX], |row| Ok(RunId(row.get(0)?)))?
            .collect::<Result<_, _>>()?;
        for run in &runs {
            self.cancel(*run, actor, now_ms)?;
        }
        Ok(runs)
    }
}

impl super::Store {
    /// Rows of periods: of one job the newest first, of all jobs the last decided first.
    pub fn list_periods(&self, filter: &PeriodFilter) -> Result<Vec<PeriodRow>> {
        let order = match filter.job {
            Some(_) => "INDEXED BY period_job WHERE job = :job",
            None => "WHERE :job IS NULL",
        };
        let by = match filter.job {
            Some(_) => "due_ms DESC, id DESC",
            None => "id DESC",
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM period {order} AND (:result IS NULL OR result = :result)
             ORDER BY {by} LIMIT :limit OFFSET :offset"
        );
        let mut statement = self.connection()?.prepare_cached(&sql)?;
        let rows = statement
            .query_map(
                named_params! {
                    ":job": filter.job, ":result": filter.result.map(PeriodResult::word),
                    ":limit": filter.limit, ":offset": filter.offset,
                },
                period_row,
            )?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// The row that begins with this period.
    pub fn period(&self, job: &str, key: &str) -> Result<Option<PeriodRow>> {
        period(self.connection()?, job, key)
    }
}
