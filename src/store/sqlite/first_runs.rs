//! `first_run`: a sparse index for lists of one queue, of one tenant or from one time, with one row for many runs.
//!
//! Rule: for every run there are rows for the block of its queue and of its tenant; a row without runs only costs a list one seek.
//!
//! Ids grow, so all runs of a block, or of a quarter of an hour, are adjacent in the table of runs. A full index would cost each
//! enqueue a page; this one costs it a read of the previous run.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::late_statement::LateStatement;
use super::writer::Tx;
use crate::error::Result;
use crate::store::NewRun;

/// Ids of a block: a list reads at most this many rows for one that it shows.
pub(super) const BLOCK: i64 = 256;

/// `first_run` has a row for each quarter of an hour in which a run was created.
const QUARTER_MS: i64 = 900_000;

/// Writes the rows of `first_run` for a batch of new runs.
pub(super) struct FirstRuns<'c> {
    conn: &'c Connection,
    insert: LateStatement<'c>,
    /// Whether any run of the batch was recorded.
    begun: bool,
    /// Whether the quarter of an hour of this batch has its row: all its runs have the same creation time.
    quarter: bool,
    /// The last block in which each queue, and each tenant, is known to have a row.
    queues: HashMap<String, i64>,
    tenants: HashMap<String, i64>,
}

impl<'c> FirstRuns<'c> {
    pub(super) fn new(conn: &'c Connection) -> Self {
        Self {
            conn,
            insert: LateStatement::default(),
            begun: false,
            quarter: false,
            queues: HashMap::new(),
            tenants: HashMap::new(),
        }
    }

    /// Records a run that was just stored, with the largest id.
    pub(super) fn note(&mut self, id: i64, run: &NewRun, now_ms: i64) -> Result<()> {
        let quarter = now_ms.div_euclid(QUARTER_MS);
        if !std::mem::replace(&mut self.begun, true) {
            self.learn_from(id - 1, quarter)?;
        }
        if !std::mem::replace(&mut self.quarter, true) {
            self.insert("quarter", "", quarter, id)?;
        }
        let block = id / BLOCK;
        if is_new(&mut self.queues, &run.queue, block) {
            self.insert("queue", &run.queue, block, id)?;
        }
        if !run.tenant.is_empty() && is_new(&mut self.tenants, &run.tenant, block) {
            self.insert("tenant", &run.tenant, block, id)?;
        }
        Ok(())
    }

    /// Marks the rows that the previous run guarantees: its block, queue and tenant were recorded with it or before.
    fn learn_from(&mut self, before: i64, quarter: i64) -> Result<()> {
        const SQL: &str = "SELECT queue, tenant, created_ms FROM run WHERE id = ?1";
        let found: Option<(String, String, i64)> = self
            .conn
            .prepare_cached(SQL)?
            .query_row([before], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        if let Some((queue, tenant, created_ms)) = found {
            self.quarter = created_ms.div_euclid(QUARTER_MS) == quarter;
            self.queues.insert(queue, before / BLOCK);
            self.tenants.insert(tenant, before / BLOCK);
        }
        Ok(())
    }

    fn insert(&mut self, kind: &str, name: &str, part: i64, run: i64) -> Result<()> {
        const SQL: &str =
            "INSERT OR IGNORE INTO first_run (kind, name, part, run) VALUES (?1, ?2, ?3, ?4)";
        self.insert
            .get(self.conn, SQL)?
            .execute(params![kind, name, part, run])?;
        Ok(())
    }
}

/// Whether the name is new for the batch in this block.
fn is_new(noted: &mut HashMap<String, i64>, name: &str, block: i64) -> bool {
    match noted.get_mut(name) {
        Some(last) => std::mem::replace(last, block) != block,
        None => noted.insert(name.to_owned(), block).is_none(),
    }
}

/// The smallest id that a run created at this time or later can have, after any steps of the clock; `None` if there is none.
pub(super) fn first_since(conn: &Connection, since_ms: i64) -> Result<Option<i64>> {
    const SQL: &str =
        "SELECT min(run) FROM first_run WHERE kind = 'quarter' AND name = '' AND part >= ?1";
    let quarter = since_ms.div_euclid(QUARTER_MS);
    let first = conn
        .prepare_cached(SQL)?
        .query_row([quarter], |row| row.get(0))?;
    Ok(first)
}

/// The key of a row: kind, name, part.
pub(super) type FirstRun = (String, String, i64);

impl Tx<'_> {
    /// Of the next `limit` rows after one, removes those of blocks without runs. Returns the last row that was checked.
    pub(super) fn prune_first_runs(
        &mut self,
        (kind, name, part): &FirstRun,
        limit: i64,
    ) -> Result<Option<FirstRun>> {
        const READ: &str = "
            SELECT kind, name, part, kind <> 'quarter'
                AND NOT EXISTS (SELECT 1 FROM run WHERE id >= part * ?5 AND id < (part + 1) * ?5)
            FROM first_run WHERE (kind, name, part) > (?1, ?2, ?3) ORDER BY kind, name, part LIMIT ?4";
        const DELETE: &str = "DELETE FROM first_run WHERE kind = ?1 AND name = ?2 AND part = ?3";
        let mut statement = self.conn.prepare_cached(READ)?;
        let rows: Vec<(FirstRun, bool)> = statement
            .query_map(params![kind, name, part, limit, BLOCK], |row| {
                Ok(((row.get(0)?, row.get(1)?, row.get(2)?), row.get(3)?))
            })?
            .collect::<Result<_, _>>()?;
        for (row, over) in &rows {
            if *over {
                self.conn
                    .prepare_cached(DELETE)?
                    .execute(params![row.0, row.1, row.2])?;
            }
        }
        Ok(rows.into_iter().next_back().map(|(row, _)| row))
    }
}

