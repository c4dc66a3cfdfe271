//! The gates between ready runs and free slots, as they stand at one instant.
//!
//! Rule: a lane's gates are judged before its rows are read, and each start is counted before the next lane is judged.

use std::collections::{BTreeMap, HashMap};

use super::rules::{JobRules, Paused, Rules};
use super::subject::Subject;
use super::throttle::Throttle;

/// A run that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running<'a> {
    /// Its queue.
    pub queue: &'a str,
    /// Its tenant; empty for none.
    pub tenant: &'a str,
    /// Its job.
    pub job: &'a str,
    /// The limits that it was claimed under, as `limits_text` writes them.
    pub limits: &'a str,
    /// The fence of its claim.
    pub fence: i64,
}

/// The limits of a claim in one text; `None` for none.
fn limits_text(limits: &[String]) -> Option<String> {
    // No name has a comma.
    (!limits.is_empty()).then(|| limits.join(","))
}

/// The limits that a run stands under: those that it was claimed under, whatever became of its job since, and those that its
/// job has now.
pub fn limits_of<'a>(
    claimed_under: &'a str,
    job: Option<&'a JobRules>,
) -> impl Iterator<Item = &'a str> {
    let now = job.map_or(&[][..], |job| &job.limits);
    let claimed = claimed_under.split(',').filter(|name| !name.is_empty());
    let gone = claimed.filter(move |name| !now.iter().any(|limit| limit == name));
    now.iter().map(String::as_str).chain(gone)
}

/// Everything that may stop the runs of one subject.
#[derive(Debug, Clone)]
pub struct Node {
    /// Whose it is.
    pub subject: Subject,
    /// Runs of it that are under way.
    pub running: i64,
    /// Those of them that were claimed since its breaker opened.
    pub trying: i64,
    /// At most this many.
    pub cap: Option<i64>,
    /// Who stopped it.
    pub paused: Option<Paused>,
    /// So many starts in so much time.
    pub rate: Option<super::rate::Rate>,
    /// Whether it has a breaker.
    pub has_breaker: bool,
    /// Its past.
    pub throttle: Throttle,
    changed: bool,
}

/// Why nothing of a subject may start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Somebody stopped it.
    Paused,
    /// As many run as may.
    Full,
    /// The rate allows the next start later.
    Rate,
    /// A service asked to wait.
    Waits,
    /// Its breaker is open.
    BreakerOpen,
    /// Its breaker is half open, and the one run that tries is under way.
    BreakerTries,
}

/// A closed gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Why.
    pub why: Why,
    /// When it opens by itself, milliseconds; `None`: not by time alone.
    pub until_ms: Option<i64>,
}

impl Node {
    fn new(subject: Subject) -> Self {
        Self {
            subject,
            running: 0,
            trying: 0,
            cap: None,
            paused: None,
            rate: None,
            has_breaker: false,
            throttle: Throttle::default(),
            changed: false,
        }
    }

    /// All gates of it that are closed.
    pub fn closed(&self, now_ms: i64) -> impl Iterator<Item = Closed> {
        let paused = self.paused.as_ref().map(|paused| Closed {
            why: Why::Paused,
            until_ms: paused.until_ms,
        });
        let waits = self.throttle.waits_until_ms(now_ms).map(|until_ms| Closed {
            why: Why::Waits,
            until_ms: Some(until_ms),
        });
        let full = self.cap.filter(|&cap| self.running >= cap).map(|_| Closed {
            why: Why::Full,
            until_ms: None,
        });
        let rate = self.rate.and_then(|rate| {
            let at_us = now_ms.saturating_mul(1_000);
            let opens_us = rate.opens_us(self.throttle.arrival_us, at_us);
            (opens_us > at_us).then(|| Closed {
                why: Why::Rate,
                // Up to the next millisecond, so that it is open then.
                until_ms: Some(opens_us.div_euclid(1_000) + i64::from(opens_us % 1_000 != 0)),
            })
        });
        [paused, waits, self.breaker(now_ms), full, rate]
            .into_iter()
            .flatten()
    }

    fn breaker(&self, now_ms: i64) -> Option<Closed> {
        let breaker = &self.throttle.breaker;
        if !self.has_breaker {
            return None;
        }
        if let Some(until_ms) = breaker.open_until_ms(now_ms) {
            return Some(Closed {
                why: Why::BreakerOpen,
                until_ms: Some(until_ms),
            });
        }
        (breaker.is_half_open(now_ms) && self.trying > 0).then_some(Closed {
            why: Why::BreakerTries,
            until_ms: None,
        })
    }

    fn take(&mut self, now_ms: i64) {
        self.running += 1;
        self.trying += 1;
        if let Some(rate) = self.rate {
            let at_us = now_ms.saturating_mul(1_000);
            self.throttle.arrival_us = rate.after_start(self.throttle.arrival_us, at_us);
            self.changed = true;
        }
    }
}

