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
    include_str!("migrations/0004_flow.sql"),
];

/// The schema version that this jobctl writes.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Brings a database from version `from` to [`VERSION`] in one transaction.
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
}
