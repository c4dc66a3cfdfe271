//! Queues and their counts, from the depth counters and the first runs of the lanes.
//!
//! Rule: never count over history; runs that are due but not promoted yet, because no worker runs, count as ready.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::lanes::Lanes;
use crate::error::Result;
use crate::store::QueueRow;

/// Number of lanes per queue whose first run is read, which takes some milliseconds. With more lanes the oldest run may be missed; the
/// counts are always exact.
const SEEKS_MAX: usize = 512;

/// Number of due but unpromoted runs that are read; there are more only if no worker runs.
const OVERDUE_MAX: i64 = 100_000;

impl super::Store {
    /// Every queue that a catalogue names or that holds runs, by rank.
    pub fn queues(&self, now_ms: i64) -> Result<Vec<QueueRow>> {
        const SQL: &str = "
            SELECT queue, rank, coalesce(ready, 0) AS ready, coalesce(delayed, 0) AS delayed, coalesce(running, 0) AS running
            FROM queue FULL JOIN queue_depth USING (queue)";
        let conn = self.connection()?;
        let mut overdue = overdue(conn, now_ms)?;
        let mut statement = conn.prepare_cached(SQL)?;
        let rows: Vec<QueueRow> = statement
            .query_map([], |row| {
                Ok(QueueRow {
                    queue: row.get("queue")?,
                    rank: row.get("rank")?,
                    ready: row.get("ready")?,
                    delayed: row.get("delayed")?,
                    running: row.get("running")?,
                    oldest_ready_ms: None,
                    oldest_cut: false,
                })
            })?
            .collect::<Result<_, _>>()?;
        let mut queues = Vec::with_capacity(rows.len());
        for mut row in rows {
            let mut oldest = None;
            if row.ready > 0 {
                (oldest, row.oldest_cut) = oldest_head(conn, &row.queue)?;
            }
            if let Some((runs, due_ms)) = overdue.remove(&row.queue) {
                row.ready = row.ready.saturating_add(runs);
                row.delayed -= runs;
                oldest = Some(oldest.map_or(due_ms, |oldest: i64| oldest.min(due_ms)));
            }
            row.oldest_ready_ms = oldest.map(|due_ms| now_ms.saturating_sub(due_ms).max(0));
            // Empty queues that are in no catalogue are omitted.
            if row.rank.is_some() || [row.ready, row.delayed, row.running] != [0; 3] {
                queues.push(row);
            }
        }
        queues.sort_by_key(QueueRow::place);
        Ok(queues)
    }

    /// Tenants with at least this many waiting runs over all queues, and their numbers.
    pub fn tenants_with_waiting(&self, least: i64) -> Result<Vec<(String, i64)>> {
        const SQL: &str = "
            SELECT tenant, sum(ready + delayed) AS waiting FROM depth WHERE tenant <> '' AND (ready > 0 OR delayed > 0)
            GROUP BY tenant HAVING waiting >= ?1";
        let mut statement = self.connection()?.prepare_cached(SQL)?;
        let rows = statement
            .query_map([least], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// Runs that each worker holds, by worker.
    pub fn busy(&self) -> Result<BTreeMap<i64, i64>> {
        const SQL: &str = "
            SELECT worker, count(*) FROM run INDEXED BY run_worker
            WHERE worker IS NOT NULL AND state = 'running' GROUP BY worker";
        let mut statement = self.connection()?.prepare_cached(SQL)?;
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }
}

/// Due runs that no worker has made ready: their number per queue, and the earliest due time.
fn overdue(conn: &Connection, now_ms: i64) -> Result<BTreeMap<String, (i64, i64)>> {
    const SQL: &str = "
        SELECT queue, count(*), min(due_ms) FROM (
            SELECT queue, due_ms FROM run INDEXED BY run_due
            WHERE state = 'waiting' AND ready = 0 AND worker IS NULL AND gates = 0 AND due_ms <= ?1 ORDER BY due_ms LIMIT ?2)
        GROUP BY queue";
    let mut statement = conn.prepare_cached(SQL)?;
    let rows = statement
        .query_map([now_ms, OVERDUE_MAX], |row| {
            Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// The earliest due time among the first runs of the queue's lanes, and whether some lanes were not read.
fn oldest_head(conn: &Connection, queue: &str) -> Result<(Option<i64>, bool)> {
    const DUE: &str = "SELECT due_ms FROM run WHERE id = ?1";
    let mut statement = conn.prepare_cached(DUE)?;
    let mut lanes = Lanes::of(conn, queue)?;
    let mut oldest: Option<i64> = None;
    let (mut tenant, mut job) = (String::new(), String::new());
    for _ in 0..SEEKS_MAX {
        if let Some(head) = lanes.behind(&tenant, &job)? {
            let due_ms: i64 = statement.query_row([head.first.run.0], |row| row.get(0))?;
            oldest = Some(oldest.map_or(due_ms, |oldest| oldest.min(due_ms)));
            job = head.job;
        } else if let Some(next) = lanes.tenant_after(&tenant)? {
            (tenant, job) = (next, String::new());
        } else {
            return Ok((oldest, false));
        }
    }
    Ok((oldest, true))
}
