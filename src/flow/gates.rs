//! The gates that ready runs must pass to get a slot, at one instant.
//!
//! Rule: a lane's gates are checked before its rows are read, and each start is counted before the next lane is checked.

use std::collections::{BTreeMap, HashMap};

use super::rules::{JobRules, Paused, Rules};
use super::subject::Subject;
use super::throttle::Throttle;

/// A running run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running<'a> {
    /// Its queue.
    pub queue: &'a str,
    /// Its tenant; empty for none.
    pub tenant: &'a str,
    /// Its job.
    pub job: &'a str,
    /// The limits that it was claimed under, comma separated.
    pub limits: &'a str,
    /// The fence of its claim.
    pub fence: i64,
}

/// The names of the limits of a claim, comma separated; `None` for none.
fn limits_text(limits: &[String]) -> Option<String> {
    // No name has a comma.
    (!limits.is_empty()).then(|| limits.join(","))
}

/// The limits that apply to a run: those that it was claimed under and those that its job has now.
pub fn limits_of<'a>(
    claimed_under: &'a str,
    job: Option<&'a JobRules>,
) -> impl Iterator<Item = &'a str> {
    let now = job.map_or(&[][..], |job| &job.limits);
    let claimed = claimed_under.split(',').filter(|name| !name.is_empty());
    let gone = claimed.filter(move |name| !now.iter().any(|limit| limit == name));
    now.iter().map(String::as_str).chain(gone)
}

/// The gates of one subject, with their state.
#[derive(Debug, Clone)]
pub struct Node {
    /// The owner of the gates.
    pub subject: Subject,
    /// Its running runs.
    pub running: i64,
    /// The running runs that were claimed since its breaker opened.
    pub probes: i64,
    /// The maximum of running runs.
    pub cap: Option<i64>,
    /// Its pause.
    pub paused: Option<Paused>,
    /// Its maximum rate of starts.
    pub rate: Option<super::rate::Rate>,
    /// Whether it has a breaker.
    pub has_breaker: bool,
    /// Its stored state.
    pub throttle: Throttle,
    changed: bool,
}

/// Why no run of a subject may start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosedReason {
    /// It is paused.
    Paused,
    /// The maximum of runs is running.
    CapReached,
    /// The rate allows the next start later.
    Rate,
    /// A service requested a wait.
    WaitRequested,
    /// Its breaker is open.
    BreakerOpen,
    /// Its breaker is half open, and the one run that probes is running.
    BreakerProbes,
}

/// A closed gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosedGate {
    /// The reason.
    pub why: ClosedReason,
    /// When it opens, milliseconds; `None` if no time is known.
    pub until_ms: Option<i64>,
}

impl Node {
    fn new(subject: Subject) -> Self {
        Self {
            subject,
            running: 0,
            probes: 0,
            cap: None,
            paused: None,
            rate: None,
            has_breaker: false,
            throttle: Throttle::default(),
            changed: false,
        }
    }

    /// Its closed gates.
    pub fn closed(&self, now_ms: i64) -> impl Iterator<Item = ClosedGate> {
        let paused = self.paused.as_ref().map(|paused| ClosedGate {
            why: ClosedReason::Paused,
            until_ms: paused.until_ms,
        });
        let waits = self
            .throttle
            .waits_until_ms(now_ms)
            .map(|until_ms| ClosedGate {
                why: ClosedReason::WaitRequested,
                until_ms: Some(until_ms),
            });
        let full = self
            .cap
            .filter(|&cap| self.running >= cap)
            .map(|_| ClosedGate {
                why: ClosedReason::CapReached,
                until_ms: None,
            });
        let rate = self.rate.and_then(|rate| {
            let at_us = now_ms.saturating_mul(1_000);
            let opens_us = rate.opens_us(self.throttle.arrival_us, at_us);
            (opens_us > at_us).then(|| ClosedGate {
                why: ClosedReason::Rate,
                // Rounded up, so that the gate is open at that millisecond.
                until_ms: Some(opens_us.div_euclid(1_000) + i64::from(opens_us % 1_000 != 0)),
            })
        });
        [paused, waits, self.breaker(now_ms), full, rate]
            .into_iter()
            .flatten()
    }

