//! Checks what jobs say about queues, limits and other jobs: that these exist, and that it has an effect.
//!
//! Rule: it comes last, when all sections of all files are read.

use std::collections::BTreeMap;

use super::job::Read;
use super::settings::Context;
use super::source::Place;
use crate::flow::{LimitRules, QueueRules};
use crate::units::shown;

/// Complains about names that do not exist, and about what can have no effect.
pub(super) fn check(
    jobs: &BTreeMap<String, Read<'_>>,
    queues: &BTreeMap<String, QueueRules>,
    limits: &BTreeMap<String, LimitRules>,
    context: &Context,
) {
    check_queues_and_on_dead(jobs, queues, context);
    check_limits(jobs, queues, limits, context);
}

/// Checks the names of queues and of `on_dead` jobs.
fn check_queues_and_on_dead(
    jobs: &BTreeMap<String, Read<'_>>,
    queues: &BTreeMap<String, QueueRules>,
    context: &Context,
) {
    for (name, read) in jobs {
        let queue = &read.job.intake.queue;
        if !queues.contains_key(queue) {
            let hint = match context.nearest("queue", queue, queues.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add a section `[queue.{}]` with its `rank`", shown(queue)),
            };
            context.missing(
                read.queue_place,
                format!("unknown queue `{}`", shown(queue)),
                hint,
            );
        }
        let (Some(target), Some((place, _))) = (&read.job.on_dead, read.on_dead_place) else {
            continue;
        };
        if target == name {
            let message = format!("job `{name}` is its own `on_dead`");
            place.warning(
                message,
                "name another job: the same cause would make it fail again",
            );
        }
        check_on_dead(target, place, jobs, context);
    }
}

fn check_on_dead(
    target: &str,
    place: Place<'_>,
    jobs: &BTreeMap<String, Read<'_>>,
    context: &Context,
) {
    let Some(read) = jobs.get(target) else {
        let hint = match context.nearest("job", target, jobs.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "add a job of this name".to_owned(),
        };
        return context.missing(
            place,
            format!("unknown job `{}` in `on_dead`", shown(target)),
            hint,
        );
    };
    let required = read
        .job
        .intake
        .params
        .iter()
        .find(|(_, param)| param.required);
    if let Some((param, _)) = required {
        let message =
            format!("job `{target}` cannot be an `on_dead`: it requires parameter `{param}`");
        let hint = format!(
            "make `{param}` optional in {}; the details of the dead run are its payload",
            read.place.named()
        );
        place.error(message, hint);
    }
}

/// Checks the names of limits, and warns where a cap is never reached.
fn check_limits(
    jobs: &BTreeMap<String, Read<'_>>,
    queues: &BTreeMap<String, QueueRules>,
    limits: &BTreeMap<String, LimitRules>,
    context: &Context,
) {
    for read in jobs.values() {
        let named = read.job.flow.limits.iter().zip(&read.limit_places);
        for (limit, place) in named.filter(|(limit, _)| !limits.contains_key(*limit)) {
            let hint = match context.nearest("limit", limit, limits.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add a section `[limit.{}]`", shown(limit)),
            };
            context.missing(*place, format!("unknown limit `{}`", shown(limit)), hint);
        }
        let queue = queues.get(&read.job.intake.queue);
        let cap = queue.and_then(|queue| queue.max_running);
        if let (Some(cap), Some(own)) = (cap, read.job.flow.concurrency)
            && own > cap
        {
            let message = format!(
                "`concurrency = {own}` is never reached: queue `{}` runs at most {cap} at a time",
                read.job.intake.queue
            );
            read.place
                .warning(message, "lower it, or raise `max_running` of the queue");
        }
    }
}
