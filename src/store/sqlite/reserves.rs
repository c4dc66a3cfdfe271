//! Counts the runs that a worker holds from queues with a reserve.

use rusqlite::params;

use super::writer::Tx;
use crate::error::Result;
use crate::flow::Rules;
use crate::run::WorkerId;
use crate::store::ClaimRequest;
use crate::store::decide::Reserves;

impl Tx<'_> {
    /// The free slots of a worker that are reserved for queues.
    pub(super) fn reserves<'a>(
        &self,
        request: &'a ClaimRequest<'_>,
        rules: &Rules,
    ) -> Result<Reserves<'a>> {
        Reserves::of(request.queues, rules, |queue| {
            self.held_from(request.worker, queue)
        })
    }

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
