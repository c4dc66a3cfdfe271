//! Flow control as an operator sees it: what is paused, broken, full, overridden, and until when.
//!
//! Rule: a view is computed from the same gates as a claim, so that both agree.

use std::collections::BTreeMap;

use super::gates::{ClosedGate, ClosedReason, Gates, Node};
use super::overrides::{Override, OverrideKey};
use super::rate::Rate;
use super::rules::{QueueRules, Rules};
use super::subject::Subject;

crate::run::words!(
    /// The state of a breaker.
    BreakerState {
        /// Runs start.
        Closed = "closed",
        /// No run starts.
        Open = "open",
        /// One run may probe.
        HalfOpen = "half-open",
    }
);

/// A breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerView {
    /// Its state.
    pub state: BreakerState,
    /// Since when it is not closed, milliseconds.
    pub since_ms: Option<i64>,
    /// The end of the cooldown, milliseconds; `None` if the breaker is not open.
    pub until_ms: Option<i64>,
}

/// A limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitView {
    /// Its name.
    pub name: String,
    /// Running runs under it.
    pub running: i64,
    /// The maximum of running runs.
    pub concurrency: Option<i64>,
    /// The maximum rate of starts.
    pub rate: Option<Rate>,
    /// When its rate allows the next start, milliseconds; `None`: now.
    pub next_start_ms: Option<i64>,
    /// Its breaker, if it has one.
    pub breaker: Option<BreakerView>,
    /// The end of a wait that a service requested, milliseconds.
    pub waits_until_ms: Option<i64>,
    /// Changes by operators, its pause included.
    pub overrides: Vec<Override>,
}

impl LimitView {
    /// Its pause.
    pub fn paused(&self) -> Option<&Override> {
        let paused = |change: &&Override| change.key == OverrideKey::LimitPaused;
        self.overrides.iter().find(paused)
    }
}

/// All of flow control at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlowView {
    /// The rules of the catalogue.
    pub catalogue: Rules,
    /// The path of the catalogue; `None` if none was loaded.
    pub source: Option<String>,
    /// The rules in force.
    pub rules: Rules,
    /// Changes by operators that are in force.
    pub overrides: Vec<Override>,
    /// All limits by name.
    pub limits: Vec<LimitView>,
    /// Breakers of jobs that are not closed.
    pub breakers: BTreeMap<String, BreakerView>,
}

impl FlowView {
    /// From gates that were computed with the overrides.
    pub fn new(
        catalogue: Rules,
        source: Option<String>,
        overrides: Vec<Override>,
        mut gates: Gates<'_>,
    ) -> Self {
        let now_ms = gates.now_ms();
        let rules = gates.rules().clone();
        let limits = rules.limits.keys().map(|name| {
            let of_it = |change: &&Override| !change.key.is_of_queue() && change.name == *name;
            let overrides = overrides.iter().filter(of_it).cloned().collect();
            limit(
                gates.subject(&Subject::Limit(name.clone())),
                overrides,
                now_ms,
            )
        });
        let limits = limits.collect();
        let jobs = rules.jobs.iter().filter(|(_, job)| job.breaker.is_some());
        let breakers = jobs.filter_map(|(name, _)| {
            let view = breaker(gates.subject(&Subject::Job(name.clone())), now_ms)?;
            (view.state != BreakerState::Closed).then(|| (name.clone(), view))
        });
        Self {
            breakers: breakers.collect(),
            catalogue,
            source,
            rules,
            overrides,
            limits,
        }
    }

    /// The rules in force for a queue.
    pub fn queue(&self, name: &str) -> QueueRules {
        self.rules.queues.get(name).cloned().unwrap_or_default()
    }

    /// Changes by operators to a queue.
    pub fn overrides_of_queue<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Override> {
        let changes = self.overrides.iter();
        changes.filter(move |change| change.key.is_of_queue() && change.name == name)
    }

    /// A limit.
    pub fn limit(&self, name: &str) -> Option<&LimitView> {
        self.limits.iter().find(|limit| limit.name == name)
    }
}

fn limit(node: &Node, overrides: Vec<Override>, now_ms: i64) -> LimitView {
    let closed: Vec<ClosedGate> = node.closed(now_ms).collect();
    let until = |why| {
        let closed = closed.iter().find(|closed| closed.why == why);
        closed.and_then(|closed| closed.until_ms)
    };
    LimitView {
        name: node.subject.name().to_owned(),
        running: node.running,
        concurrency: node.cap,
        rate: node.rate,
        next_start_ms: until(ClosedReason::Rate),
        breaker: breaker(node, now_ms),
        waits_until_ms: until(ClosedReason::WaitRequested),
        overrides,
    }
}

