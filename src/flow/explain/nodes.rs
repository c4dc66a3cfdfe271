//! The gates of job, limits, tenant and queue: those that the claim asks, with the numbers behind them.

use std::collections::BTreeSet;

use super::words::{paused, running, span};
use super::{Facts, Gate, HeldRun};
use crate::flow::{BreakerRules, Closed, Node, Rate, Subject, Why, limits_of};
use crate::run::WorkerId;

/// Job, limits, tenant, queue; `kept` for a run that an operator works by hand, which no pause of its job or queue stops.
pub(super) fn gates(facts: &Facts, gone: &BTreeSet<WorkerId>, kept: bool) -> Vec<Gate> {
    let place = &facts.place;
    let mut all = facts.gates();
    let lane = all.lane(&place.queue, &place.tenant, &place.job);
    let mut nodes: Vec<&Node> = all
        .nodes(&lane)
        .filter(|node| !node.subject.name().is_empty())
        .collect();
    nodes.sort_by_key(|node| match node.subject {
        Subject::Job(_) => 0,
        Subject::Limit(_) => 1,
        Subject::Tenant(_) => 2,
        Subject::Queue(_) => 3,
    });
    let desk = Desk { facts, gone, kept };
    nodes.iter().flat_map(|node| desk.of(node)).collect()
}

struct Desk<'a> {
    facts: &'a Facts,
    gone: &'a BTreeSet<WorkerId>,
    kept: bool,
}

