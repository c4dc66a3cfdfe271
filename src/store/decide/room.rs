//! Whether queues and tenants have room for a new run.
//!
//! Rule: every waiting run counts, also those that the same batch stores. Only enqueues by callers are refused; periods (also with
//! `periods run`), runs of `on_dead` jobs and retries never are.

use std::collections::HashMap;
use std::sync::Arc;

use super::depth::Depth;
use crate::error::{Error, Result};
use crate::flow::{Full, Guard, Overridden, Subject};
use crate::records::NewRun;
use crate::run::Trigger;

/// The remaining room for a batch of new runs.
pub struct Room<'g> {
    guard: Option<&'g Guard<'g>>,
    /// `None` if no queue and no tenant has a `max_waiting`.
    rules: Option<Arc<Overridden>>,
    /// Of the queues and tenants of the batch that have a `max_waiting`.
    depths: HashMap<Subject, Depth>,
    now_ms: i64,
}

impl<'g> Room<'g> {
    /// The room under these rules, `None` if none of them bounds what waits; disk space is only checked with a `guard`.
    pub fn new(guard: Option<&'g Guard<'g>>, rules: Option<Arc<Overridden>>, now_ms: i64) -> Self {
        Self {
            guard,
            rules,
            depths: HashMap::new(),
            now_ms,
        }
    }

    /// Why there is no room for this run; `None` if there is, and the run is then counted. `depth_of` counts the runs of a queue or a
    /// tenant before this batch, and is asked once for each that has a bound.
    ///
    /// # Errors
    /// Those of `depth_of`.
    pub fn refuse(
        &mut self,
        run: &NewRun,
        depth_of: impl Fn(&Subject) -> Result<Depth>,
    ) -> Result<Option<Error>> {
        if run.trigger != Trigger::Manual || run.period.is_some() {
            return Ok(None);
        }
        if let Some(refusal) = self.guard.and_then(|guard| guard.refusal(&run.queue)) {
            return Ok(Some(refusal));
        }
        let Some(in_force) = &self.rules else {
            return Ok(None);
        };
        let queue = in_force.rules.queues.get(&run.queue);
        let of_queue = queue.and_then(|queue| queue.max_waiting);
        let of_tenant = in_force.rules.quota(&run.tenant).max_waiting;
        let bounds = [
            of_queue.map(|max| (Subject::Queue(run.queue.clone()), max)),
            of_tenant.map(|max| (Subject::Tenant(run.tenant.clone()), max)),
        ];
        for (subject, max) in bounds.iter().flatten() {
            let depth = match self.depths.get(subject) {
                Some(depth) => *depth,
                None => {
                    let depth = depth_of(subject)?;
                    self.depths.insert(subject.clone(), depth);
                    depth
                }
            };
            if depth.waiting_runs() >= *max {
                let paused = queue.and_then(|queue| queue.paused.as_ref());
                let full = Full {
                    subject: subject.clone(),
                    waiting: depth.waiting_runs(),
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
}