#[cfg(test)]
mod tests {
    use crate::store::RunFilter;
    use crate::store::sqlite::tests::Lab;
    use crate::store::sqlite::tests::prune_all;

    fn rows(lab: &Lab) -> Vec<(String, String, i64, i64)> {
        let conn = lab.store.connection().unwrap();
        let sql = "SELECT kind, name, part, run FROM first_run WHERE kind <> 'quarter' ORDER BY part, kind, name";
        let mut statement = conn.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        });
        rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    fn row(kind: &str, name: &str, part: i64, run: i64) -> (String, String, i64, i64) {
        (kind.to_owned(), name.to_owned(), part, run)
    }

    #[test]
    fn each_block_has_its_first_run_of_each_queue_and_tenant() {
        let mut lab = Lab::new();
        let now_ms = lab.now_ms;
        let new = |n: i64| {
            let mut new = crate::store::sqlite::tests::new_run("job", now_ms);
            new.queue = ["default", "high"][usize::from(n % 3 == 0)].into();
            new.tenant = ["", "t"][usize::from(n == 300 || n == 301)].into();
            new
        };
        // One large batch, then others. A batch omits rows that it has written itself; rows of earlier batches are ignored on conflict.
        let batch: Vec<_> = (1..=400).map(new).collect();
        lab.write(|tx| tx.enqueue_all(&batch, now_ms));
        for n in 401..=403 {
            lab.write(|tx| tx.enqueue(&new(n), now_ms));
        }
        let expected = [
            row("queue", "default", 0, 1),
            row("queue", "high", 0, 3),
            row("queue", "default", 1, 256),
            row("queue", "high", 1, 258),
            row("tenant", "t", 1, 300),
        ];
        assert_eq!(rows(&lab), expected);
    }

    #[test]
    fn a_prune_removes_the_rows_of_blocks_without_runs_and_lists_still_work() {
        let mut lab = Lab::new();
        let now_ms = lab.now_ms;
        let batch: Vec<_> = (0..600)
            .map(|_| crate::store::sqlite::tests::new_run("job", now_ms))
            .collect();
        lab.write(|tx| tx.enqueue_all(&batch, now_ms));
        for run in (1..=512).map(crate::run::RunId) {
            lab.write(|tx| tx.cancel(run, "ann", now_ms));
        }
        prune_all(&mut lab, 100);
        // The row of run 512 was in the last block, which still has other runs.
        assert_eq!(rows(&lab), [row("queue", "default", 2, 512)]);
        let filter = RunFilter {
            queue: Some("default".into()),
            limit: 1000,
            ..RunFilter::default()
        };
        let listed = lab.store.list_runs(&filter, now_ms).unwrap();
        assert_eq!(listed.len(), 88);
        // If the previous run was pruned, the rows of its block may be missing.
        for run in (513..=600).map(crate::run::RunId) {
            lab.write(|tx| tx.cancel(run, "ann", now_ms));
        }
        prune_all(&mut lab, 100);
        assert_eq!(rows(&lab), []);
        let run = lab.enqueue(|_| {});
        lab.enqueue(|_| {});
        assert_eq!(rows(&lab), [row("queue", "default", 2, run.0)]);
    }
}
