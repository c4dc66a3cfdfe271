//! Warns about queues that may wait for ever behind another, because only the rank decides.
//!
//! Rule: a warning only if the catalogue has no bound on the wait, and no `reserve` that shows a decision. A catalogue does not say
//! how many workers, slots and weights there are; so any cap on the queue that is served first counts as a bound.

use std::collections::{BTreeMap, BTreeSet};

use super::job::Read;
use super::reader::Entry;
use crate::flow::{JobRules, LimitRules, QueueRules};
use crate::units::shown;

/// One warning for each used queue that may starve: at its section, else at the first job that uses it.
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
    // The first queue that may use every slot for as long as it has runs: all queues behind it depend on it.
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
        // `reserve = 0` is a decision too.
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
             if workers have weights (`--queue '{first}*4,{name}'`) or the queue may wait, write `reserve = 0`"
        );
        place.warning(message, &hint);
    }
}

fn queue_of<'r>(read: &'r Read<'_>) -> &'r str {
    &read.job.intake.queue
}

/// Whether the number of running runs of the job is limited.
fn is_capped(job: &JobRules, limits: &BTreeMap<String, LimitRules>) -> bool {
    let caps = |name: &String| {
        limits
            .get(name)
            .is_some_and(|limit| limit.concurrency.is_some())
    };
    job.concurrency.is_some() || job.limits.iter().any(caps)
}
