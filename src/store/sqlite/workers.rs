//! Rows of workers, and requests to workers.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::writer::Tx;
use crate::error::Result;
use crate::run::{Fence, RunId, WorkerId};
use crate::store::{Lacking, WorkerRow};

/// Largest number of slots that is read from a row.
const SLOTS_MAX: i64 = 1024;

const COLUMNS: &str =
    "id, pid, pid_start, boot_id, host, uid, queues, slots, started_ms, stop_ms, pid_ns, parent";

fn worker_row(row: &Row<'_>) -> rusqlite::Result<WorkerRow> {
    Ok(WorkerRow {
        worker: WorkerId(row.get("id")?),
        pid: row.get("pid")?,
        pid_start: row.get("pid_start")?,
        boot_id: row.get("boot_id")?,
        host: row.get("host")?,
        uid: row.get("uid")?,
        queues: row.get("queues")?,
        slots: slots_of(row)?,
        started_ms: row.get("started_ms")?,
        stop_ms: row.get("stop_ms")?,
        pid_ns: row.get("pid_ns")?,
        parent: row.get::<_, Option<i64>>("parent")?.map(WorkerId),
    })
}

/// The number of slots of a worker, limited to a valid range, because loops use it.
pub(super) fn slots_of(row: &Row<'_>) -> rusqlite::Result<i64> {
    Ok(row.get::<_, i64>("slots")?.clamp(0, SLOTS_MAX))
}

fn all(conn: &Connection) -> Result<Vec<WorkerRow>> {
    let sql = format!("SELECT {COLUMNS} FROM worker ORDER BY id");
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement
        .query_map([], worker_row)?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

impl Tx<'_> {
    /// Allocates an id that no worker had before. The lock file must be created and locked before the row is written.
    pub fn next_worker_id(&mut self) -> Result<WorkerId> {
        // AUTOINCREMENT never reuses the id of a deleted row.
        const INSERT: &str = "
            INSERT INTO worker (pid, pid_start, boot_id, host, uid, queues, slots, started_ms)
            VALUES (0, 0, '', '', 0, '', 0, 0)";
        const DELETE: &str = "DELETE FROM worker WHERE id = ?1";
        self.conn.prepare_cached(INSERT)?.execute([])?;
        let id = self.conn.last_insert_rowid();
        self.conn.prepare_cached(DELETE)?.execute([id])?;
        Ok(WorkerId(id))
    }

    /// All registered workers, alive or not.
    pub fn workers(&self) -> Result<Vec<WorkerRow>> {
        all(self.conn)
    }

    /// Which of these workers have no row.
    pub fn without_row(&self, workers: &[WorkerId]) -> Result<Vec<WorkerId>> {
        const SQL: &str = "SELECT count(*) FROM worker WHERE id = ?1";
        let mut statement = self.conn.prepare_cached(SQL)?;
        let mut without = Vec::new();
        for &worker in workers {
            let rows: i64 = statement.query_row([worker.0], |row| row.get(0))?;
            if rows == 0 {
                without.push(worker);
            }
        }
        Ok(without)
    }

    /// Registers a worker whose lock is already held.
    pub fn add_worker(&mut self, row: &WorkerRow) -> Result<()> {
        const SQL: &str = "
            INSERT INTO worker (id, pid, pid_start, boot_id, host, uid, queues, slots, started_ms, pid_ns, parent)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        self.conn.prepare_cached(SQL)?.execute(params![
            row.worker.0,
            row.pid,
            row.pid_start,
            row.boot_id,
            row.host,
            row.uid,
            row.queues,
            row.slots,
            row.started_ms,
            row.pid_ns,
            row.parent.map(|parent| parent.0)
        ])?;
        Ok(())
    }

    /// Records that a worker's container is gone with all its processes: its runs are recovered as after a reboot.
    pub fn declare_gone(&mut self, worker: WorkerId) -> Result<bool> {
        const SQL: &str = "UPDATE worker SET boot_id = 'gone' WHERE id = ?1";
        Ok(self.conn.prepare_cached(SQL)?.execute([worker.0])? == 1)
    }

    /// Removes a worker unless it still holds a run. Returns whether it was removed.
    pub fn remove_worker(&mut self, worker: WorkerId) -> Result<bool> {
        const KEPT: &str = "
            UPDATE run SET worker = NULL WHERE worker = ?1 AND state = 'waiting'";
        const SQL: &str = "
            DELETE FROM worker WHERE id = ?1
            AND NOT EXISTS (SELECT 1 FROM run WHERE worker = ?1 AND state = 'running')";
        self.conn.prepare_cached(KEPT)?.execute([worker.0])?;
        Ok(self.conn.prepare_cached(SQL)?.execute([worker.0])? == 1)
    }

    /// As [`super::Store::held_by`], within the transaction.
    pub fn held_by(&self, worker: WorkerId) -> Result<Vec<(RunId, Fence, i64)>> {
        held_by(self.conn, worker)
    }

    /// Stores which resource the host lacks to start the runs of a worker.
    pub fn note_lacking(&mut self, worker: WorkerId, lacking: Option<&Lacking>) -> Result<()> {
        const SQL: &str = "UPDATE worker SET lacks = ?2, lacks_until_ms = ?3 WHERE id = ?1";
        self.conn.prepare_cached(SQL)?.execute(params![
            worker.0,
            lacking.map(|it| &it.words),
            lacking.map(|it| it.until_ms)
        ])?;
        Ok(())
    }

    /// Requests a worker to stop. Returns whether it exists.
    pub fn ask_worker_to_stop(&mut self, worker: WorkerId, now_ms: i64) -> Result<bool> {
        const SQL: &str = "UPDATE worker SET stop_ms = coalesce(stop_ms, ?2) WHERE id = ?1";
        Ok(self.conn.prepare_cached(SQL)?.execute([worker.0, now_ms])? == 1)
    }
}

