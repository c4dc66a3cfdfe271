//! The flow control rules in force: those of the catalogue that was loaded last, with the changes by operators.
//!
//! Rule: they are parsed once per version; every write that changes them changes the version in the same transaction.

use std::sync::Arc;

use rusqlite::{Connection, Row};

use crate::error::{Error, Kind, Result};
use crate::flow::{Overridden, Override, OverrideKey, Rules};

/// The rules that this process read last, with their version.
#[derive(Debug, Default)]
pub(super) struct KnownRules {
    version: Option<i64>,
    read_ms: i64,
    overridden: Arc<Overridden>,
}

impl KnownRules {
    /// The rules in force. They are read again if they changed, if an override expired, or if the clock was set back: an expired
    /// override then applies again in every process that starts, so it must apply here too.
    pub(super) fn in_force(&mut self, conn: &Connection, now_ms: i64) -> Result<Arc<Overridden>> {
        const VERSION: &str = "SELECT version FROM flow";
        let version: i64 = conn
            .prepare_cached(VERSION)?
            .query_row([], |row| row.get(0))?;
        let ended = self
            .overridden
            .until_ms
            .is_some_and(|until_ms| until_ms <= now_ms);
        if self.version != Some(version) || ended || now_ms < self.read_ms {
            self.overridden = Arc::new(read_rules(conn, now_ms)?);
            self.version = Some(version);
            self.read_ms = now_ms;
        }
        Ok(Arc::clone(&self.overridden))
    }

    /// Forgets the rules that were read inside a transaction that was rolled back: its version number may be used again.
    pub(super) fn forget(&mut self) {
        self.version = None;
    }
}

fn read_rules(conn: &Connection, now_ms: i64) -> Result<Overridden> {
    Ok(Overridden::new(
        catalogue_rules(conn)?,
        &overrides(conn)?,
        now_ms,
    ))
}

/// The rules of the catalogue that was loaded last.
pub(super) fn catalogue_rules(conn: &Connection) -> Result<Rules> {
    const SQL: &str = "SELECT rules FROM flow";
    let text: String = conn.prepare_cached(SQL)?.query_row([], |row| row.get(0))?;
    serde_json::from_str(&text).map_err(|error| {
        let message = format!("the rules of the flow in the store cannot be read: {error}");
        Error::new(Kind::Bug, message).hint("touch the catalogue and send a worker SIGHUP")
    })
}

/// Path of that catalogue.
pub(super) fn catalogue_path(conn: &Connection) -> Result<Option<String>> {
    const SQL: &str = "SELECT path FROM flow";
    Ok(conn.prepare_cached(SQL)?.query_row([], |row| row.get(0))?)
}

/// Reads one change by an operator.
pub(super) fn override_row(row: &Row<'_>, key: OverrideKey) -> rusqlite::Result<Override> {
    Ok(Override {
        name: row.get("name")?,
        key,
        value: row.get("value")?,
        by: row.get("set_by")?,
        reason: row.get("reason")?,
        set_ms: row.get("set_ms")?,
        until_ms: row.get("until_ms")?,
    })
}

/// The changes by operators, including expired ones.
pub(super) fn overrides(conn: &Connection) -> Result<Vec<Override>> {
    const SQL: &str = "
        SELECT name, key, value, set_by, reason, set_ms, until_ms FROM override ORDER BY kind, name, key";
    let mut statement = conn.prepare_cached(SQL)?;
    let rows = statement.query_map([], |row| {
        let key: String = row.get("key")?;
        let key = OverrideKey::from_word(&key);
        key.map(|key| override_row(row, key)).transpose()
    })?;
    let known = rows.filter_map(rusqlite::Result::transpose);
    Ok(known.collect::<rusqlite::Result<_>>()?)
}
