//! Schema versions: one SQL file each, applied in order, all in one transaction.
//!
//! Rule: a released migration is never edited; the next change is the next file.

use rusqlite::Connection;

use crate::error::{Error, Kind, Result};
use crate::fail_point;

/// Marks a SQLite file as ours: "jobc".
pub(super) const APPLICATION_ID: i64 = 0x6a6f_6263;

/// All schema changes; version n is the n-th.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_queue.sql"),
    include_str!("migrations/0002_schedules.sql"),
    include_str!("migrations/0003_sequence.sql"),
    include_str!("migrations/0004_flow.sql"),
    include_str!("migrations/0005_room.sql"),
    include_str!("migrations/0006_lists.sql"),
    include_str!("migrations/0007_claims.sql"),
    include_str!("migrations/0008_past_pauses.sql"),
    include_str!("migrations/0009_import.sql"),
    include_str!("migrations/0010_namespace.sql"),
    include_str!("migrations/0011_first_runs.sql"),
    include_str!("migrations/0012_lacks.sql"),
    include_str!("migrations/0013_parent.sql"),
    include_str!("migrations/0014_retried.sql"),
    include_str!("migrations/0015_paused_limits.sql"),
];

/// The schema version that this jobctl writes.
pub const VERSION: i64 = MIGRATIONS.len() as i64;

/// Migrates a database from version `from` to [`VERSION`] in one transaction.
pub(super) fn migrate(conn: &mut Connection, from: i64) -> Result<()> {
    apply(conn, from, MIGRATIONS)
}

