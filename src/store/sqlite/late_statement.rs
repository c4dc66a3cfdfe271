//! A statement that few runs of a batch need: prepared at its first use, then reused for the batch.

use rusqlite::{CachedStatement, Connection};

use crate::error::Result;

#[derive(Default)]
pub(super) struct LateStatement<'c>(Option<CachedStatement<'c>>);

impl<'c> LateStatement<'c> {
    /// The statement; each call gives the same `sql`.
    pub(super) fn get(
        &mut self,
        conn: &'c Connection,
        sql: &'static str,
    ) -> Result<&mut CachedStatement<'c>> {
        match &mut self.0 {
            Some(statement) => Ok(statement),
            none => Ok(none.insert(conn.prepare_cached(sql)?)),
        }
    }
}
