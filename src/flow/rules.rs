//! The rules of the flow: as the catalogue says them, kept in the store for every claim, changed by operators.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rate::Rate;

/// Largest weight of a tenant or a queue: a turn takes at most so many runs in a row.
pub const WEIGHT_MAX: i64 = 100;

/// No cap is larger: more runs at a time than any host can start.
pub const COUNT_MAX: i64 = 1_000_000;

/// No `max_waiting` is larger: more runs than a store should ever hold.
pub const WAITING_MAX: i64 = 1_000_000_000;

/// All rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// `[queue.*]`
    pub queues: BTreeMap<String, QueueRules>,
    /// `[limit.*]`
    pub limits: BTreeMap<String, LimitRules>,
    /// `[tenants]`
    pub tenants: Tenants,
    /// Of `[job.*]`, those that have any.
    pub jobs: BTreeMap<String, JobRules>,
}

/// `[queue.NAME]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRules {
    /// Queues are served in this order, smaller first.
    pub rank: i64,
    /// At most this many run at a time.
    pub max_running: Option<i64>,
    /// With so many waiting an enqueue is refused.
    #[serde(default)]
    pub max_waiting: Option<i64>,
    /// Slots of each worker that only this queue may take.
    pub reserve: i64,
    /// Nothing of it is started.
    pub paused: Option<Paused>,
}

impl QueueRules {
    /// Slots that are kept for it: no more than it may use.
    pub fn usable_reserve(&self) -> i64 {
        self.reserve.min(self.max_running.unwrap_or(i64::MAX))
    }
}

/// Who stopped something, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Who: an operator, or the catalogue.
    pub by: String,
    /// Why, in their words.
    pub reason: Option<String>,
    /// When it ends by itself, milliseconds.
    pub until_ms: Option<i64>,
}

/// `[limit.NAME]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitRules {
    /// At most this many runs under it at a time.
    pub concurrency: Option<i64>,
    /// So many starts in so much time.
    pub rate: Option<Rate>,
    /// Stops it when it fails too often.
    pub breaker: Option<BreakerRules>,
    /// An operator paused it: nothing under it is started.
    pub paused: Option<Paused>,
}

/// `breaker = { failures = 10, within = "1m", cooldown = "5m" }`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerRules {
    /// So many transient endings ...
    pub failures: i64,
    /// ... within this time open it, milliseconds.
    pub within_ms: i64,
    /// Nothing is started for so long, milliseconds; then one run may try.
    pub cooldown_ms: i64,
}

/// `[tenants]` and `[tenants.NAME]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenants {
    /// For each tenant that has no rule of its own about it.
    pub each: Quota,
    /// Those with rules of their own.
    pub named: BTreeMap<String, TenantRules>,
}

/// What a tenant may use, over all queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// At most this many of its runs at a time.
    pub concurrency: Option<i64>,
    /// With so many of its runs waiting an enqueue is refused.
    #[serde(default)]
    pub max_waiting: Option<i64>,
}

/// `[tenants.NAME]`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantRules {
    /// Its share beside others; 1 where none is given.
    pub weight: Option<i64>,
    /// What it may use.
    pub quota: Quota,
}

/// Of `[job.NAME]`, what limits its flow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRules {
    /// Limits that its runs stand under.
    pub limits: Vec<String>,
    /// At most this many of its runs at a time.
    pub concurrency: Option<i64>,
    /// Stops it when it fails too often.
    pub breaker: Option<BreakerRules>,
}

impl JobRules {
    /// Whether runs of the job may be started whenever a slot is free.
    pub fn is_free(&self) -> bool {
        *self == Self::default()
    }
}

impl Rules {
    /// The rank of a queue; the last for one that no section names.
    pub fn rank(&self, queue: &str) -> i64 {
        let rules = self.queues.get(queue);
        rules.map_or(i64::MAX, |queue| queue.rank)
    }

    /// What a tenant may use; runs without a tenant have no quota.
    pub fn quota(&self, tenant: &str) -> Quota {
        if tenant.is_empty() {
            return Quota::default();
        }
        let each = self.tenants.each;
        match self.tenants.named.get(tenant) {
            Some(TenantRules { quota, .. }) => Quota {
                concurrency: quota.concurrency.or(each.concurrency),
                max_waiting: quota.max_waiting.or(each.max_waiting),
            },
            None => each,
        }
    }

    /// Runs of a tenant that are taken in one turn.
    pub fn weight(&self, tenant: &str) -> i64 {
        let named = self.tenants.named.get(tenant);
        named.and_then(|rules| rules.weight).unwrap_or(1)
    }

    /// Whether anything has a `max_waiting`.
    pub fn bound_waiting(&self) -> bool {
        let mut quotas = self.tenants.named.values().map(|tenant| &tenant.quota);
        let bounds = |quota: &Quota| quota.max_waiting.is_some();
        let mut queues = self.queues.values();
        bounds(&self.tenants.each)
            || quotas.any(bounds)
            || queues.any(|queue| queue.max_waiting.is_some())
    }

    /// Whether what runs decides about anything: if not, nobody needs to count it.
    pub fn have_caps(&self) -> bool {
        self.queues
            .values()
            .any(|queue| queue.max_running.is_some())
            || !self.limits.is_empty()
            || !self.jobs.is_empty()
            || self.tenants.each.concurrency.is_some()
            || self
                .tenants
                .named
                .values()
                .any(|tenant| tenant.quota.concurrency.is_some())
    }

    /// Whether a run of this lane may wait at a worker for a slot: it stands under nothing that others share.
    pub fn is_unlimited(&self, queue: &str, tenant: &str, job: &str) -> bool {
        !self.jobs.contains_key(job)
            && self.quota(tenant).concurrency.is_none()
            && self
                .queues
                .get(queue)
                .is_none_or(|queue| queue.max_running.is_none())
    }
}
