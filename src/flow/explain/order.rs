//! The gate of the order: the runs that are served before this one.

use std::collections::{BTreeMap, BTreeSet};

use super::words::{at_least, names};
use super::{AHEAD_MAX, Facts, Gate, Place, Worker};
use crate::advice::{Advice, Text};
use crate::run::WorkerId;
use crate::units::counted;

/// The gate. Runs of closed lanes do not count.
pub(super) fn gate(facts: &Facts, gone: &BTreeSet<WorkerId>) -> Gate {
    const NAME: &str = "order";
    let mut gates = facts.gates();
    let Place { queue, tenant, job } = &facts.place;
    let (mut own, mut others) = (0, 0);
    for lane in &facts.ahead {
        let place = gates.lane(queue, tenant, &lane.job);
        // Runs ahead in its own lane always count, even if the lane is closed.
        if lane.job == *job {
            own += lane.runs;
        } else if gates.closed(&place).is_none() {
            others += lane.runs;
        }
    }
    let mut ready: BTreeMap<&str, usize> = BTreeMap::new();
    let mut tenants = BTreeSet::new();
    for head in &facts.heads {
        let Place { queue, tenant, job } = &head.place;
        let lane = gates.lane(queue, tenant, job);
        if gates.closed(&lane).is_some() {
            continue;
        }
        if *queue == facts.place.queue {
            tenants.insert(tenant.as_str());
        } else {
            *ready.entry(queue).or_default() += 1;
        }
    }
    tenants.insert(tenant);
    let mut closed = Vec::new();
    if own > 0 {
        closed.push(format!(
            "{} of job `{job}` ahead of it",
            at_least(own, AHEAD_MAX)
        ));
    }
    if others > 0 {
        closed.push(format!(
            "{} of other jobs ahead of it",
            at_least(others, AHEAD_MAX)
        ));
    }
    let before: Vec<&str> = ready
        .keys()
        .copied()
        .filter(|queue| is_served_first(facts, gone, queue))
        .collect();
    if !before.is_empty() {
        closed.push(format!(
            "served first, with runs that may start: queue {}",
            names(&before)
        ));
    }
    let turns = match tenants.len() {
        0 | 1 => String::new(),
        n => {
            let least = if facts.heads_cut { "at least " } else { "" };
            format!(
                "; {least}{} take turns in queue `{queue}`",
                counted(n as i64, "tenant")
            )
        }
    };
    if closed.is_empty() {
        return Gate::open(NAME, format!("no run is ahead of it{turns}"));
    }
    let hint = if before.is_empty() {
        Text::from("it moves up as they start; ")
            .and(Advice::ListReady(queue.clone()))
            .and(" shows them")
    } else {
        Text::from(Advice::StartWorker(Some(queue.clone())))
            .and(" starts a worker that serves only this queue")
    };
    Gate::closed(NAME, closed.join("; ") + &turns, hint)
}

/// Whether every living worker that serves the queue of the run serves `queue` before it.
fn is_served_first(facts: &Facts, gone: &BTreeSet<WorkerId>, queue: &str) -> bool {
    let own = &facts.place.queue;
    let serves = |worker: &&Worker| !gone.contains(&worker.worker) && worker.serves(own);
    let mut serving = facts.workers.iter().filter(serves).peekable();
    serving.peek().is_some()
        && (facts.rank(queue), queue) < (facts.rank(own), own)
        && serving.all(|worker| worker.serves(queue) && !worker.has_weights())
}
