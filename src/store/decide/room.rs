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
    /// Runs of the queues and tenants of the batch that have a `max_waiting`.
    depths: HashMap<Subject, Depth>,
    now_ms: i64,
}

impl<'g> Room<'g> {
    /// The room by these rules; `None` if no rule bounds the number of waiting runs. Disk space is only checked with a `guard`.
    pub fn new(guard: Option<&'g Guard<'g>>, rules: Option<Arc<Overridden>>, now_ms: i64) -> Self {
        Self {
            guard,
            rules,
            depths: HashMap::new(),
            now_ms,
        }
    }

    /// The refusal of this run if there is no room for it; otherwise counts it and returns `None`. `depth_of` counts the runs of a queue or
    /// tenant before this batch; it is called once for each that has a bound.
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
            let depth = if let Some(depth) = self.depths.get(subject) {
                *depth
            } else {
                let depth = depth_of(subject)?;
                self.depths.insert(subject.clone(), depth);
                depth
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::flow::{QueueRules, Quota, Rules};
    use crate::records::samples::new_run;

    fn rules() -> Arc<Overridden> {
        let mut rules = Rules::default();
        let queue = QueueRules {
            max_waiting: Some(5),
            ..QueueRules::default()
        };
        rules.queues.insert("default".to_owned(), queue);
        rules.tenants.each = Quota {
            max_waiting: Some(2),
            ..Quota::default()
        };
        Arc::new(Overridden::new(rules, &[], 0))
    }

    fn of(tenant: &str) -> NewRun {
        NewRun {
            tenant: tenant.to_owned(),
            ..new_run("job")
        }
    }

    #[test]
    fn the_depth_is_read_once_per_batch_and_each_run_of_it_counts() {
        let asked = RefCell::new(Vec::new());
        let depth_of = |subject: &Subject| {
            asked.borrow_mut().push(subject.name().to_owned());
            // One run without a tenant waits in the queue; running runs take no room.
            let depths = [Depth::READY, Depth::RUNNING, Depth::RUNNING];
            let is_queue = matches!(subject, Subject::Queue(_));
            Ok(Depth::sum(depths[usize::from(!is_queue)..].iter()))
        };
        let mut room = Room::new(None, Some(rules()), 0);
        let mut refused = |tenant: &str| {
            let refusal = room.refuse(&of(tenant), depth_of).unwrap();
            refusal.map(|error| error.message)
        };
        for (tenant, full) in [
            ("a", None),
            ("a", None),
            ("a", Some("tenant `a` is full: 2 of 2")),
            ("b", None),
            ("", None),
            ("b", Some("queue `default` is full: 5 of 5")),
            ("", Some("queue `default` is full: 5 of 5")),
        ] {
            let refusal = refused(tenant);
            assert_eq!(refusal.is_some(), full.is_some(), "{refusal:?}");
            let full = full.unwrap_or_default();
            assert!(refusal.unwrap_or_default().starts_with(full));
        }
        assert_eq!(asked.into_inner(), ["default", "a", "b"]);
    }

    #[test]
    fn nothing_is_counted_for_runs_that_are_never_refused() {
        let depth_of = |subject: &Subject| panic!("{subject:?}");
        let on_dead = NewRun {
            trigger: Trigger::OnDead,
            ..of("a")
        };
        let mut room = Room::new(None, Some(rules()), 0);
        assert!(room.refuse(&on_dead, depth_of).unwrap().is_none());
        let mut unbounded = Room::new(None, None, 0);
        assert!(unbounded.refuse(&of("a"), depth_of).unwrap().is_none());
    }
}
