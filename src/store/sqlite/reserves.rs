//! Slots of a worker that are reserved for queues.

use rusqlite::params;

use super::writer::Tx;
use crate::error::Result;
use crate::flow::{QueueRules, Rules};
use crate::run::WorkerId;
use crate::store::ClaimRequest;

/// Free slots that are reserved, by queue.
pub(super) struct Reserves<'a>(Vec<(&'a str, usize)>);

impl<'a> Reserves<'a> {
    pub(super) fn new(tx: &Tx<'_>, request: &'a ClaimRequest<'_>, rules: &Rules) -> Result<Self> {
        let mut reserves = Vec::new();
        for served in request.queues {
            let reserve = rules
                .queues
                .get(&served.name)
                .map_or(0, QueueRules::usable_reserve);
            if reserve > 0 {
                let held = tx.held_from(request.worker, &served.name)?;
                reserves.push((served.name.as_str(), (reserve - held).max(0) as usize));
            }
        }
        Ok(Self(reserves))
    }

    fn others(&self, queue: &str) -> impl Iterator<Item = usize> {
        let others = self.0.iter().filter(move |(name, _)| *name != queue);
        others.map(|(_, slots)| *slots)
    }

    /// Whether other queues have a reserve: then no run is claimed before a slot is free, since it could take theirs.
    pub(super) fn bind(&self, queue: &str) -> bool {
        self.0.iter().any(|(name, _)| *name != queue)
    }

    /// Number of free slots that this queue may use.
    pub(super) fn room(&self, queue: &str, free: usize) -> usize {
        free.saturating_sub(self.others(queue).sum())
    }

    pub(super) fn take(&mut self, queue: &str) {
        if let Some((_, slots)) = self.0.iter_mut().find(|(name, _)| *name == queue) {
            *slots = slots.saturating_sub(1);
        }
    }
}

impl Tx<'_> {
    /// Runs of a queue that a worker holds, or a worker that it started for one of them.
    fn held_from(&self, worker: WorkerId, queue: &str) -> Result<i64> {
        const SQL: &str = "
            SELECT count(*) FROM run INDEXED BY run_worker
            WHERE worker IS NOT NULL AND worker IN (SELECT ?1 UNION ALL SELECT id FROM worker WHERE parent = ?1)
                AND state = 'running' AND queue = ?2";
        let mut statement = self.conn.prepare_cached(SQL)?;
        Ok(statement.query_row(params![worker.0, queue], |row| row.get(0))?)
    }
}
