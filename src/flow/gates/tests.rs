//! Gates by what runs, what was taken, and what is remembered.

use super::*;
use crate::flow::{BreakerRules, EndedClaim, JobRules, LimitRules, QueueRules, Quota, Rate};

fn rules() -> Rules {
    let mut rules = Rules::default();
    let queue = QueueRules {
        max_running: Some(5),
        ..QueueRules::default()
    };
    rules.queues.insert("q".into(), queue);
    let smtp = LimitRules {
        concurrency: Some(2),
        breaker: Some(BreakerRules {
            failures: 1,
            within_ms: 1_000,
            cooldown_ms: 1_000,
        }),
        ..LimitRules::default()
    };
    rules.limits.insert("smtp".into(), smtp);
    let slow = LimitRules {
        rate: Some(Rate::parse("10/s").unwrap()),
        ..LimitRules::default()
    };
    rules.limits.insert("slow".into(), slow);
    for (job, limits, concurrency) in [
        ("mail", vec!["smtp"], None),
        ("news", vec!["smtp", "slow"], None),
        ("one", vec![], Some(1)),
    ] {
        let job_rules = JobRules {
            limits: limits.into_iter().map(String::from).collect(),
            concurrency,
            ..JobRules::default()
        };
        rules.jobs.insert(job.into(), job_rules);
    }
    rules.tenants.each = Quota {
        concurrency: Some(3),
        ..Quota::default()
    };
    rules
}

/// A run of this tenant and job, claimed under these limits.
fn running<'a>(tenant: &'a str, job: &'a str, limits: &'a str) -> Running<'a> {
    Running {
        queue: "q",
        tenant,
        job,
        limits,
        fence: 1,
    }
}

fn starts(gates: &mut Gates<'_>, tenant: &str, job: &str) -> (usize, Option<ClosedGate>) {
    let lane = gates.lane("q", tenant, job);
    let mut n = 0;
    loop {
        match gates.closed(&lane) {
            None if n == 100 => return (n, None),
            None => {
                gates.take(&lane);
                n += 1;
            }
            closed => return (n, closed),
        }
    }
}

/// Proves: as `caps_hold_at_every_instant_while_workers_are_killed`.
#[test]
fn each_cap_counts_running_and_just_taken_runs() {
    let rules = rules();
    let full = |until_ms| {
        Some(ClosedGate {
            why: ClosedReason::CapReached,
            until_ms,
        })
    };
    let now = [running("a", "mail", "smtp")];
    let gates = || Gates::new(&rules, &now, BTreeMap::new(), BTreeMap::new(), 1_000);
    // The limit: one runs already.
    assert_eq!(starts(&mut gates(), "", "mail"), (1, full(None)));
    // The tenant: one of its runs is under way in any job.
    assert_eq!(starts(&mut gates(), "a", "other"), (2, full(None)));
    assert_eq!(starts(&mut gates(), "b", "other"), (3, full(None)));
    // The job, and the queue.
    assert_eq!(starts(&mut gates(), "", "one"), (1, full(None)));
    let mut all = gates();
    assert_eq!(starts(&mut all, "", "other"), (4, full(None)));
    assert_eq!(starts(&mut all, "", "one"), (0, full(None)));
}

#[test]
fn a_rate_says_when_the_next_may_start() {
    let rules = rules();
    let mut gates = Gates::new(&rules, &[], BTreeMap::new(), BTreeMap::new(), 1_000);
    let (n, closed) = starts(&mut gates, "", "news");
    let rate = ClosedGate {
        why: ClosedReason::Rate,
        until_ms: Some(1_100),
    };
    assert_eq!((n, closed), (1, Some(rate)));
    let (subject, throttle) = gates.changed().next().unwrap();
    assert_eq!(subject, &Subject::Limit("slow".into()));
    let later = BTreeMap::from([(subject.clone(), throttle.clone())]);
    let mut gates = Gates::new(&rules, &[], later.clone(), BTreeMap::new(), 1_099);
    assert_eq!(starts(&mut gates, "", "news").0, 0);
    let mut gates = Gates::new(&rules, &[], later, BTreeMap::new(), 1_100);
    assert_eq!(starts(&mut gates, "", "news").0, 1);
}

#[test]
fn a_half_open_breaker_lets_one_try() {
    let rules = rules();
    let mut throttle = Throttle::default();
    throttle.breaker.fail(
        rules.limits["smtp"].breaker.unwrap(),
        EndedClaim { fence: 3, last: 5 },
        1_000,
    );
    let throttles = BTreeMap::from([(Subject::Limit("smtp".into()), throttle)]);
    let beside = |running: &[Running<'_>], now_ms| {
        Gates::new(&rules, running, throttles.clone(), BTreeMap::new(), now_ms)
    };
    let at = |now_ms| beside(&[], now_ms);
    let (n, closed) = starts(&mut at(1_500), "", "mail");
    assert_eq!((n, closed.unwrap().why), (0, ClosedReason::BreakerOpen));
    assert_eq!(closed.unwrap().until_ms, Some(2_000));
    let (n, closed) = starts(&mut at(2_000), "", "mail");
    assert_eq!((n, closed.unwrap().why), (1, ClosedReason::BreakerProbes));
    // What was claimed before it opened does not try; what was claimed since does.
    let run = |fence| Running {
        fence,
        ..running("", "mail", "smtp")
    };
    assert_eq!(starts(&mut beside(&[run(5)], 2_000), "", "mail").0, 1);
    assert_eq!(starts(&mut beside(&[run(6)], 2_000), "", "mail").0, 0);
}

#[test]
fn a_run_counts_under_the_limits_of_its_claim_and_of_its_job() {
    let rules = rules();
    let free_after = |run: Running<'_>| {
        let mut gates = Gates::new(&rules, &[run], BTreeMap::new(), BTreeMap::new(), 1_000);
        starts(&mut gates, "", "mail").0
    };
    // Its job was removed, or renamed, or has other limits now, or has got one.
    assert_eq!(free_after(running("", "gone", "smtp")), 1);
    assert_eq!(free_after(running("", "one", "slow,smtp")), 1);
    assert_eq!(free_after(running("", "mail", "")), 1);
    assert_eq!(
        free_after(running("", "mail", "smtp")),
        1,
        "and counts once"
    );
    assert_eq!(free_after(running("", "gone", "")), 2);
}

#[test]
fn a_paused_job_starts_nothing() {
    let rules = rules();
    let paused = Paused {
        by: "ann".into(),
        reason: None,
        until_ms: Some(9_000),
    };
    let paused = BTreeMap::from([("other".to_owned(), paused)]);
    let mut gates = Gates::new(&rules, &[], BTreeMap::new(), paused, 1_000);
    let (n, closed) = starts(&mut gates, "", "other");
    assert_eq!((n, closed.unwrap().until_ms), (0, Some(9_000)));
}
