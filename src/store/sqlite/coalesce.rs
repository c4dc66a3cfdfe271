//! Finds the run that an enqueue coalesces with, and gives a waiting one the parameters of the enqueue.
//!
//! Rule: `decide::coalesce` decides; this file reads the runs with the key and writes the result.

use rusqlite::{params, params_from_iter};

use super::labels::{label_columns, label_places, label_values};
use super::writer::Tx;
use crate::catalogue::Coalesce;
use crate::error::Result;
use crate::run::RunId;
use crate::store::decide::{CoalesceOutcome, Depth, Live, coalesce};
use crate::store::{Enqueued, NewRun};

/// The effect on an enqueue of runs with its key that have not ended.
pub(super) enum Coalesced {
    /// None: the enqueue becomes a new run.
    None,
    /// The enqueue is a duplicate of this run.
    Existing(Enqueued),
    /// The enqueue becomes a new run that waits for the end of these.
    Behind(Vec<RunId>),
}

impl Tx<'_> {
    /// Searches for runs with this key. If the job has that mode, a waiting run gets the parameters of the enqueue.
    pub(super) fn coalesce(
        &mut self,
        new: &NewRun,
        (key, how): (&str, Coalesce),
        now_ms: i64,
    ) -> Result<Coalesced> {
        let live = self.live(&new.job, key, now_ms)?;
        Ok(match coalesce(&live, how) {
            CoalesceOutcome::New => Coalesced::None,
            CoalesceOutcome::Duplicate(it) => Coalesced::Existing(it.answer(false)),
            CoalesceOutcome::TakenOver(it, before) => {
                it.check_sequence(new)?;
                self.replace(it.run, new)?;
                self.put_behind(it.run, &before)?;
                Coalesced::Existing(it.answer(true))
            }
            CoalesceOutcome::Behind(runs) => Coalesced::Behind(runs),
        })
    }

    /// Runs with this key that have not ended, the newest first, without waiting runs whose deadline has passed.
    fn live(&self, job: &str, key: &str, now_ms: i64) -> Result<Vec<Live>> {
        const SQL: &str = "
            SELECT id, state = 'running' AS is_running, gates > 0 AS is_gated, due_ms, sequence_key FROM run INDEXED BY run_alike
            WHERE dedup_live = 1 AND state IN ('waiting', 'running') AND job = ?1 AND dedup_key = ?2
                AND (state = 'running' OR deadline_ms IS NULL OR deadline_ms > ?3)
            ORDER BY id DESC";
        let mut statement = self.conn.prepare_cached(SQL)?;
        let live = statement
            .query_map(params![job, key, now_ms], |row| {
                Ok(Live {
                    run: RunId(row.get("id")?),
                    is_running: row.get("is_running")?,
                    is_gated: row.get("is_gated")?,
                    due_ms: row.get("due_ms")?,
                    sequence: row.get("sequence_key")?,
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(live)
    }

    /// Gives a waiting run the parameters of an enqueue. Id, place, due time, deadline and history stay. The idempotency key is new,
    /// because the old one belongs to other parameters.
    fn replace(&mut self, run: RunId, new: &NewRun) -> Result<()> {
        const SQL: &str = concat!(
            "UPDATE run SET params = ?2, has_payload = ?3, idempotency_key = ?4, trigger = ?5, parent = ?6,
                (",
            label_columns!(),
            ") = (",
            label_places!(),
            ") WHERE id = ?1 AND state = 'waiting'"
        );
        const FORGET: &str = "DELETE FROM payload WHERE run = ?1";
        const PAYLOAD: &str = "INSERT INTO payload (run, body) VALUES (?1, ?2)";
        let own = params![
            run.0,
            new.params,
            new.payload.is_some(),
            new.idempotency_key,
            new.trigger.word(),
            new.parent.map(|parent| parent.0),
        ];
        let labels = label_values(&new.labels);
        let values = params_from_iter(own.iter().chain(&labels));
        let changed = self.conn.prepare_cached(SQL)?.execute(values)?;
        super::moves::exactly_one(changed, "replace a run")?;
        self.conn.prepare_cached(FORGET)?.execute([run.0])?;
        if let Some(payload) = &new.payload {
            let mut statement = self.conn.prepare_cached(PAYLOAD)?;
            statement.execute(params![run.0, payload])?;
        }
        Ok(())
    }

    /// Lets a waiting run also wait for these running ones.
    fn put_behind(&mut self, run: RunId, before: &[RunId]) -> Result<()> {
        const READ: &str = "SELECT queue, tenant, ready FROM run WHERE id = ?1";
        const SQL: &str = "
            UPDATE run SET ready = 0, gates = gates + ?2 WHERE id = ?1 AND state = 'waiting'";
        let mut gates = 0;
        for before in before {
            gates += self.add_gate(*before, run)?;
        }
        if gates == 0 {
            return Ok(());
        }
        let (queue, tenant, ready): (String, String, bool) = self
            .conn
            .prepare_cached(READ)?
            .query_row([run.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let changed = self.conn.prepare_cached(SQL)?.execute((run.0, gates))?;
        super::moves::exactly_one(changed, "let a run wait")?;
        self.count(&queue, &tenant, Depth::waiting(ready), Depth::DELAYED);
        Ok(())
    }
}