fn breaker(node: &Node, now_ms: i64) -> Option<BreakerView> {
    if !node.has_breaker {
        return None;
    }
    let breaker = &node.throttle.breaker;
    let until_ms = breaker.open_until_ms(now_ms);
    let state = match until_ms {
        Some(_) => BreakerState::Open,
        None if breaker.is_half_open(now_ms) => BreakerState::HalfOpen,
        None => BreakerState::Closed,
    };
    Some(BreakerView {
        state,
        since_ms: breaker.open.map(|(since_ms, _)| since_ms),
        until_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{
        Breaker, BreakerRules, JobRules, LimitRules, ON, Overridden, Running, Throttle,
    };

    const BREAKER: BreakerRules = BreakerRules {
        failures: 1,
        within_ms: 1_000,
        cooldown_ms: 5_000,
    };

    fn rules() -> Rules {
        let mut rules = Rules::default();
        let smtp = LimitRules {
            concurrency: Some(3),
            rate: Some(Rate::parse("60/min").unwrap()),
            breaker: Some(BREAKER),
            paused: None,
        };
        rules.limits.insert("smtp".into(), smtp);
        rules.limits.insert("api".into(), LimitRules::default());
        for (job, limits) in [("mail", vec!["smtp".to_owned()]), ("call", Vec::new())] {
            let rules_of_job = JobRules {
                limits,
                concurrency: None,
                breaker: Some(BREAKER),
            };
            rules.jobs.insert(job.into(), rules_of_job);
        }
        rules
    }

    fn view(overrides: &[Override], now_ms: i64) -> FlowView {
        let broken = Throttle {
            arrival_us: 11_500_000,
            wait: Some((10_000, 12_000)),
            breaker: Breaker {
                failures_ms: Vec::new(),
                open: Some((10_000, 15_000)),
                fence: 0,
            },
        };
        let throttles = BTreeMap::from([
            (Subject::Limit("smtp".into()), broken.clone()),
            (Subject::Job("call".into()), broken),
        ]);
        let running = [Running {
            queue: "default",
            tenant: "",
            job: "mail",
            limits: "smtp",
            fence: 1,
        }];
        let in_force = Overridden::new(rules(), overrides, now_ms);
        let gates = Gates::new(
            &in_force.rules,
            &running,
            throttles,
            BTreeMap::new(),
            now_ms,
        );
        FlowView::new(rules(), None, overrides.to_vec(), gates)
    }

    #[test]
    fn a_limit_is_shown_with_everything_that_closes_it() {
        let seen = view(&[], 11_000);
        let smtp = seen.limit("smtp").unwrap();
        assert_eq!((smtp.running, smtp.concurrency), (1, Some(3)));
        assert_eq!(smtp.next_start_ms, Some(11_500));
        assert_eq!(smtp.waits_until_ms, Some(12_000));
        let open = BreakerView {
            state: BreakerState::Open,
            since_ms: Some(10_000),
            until_ms: Some(15_000),
        };
        assert_eq!(smtp.breaker, Some(open));
        assert_eq!(seen.breakers, BTreeMap::from([("call".to_owned(), open)]));
        let api = seen.limit("api").unwrap();
        assert_eq!((api.breaker, api.running), (None, 0));
        let later = view(&[], 15_000);
        let smtp = later.limit("smtp").unwrap();
        assert_eq!((smtp.next_start_ms, smtp.waits_until_ms), (None, None));
        assert_eq!(smtp.breaker.unwrap().state, BreakerState::HalfOpen);
        assert_eq!(smtp.breaker.unwrap().until_ms, None);
    }

    #[test]
    fn a_pause_is_shown_beside_the_breaker() {
        let paused = Override {
            name: "smtp".into(),
            key: OverrideKey::LimitPaused,
            value: ON.into(),
            by: "ann".into(),
            reason: None,
            set_ms: 9_000,
            until_ms: Some(20_000),
        };
        let seen = view(&[paused], 11_000);
        let smtp = seen.limit("smtp").unwrap();
        assert_eq!(smtp.breaker.unwrap().until_ms, Some(15_000));
        assert_eq!(smtp.paused().unwrap().by, "ann");
        assert_eq!(seen.limit("api").unwrap().paused(), None);
    }
}
