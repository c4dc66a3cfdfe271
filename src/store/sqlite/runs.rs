//! Reads one run with all that is known of it, and what a row of a run is.
//!
//! Rule: every read is bounded; `shown` is derived here and nowhere else, so that a filter and a list cannot disagree.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::dead;
use super::writer::Tx;
use crate::error::Result;
use crate::run::{Guarantee, RunId, RunPeriod, Shown, State, Trigger, WorkerId};
use crate::store::{AttemptRow, RunDetail, RunRow};

/// Most attempts and dead letters that are read of one run, the newest: operators can retry without end.
const PER_RUN_MAX: i64 = 1000;

pub(super) const COLUMNS: &str = "
    run.id, job, queue, tenant, priority, state, attempts, failures, crashes, releases, created_ms, due_ms, started_ms,
    ended_ms, deadline_ms, cancel_ms, cancel_by, worker, reason, last_error, exit_code, dedup_key, correlation_id,
    business_key, initiator, max_attempts, period, scheduled_ms, business_date, sequence_key";

/// What an operator reads for a run; `:now_ms` decides what is due.
pub(super) const SHOWN: &str = "
    CASE WHEN state <> 'waiting' THEN state
         WHEN due_ms > :now_ms AND (failures > 0 OR limited_ms IS NOT NULL) THEN 'retrying'
         WHEN due_ms > :now_ms THEN 'delayed'
         WHEN gates > 0 THEN 'blocked'
         WHEN EXISTS (SELECT 1 FROM catalogue) AND NOT EXISTS (
            SELECT 1 FROM catalogue JOIN catalogue_job AS known ON known.path = catalogue.path WHERE known.job = run.job)
            THEN 'blocked'
         WHEN EXISTS (SELECT 1 FROM queue) AND NOT EXISTS (SELECT 1 FROM queue AS known WHERE known.queue = run.queue)
            THEN 'blocked'
         WHEN EXISTS (SELECT 1 FROM pause WHERE pause.job = run.job AND (until_ms IS NULL OR until_ms > :now_ms)) THEN 'blocked'
         ELSE 'ready' END";

/// Number of columns in [`COLUMNS`]; what a query adds comes behind them.
const N: usize = 30;