impl Desk<'_> {
    /// The closed gates of a node, or the one that says that it is open.
    fn of(&self, node: &Node) -> Vec<Gate> {
        let unknown = self.unknown(&node.subject);
        let passes = |closed: &Closed| {
            self.kept
                && closed.why == Why::Paused
                && matches!(node.subject, Subject::Job(_) | Subject::Queue(_))
        };
        let closed = node.closed(self.facts.now_ms);
        let closed = closed.filter(|closed| !passes(closed));
        let closed = closed.map(|closed| self.closed(node, closed));
        let gates: Vec<Gate> = unknown.into_iter().chain(closed).collect();
        match (gates.is_empty(), node.subject.kind()) {
            (false, _) => gates,
            // Without a quota there is no gate.
            (true, "tenant") if node.cap.is_none() => gates,
            (true, _) => vec![Gate::open(node.subject.to_string(), self.numbers(node))],
        }
    }

    /// A job or queue that no worker can know.
    fn unknown(&self, subject: &Subject) -> Option<Gate> {
        let queues = &self.facts.rules.rules.queues;
        let (is_unknown, section) = match subject {
            Subject::Job(name) => (self.facts.job_known == Some(false), format!("[job.{name}]")),
            Subject::Queue(name) => (
                !queues.is_empty() && !queues.contains_key(name),
                format!("[queue.{name}]"),
            ),
            Subject::Tenant(_) | Subject::Limit(_) => return None,
        };
        is_unknown.then(|| {
            let run = self.facts.run.as_ref();
            let cancel = run.map_or_else(String::new, |run| {
                format!(", or `jobctl runs cancel {}`", run.run)
            });
            Gate::closed(
                subject.to_string(),
                "no loaded catalogue has it any more, so no worker takes it",
                format!("add a section `{section}` and send the workers SIGHUP{cancel}"),
            )
        })
    }

    fn closed(&self, node: &Node, closed: Closed) -> Gate {
        let breaker = &node.throttle.breaker;
        let since = breaker.open.map_or(0, |(since_ms, _)| since_ms);
        let since = span(self.facts.now_ms - since);
        let failures = self.breaker(&node.subject).map_or_else(
            || "too many failures".to_owned(),
            |rules| {
                format!(
                    "{} failures within {}",
                    rules.failures,
                    span(rules.within_ms)
                )
            },
        );
        let look = look(&node.subject);
        let (detail, hint) = match closed.why {
            Why::Paused => paused_words(node),
            Why::Full => (
                running(&self.held(&node.subject), node.cap, self.gone),
                self.make_room(&self.held(&node.subject)),
            ),
            Why::Rate => (
                format!(
                    "its rate of {} allows the next start later",
                    rate(node.rate)
                ),
                "it opens without an operator".to_owned(),
            ),
            Why::Waits => (
                "a rate-limited attempt asked for a wait".to_owned(),
                format!("it opens without an operator; {look}"),
            ),
            Why::BreakerOpen => (
                format!(
                    "its breaker is open for {since}, after {failures}; then one run may start"
                ),
                format!("fix what fails; {look}"),
            ),
            Why::BreakerTries => {
                let mut trying = self.held(&node.subject);
                trying.retain(|held| breaker.is_tried_by(held.fence));
                let detail = format!(
                    "its breaker is half open, after {failures}: one run has started, and its end decides ({})",
                    running(&trying, None, self.gone)
                );
                (detail, self.make_room(&trying))
            }
        };
        Gate::closed(node.subject.to_string(), detail, hint).until(closed.until_ms)
    }

    /// What may be done about a cap.
    fn make_room(&self, held: &[&HeldRun]) -> String {
        if held.iter().any(|held| self.gone.contains(&held.worker)) {
            return "a worker or a scheduler of the same user gives back what a dead worker held: `jobctl run-worker`; if \
                    one runs already, its log says what of the run cannot be ended (`event=worker_died`)"
                .to_owned();
        }
        let first = held.first().map_or_else(String::new, |held| {
            format!("; `jobctl runs logs -f {}` follows the first", held.run)
        });
        format!("it opens when one of them ends{first}")
    }

    fn breaker(&self, subject: &Subject) -> Option<BreakerRules> {
        let rules = &self.facts.rules.rules;
        match subject {
            Subject::Job(name) => rules.jobs.get(name)?.breaker,
            Subject::Limit(name) => rules.limits.get(name)?.breaker,
            Subject::Queue(_) | Subject::Tenant(_) => None,
        }
    }

    /// What runs of a subject.
    fn held(&self, subject: &Subject) -> Vec<&HeldRun> {
        let jobs = &self.facts.rules.rules.jobs;
        let is_of = |held: &&HeldRun| match subject {
            Subject::Queue(name) => held.place.queue == *name,
            Subject::Tenant(name) => held.place.tenant == *name,
            Subject::Job(name) => held.place.job == *name,
            Subject::Limit(name) => {
                limits_of(&held.limits, jobs.get(&held.place.job)).any(|limit| limit == name)
            }
        };
        self.facts.holders.iter().filter(is_of).collect()
    }

    /// What an open gate counts.
    fn numbers(&self, node: &Node) -> String {
        let held = self.held(&node.subject).len();
        let mut parts = vec![match node.cap {
            Some(cap) => format!("{held} of {cap} running"),
            None => format!("{held} running"),
        }];
        if node.rate.is_some() {
            parts.push(format!("rate {}", rate(node.rate)));
        }
        if node.has_breaker && node.throttle.breaker.is_half_open(self.facts.now_ms) {
            parts.push("its breaker is half open: one run may start".to_owned());
        }
        if let Some(pause) = &node.paused {
            let pause = paused("paused", pause);
            parts.push(format!("{pause}, which does not stop `jobctl run`"));
        }
        if self.facts.job_known.is_none() && matches!(node.subject, Subject::Job(_)) {
            parts.push("no catalogue was loaded yet".to_owned());
        }
        parts.join("; ")
    }
}

fn rate(rate: Option<Rate>) -> String {
    rate.map_or_else(String::new, |rate| rate.to_string())
}

/// Who paused it, and how it is resumed.
fn paused_words(node: &Node) -> (String, String) {
    let name = node.subject.name();
    let Some(pause) = &node.paused else {
        return ("paused".to_owned(), "an operator must resume it".to_owned());
    };
    let hint = match &node.subject {
        Subject::Limit(_) => format!("`jobctl limits resume {name}`"),
        Subject::Queue(_) => format!("`jobctl queues resume {name}`"),
        Subject::Job(_) | Subject::Tenant(_) => format!("`jobctl jobs resume {name}`"),
    };
    (paused("paused", pause), hint)
}

/// Where the failures are seen.
fn look(subject: &Subject) -> String {
    match subject {
        Subject::Job(name) => {
            format!("`jobctl runs list --job {name} --state retrying,dead` shows the errors")
        }
        _ => "`jobctl runs list --state retrying,dead` shows the errors".to_owned(),
    }
}