    fn breaker(&self, now_ms: i64) -> Option<ClosedGate> {
        let breaker = &self.throttle.breaker;
        if !self.has_breaker {
            return None;
        }
        if let Some(until_ms) = breaker.open_until_ms(now_ms) {
            return Some(ClosedGate {
                why: ClosedReason::BreakerOpen,
                until_ms: Some(until_ms),
            });
        }
        (breaker.is_half_open(now_ms) && self.probes > 0).then_some(ClosedGate {
            why: ClosedReason::BreakerProbes,
            until_ms: None,
        })
    }

    fn take(&mut self, now_ms: i64) {
        self.running += 1;
        self.probes += 1;
        if let Some(rate) = self.rate {
            let at_us = now_ms.saturating_mul(1_000);
            self.throttle.arrival_us = rate.after_start(self.throttle.arrival_us, at_us);
            self.changed = true;
        }
    }
}

/// The gates of one lane, as indexes into [`Gates`].
#[derive(Debug, Clone, Default)]
pub struct LaneGates(Vec<usize>);

/// All gates at one instant; computed lane by lane on request.
#[derive(Debug)]
pub struct Gates<'r> {
    rules: &'r Rules,
    now_ms: i64,
    throttles: BTreeMap<Subject, Throttle>,
    paused_jobs: BTreeMap<String, Paused>,
    nodes: Vec<Node>,
    /// Indexes into `nodes` by name, for queues, tenants, jobs and limits.
    indexes: [HashMap<String, usize>; 4],
}

const QUEUE: usize = 0;
const TENANT: usize = 1;
const JOB: usize = 2;
const LIMIT: usize = 3;

impl<'r> Gates<'r> {
    /// From the rules, the running runs, the stored states, and the jobs that operators paused.
    pub fn new(
        rules: &'r Rules,
        running: &[Running<'_>],
        throttles: BTreeMap<Subject, Throttle>,
        paused_jobs: BTreeMap<String, Paused>,
        now_ms: i64,
    ) -> Self {
        let mut gates = Self {
            rules,
            now_ms,
            throttles,
            paused_jobs,
            nodes: Vec::new(),
            indexes: Default::default(),
        };
        for run in running {
            gates.count(run);
        }
        gates
    }

    /// Counts a running run.
    pub fn count(&mut self, run: &Running<'_>) {
        for index in self
            .lane_with_limits(run.queue, run.tenant, run.job, run.limits)
            .0
        {
            let node = &mut self.nodes[index];
            node.running += 1;
            node.probes += i64::from(node.throttle.breaker.is_probe(run.fence));
        }
    }

    /// The gates of a lane.
    pub fn lane(&mut self, queue: &str, tenant: &str, job: &str) -> LaneGates {
        self.lane_with_limits(queue, tenant, job, "")
    }

    fn lane_with_limits(
        &mut self,
        queue: &str,
        tenant: &str,
        job: &str,
        limits: &str,
    ) -> LaneGates {
        let rules = self.rules.jobs.get(job);
        let mut gates = Vec::with_capacity(3 + rules.map_or(0, |rules| rules.limits.len()));
        gates.extend([self.index_of(QUEUE, queue), self.index_of(JOB, job)]);
        if !tenant.is_empty() {
            gates.push(self.index_of(TENANT, tenant));
        }
        gates.extend(limits_of(limits, rules).map(|limit| self.index_of(LIMIT, limit)));
        LaneGates(gates)
    }

    /// The limits that apply to a claim of this job, to be stored with it; comma separated.
    pub fn limits_of_claim(&self, job: &str) -> Option<String> {
        limits_text(&self.rules.jobs.get(job)?.limits)
    }

    /// The gates of a queue, tenant, job or limit.
    pub fn subject(&mut self, subject: &Subject) -> &Node {
        let kind = match subject {
            Subject::Queue(_) => QUEUE,
            Subject::Tenant(_) => TENANT,
            Subject::Job(_) => JOB,
            Subject::Limit(_) => LIMIT,
        };
        let index = self.index_of(kind, subject.name());
        &self.nodes[index]
    }

    fn index_of(&mut self, kind: usize, name: &str) -> usize {
        if let Some(&index) = self.indexes[kind].get(name) {
            return index;
        }
        let node = self.node(kind, name);
        let index = self.nodes.len();
        self.nodes.push(node);
        self.indexes[kind].insert(name.to_owned(), index);
        index
    }

    fn node(&mut self, kind: usize, name: &str) -> Node {
        let owned = name.to_owned();
        let mut node = Node::new(match kind {
            QUEUE => Subject::Queue(owned),
            TENANT => Subject::Tenant(owned),
            JOB => Subject::Job(owned),
            _ => Subject::Limit(owned),
        });
        node.throttle = self.throttles.remove(&node.subject).unwrap_or_default();
        match kind {
            QUEUE => {
                if let Some(rules) = self.rules.queues.get(name) {
                    node.cap = rules.max_running;
                    node.paused.clone_from(&rules.paused);
                }
            }
            TENANT => node.cap = self.rules.quota(name).concurrency,
            JOB => {
                node.paused = self.paused_jobs.get(name).cloned();
                if let Some(rules) = self.rules.jobs.get(name) {
                    node.cap = rules.concurrency;
                    node.has_breaker = rules.breaker.is_some();
                }
            }
            _ => {
                if let Some(rules) = self.rules.limits.get(name) {
                    node.cap = rules.concurrency;
                    node.rate = rules.rate;
                    node.has_breaker = rules.breaker.is_some();
                    node.paused.clone_from(&rules.paused);
                }
            }
        }
        node
    }

    /// The instant.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The rules.
    pub fn rules(&self) -> &'r Rules {
        self.rules
    }

