//! Flow control: `[queue.*]`, `[limit.*]`, `[tenants]`, and the keys of a job about it.
//!
//! Rule: a limit without any setting is reported as an error.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::{Entry, Table};
use super::settings::{Context, check_name};
use super::source::Place;
use super::value::Value;
use super::{Catalogue, keys};
use crate::flow::{
    BreakerRules, COUNT_MAX, JobRules, LimitRules, Paused, QueueRules, Quota, Rate, Rules,
    TenantRules, Tenants, WAITING_MAX, WEIGHT_MAX,
};
use crate::units::shown;

/// The queues that exist without a section, with their ranks.
const BUILT_IN: [(&str, i64); 3] = [("high", 10), ("default", 50), ("low", 90)];

/// Largest number of failures that a breaker counts.
const FAILURES_MAX: i64 = 1_000;

impl Catalogue {
    /// What limits the flow of runs.
    pub fn flow_rules(&self) -> Rules {
        let jobs = self.jobs.iter();
        Rules {
            queues: self.queues.clone(),
            limits: self.limits.clone(),
            tenants: self.tenants.clone(),
            jobs: jobs
                .filter(|(_, job)| !job.flow.is_free())
                .map(|(name, job)| (name.clone(), job.flow.clone()))
                .collect(),
        }
    }
}

fn count(table: &Table<'_>, key: &str) -> Option<i64> {
    table.get(key).and_then(|value| value.integer(1, COUNT_MAX))
}

/// `max_waiting` of a queue or a tenant. In `[tenants]`, a table of this name is a tenant.
fn max_waiting(table: &Table<'_>) -> Option<i64> {
    let value = table.get("max_waiting").filter(|value| !value.is_table());
    value.and_then(|value| value.integer(1, WAITING_MAX))
}

