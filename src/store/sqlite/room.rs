//! Whether queues and tenants have room for a new run.
//!
//! Rule: every waiting run counts, in the transaction that stores the next one. Only enqueues by callers are refused; periods (also
//! with `periods run`), runs of `on_dead` jobs and retries never are.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::OptionalExtension;

use super::writer::{Depth, Tx};
use crate::error::{Error, Result};
use crate::flow::{Full, Guard, Overridden, Subject};
use crate::run::Trigger;
use crate::store::NewRun;

/// The remaining room for a batch of new runs.
pub(super) struct Room<'g> {
    guard: Option<&'g Guard<'g>>,
    /// `None` if no queue and no tenant has a `max_waiting`.
    rules: Option<Arc<Overridden>>,
    /// Number of waiting runs, of the queues and tenants of the batch that have a `max_waiting`.
    depths: HashMap<Subject, Depth>,
    now_ms: i64,
}

impl<'g> Room<'g> {
    pub(super) fn new(tx: &Tx<'_>, guard: Option<&'g Guard<'g>>, now_ms: i64) -> Result<Self> {
        const BOUNDED: &str = "
            SELECT bounded OR EXISTS (
                SELECT 1 FROM override WHERE key = 'max_waiting' AND (until_ms IS NULL OR until_ms > ?1)) FROM flow";
        let mut statement = tx.conn.prepare_cached(BOUNDED)?;
        let bounded: bool = statement.query_row([now_ms], |row| row.get(0))?;
        Ok(Self {
            guard,
            rules: if bounded {
                Some(tx.rules(now_ms)?)
            } else {
                None
            },
            depths: HashMap::new(),
            now_ms,
        })
    }

    /// Why there is no room for this run; `None` if there is, and the run is then counted.
    pub(super) fn refuse(&mut self, tx: &Tx<'_>, run: &NewRun) -> Result<Option<Error>> {
        if run.trigger != Trigger::Manual || run.period.is_some() {
            return Ok(None);
        }
        if let Some(refusal) = self.guard.and_then(|guard| guard.refusal(&run.queue)) {
            return Ok(Some(refusal));
        }
        let Some(rules) = self.rules.clone() else {
            return Ok(None);
        };
        let queue = rules.rules.queues.get(&run.queue);
        let of_queue = queue.and_then(|queue| queue.max_waiting);
        let of_tenant = rules.rules.quota(&run.tenant).max_waiting;
        let bounds = [
            of_queue.map(|max| (Subject::Queue(run.queue.clone()), max)),
            of_tenant.map(|max| (Subject::Tenant(run.tenant.clone()), max)),
        ];
        for (subject, max) in bounds.iter().flatten() {
            let depth = self.depth(tx, subject)?;
            if depth.ready + depth.delayed >= *max {
                let paused = queue.and_then(|queue| queue.paused.as_ref());
                let full = Full {
                    subject: subject.clone(),
                    waiting: depth.ready + depth.delayed,
                    max: *max,
                    running: depth.running,
                    paused_until_ms: paused.and_then(|paused| paused.until_ms),
                };
                return Ok(Some(full.refusal(self.now_ms)));
            }
        }
        for (subject, _) in bounds.iter().flatten() {
            if let Some(depth) = self.depths.get_mut(subject) {
                depth.delayed += 1;
            }
        }
        Ok(None)
    }

    fn depth(&mut self, tx: &Tx<'_>, subject: &Subject) -> Result<Depth> {
        if let Some(depth) = self.depths.get(subject) {
            return Ok(*depth);
        }
        let depth = match subject {
            Subject::Tenant(tenant) => tx.depth_of_tenant(tenant)?,
            subject => tx.depth_of_queue(subject.name())?,
        };
        self.depths.insert(subject.clone(), depth);
        Ok(depth)
    }
}

impl Tx<'_> {
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