    /// The gates of a lane, by subject.
    pub fn nodes<'a>(&'a self, lane: &'a LaneGates) -> impl Iterator<Item = &'a Node> {
        lane.0.iter().map(|&index| &self.nodes[index])
    }

    /// Why the lane is closed, and when its last gate opens if that is known; `None` if it is open. A pause takes precedence.
    pub fn closed(&self, lane: &LaneGates) -> Option<ClosedGate> {
        let closed = self.nodes(lane).flat_map(|node| node.closed(self.now_ms));
        closed.reduce(|a, b| ClosedGate {
            why: if b.why == ClosedReason::Paused {
                b.why
            } else {
                a.why
            },
            until_ms: a
                .until_ms
                .zip(b.until_ms)
                .map(|(a_ms, b_ms)| a_ms.max(b_ms)),
        })
    }

    /// As [`Gates::closed`], for a run that an operator requested: pauses of its queue or job do not stop it.
    pub fn closed_to_operator(&self, lane: &LaneGates) -> Option<ClosedGate> {
        let shared = |node: &&Node| matches!(node.subject, Subject::Tenant(_) | Subject::Limit(_));
        let paused =
            |node: &Node, closed: &ClosedGate| closed.why == ClosedReason::Paused && !shared(&node);
        let nodes = self.nodes(lane);
        let mut all = nodes.flat_map(|node| {
            let closed = node.closed(self.now_ms);
            closed.filter(move |closed| !paused(node, closed))
        });
        all.next()
    }

    /// Counts a start.
    pub fn take(&mut self, lane: &LaneGates) {
        for &index in &lane.0 {
            self.nodes[index].take(self.now_ms);
        }
    }

    /// The states that the counted starts changed, to be stored.
    pub fn changed(&self) -> impl Iterator<Item = (&Subject, &Throttle)> {
        let changed = self.nodes.iter().filter(|node| node.changed);
        changed.map(|node| (&node.subject, &node.throttle))
    }
}

#[cfg(test)]
mod tests;
