//! Dead letters: what is open, and how an operator closes it.
//!
//! Rule: a dead letter is closed in the transaction that retries or discards its run; it is never reopened.

use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use super::runs::PER_RUN_MAX;
use super::writer::Tx;
use crate::error::Result;
use crate::run::{Reason, RunId, State};
use crate::store::{Closed, DeadFilter, DeadLetter, Handled};

const COLUMNS: &str = "run, job, reason, error, fingerprint, attempts, output_tail, died_ms, closed, closed_by, closed_ms";

/// Which open letters a filter means.
const MATCHES: &str = "
    closed_ms IS NULL AND (:job IS NULL OR job = :job) AND (:reason IS NULL OR reason = :reason)
    AND (:fingerprint IS NULL OR fingerprint = :fingerprint)";

fn letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let reason: String = row.get(2)?;
    let how: Option<String> = row.get(8)?;
    let closed = match how {
        Some(how) => Some(Closed {
            how,
            by: row.get(9)?,
            at_ms: row.get(10)?,
        }),
        None => None,
    };
    Ok(DeadLetter {
        run: RunId(row.get(0)?),
        job: row.get(1)?,
        reason: Reason::from_word(&reason).unwrap_or(Reason::Exhausted),
        error: row.get(3)?,
        fingerprint: row.get(4)?,
        attempts: row.get(5)?,
        output_tail: row.get(6)?,
        died_ms: row.get(7)?,
        closed,
    })
}

/// The newest dead letters of one run, the newest last.
pub(super) fn of_run(conn: &Connection, run: RunId) -> Result<Vec<DeadLetter>> {
    let sql = format!("SELECT {COLUMNS} FROM dead_letter WHERE run = ?1 ORDER BY id DESC LIMIT ?2");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows: Vec<DeadLetter> = statement
        .query_map([run.0, PER_RUN_MAX], letter)?
        .collect::<Result<_, _>>()?;
    rows.reverse();
    Ok(rows)
}

impl super::Store {
    /// Open dead letters, the newest first; without their output.
    pub fn list_dead(
        &self,
        filter: &DeadFilter,
        limit: i64,
        offset: i64,
    ) -> Result<Vec<DeadLetter>> {
        let columns = COLUMNS.replace("output_tail", "NULL");
        let sql = format!(
            "SELECT {columns} FROM dead_letter WHERE {MATCHES} ORDER BY died_ms DESC, id DESC LIMIT :limit OFFSET :offset"
        );
        let mut statement = self.connection()?.prepare_cached(&sql)?;
        let rows = statement
            .query_map(
                named_params! {
                    ":job": filter.job, ":reason": filter.reason.map(Reason::word), ":fingerprint": filter.fingerprint,
                    ":limit": limit, ":offset": offset,
                },
                letter,
            )?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// Runs with an open dead letter that matches, in the order of their ids: those behind `after`.
    pub fn dead_runs(&self, filter: &DeadFilter, after: RunId, limit: i64) -> Result<Vec<RunId>> {
        let sql = format!(
            "SELECT run FROM dead_letter INDEXED BY dead_letter_open WHERE {MATCHES} AND run > :after
             ORDER BY run LIMIT :limit"
        );
        let mut statement = self.connection()?.prepare_cached(&sql)?;
        let rows = statement
            .query_map(
                named_params! {
                    ":job": filter.job, ":reason": filter.reason.map(Reason::word), ":fingerprint": filter.fingerprint,
                    ":after": after.0, ":limit": limit,
                },
                |row| Ok(RunId(row.get(0)?)),
            )?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// Number of open dead letters that match. They are kept until somebody closes them, so they are few.
    pub fn count_dead(&self, filter: &DeadFilter) -> Result<i64> {
        let sql =
            format!("SELECT count(*) FROM dead_letter INDEXED BY dead_letter_open WHERE {MATCHES}");
        let count = self.connection()?.prepare_cached(&sql)?.query_row(
            named_params! {
                ":job": filter.job, ":reason": filter.reason.map(Reason::word), ":fingerprint": filter.fingerprint,
            },
            |row| row.get(0),
        )?;
        Ok(count)
    }
}

impl Tx<'_> {
    /// Closes the open dead letter of a run; the run stays dead, and stops nobody any more.
    pub fn discard(&mut self, run: RunId, actor: &str, now_ms: i64) -> Result<Handled> {
        const STATE: &str = "SELECT state FROM run WHERE id = ?1";
        if self.close_letter(run, "discarded", actor, now_ms)? {
            self.give_up_place(run)?;
            return Ok(Handled::Discarded);
        }
        let state: Option<String> = self
            .conn
            .prepare_cached(STATE)?
            .query_row([run.0], |row| row.get(0))
            .optional()?;
        let state = state.as_deref().and_then(State::from_word);
        Ok(state.map_or(Handled::Unknown, Handled::NoDeadLetter))
    }

    /// Whether there was an open one.
    pub(super) fn close_letter(
        &mut self,
        run: RunId,
        how: &str,
        actor: &str,
        now_ms: i64,
    ) -> Result<bool> {
        const SQL: &str = "
            UPDATE dead_letter SET closed = ?2, closed_by = ?3, closed_ms = ?4 WHERE run = ?1 AND closed_ms IS NULL";
        let changed = self
            .conn
            .prepare_cached(SQL)?
            .execute(params![run.0, how, actor, now_ms])?;
        Ok(changed == 1)
    }
}
