//! Reads one run with all its details, and defines the columns of a run.
//!
//! Rule: every read is bounded; `shown` is derived only here, so that filters and lists agree.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::dead;
use super::labels::{label_columns, labels_of};
use super::writer::Tx;
use crate::error::Result;
use crate::run::{Guarantee, RunId, RunPeriod, Shown, State, Trigger, WorkerId};
use crate::store::{AttemptRow, RunDetail, RunRow};

/// Largest number of attempts and dead letters that are read of one run, the newest: operators can retry any number of times.
const PER_RUN_MAX: i64 = 1000;

pub(super) const COLUMNS: &str = concat!(
    "
    run.id, job, queue, tenant, priority, state, attempts, failures, crashes, releases, created_ms, due_ms, started_ms,
    ended_ms, deadline_ms, cancel_ms, cancel_by, worker, reason, last_error, exit_code, dedup_key,
    max_attempts, period, scheduled_ms, business_date, sequence_key, ",
    label_columns!()
);

/// The shown state of a run; `:now_ms` decides whether it is due.
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

/// The period of a run.
pub(super) fn period_of(row: &Row<'_>) -> rusqlite::Result<Option<RunPeriod>> {
    let Some(key) = row.get("period")? else {
        return Ok(None);
    };
    Ok(Some(RunPeriod {
        key,
        scheduled_ms: row.get("scheduled_ms")?,
        business_date: row.get("business_date")?,
    }))
}

pub(super) fn run_row(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    let state: String = row.get("state")?;
    let shown: String = row.get("shown")?;
    Ok(RunRow {
        run: RunId(row.get("id")?),
        job: row.get("job")?,
        queue: row.get("queue")?,
        tenant: row.get("tenant")?,
        priority: row.get("priority")?,
        // The CHECK of the schema allows no other word.
        state: State::from_word(&state).unwrap_or(State::Dead),
        shown: Shown::from_word(&shown).unwrap_or(Shown::Dead),
        attempts: row.get("attempts")?,
        failures: row.get("failures")?,
        crashes: row.get("crashes")?,
        releases: row.get("releases")?,
        created_ms: row.get("created_ms")?,
        due_ms: row.get("due_ms")?,
        started_ms: row.get("started_ms")?,
        ended_ms: row.get("ended_ms")?,
        deadline_ms: row.get("deadline_ms")?,
        cancel_ms: row.get("cancel_ms")?,
        cancel_by: row.get("cancel_by")?,
        worker: row.get::<_, Option<i64>>("worker")?.map(WorkerId),
        reason: row.get("reason")?,
        last_error: row.get("last_error")?,
        exit_code: row.get("exit_code")?,
        dedup_key: row.get("dedup_key")?,
        labels: labels_of(row)?,
        max_attempts: row.get("max_attempts")?,
        period: period_of(row)?,
        sequence_key: row.get("sequence_key")?,
    })
}

/// A run with its attempts and dead letters.
fn detail(conn: &Connection, run: RunId, now_ms: i64) -> Result<Option<RunDetail>> {
    let sql = format!(
        "SELECT {COLUMNS}, {SHOWN} AS shown, guarantee, trigger, parent, idempotency_key, params, result,
            (SELECT length(body) FROM payload WHERE payload.run = run.id) AS payload_bytes
         FROM run WHERE id = :run"
    );
    let found = conn
        .prepare_cached(&sql)?
        .query_row(named_params! {":run": run.0, ":now_ms": now_ms}, |row| {
            let guarantee: String = row.get("guarantee")?;
            let trigger: String = row.get("trigger")?;
            Ok(RunDetail {
                row: run_row(row)?,
                guarantee: Guarantee::from_word(&guarantee).unwrap_or(Guarantee::AtMostOnce),
                trigger: Trigger::from_word(&trigger).unwrap_or(Trigger::Manual),
                parent: row.get::<_, Option<i64>>("parent")?.map(RunId),
                idempotency_key: row.get("idempotency_key")?,
                params: row.get("params")?,
                results: row.get("result")?,
                payload_bytes: row.get("payload_bytes")?,
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

/// The runs that a waiting run waits for, and their states.
fn waits_for(conn: &Connection, run: RunId) -> Result<Vec<(RunId, State)>> {
    const SQL: &str = "
        SELECT before.id, before.state FROM gate JOIN run AS before ON before.id = gate.run
        WHERE gate.successor = :run AND (SELECT state FROM run WHERE id = :run) = 'waiting'
        ORDER BY before.id LIMIT :max";
    let mut statement = conn.prepare_cached(SQL)?;
    let rows = statement
        .query_map(named_params! {":run": run.0, ":max": PER_RUN_MAX}, |row| {
            let state: String = row.get(1)?;
            // The CHECK of the schema allows no other word.
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
                number: row.get("number")?,
                worker: WorkerId(row.get("worker")?),
                started_ms: row.get("started_ms")?,
                ended_ms: row.get("ended_ms")?,
                ending: row.get("ending")?,
                exit_code: row.get("exit_code")?,
                signal: row.get("signal")?,
                class: row.get("class")?,
                error: row.get("error")?,
                output_tail: row.get("output_tail")?,
                output_bytes: row.get("output_bytes")?,
                leaked: row.get("leaked")?,
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
