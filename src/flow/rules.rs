//! The rules of flow control: defined by the catalogue, stored for every claim, changed by operators.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rate::Rate;

/// Largest weight of a tenant or a queue: the most runs that one turn takes in a row.
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
    /// `[job.*]`: the jobs that have such rules.
    pub jobs: BTreeMap<String, JobRules>,
}

/// `[queue.NAME]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRules {
    /// Queues are served in this order, smaller first.
    pub rank: i64,
    /// The maximum of running runs.
    pub max_running: Option<i64>,
    /// An enqueue is refused while this many runs wait.
    #[serde(default)]
    pub max_waiting: Option<i64>,
    /// Slots of each worker that only this queue may take.
    pub reserve: i64,
    /// Its pause; while it lasts no run of the queue starts.
    pub paused: Option<Paused>,
}

impl QueueRules {
    /// Reserved slots, but no more than the queue may use.
    pub fn usable_reserve(&self) -> i64 {
        self.reserve.min(self.max_running.unwrap_or(i64::MAX))
    }
}

/// A pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Who paused: an operator, or `catalogue`.
    pub by: String,
    /// The reason that was given.
    pub reason: Option<String>,
    /// The end of the pause, milliseconds; `None` if it must be resumed.
    pub until_ms: Option<i64>,
}

/// `[limit.NAME]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitRules {
    /// The maximum of running runs under it.
    pub concurrency: Option<i64>,
    /// The maximum rate of starts.
    pub rate: Option<Rate>,
    /// Its breaker.
    pub breaker: Option<BreakerRules>,
    /// Its pause by an operator; while it lasts no run under the limit starts.
    pub paused: Option<Paused>,
}

/// `breaker = { failures = 10, within = "1m", cooldown = "5m" }`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerRules {
    /// This many transient endings ...
    pub failures: i64,
    /// ... within this time open it, milliseconds.
    pub within_ms: i64,
    /// The cooldown after it opened, milliseconds; then one run may probe.
    pub cooldown_ms: i64,
}

/// `[tenants]` and `[tenants.NAME]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenants {
    /// The default quota of each tenant.
    pub each: Quota,
    /// Tenants with separate rules.
    pub named: BTreeMap<String, TenantRules>,
}

/// What a tenant may use, over all queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// The maximum of its running runs.
    pub concurrency: Option<i64>,
    /// An enqueue is refused while this many of its runs wait.
    #[serde(default)]
    pub max_waiting: Option<i64>,
}

/// `[tenants.NAME]`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantRules {
    /// Its share relative to other tenants; `None` means 1.
    pub weight: Option<i64>,
    /// Its quota.
    pub quota: Quota,
}

/// `[job.NAME]`: the keys of flow control.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRules {
    /// Limits that apply to its runs.
    pub limits: Vec<String>,
    /// The maximum of its running runs.
    pub concurrency: Option<i64>,
    /// Its breaker.
    pub breaker: Option<BreakerRules>,
}

impl JobRules {
    /// Whether the job has no rules, so that its runs may start whenever a slot is free.
    pub fn is_free(&self) -> bool {
        *self == Self::default()
    }
}

impl Rules {
    /// The rank of a queue; the last rank for a queue without a section.
    pub fn rank(&self, queue: &str) -> i64 {
        let rules = self.queues.get(queue);
        rules.map_or(i64::MAX, |queue| queue.rank)
    }

    /// The quota of a tenant; runs without a tenant have none.
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

    /// Whether any rule depends on the running runs; if not, they need not be counted.
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

    /// Whether a run of this lane may be claimed ahead of a free slot: no limit that it shares with others applies to it.
    pub fn is_unlimited(&self, queue: &str, tenant: &str, job: &str) -> bool {
        !self.jobs.contains_key(job)
            && self.quota(tenant).concurrency.is_none()
            && self
                .queues
                .get(queue)
                .is_none_or(|queue| queue.max_running.is_none())
    }
}
