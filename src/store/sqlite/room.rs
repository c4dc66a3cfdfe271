//! Counts the waiting runs of queues and tenants, in the transaction that stores the next run; `decide::Room` decides about room.

use rusqlite::OptionalExtension;

use super::writer::Tx;
use crate::error::Result;
use crate::flow::{Guard, Subject};
use crate::store::decide::{Depth, Room};

impl Tx<'_> {
    /// The room for a batch of new runs.
    pub(super) fn room<'g>(&self, guard: Option<&'g Guard<'g>>, now_ms: i64) -> Result<Room<'g>> {
        const BOUNDED: &str = "
            SELECT bounded OR EXISTS (
                SELECT 1 FROM override WHERE key = 'max_waiting' AND (until_ms IS NULL OR until_ms > ?1)) FROM flow";
        let mut statement = self.conn.prepare_cached(BOUNDED)?;
        let bounded: bool = statement.query_row([now_ms], |row| row.get(0))?;
        let rules = bounded.then(|| self.rules(now_ms)).transpose()?;
        Ok(Room::new(guard, rules, now_ms))
    }

    /// The depth of a queue or a tenant, including the changes of this transaction.
    pub(super) fn depth_of(&self, subject: &Subject) -> Result<Depth> {
        match subject {
            Subject::Tenant(tenant) => self.depth_of_tenant(tenant),
            subject => self.depth_of_queue(subject.name()),
        }
    }

    fn depth_of_queue(&self, queue: &str) -> Result<Depth> {
        const SQL: &str = "SELECT ready, delayed, running FROM queue_depth WHERE queue = ?1";
        let changed = self.depth.get(queue);
        let changed = Depth::sum(changed.into_iter().flat_map(|tenants| tenants.values()));
        Ok(Depth::sum([self.stored_depth(SQL, queue)?, changed].iter()))
    }

    /// Counts over all queues, with a seek for each.
    fn depth_of_tenant(&self, tenant: &str) -> Result<Depth> {
        const SQL: &str = "
            SELECT coalesce(sum(depth.ready), 0), coalesce(sum(depth.delayed), 0), coalesce(sum(depth.running), 0)
            FROM queue_depth CROSS JOIN depth ON depth.queue = queue_depth.queue AND depth.tenant = ?1";
        let changed = self.depth.values();
        let changed = Depth::sum(changed.filter_map(|tenants| tenants.get(tenant)));
        Ok(Depth::sum(
            [self.stored_depth(SQL, tenant)?, changed].iter(),
        ))
    }

    fn stored_depth(&self, sql: &str, name: &str) -> Result<Depth> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let depth = statement.query_row([name], |row| {
            Ok(Depth {
                ready: row.get(0)?,
                delayed: row.get(1)?,
                running: row.get(2)?,
            })
        });
        Ok(depth.optional()?.unwrap_or(Depth::NONE))
    }
}
