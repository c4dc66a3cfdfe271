//! Tests that need SQL: rows of other programs, plans of statements, and rows that remain in tables.

mod orders;
mod plans;
mod tables;
mod unusable;
mod watch;

pub(super) use crate::store::conformance::on_disk::suite::{Lab, bury, new_run};

use rusqlite::ToSql;

use crate::store::{PruneRule, Pruning};

/// The query plan of a statement, one line for each step.
fn plan(lab: &Lab, sql: &str, values: &[&dyn ToSql]) -> String {
    let conn = lab.store.connection().unwrap();
    let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let rows = statement.query_map(values, |row| row.get::<_, String>(3));
    let steps: Vec<String> = rows.unwrap().map(Result::unwrap).collect();
    steps.join("; ")
}

fn count_rows(lab: &Lab, table: &str) -> i64 {
    let conn = lab.store.connection().unwrap();
    let sql = format!("SELECT count(*) FROM {table}");
    conn.query_row(&sql, [], |row| row.get(0)).unwrap()
}

/// Removes all ended runs, a page of this many at a time.
pub(super) fn prune_all(lab: &mut Lab, page: i64) {
    let now_ms = lab.now_ms;
    let rule = PruneRule {
        ended_before_ms: Some(i64::MAX),
        upto: None,
    };
    let mut at = Some(Pruning::default());
    while let Some(here) = at {
        at = lab.write(|tx| tx.prune(&rule, &here, page, now_ms)).next;
    }
}