fn apply(conn: &mut Connection, from: i64, migrations: &[&str]) -> Result<()> {
    let pending = usize::try_from(from)
        .ok()
        .and_then(|from| migrations.get(from..))
        .ok_or_else(|| Error::new(Kind::Bug, format!("no migration starts at schema {from}")))?;
    let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    for sql in pending {
        tx.execute_batch(sql)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", migrations.len() as i64)?;
    fail_point::reach("migrating");
    tx.commit()?;
    fail_point::reach("migrated");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_that_fails_leaves_the_old_schema() {
        let mut conn = Connection::open_in_memory().unwrap();
        let steps = [
            "CREATE TABLE a (x INTEGER)",
            "CREATE TABLE b (x INTEGER)",
            "no sql",
        ];
        apply(&mut conn, 0, &steps[..1]).unwrap();
        assert!(apply(&mut conn, 1, &steps).is_err());
        let version: i64 = conn
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .unwrap();
        let tables: i64 = conn
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap();
        assert_eq!((version, tables), (1, 1));
        apply(&mut conn, 1, &steps[..2]).unwrap();
        let version: i64 = conn
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .unwrap();
        assert_eq!(version, 2);
    }

    #[test]
    fn gates_of_an_older_schema_stay_closed_and_are_inherited() {
        const ROWS: &str = "
            INSERT INTO run (id, job, queue, tenant, priority, state, ready, order_key, created_ms, due_ms, max_attempts,
                max_crashes, guarantee, idempotency_key, trigger, gates)
            SELECT value, 'a', 'default', '', 100, 'waiting', 0, 1, 1, 1, 3, 3, 'at-least-once', zeroblob(16), 'manual',
                value - 1 FROM (SELECT 1 AS value UNION SELECT 2);
            UPDATE run SET state = 'running' WHERE id = 1;
            INSERT INTO gate (run, successor) VALUES (1, 2);";
        let mut conn = Connection::open_in_memory().unwrap();
        apply(&mut conn, 0, &MIGRATIONS[..2]).unwrap();
        conn.execute_batch(ROWS).unwrap();
        apply(&mut conn, 2, MIGRATIONS).unwrap();
        conn.execute_batch(
            "INSERT INTO run (id, job, queue, tenant, priority, state, ready, order_key, created_ms, due_ms, max_attempts,
                max_crashes, guarantee, idempotency_key, trigger, gates)
             SELECT 3, job, queue, tenant, priority, state, ready, order_key, created_ms, due_ms, max_attempts, max_crashes,
                guarantee, idempotency_key, trigger, 1 FROM run WHERE id = 2;
             INSERT INTO gate (run, successor) VALUES (2, 3);
             UPDATE run SET state = 'cancelled' WHERE id = 2;",
        )
        .unwrap();
        let gates = |conn: &Connection| -> (i64, i64) {
            let sql = "SELECT gates, (SELECT count(*) FROM gate WHERE successor = 3 AND run = 1) FROM run WHERE id = 3";
            conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
                .unwrap()
        };
        assert_eq!(gates(&conn), (1, 1));
        conn.execute_batch("UPDATE run SET state = 'succeeded' WHERE id = 1")
            .unwrap();
        assert_eq!(gates(&conn), (0, 0));
    }

    #[test]
    fn runs_of_an_older_schema_are_found_by_queue_and_tenant_and_pauses_stay() {
        const ROWS: &str = "
            INSERT INTO run (id, job, queue, tenant, priority, state, ready, order_key, created_ms, due_ms, max_attempts,
                max_crashes, guarantee, idempotency_key, trigger)
            SELECT value, 'a', 'default', iif(value = 300, 't', ''), 100, 'waiting', 0, 1, 1, 1, 3, 3, 'at-least-once',
                zeroblob(16), 'manual' FROM (SELECT 7 AS value UNION SELECT 9 UNION SELECT 300);
            INSERT INTO past_pause (job, from_ms, until_ms) VALUES ('a', 5, 9), ('a', 5, 7), ('b', 1, 2);";
        let mut conn = Connection::open_in_memory().unwrap();
        apply(&mut conn, 0, &MIGRATIONS[..10]).unwrap();
        conn.execute_batch(ROWS).unwrap();
        apply(&mut conn, 10, MIGRATIONS).unwrap();
        let rows = |sql: &str| -> Vec<String> {
            let mut statement = conn.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| row.get(0)).unwrap();
            rows.collect::<rusqlite::Result<_>>().unwrap()
        };
        let first = rows("SELECT concat_ws(' ', kind, name, part, run) FROM first_run");
        assert_eq!(
            first,
            ["queue default 0 7", "queue default 1 300", "tenant t 1 300"]
        );
        let pauses = rows("SELECT concat_ws(' ', job, from_ms, until_ms) FROM past_pause");
        assert_eq!(pauses, ["a 5 9", "b 1 2"]);
    }

    #[test]
    fn a_run_that_an_operator_retried_may_still_start_after_the_migration() {
        // The rows in order: waiting after a retry by an operator; waiting after a failure; claimed after such a retry and before its
        // first attempt; claimed after a failure, with the guarantee `at_least_once`.
        const ROWS: &str = "
            INSERT INTO run (id, job, queue, tenant, priority, state, ready, order_key, created_ms, due_ms, max_attempts,
                max_crashes, guarantee, idempotency_key, trigger, attempts, failures)
            VALUES
                (1, 'a', 'q', '', 100, 'waiting', 1, 1, 1, 1, 3, 3, 'at-most-once', zeroblob(16), 'manual', 2, 0),
                (2, 'a', 'q', '', 100, 'waiting', 1, 1, 1, 1, 3, 3, 'at-least-once', zeroblob(16), 'manual', 2, 1),
                (3, 'a', 'q', '', 100, 'running', 0, 1, 1, 1, 3, 3, 'at-most-once', zeroblob(16), 'manual', 1, 0),
                (4, 'a', 'q', '', 100, 'running', 0, 1, 1, 1, 3, 3, 'at-most-once', zeroblob(16), 'manual', 0, 0),
                (5, 'a', 'q', '', 100, 'running', 0, 1, 1, 1, 3, 3, 'at-least-once', zeroblob(16), 'manual', 1, 0);";
        let mut conn = Connection::open_in_memory().unwrap();
        apply(&mut conn, 0, &MIGRATIONS[..13]).unwrap();
        conn.execute_batch(ROWS).unwrap();
        apply(&mut conn, 13, MIGRATIONS).unwrap();
        let retried: String = conn
            .query_row(
                "SELECT group_concat(retried, ' ') FROM (SELECT retried FROM run ORDER BY id)",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(retried, "2 0 1 0 0");
    }
}
