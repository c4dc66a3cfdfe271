//! Stores places in sequences: a gate lets each run of a sequence wait for the one that has the place before it.
//!
//! Rule: a run gets the last place (`decide::SequencePlace`), and loses it by a trigger of the schema or by a discard, so the order needs no comparison of keys
//! when runs are claimed.

use rusqlite::{Connection, OptionalExtension};

use super::writer::Tx;
use crate::error::Result;
use crate::run::RunId;
use crate::store::decide::{SequencePlace, Tail};

/// The last run of a sequence.
pub(super) fn tail_of(conn: &Connection, job: &str, key: &str) -> Result<Tail> {
    const SQL: &str = "
        SELECT id, sequence_place FROM run INDEXED BY run_sequence
        WHERE job = ?1 AND sequence_key = ?2 AND sequence_place IS NOT NULL ORDER BY sequence_place DESC LIMIT 1";
    let mut statement = conn.prepare_cached(SQL)?;
    let last = statement.query_row([job, key], |row| Ok((RunId(row.get(0)?), row.get(1)?)));
    Ok(last.optional()?)
}

impl Tx<'_> {
    /// Puts a run that will wait again at the end of its sequence, unless it still has its place.
    pub(super) fn rejoin_sequence(&mut self, run: RunId) -> Result<()> {
        const READ: &str = "
            SELECT job, sequence_key FROM run WHERE id = ?1 AND sequence_key IS NOT NULL AND sequence_place IS NULL";
        const PLACE: &str = "UPDATE run SET sequence_place = ?2, gates = gates + ?3 WHERE id = ?1";
        let mut statement = self.conn.prepare_cached(READ)?;
        let found = statement.query_row([run.0], |row| Ok((row.get(0)?, row.get(1)?)));
        let Some((job, key)): Option<(String, String)> = found.optional()? else {
            return Ok(());
        };
        let place = SequencePlace::behind(tail_of(self.conn, &job, &key)?);
        let gates = match place.before {
            Some(before) => self.add_gate(before, run)?,
            None => 0,
        };
        let values = (run.0, place.number, gates);
        let changed = self.conn.prepare_cached(PLACE)?.execute(values)?;
        super::moves::exactly_one(changed, "place a run")
    }

    /// Ends the blocking of a sequence by a dead run.
    pub(super) fn give_up_place(&mut self, run: RunId) -> Result<()> {
        const SQL: &str = "
            UPDATE run SET sequence_place = NULL WHERE id = ?1 AND state = 'dead' AND sequence_place IS NOT NULL";
        self.conn.prepare_cached(SQL)?.execute([run.0])?;
        Ok(())
    }

    /// Makes a run wait for another. Returns the number of added gates.
    pub(super) fn add_gate(&self, before: RunId, run: RunId) -> Result<i64> {
        const SQL: &str = "INSERT OR IGNORE INTO gate (run, successor) VALUES (?1, ?2)";
        let mut statement = self.conn.prepare_cached(SQL)?;
        Ok(statement.execute([before.0, run.0])? as i64)
    }
}

impl super::Store {
    /// Queues and jobs of waiting runs that wait directly for a running one. Runs further behind wait for one of these, which may never
    /// start.
    pub fn behind_running(&self) -> Result<Vec<(String, String)>> {
        // There are few running runs and many waiting ones: a cross join fixes this order.
        const SQL: &str = "
            SELECT DISTINCT behind.queue, behind.job FROM run AS front INDEXED BY run_worker
                CROSS JOIN gate ON gate.run = front.id
                CROSS JOIN run AS behind ON behind.id = gate.successor
            WHERE front.worker IS NOT NULL AND front.state = 'running'
                AND behind.state = 'waiting' AND behind.worker IS NULL";
        let mut statement = self.connection()?.prepare_cached(SQL)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