/// `[queue.*]` of all files, with the built-in queues.
pub(super) fn queues(sections: &[Entry<'_>], context: &Context) -> BTreeMap<String, QueueRules> {
    let of_rank = |rank| QueueRules {
        rank,
        ..QueueRules::default()
    };
    let built_in = BUILT_IN.map(|(name, rank)| (name.to_owned(), of_rank(rank)));
    let mut queues = BTreeMap::from(built_in);
    for section in sections {
        let Some(table) = section.value.table() else {
            continue;
        };
        table.check_keys(keys::QUEUE, "a queue");
        let rank = match table.get("rank") {
            Some(value) => value.integer(i64::MIN, i64::MAX),
            None => queues.get(section.key).map(|queue| queue.rank).or_else(|| {
                let message = format!("queue `{}` has no rank", shown(section.key));
                let hint = "add `rank = 50`; smaller ones are served first: high is 10, default 50, low 90";
                context.missing(section.place, message, hint);
                None
            }),
        };
        let paused = table.get("paused").and_then(|value| value.boolean());
        let max_running = count(&table, "max_running");
        let reserve = table.get("reserve");
        let reserved = reserve.as_ref().and_then(|value| value.integer(0, 1_024));
        if let (Some(value), Some(slots), Some(most)) = (&reserve, reserved, max_running)
            && slots > most
        {
            let message =
                format!("`reserve = {slots}` is more than `max_running = {most}` lets it use");
            value
                .place
                .error(message, "lower `reserve`, or raise `max_running`");
        }
        let queue = QueueRules {
            // Even with an invalid rank, so that no job is reported for an unknown queue.
            rank: rank.unwrap_or_default(),
            max_running,
            max_waiting: max_waiting(&table),
            reserve: reserved.unwrap_or(0),
            paused: (paused == Some(true)).then(|| Paused {
                by: "catalogue".to_owned(),
                reason: None,
                until_ms: None,
            }),
        };
        queues.insert(section.key.to_owned(), queue);
    }
    queues
}

/// `[limit.*]` of all files.
pub(super) fn limits(sections: &[Entry<'_>], context: &Context) -> BTreeMap<String, LimitRules> {
    let mut limits = BTreeMap::new();
    for section in sections {
        let Some(table) = section.value.table() else {
            continue;
        };
        table.check_keys(keys::LIMIT, "a limit");
        let rate = table.get("rate").and_then(|value| rate(&value));
        let burst = table
            .get("burst")
            .and_then(|value| Some((value.integer(1, COUNT_MAX)?, value)));
        if let (None, Some((_, burst))) = (table.get("rate"), &burst) {
            burst
                .place
                .error("`burst` without a `rate`", "add `rate = \"60/min\"`");
        }
        let limit = LimitRules {
            concurrency: count(&table, "concurrency"),
            rate: rate.map(|rate| Rate {
                burst: burst.map_or(1, |(burst, _)| burst),
                ..rate
            }),
            breaker: breaker(&table),
            paused: None,
        };
        let given = ["concurrency", "rate", "breaker"];
        if given.iter().all(|key| table.get(key).is_none()) {
            let message = format!("limit `{}` has no limit", shown(section.key));
            let hint = "give it a `concurrency`, a `rate` or a `breaker`";
            context.missing(section.place, message, hint);
        }
        limits.insert(section.key.to_owned(), limit);
    }
    limits
}

fn rate(value: &Value<'_>) -> Option<Rate> {
    match Rate::parse(value.filled_text()?) {
        Ok(rate) => Some(rate),
        Err(error) => {
            value.wrong(&error);
            None
        }
    }
}

/// `breaker = { failures = 10, within = "1m", cooldown = "5m" }`
fn breaker(table: &Table<'_>) -> Option<BreakerRules> {
    let breaker = table.table("breaker", keys::BREAKER)?;
    let needed = |key: &str| {
        let value = breaker.get(key);
        if value.is_none() {
            let hint = "write `{ failures = 10, within = \"1m\", cooldown = \"5m\" }`";
            let message = format!("`breaker` has no `{key}`");
            breaker.place.error(message, hint);
        }
        value
    };
    let (failures, within, cooldown) = (needed("failures"), needed("within"), needed("cooldown"));
    let failures = failures.and_then(|value| value.integer(1, FAILURES_MAX));
    let within_ms = within.and_then(|value| value.positive_duration());
    let cooldown_ms = cooldown.and_then(|value| value.positive_duration());
    Some(BreakerRules {
        failures: failures?,
        within_ms: within_ms?,
        cooldown_ms: cooldown_ms?,
    })
}

/// `[tenants]`: the quota of each tenant, and tables of tenants with their own rules.
pub(super) fn tenants(value: Option<&Value<'_>>) -> Tenants {
    let Some(table) = value.and_then(Value::table) else {
        return Tenants::default();
    };
    let mut tenants = Tenants {
        each: quota(&table),
        named: BTreeMap::new(),
    };
    for entry in table.entries() {
        if !entry.value.is_table() {
            if !keys::TENANTS.contains(&entry.key) {
                let hint = format!(
                    "the keys are {}; rules of one tenant are a table, such as `[tenants.acme]`",
                    super::value::list(keys::TENANTS)
                );
                let message = format!("unknown key `{}` of `tenants`", shown(entry.key));
                entry.place.error(message, hint);
            }
            continue;
        }
        check_name(&entry, "tenant");
        let Some(table) = entry.value.table() else {
            continue;
        };
        table.check_keys(keys::TENANT, "a tenant");
        let rules = TenantRules {
            weight: table
                .get("weight")
                .and_then(|value| value.integer(1, WEIGHT_MAX)),
            quota: quota(&table),
        };
        tenants.named.insert(entry.key.to_owned(), rules);
    }
    tenants
}

fn quota(table: &Table<'_>) -> Quota {
    Quota {
        concurrency: table
            .get("concurrency")
            .filter(|value| !value.is_table())
            .and_then(|value| value.integer(1, COUNT_MAX)),
        max_waiting: max_waiting(table),
    }
}

/// The flow control keys of a job, as given in one table.
#[derive(Debug, Clone, Default)]
pub(super) struct FlowKeys<'a> {
    limits: Option<Vec<(String, Place<'a>)>>,
    concurrency: Option<i64>,
    breaker: Option<BreakerRules>,
}

impl<'a> FlowKeys<'a> {
    /// Reads them from a job or from `[defaults]`.
    pub(super) fn read(table: &Table<'a>) -> Self {
        let limits = table.get("limits").and_then(|value| value.texts());
        Self {
            limits: limits.map(distinct),
            concurrency: count(table, "concurrency"),
            breaker: breaker(table),
        }
    }

    /// The job's own keys, else those of `[defaults]`.
    pub(super) fn over(self, defaults: &Self) -> Self {
        Self {
            limits: self.limits.or_else(|| defaults.limits.clone()),
            concurrency: self.concurrency.or(defaults.concurrency),
            breaker: self.breaker.or(defaults.breaker),
        }
    }

    /// The rules of these keys.
    pub(super) fn rules(&self) -> JobRules {
        let limits = self.limits.iter().flatten();
        JobRules {
            limits: limits.map(|(name, _)| name.clone()).collect(),
            concurrency: self.concurrency,
            breaker: self.breaker,
        }
    }

    /// Where each limit is named.
    pub(super) fn limit_places(&self) -> Vec<Place<'a>> {
        self.limits
            .iter()
            .flatten()
            .map(|(_, place)| *place)
            .collect()
    }
}

/// The names without duplicates, which are reported.
fn distinct<'a>(names: Vec<(&str, Place<'a>)>) -> Vec<(String, Place<'a>)> {
    let mut seen = BTreeSet::new();
    let mut distinct = Vec::new();
    for (name, place) in names {
        if seen.insert(name.to_owned()) {
            distinct.push((name.to_owned(), place));
        } else {
            place.error(
                format!("limit `{}` is named twice", shown(name)),
                "name it once: a run counts once under a limit",
            );
        }
    }
    distinct
}
