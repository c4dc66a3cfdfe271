//! Warns where a queue may wait for ever behind another, because rank decides alone.
//!
//! Rule: only where this catalogue really gives no bound, and only until somebody has decided about it. How many workers there
//! are, with how many slots and with which weights, no catalogue tells; so a cap on what is served first counts as a bound.

use std::collections::{BTreeMap, BTreeSet};

use super::job::Read;
use super::reader::Entry;
use crate::flow::{JobRules, LimitRules, QueueRules};
use crate::units::shown;

/// One warning for each queue of a job that nothing keeps from starving: at its section, else at the first job that uses it.
pub(super) fn check(
    jobs: &BTreeMap<String, Read<'_>>,
    queues: &BTreeMap<String, QueueRules>,
    limits: &BTreeMap<String, LimitRules>,
    sections: &[Entry<'_>],
) {
    let used: BTreeSet<&str> = jobs.values().map(queue_of).collect();
    let rules = used
        .iter()
        .filter_map(|name| Some((*name, queues.get(*name)?)));
    let mut served: Vec<(&str, &QueueRules)> = rules.collect();
    served.sort_by_key(|(name, rules)| (rules.rank, *name));
    // The first queue that may use every slot for as long as it has runs: all behind it depend on it.
    let greedy = served.iter().position(|(name, rules)| {
        let mut own = jobs.values().filter(|read| queue_of(read) == *name);
        rules.paused.is_none()
            && rules.max_running.is_none()
            && own.any(|read| !is_capped(&read.job.flow, limits))
    });
    let Some(place) = greedy else {
        return;
    };
    let first = served[place].0;
    for &(name, rules) in &served[place + 1..] {
        let section = sections.iter().find(|section| section.key == name);
        let table = section.and_then(|section| section.value.table());
        // Also `reserve = 0` is a decision.
        let decided = table.is_some_and(|table| table.get("reserve").is_some());
        if decided || rules.paused.is_some() {
            continue;
        }
        let first_job = jobs.values().find(|read| queue_of(read) == name);
        let place = section.map(|section| section.place);
        let Some(place) = place.or(first_job.map(|read| read.queue_place)) else {
            continue;
        };
        let (name, first) = (shown(name), shown(first));
        let message = format!(
            "queue `{name}` may wait for ever: `{first}` is served before it and may use every slot"
        );
        let hint = format!(
            "give `[queue.{name}]` a `reserve = 1`, or `[queue.{first}]` a `max_running` below the slots of all workers; \
             `reserve = 0` says that workers have weights (`--queue '{first}*4,{name}'`), or that it may wait"
        );
        place.warning(message, &hint);
    }
}

fn queue_of<'r>(read: &'r Read<'_>) -> &'r str {
    &read.job.intake.queue
}

/// Whether only so many runs of the job are under way at a time.
fn is_capped(job: &JobRules, limits: &BTreeMap<String, LimitRules>) -> bool {
    let caps = |name: &String| {
        limits
            .get(name)
            .is_some_and(|limit| limit.concurrency.is_some())
    };
    job.concurrency.is_some() || job.limits.iter().any(caps)
}
