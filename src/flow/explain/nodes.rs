//! The gates of job, limits, tenant and queue: those of the claim, with their numbers.

use std::collections::BTreeSet;

use super::words::{paused, running, span};
use super::{Facts, Gate, HeldRun};
use crate::advice::{Advice, Text};
use crate::flow::{BreakerRules, ClosedGate, ClosedReason, Node, Rate, Subject, limits_of};
use crate::run::WorkerId;

/// The gates of job, limits, tenant and queue. `reserved`: the run belongs to a `jobctl run`, which pauses of its job or queue do not
/// stop.
pub(super) fn gates(facts: &Facts, gone: &BTreeSet<WorkerId>, reserved: bool) -> Vec<Gate> {
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
    let explainer = NodeExplainer {
        facts,
        gone,
        reserved,
    };
    nodes.iter().flat_map(|node| explainer.of(node)).collect()
}

struct NodeExplainer<'a> {
    facts: &'a Facts,
    gone: &'a BTreeSet<WorkerId>,
    reserved: bool,
}

impl NodeExplainer<'_> {
    /// The closed gates of a subject, or one open gate.
    fn of(&self, node: &Node) -> Vec<Gate> {
        let unknown = self.unknown(&node.subject);
        let passes = |closed: &ClosedGate| {
            self.reserved
                && closed.why == ClosedReason::Paused
                && matches!(node.subject, Subject::Job(_) | Subject::Queue(_))
        };
        let closed = node.closed(self.facts.now_ms);
        let closed = closed.filter(|closed| !passes(closed));
        let closed = closed.map(|closed| self.closed(node, closed));
        let gates: Vec<Gate> = unknown.into_iter().chain(closed).collect();
        match (gates.is_empty(), node.subject.kind()) {
            (false, _) => gates,
            // A tenant without a quota has no gate.
            (true, "tenant") if node.cap.is_none() => gates,
            (true, _) => vec![Gate::open(node.subject.to_string(), self.numbers(node))],
        }
    }

    /// The gate of a job or queue that is in no catalogue.
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
            let add = format!("add a section `{section}` and send the workers SIGHUP");
            let hint = match &self.facts.run {
                Some(run) => Text::from(add + ", or ").and(Advice::CancelRun(run.run)),
                None => add.into(),
            };
            Gate::closed(
                subject.to_string(),
                "no loaded catalogue has it any more, so no worker takes it",
                hint,
            )
        })
    }

    fn closed(&self, node: &Node, closed: ClosedGate) -> Gate {
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
        let errors_hint = errors_hint(&node.subject);
        let (detail, hint) = match closed.why {
            ClosedReason::Paused => paused_words(node),
            ClosedReason::CapReached => (
                running(&self.held(&node.subject), node.cap, self.gone),
                self.make_room(&self.held(&node.subject)),
            ),
            ClosedReason::Rate => (
                format!(
                    "its rate of {} allows the next start later",
                    rate(node.rate)
                ),
                "it opens without an operator".into(),
            ),
            ClosedReason::WaitRequested => (
                "a rate-limited attempt asked for a wait".to_owned(),
                Text::from("it opens without an operator; ").and(errors_hint),
            ),
            ClosedReason::BreakerOpen => (
                format!(
                    "its breaker is open for {since}, after {failures}; then one run may start"
                ),
                Text::from("fix what fails; ").and(errors_hint),
            ),
            ClosedReason::BreakerProbes => {
                let mut trying = self.held(&node.subject);
                trying.retain(|held| breaker.is_probe(held.fence));
                let detail = format!(
                    "its breaker is half open, after {failures}: one run has started, and its end decides ({})",
                    running(&trying, None, self.gone)
                );
                (detail, self.make_room(&trying))
            }
        };
        Gate::closed(node.subject.to_string(), detail, hint).until(closed.until_ms)
    }

    /// The hint for a cap that is reached.
    fn make_room(&self, held: &[&HeldRun]) -> Text {
        if held.iter().any(|held| self.gone.contains(&held.worker)) {
            return Text::from(
                "a worker or a scheduler of the same user gives back what a dead worker held: ",
            )
            .and(Advice::StartWorker(None))
            .and("; if one runs already, its log says what of the run cannot be ended (`event=worker_died`)");
        }
        let ends = Text::from("it opens when one of them ends");
        match held.first() {
            Some(held) => ends
                .and("; ")
                .and(Advice::FollowLogs(held.run))
                .and(" follows the first"),
            None => ends,
        }
    }

    fn breaker(&self, subject: &Subject) -> Option<BreakerRules> {
        let rules = &self.facts.rules.rules;
        match subject {
            Subject::Job(name) => rules.jobs.get(name)?.breaker,
            Subject::Limit(name) => rules.limits.get(name)?.breaker,
            Subject::Queue(_) | Subject::Tenant(_) => None,
        }
    }

    /// The running runs of a subject.
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

    /// The details of an open gate.
    fn numbers(&self, node: &Node) -> Text {
        let held = self.held(&node.subject).len();
        let mut numbers = Text::from(match node.cap {
            Some(cap) => format!("{held} of {cap} running"),
            None => format!("{held} running"),
        });
        if node.rate.is_some() {
            numbers = numbers.and(format!("; rate {}", rate(node.rate)));
        }
        if node.has_breaker && node.throttle.breaker.is_half_open(self.facts.now_ms) {
            numbers = numbers.and("; its breaker is half open: one run may start");
        }
        if let Some(pause) = &node.paused {
            let pause = paused("paused", pause);
            numbers = numbers
                .and(format!("; {pause}, which does not stop "))
                .and(Advice::RunHere);
        }
        if self.facts.job_known.is_none() && matches!(node.subject, Subject::Job(_)) {
            numbers = numbers.and("; no catalogue was loaded yet");
        }
        numbers
    }
}

fn rate(rate: Option<Rate>) -> String {
    rate.map_or_else(String::new, |rate| rate.to_string())
}

/// The details of a pause, and how to resume.
fn paused_words(node: &Node) -> (String, Text) {
    let pause = node.paused.as_ref();
    let detail = pause.map_or_else(String::new, |pause| paused("paused", pause));
    let name = node.subject.name().to_owned();
    let hint = match &node.subject {
        Subject::Limit(_) => Advice::ResumeLimit(name),
        Subject::Queue(_) => Advice::ResumeQueue(name),
        Subject::Job(_) | Subject::Tenant(_) => Advice::ResumeJob(name),
    };
    (detail, hint.into())
}

/// The hint that shows the failures.
fn errors_hint(subject: &Subject) -> Text {
    let job = match subject {
        Subject::Job(name) => Some(name.clone()),
        _ => None,
    };
    Text::from(Advice::ListFailed(job)).and(" shows the errors")
}
