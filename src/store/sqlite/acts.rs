//! The history of changes to queues, limits and jobs; only the newest, so that its size is bounded.

use rusqlite::params;

use super::writer::Tx;
use crate::error::Result;
use crate::store::{Act, ActRow};

/// Number of entries that are kept.
const KEPT: i64 = 1_000;

impl Tx<'_> {
    /// Records a change in its own transaction.
    pub(super) fn note_act(&self, kind: &str, name: &str, what: &str, act: &Act<'_>) -> Result<()> {
        const SQL: &str = "
            INSERT INTO act (kind, name, what, at_ms, actor, reason, until_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        const FORGET: &str = "DELETE FROM act WHERE id <= (SELECT max(id) FROM act) - ?1";
        let Act {
            by,
            reason,
            now_ms,
            until_ms,
        } = *act;
        let values = params![kind, name, what, now_ms, by, reason, until_ms];
        self.conn.prepare_cached(SQL)?.execute(values)?;
        self.conn.prepare_cached(FORGET)?.execute([KEPT])?;
        Ok(())
    }
}

impl super::Store {
    /// The newest changes of this kind, the newest first; of one name, or of all.
    pub fn acts(&self, kind: &str, name: Option<&str>, limit: i64) -> Result<Vec<ActRow>> {
        const SQL: &str = "
            SELECT kind, name, what, at_ms, actor, reason, until_ms FROM act
            WHERE kind = ?1 AND (?2 IS NULL OR name = ?2) ORDER BY id DESC LIMIT ?3";
        let mut statement = self.connection()?.prepare_cached(SQL)?;
        let rows = statement
            .query_map(params![kind, name, limit], |row| {
                Ok(ActRow {
                    kind: row.get("kind")?,
                    name: row.get("name")?,
                    what: row.get("what")?,
                    at_ms: row.get("at_ms")?,
                    by: row.get("actor")?,
                    reason: row.get("reason")?,
                    until_ms: row.get("until_ms")?,
                })
            })?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }
}
