//! Walks the lanes of a queue: from one (tenant, job) with ready runs to the next, with one seek for each lane, however long it is.
//!
//! Rule: no row-value comparison here. SQLite seeks `(tenant, job) > (?, ?)` to the *first* row of that lane and filters from
//! there: after a lane of a million runs that takes 300 ms instead of 20 us (measured).

use std::collections::VecDeque;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use crate::error::Result;
use crate::run::RunId;
use crate::store::decide::{Head, LaneName, LanesOfQueue, Position};

/// The next lane of the same tenant, with its first run, which the seek has found anyway.
const LANE: &str = "
    SELECT job, order_key, id FROM run INDEXED BY run_ready
    WHERE ready = 1 AND queue = ?1 AND tenant = ?2 AND job > ?3 ORDER BY job, order_key, id LIMIT 1";

/// The next tenant.
const TENANT: &str = "
    SELECT tenant FROM run INDEXED BY run_ready
    WHERE ready = 1 AND queue = ?1 AND tenant > ?2 ORDER BY tenant LIMIT 1";

/// A walk over the lanes of one queue.
pub(super) struct Lanes<'c> {
    queue: &'c str,
    lane: CachedStatement<'c>,
    tenant: CachedStatement<'c>,
}

impl<'c> Lanes<'c> {
    pub(super) fn of(conn: &'c Connection, queue: &'c str) -> Result<Self> {
        Ok(Self {
            queue,
            lane: conn.prepare_cached(LANE)?,
            tenant: conn.prepare_cached(TENANT)?,
        })
    }

    /// The first lane of a tenant after this job. Job names are never empty, so "" is before every lane.
    pub(super) fn behind(&mut self, tenant: &str, job: &str) -> Result<Option<Head>> {
        let head = self.lane.query_row([self.queue, tenant, job], |row| {
            Ok(Head {
                job: row.get(0)?,
                first: Position {
                    order_key: row.get(1)?,
                    run: RunId(row.get(2)?),
                },
            })
        });
        Ok(head.optional()?)
    }

    /// The first tenant with lanes after this one. Runs without a tenant have the empty text, which is before every other.
    pub(super) fn tenant_after(&mut self, tenant: &str) -> Result<Option<String>> {
        let behind = self
            .tenant
            .query_row([self.queue, tenant], |row| row.get(0));
        Ok(behind.optional()?)
    }
}

impl LanesOfQueue for Lanes<'_> {
    fn lane_after(&mut self, tenant: &str, job: &str) -> Result<Option<Head>> {
        self.behind(tenant, job)
    }

    fn tenant_after(&mut self, tenant: &str) -> Result<Option<String>> {
        Lanes::tenant_after(self, tenant)
    }
}

/// Appends up to `max` runs of a lane that come after this position.
pub(super) fn runs_after(
    conn: &Connection,
    lane: LaneName<'_>,
    last: Position,
    max: usize,
    found: &mut VecDeque<Position>,
) -> Result<()> {
    const EQUAL: &str = "
        SELECT order_key, id FROM run INDEXED BY run_ready
        WHERE ready = 1 AND queue = ?1 AND tenant = ?2 AND job = ?3 AND order_key = ?4 AND id > ?5
        ORDER BY id LIMIT ?6";
    const BEHIND: &str = "
        SELECT order_key, id FROM run INDEXED BY run_ready
        WHERE ready = 1 AND queue = ?1 AND tenant = ?2 AND job = ?3 AND order_key > ?4
        ORDER BY order_key, id LIMIT ?5";
    let position = |row: &Row<'_>| {
        Ok(Position {
            order_key: row.get(0)?,
            run: RunId(row.get(1)?),
        })
    };
    let LaneName { queue, tenant, job } = lane;
    let Position { order_key, run } = last;
    let mut missing = max;
    // Runs that were enqueued together have the same order key and are ordered by id. Two statements, for the reason above.
    let mut statement = conn.prepare_cached(EQUAL)?;
    let values = params![queue, tenant, job, order_key, run.0, max as i64];
    for row in statement.query_map(values, position)? {
        found.push_back(row?);
        missing -= 1;
    }
    if missing > 0 {
        let mut statement = conn.prepare_cached(BEHIND)?;
        let values = params![queue, tenant, job, order_key, missing as i64];
        for row in statement.query_map(values, position)? {
            found.push_back(row?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    /// A lane of `long` runs, between lanes of one run.
    fn store(long: usize) -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(&format!(
            "CREATE TABLE run (id INTEGER PRIMARY KEY, queue, tenant, job, order_key, ready);
             CREATE INDEX run_ready ON run (queue, tenant, job, order_key, id) WHERE ready = 1;
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {long})
             INSERT INTO run (queue, tenant, job, order_key, ready) SELECT 'q', 't', 'long', i, 1 FROM n;
             INSERT INTO run (queue, tenant, job, order_key, ready)
             VALUES ('p', 't', 'a', 1, 1), ('q', '', 'b', 1, 1), ('q', 't', 'last', 1, 1), ('q', 't', 'z', 1, 1),
                 ('q', 'u', 'a', 1, 1), ('r', 'v', 'a', 1, 1);"
        ))
        .unwrap();
        conn
    }

    /// All lanes, and the steps of SQLite's machine over them.
    fn walk(conn: &Connection) -> (Vec<String>, [i32; 2]) {
        let mut lanes = Lanes::of(conn, "q").unwrap();
        let mut all = Vec::new();
        let mut next = Some(String::new());
        while let Some(tenant) = next {
            let mut job = String::new();
            while let Some(head) = lanes.behind(&tenant, &job).unwrap() {
                assert_eq!(head.first.order_key, 1, "it is the first run");
                all.push(format!("{tenant}.{}", head.job));
                job = head.job;
            }
            next = lanes.tenant_after(&tenant).unwrap();
        }
        let steps = [&lanes.lane, &lanes.tenant].map(|sql| sql.get_status(StatementStatus::VmStep));
        (all, steps)
    }

    /// Fault: as `a_million_waiting_runs_make_no_command_slow`.
    #[test]
    fn a_long_lane_is_passed_with_one_seek() {
        let (short, few) = walk(&store(1));
        assert_eq!(short, [".b", "t.last", "t.long", "t.z", "u.a"]);
        let (long, steps) = walk(&store(5_000));
        assert_eq!(long, short);
        assert_eq!(steps, few, "no seek scans a lane");
    }
}
