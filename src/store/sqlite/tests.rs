//! Tests that need SQL: rows of other programs, plans of statements, and rows that remain in tables.

mod orders;
mod plans;
mod tables;
mod unusable;
mod watch;

pub(super) use crate::store::conformance::on_disk::suite::{Lab, bury, new_run};

use rusqlite::ToSql;

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
