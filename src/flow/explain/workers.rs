//! The gate of the workers: is a worker alive that serves the queue and has a slot for this run?
//!
//! Rule: the state in a worker's memory (its catalogue, a SIGTERM, a hung loop) is unknown here; the answer only hints at it.

use std::collections::{BTreeMap, BTreeSet};

use super::words::names;
use super::{Facts, Gate, Worker};
use crate::advice::{Advice, Text};
use crate::run::WorkerId;
use crate::units::counted;

/// At most this many workers are described separately.
const DESCRIBED: usize = 4;

/// Why a worker takes no run of this lane.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refusal {
    Stopping,
    Busy,
    /// Free slots that are reserved for other queues.
    Reserved(i64, Vec<String>),
}

/// The gate.
pub(super) fn gate(facts: &Facts, gone: &BTreeSet<WorkerId>) -> Gate {
    const NAME: &str = "workers";
    let queue = &facts.place.queue;
    let alive: Vec<&Worker> = facts
        .workers
        .iter()
        .filter(|worker| !gone.contains(&worker.worker) && !worker.is_foreground())
        .collect();
    if alive.is_empty() {
        let dead = facts.workers.iter().filter(|it| gone.contains(&it.worker));
        let detail = match dead.count() {
            0 => "no worker is alive".to_owned(),
            n => format!("no worker is alive; {} died", counted(n as i64, "worker")),
        };
        let hint = Text::from(Advice::StartWorker(None)).and(" starts one");
        return Gate::closed(NAME, detail, hint);
    }
    let serving: Vec<&Worker> = alive
        .iter()
        .copied()
        .filter(|it| it.serves(queue))
        .collect();
    if serving.is_empty() {
        let served: BTreeSet<&str> = alive.iter().flat_map(|worker| worker.names()).collect();
        let served: Vec<&str> = served.into_iter().collect();
        let detail = format!(
            "{} alive, but none serves queue `{queue}`; served: {}",
            counted(alive.len() as i64, "worker"),
            names(&served)
        );
        let hint = start_for(queue).and(" starts one");
        return Gate::closed(NAME, detail, hint);
    }
    let slot_use = SlotUse::new(facts);
    let mut free = 0;
    let mut refusals: Vec<(&Worker, Refusal)> = Vec::new();
    for worker in &serving {
        match slot_use.room(worker) {
            Ok(slots) => free += slots,
            Err(refusal) => refusals.push((worker, refusal)),
        }
    }
    let slots: i64 = serving.iter().map(|worker| worker.slots).sum();
    let over = counted(serving.len() as i64, "worker");
    if free > 0 {
        let are = if free == 1 { "is" } else { "are" };
        return Gate::open(
            NAME,
            format!("{free} of {slots} slots {are} free over {over}"),
        );
    }
    let (detail, hint) = refused(&refusals, slots, &over, queue);
    Gate::closed(NAME, detail, hint)
}

/// Why no worker takes the run: one sentence if the reason is the same for all.
fn refused(refusals: &[(&Worker, Refusal)], slots: i64, over: &str, queue: &str) -> (String, Text) {
    let all = |is: fn(&Refusal) -> bool| refusals.iter().all(|(_, refusal)| is(refusal));
    let another = Text::from(Advice::ListWorkers)
        .and("; ")
        .and(start_for(queue))
        .and(" starts another");
    if all(|refusal| *refusal == Refusal::Busy) {
        let detail = format!("{slots} of {slots} slots busy over {over}");
        return (detail, another);
    }
    if all(|refusal| *refusal == Refusal::Stopping) {
        let ids: Vec<_> = refusals.iter().map(|(worker, _)| worker.worker).collect();
        let detail = format!("stopping, without further claims: worker {}", names(&ids));
        return (detail, start_for(queue).and(" starts one"));
    }
    let described: Vec<String> = refusals
        .iter()
        .take(DESCRIBED)
        .map(|(worker, refusal)| format!("worker {}: {}", worker.worker, words(worker, refusal)))
        .collect();
    let more = match refusals.len().saturating_sub(DESCRIBED) {
        0 => String::new(),
        more => format!("; and {}", counted(more as i64, "more worker")),
    };
    let reserved = all(|refusal| matches!(refusal, Refusal::Reserved(..)));
    let hint = if reserved {
        Text::from("lower `reserve` of the other queues in the catalogue; ").and(another)
    } else {
        another
    };
    (described.join("; ") + &more, hint)
}

/// The advice to start a worker for this queue.
fn start_for(queue: &str) -> Text {
    Advice::StartWorker(Some(queue.to_owned())).into()
}

fn words(worker: &Worker, refusal: &Refusal) -> String {
    match refusal {
        Refusal::Stopping => "stopping".to_owned(),
        Refusal::Busy => format!("{0} of {0} slots busy", worker.slots),
        Refusal::Reserved(free, queues) => {
            let slots = counted(*free, "free slot");
            format!("{slots} reserved for {}", names(queues))
        }
    }
}

struct SlotUse<'a> {
    facts: &'a Facts,
    /// By worker and queue, the number of runs that the worker or a separate worker of its own holds.
    held: BTreeMap<WorkerId, BTreeMap<&'a str, i64>>,
}

impl<'a> SlotUse<'a> {
    fn new(facts: &'a Facts) -> Self {
        let mut held: BTreeMap<WorkerId, BTreeMap<&str, i64>> = BTreeMap::new();
        let parents: BTreeMap<WorkerId, WorkerId> = facts
            .workers
            .iter()
            .filter_map(|it| Some((it.worker, it.parent?)))
            .collect();
        for run in &facts.holders {
            let worker = parents.get(&run.worker).unwrap_or(&run.worker);
            let queues = held.entry(*worker).or_default();
            *queues.entry(run.place.queue.as_str()).or_default() += 1;
        }
        Self { facts, held }
    }

    /// The number of slots of a worker that are free for this run, or why there is none.
    fn room(&self, worker: &Worker) -> Result<i64, Refusal> {
        if worker.stopping {
            return Err(Refusal::Stopping);
        }
        let nothing = BTreeMap::new();
        let queues = self.held.get(&worker.worker).unwrap_or(&nothing);
        let busy: i64 = queues.values().sum();
        let free = worker.slots - busy;
        if free <= 0 {
            return Err(Refusal::Busy);
        }
        let by_queue = self.reserved(worker, queues);
        let reserved: i64 = by_queue.iter().map(|(_, slots)| slots).sum();
        if free <= reserved {
            let queues = by_queue.iter().map(|(name, _)| format!("queue {name}"));
            return Err(Refusal::Reserved(free, queues.collect()));
        }
        Ok(free - reserved)
    }

    /// Slots that a worker reserves for other queues.
    fn reserved(&self, worker: &Worker, held: &BTreeMap<&str, i64>) -> Vec<(&'a str, i64)> {
        let rules = self.facts.rules.rules.queues.iter();
        let others = rules
            .filter(|(name, _)| **name != self.facts.place.queue && worker.serves(name))
            .map(|(name, rules)| {
                let used = held.get(name.as_str()).copied().unwrap_or(0);
                (name.as_str(), (rules.usable_reserve() - used).max(0))
            });
        others.filter(|(_, slots)| *slots > 0).collect()
    }
}