impl super::Store {
    /// All registered workers, alive or not.
    pub fn workers(&self) -> Result<Vec<WorkerRow>> {
        all(self.connection()?)
    }

    /// Resources that the host lacks to start runs, by worker.
    pub fn lacking(&self) -> Result<BTreeMap<WorkerId, Lacking>> {
        const SQL: &str = "
            SELECT id, lacks, lacks_until_ms FROM worker WHERE lacks IS NOT NULL AND lacks_until_ms IS NOT NULL";
        let mut statement = self.connection()?.prepare_cached(SQL)?;
        let rows = statement.query_map([], |row| {
            let lacking = Lacking {
                words: row.get("lacks")?,
                until_ms: row.get("lacks_until_ms")?,
            };
            Ok((WorkerId(row.get("id")?), lacking))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// One worker.
    pub fn worker(&self, worker: WorkerId) -> Result<Option<WorkerRow>> {
        let sql = format!("SELECT {COLUMNS} FROM worker WHERE id = ?1");
        let mut statement = self.connection()?.prepare_cached(&sql)?;
        Ok(statement.query_row([worker.0], worker_row).optional()?)
    }

    /// Runs that a worker holds: id, fence, number of the running attempt.
    pub fn held_by(&self, worker: WorkerId) -> Result<Vec<(RunId, Fence, i64)>> {
        held_by(self.connection()?, worker)
    }

    /// Runs of a worker that an operator wants cancelled.
    pub fn cancels_for(&self, worker: WorkerId) -> Result<Vec<(RunId, Fence)>> {
        const SQL: &str = "
            SELECT id, fence FROM run INDEXED BY run_worker
            WHERE worker = ?1 AND state = 'running' AND cancel_ms IS NOT NULL";
        let mut statement = self.connection()?.prepare_cached(SQL)?;
        let rows = statement
            .query_map([worker.0], |row| {
                Ok((RunId(row.get(0)?), Fence(row.get(1)?)))
            })?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }
}

fn held_by(conn: &Connection, worker: WorkerId) -> Result<Vec<(RunId, Fence, i64)>> {
    const SQL: &str = "
        SELECT id, fence, attempts FROM run INDEXED BY run_worker WHERE worker = ?1 AND state = 'running'";
    let mut statement = conn.prepare_cached(SQL)?;
    let rows = statement
        .query_map([worker.0], |row| {
            Ok((RunId(row.get(0)?), Fence(row.get(1)?), row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}