/// The gates of one lane: places in [`Gates`].
#[derive(Debug, Clone, Default)]
pub struct LaneGates(Vec<usize>);

/// All gates at one instant; made lane by lane, as they are asked for.
#[derive(Debug)]
pub struct Gates<'r> {
    rules: &'r Rules,
    now_ms: i64,
    throttles: BTreeMap<Subject, Throttle>,
    paused_jobs: BTreeMap<String, Paused>,
    nodes: Vec<Node>,
    /// Where the node of a queue, tenant, job or limit is.
    places: [HashMap<String, usize>; 4],
}

const QUEUE: usize = 0;
const TENANT: usize = 1;
const JOB: usize = 2;
const LIMIT: usize = 3;

impl<'r> Gates<'r> {
    /// From the rules, what runs, what is stored of the past, and the jobs that operators paused.
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
            places: Default::default(),
        };
        for run in running {
            gates.count(run);
        }
        gates
    }

    /// Counts a run that is under way.
    pub fn count(&mut self, run: &Running<'_>) {
        for place in self
            .lane_under(run.queue, run.tenant, run.job, run.limits)
            .0
        {
            let node = &mut self.nodes[place];
            node.running += 1;
            node.trying += i64::from(node.throttle.breaker.is_tried_by(run.fence));
        }
    }

    /// The gates of a lane.
    pub fn lane(&mut self, queue: &str, tenant: &str, job: &str) -> LaneGates {
        self.lane_under(queue, tenant, job, "")
    }

    fn lane_under(&mut self, queue: &str, tenant: &str, job: &str, limits: &str) -> LaneGates {
        let rules = self.rules.jobs.get(job);
        let mut gates = Vec::with_capacity(3 + rules.map_or(0, |rules| rules.limits.len()));
        gates.extend([self.place(QUEUE, queue), self.place(JOB, job)]);
        if !tenant.is_empty() {
            gates.push(self.place(TENANT, tenant));
        }
        gates.extend(limits_of(limits, rules).map(|limit| self.place(LIMIT, limit)));
        LaneGates(gates)
    }

    /// The limits that a claim of this job stands under, to be stored with it.
    pub fn limits_of_claim(&self, job: &str) -> Option<String> {
        limits_text(&self.rules.jobs.get(job)?.limits)
    }

    /// Everything that may stop the runs of a job or of those under a limit, of a queue or of a tenant.
    pub fn subject(&mut self, subject: &Subject) -> &Node {
        let kind = match subject {
            Subject::Queue(_) => QUEUE,
            Subject::Tenant(_) => TENANT,
            Subject::Job(_) => JOB,
            Subject::Limit(_) => LIMIT,
        };
        let place = self.place(kind, subject.name());
        &self.nodes[place]
    }

    fn place(&mut self, kind: usize, name: &str) -> usize {
        if let Some(&place) = self.places[kind].get(name) {
            return place;
        }
        let node = self.node(kind, name);
        let place = self.nodes.len();
        self.nodes.push(node);
        self.places[kind].insert(name.to_owned(), place);
        place
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

    /// Every subject of a lane.
    pub fn nodes<'a>(&'a self, lane: &'a LaneGates) -> impl Iterator<Item = &'a Node> {
        lane.0.iter().map(|&place| &self.nodes[place])
    }

    /// What closes the lane, if anything does: a pause before all else, and until when by time alone.
    pub fn closed(&self, lane: &LaneGates) -> Option<Closed> {
        let closed = self.nodes(lane).flat_map(|node| node.closed(self.now_ms));
        closed.reduce(|a, b| Closed {
            why: if b.why == Why::Paused { b.why } else { a.why },
            until_ms: a
                .until_ms
                .zip(b.until_ms)
                .map(|(a_ms, b_ms)| a_ms.max(b_ms)),
        })
    }

    /// As [`Gates::closed`], for a run that an operator asked for: only what is shared with others stops it.
    pub fn closed_to_operator(&self, lane: &LaneGates) -> Option<Closed> {
        let shared = |node: &&Node| matches!(node.subject, Subject::Tenant(_) | Subject::Limit(_));
        let paused = |node: &Node, closed: &Closed| closed.why == Why::Paused && !shared(&node);
        let nodes = self.nodes(lane);
        let mut all = nodes.flat_map(|node| {
            let closed = node.closed(self.now_ms);
            closed.filter(move |closed| !paused(node, closed))
        });
        all.next()
    }

    /// Counts a start.
    pub fn take(&mut self, lane: &LaneGates) {
        for &place in &lane.0 {
            self.nodes[place].take(self.now_ms);
        }
    }

    /// What has to be stored of the starts that were counted.
    pub fn changed(&self) -> impl Iterator<Item = (&Subject, &Throttle)> {
        let changed = self.nodes.iter().filter(|node| node.changed);
        changed.map(|node| (&node.subject, &node.throttle))
    }
}

#[cfg(test)]
mod tests;