/// The period of a run, from three columns.
pub(super) fn period_of(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<RunPeriod>> {
    let Some(key) = row.get(at)? else {
        return Ok(None);
    };
    Ok(Some(RunPeriod {
        key,
        scheduled_ms: row.get(at + 1)?,
        business_date: row.get(at + 2)?,
    }))
}

pub(super) fn run_row(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    let state: String = row.get(5)?;
    let shown: String = row.get(N)?;
    Ok(RunRow {
        run: RunId(row.get(0)?),
        job: row.get(1)?,
        queue: row.get(2)?,
        tenant: row.get(3)?,
        priority: row.get(4)?,
        // The schema's CHECK lets no other word in.
        state: State::from_word(&state).unwrap_or(State::Dead),
        shown: Shown::from_word(&shown).unwrap_or(Shown::Dead),
        attempts: row.get(6)?,
        failures: row.get(7)?,
        crashes: row.get(8)?,
        releases: row.get(9)?,
        created_ms: row.get(10)?,
        due_ms: row.get(11)?,
        started_ms: row.get(12)?,
        ended_ms: row.get(13)?,
        deadline_ms: row.get(14)?,
        cancel_ms: row.get(15)?,
        cancel_by: row.get(16)?,
        worker: row.get::<_, Option<i64>>(17)?.map(WorkerId),
        reason: row.get(18)?,
        last_error: row.get(19)?,
        exit_code: row.get(20)?,
        dedup_key: row.get(21)?,
        correlation_id: row.get(22)?,
        business_key: row.get(23)?,
        initiator: row.get(24)?,
        max_attempts: row.get(25)?,
        period: period_of(row, 26)?,
        sequence_key: row.get(29)?,
    })
}

/// A run with its attempts and dead letters.
fn detail(conn: &Connection, run: RunId, now_ms: i64) -> Result<Option<RunDetail>> {
    let sql = format!(
        "SELECT {COLUMNS}, {SHOWN}, guarantee, trigger, parent, traceparent, idempotency_key, params, result,
            (SELECT length(body) FROM payload WHERE payload.run = run.id)
         FROM run WHERE id = :run"
    );
    let found = conn
        .prepare_cached(&sql)?
        .query_row(named_params! {":run": run.0, ":now_ms": now_ms}, |row| {
            let guarantee: String = row.get(N + 1)?;
            let trigger: String = row.get(N + 2)?;
            Ok(RunDetail {
                row: run_row(row)?,
                guarantee: Guarantee::from_word(&guarantee).unwrap_or(Guarantee::AtMostOnce),
                trigger: Trigger::from_word(&trigger).unwrap_or(Trigger::Manual),
                parent: row.get::<_, Option<i64>>(N + 3)?.map(RunId),
                traceparent: row.get(N + 4)?,
                idempotency_key: row.get(N + 5)?,
                params: row.get(N + 6)?,
                results: row.get(N + 7)?,
                payload_bytes: row.get(N + 8)?,
                waits_for: Vec::new(),
                attempts: Vec::new(),
                dead_letters: Vec::new(),
            })
        })
        .optional()?;
    let Some(mut detail) = found else {
        return Ok(None);
    };
    detail.waits_for = waits_for(conn, run)?;
    detail.attempts = attempts(conn, run)?;
    detail.dead_letters = dead::of_run(conn, run, PER_RUN_MAX)?;
    Ok(Some(detail))
}

/// The runs that a waiting run waits for, and how they stand.
fn waits_for(conn: &Connection, run: RunId) -> Result<Vec<(RunId, State)>> {
    const SQL: &str = "
        SELECT before.id, before.state FROM gate JOIN run AS before ON before.id = gate.run
        WHERE gate.successor = :run AND (SELECT state FROM run WHERE id = :run) = 'waiting'
        ORDER BY before.id LIMIT :max";
    let mut statement = conn.prepare_cached(SQL)?;
    let rows = statement
        .query_map(named_params! {":run": run.0, ":max": PER_RUN_MAX}, |row| {
            let state: String = row.get(1)?;
            // The schema's CHECK lets no other word in.
            let state = State::from_word(&state).unwrap_or(State::Dead);
            Ok((RunId(row.get(0)?), state))
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

fn attempts(conn: &Connection, run: RunId) -> Result<Vec<AttemptRow>> {
    const SQL: &str = "
        SELECT number, worker, started_ms, ended_ms, ending, exit_code, signal, class, error, output_tail,
            output_bytes, leaked
        FROM attempt WHERE run = :run ORDER BY number DESC LIMIT :max";
    let mut statement = conn.prepare_cached(SQL)?;
    let mut rows: Vec<AttemptRow> = statement
        .query_map(named_params! {":run": run.0, ":max": PER_RUN_MAX}, |row| {
            Ok(AttemptRow {
                number: row.get(0)?,
                worker: WorkerId(row.get(1)?),
                started_ms: row.get(2)?,
                ended_ms: row.get(3)?,
                ending: row.get(4)?,
                exit_code: row.get(5)?,
                signal: row.get(6)?,
                class: row.get(7)?,
                error: row.get(8)?,
                output_tail: row.get(9)?,
                output_bytes: row.get(10)?,
                leaked: row.get(11)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    rows.reverse();
    Ok(rows)
}

impl super::Store {
    /// One run with its attempts and dead letters.
    pub fn show_run(&self, run: RunId, now_ms: i64) -> Result<Option<RunDetail>> {
        detail(self.connection()?, run, now_ms)
    }
}

impl Tx<'_> {
    /// As [`super::Store::show_run`], with what this transaction has changed.
    pub fn show_run(&self, run: RunId, now_ms: i64) -> Result<Option<RunDetail>> {
        detail(self.conn, run, now_ms)
    }
}
