//! Gates, turns, reserves and breakers, as claims apply them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use super::{Lab, WORKER};
use crate::attempt::{Class, Ending, Report, Said};
use crate::flow::{
    BreakerRules, FlowEvent, JobRules, LimitRules, Paused, QueueRules, Quota, Rate, Rules,
    TenantRules,
};
use crate::policy::{Judged, Verdict};
use crate::records::samples;
use crate::store::{ClaimRequest, Claimed, Claims, Holder, PassedOver, ServedQueue};

pub(super) fn use_rules(lab: &mut Lab, rules: &Rules) {
    lab.store.write(|tx| tx.save_rules(rules)).unwrap();
}

pub(in crate::store) fn claim(lab: &mut Lab, queues: &[ServedQueue], max: usize) -> Claims {
    claim_knowing(lab, queues, max, &|_| None)
}

/// As [`claim`], by a worker with `known_after`, so that closed lanes can be skipped.
fn claim_knowing(
    lab: &mut Lab,
    queues: &[ServedQueue],
    max: usize,
    known_after: &dyn Fn(&str) -> Option<String>,
) -> Claims {
    let (now_ms, turns) = (lab.now_ms, &mut lab.turns);
    let claims = lab.store.write(|tx| {
        tx.promote(now_ms)?;
        let request = ClaimRequest {
            known_after,
            is_short: &|_| true,
            ..samples::claim_request(WORKER, queues, max)
        };
        tx.claim(&request, turns, now_ms)
    });
    claims.unwrap()
}

fn fill(lab: &mut Lab, n: usize, queue: &str, tenant: &str, job: &str) {
    for _ in 0..n {
        lab.enqueue(|run| {
            queue.clone_into(&mut run.queue);
            tenant.clone_into(&mut run.tenant);
            job.clone_into(&mut run.job);
        });
    }
}

fn counts<'a>(claims: &'a Claims, of: impl Fn(&'a Claimed) -> &'a str) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for run in &claims.runs {
        *counts.entry(of(run)).or_default() += 1;
    }
    counts
}

pub(super) fn job(limits: &[&str], concurrency: Option<i64>) -> JobRules {
    JobRules {
        limits: limits.iter().map(|&limit| limit.to_owned()).collect(),
        concurrency,
        breaker: None,
    }
}

/// The first tenants may all wait for the same limit; the claim must not forget the tenants after them.
/// Proves (flow): a claim that leaves ready runs behind says that there may be more.
#[test]
fn a_claim_that_stops_early_says_that_more_may_be_ready() {
    let mut lab = Lab::new();
    let mut rules = Rules::default();
    rules.jobs.insert("one".into(), job(&[], Some(1)));
    use_rules(&mut lab, &rules);
    fill(&mut lab, 1, "default", "a", "one");
    fill(&mut lab, 1, "default", "b", "one");
    fill(&mut lab, 1, "default", "c", "other");
    let queues = ["default".into()];
    let first = claim(&mut lab, &queues, 2);
    assert_eq!(first.runs.len(), 1);
    assert!(
        first.full,
        "a claim that leaves a ready run requests another claim"
    );
    let second = claim(&mut lab, &queues, 1);
    assert_eq!(
        counts(&second, |run| &run.job),
        BTreeMap::from([("other", 1)])
    );
    lab.check();
}

/// A lab in which this many runs of `call`, which has the limit `api`, wait.
fn under_limit(limit: LimitRules, runs: usize) -> Lab {
    let mut lab = Lab::new();
    let mut rules = Rules::default();
    rules.limits.insert("api".into(), limit);
    for name in ["call", "ask"] {
        rules.jobs.insert(name.into(), job(&["api"], None));
    }
    use_rules(&mut lab, &rules);
    fill(&mut lab, runs, "default", "", "call");
    lab
}

/// Ends an attempt. Returns the changes of limits and breakers.
pub(super) fn end(
    lab: &mut Lab,
    claimed: &Claimed,
    class: Class,
    verdict: Verdict,
) -> Vec<FlowEvent> {
    let now_ms = lab.now_ms;
    let holder = Holder {
        run: claimed.run,
        fence: claimed.fence,
        worker: WORKER,
        attempt: claimed.attempt,
    };
    let report = Report {
        started_ms: now_ms,
        ran_ms: 0,
        ending: Ending::Exited(i32::from(class != Class::Success)),
        output_tail: Vec::new(),
        output_bytes: 0,
        leaked: 0,
        said: Said::default(),
    };
    let judged = Judged {
        class,
        retry_after: None,
        error: None,
    };
    let finished = lab
        .store
        .write(|tx| tx.finish(holder, &report, &judged, verdict, false, now_ms));
    finished.unwrap().flow
}

#[test]
fn caps_of_queue_tenant_job_and_limit_hold_over_claims() {
    let mut lab = Lab::new();
    let mut rules = Rules::default();
    let queue = QueueRules {
        max_running: Some(6),
        ..QueueRules::default()
    };
    rules.queues.insert("default".into(), queue);
    let limit = LimitRules {
        concurrency: Some(3),
        ..LimitRules::default()
    };
    rules.limits.insert("smtp".into(), limit);
    rules.jobs.insert("mail".into(), job(&["smtp"], None));
    rules.jobs.insert("news".into(), job(&["smtp"], Some(2)));
    rules.tenants.each.concurrency = Some(4);
    use_rules(&mut lab, &rules);
    for job in ["mail", "news", "other"] {
        fill(&mut lab, 20, "default", "acme", job);
    }
    fill(&mut lab, 20, "default", "", "other");
    let queues = ["default".into()];
    let first = claim(&mut lab, &queues, 2);
    let second = claim(&mut lab, &queues, 100);
    let all: Vec<&Claimed> = first.runs.iter().chain(&second.runs).collect();
    let count = |is: &dyn Fn(&Claimed) -> bool| all.iter().filter(|run| is(run)).count();
    assert_eq!(count(&|_| true), 6);
    assert!(count(&|run| run.job != "other") <= 3);
    assert!(count(&|run| run.job == "news") <= 2);
    assert_eq!(count(&|run| run.tenant == "acme"), 3, "turns are fair");
    assert!(second.passed.gated && !second.full);
    assert_eq!(claim(&mut lab, &queues, 100).runs.len(), 0);
    // An end makes room at once.
    end(&mut lab, all[0], Class::Success, Verdict::Succeed);
    assert_eq!(claim(&mut lab, &queues, 100).runs.len(), 1);
}

#[test]
fn a_rate_allows_one_start_per_interval() {
    let limit = LimitRules {
        rate: Some(Rate::parse("2/s").unwrap()),
        ..LimitRules::default()
    };
    let mut lab = under_limit(limit, 10);
    let queues = ["default".into()];
    let first = claim(&mut lab, &queues, 10);
    assert_eq!(first.runs.len(), 1);
    assert_eq!(first.passed.opens_ms, Some(lab.now_ms + 500));
    lab.now_ms += 499;
    assert_eq!(claim(&mut lab, &queues, 10).runs.len(), 0);
    lab.now_ms += 1;
    assert_eq!(claim(&mut lab, &queues, 10).runs.len(), 1);
}

/// Proves: as `two_tenants_share_by_weight_over_many_workers`.
#[test]
fn tenants_share_by_weight_however_many_runs_one_has() {
    let mut lab = Lab::new();
    let mut rules = Rules::default();
    let heavy = TenantRules {
        weight: Some(3),
        quota: Quota::default(),
    };
    rules.tenants.named.insert("a".into(), heavy);
    use_rules(&mut lab, &rules);
    fill(&mut lab, 400, "default", "a", "job");
    fill(&mut lab, 400, "default", "b", "job");
    let queues = ["default".into()];
    let mut got = BTreeMap::new();
    for n in 0..100 {
        // Small and large claims.
        let claims = claim(&mut lab, &queues, [1, 2, 3, 7][n % 4]);
        for run in claims.runs {
            *got.entry(run.tenant).or_insert(0) += 1;
        }
    }
    let share = f64::from(got["a"]) / f64::from(got["b"]);
    assert!((2.95..=3.05).contains(&share), "{got:?}");
    // A tenant that is alone uses all slots.
    let rest = claim(&mut lab, &queues, 1_000);
    assert_eq!(rest.runs.len(), 800 - (got["a"] + got["b"]) as usize);
}

/// Proves: as `two_tenants_share_by_weight_over_many_workers`.
#[test]
fn queues_with_weights_share_and_leave_nothing_idle() {
    let mut lab = Lab::new();
    for queue in ["high", "low"] {
        fill(&mut lab, 100, queue, "", "job");
    }
    let queues: Vec<ServedQueue> = [("high", 4), ("low", 1)]
        .map(|(name, weight)| ServedQueue {
            name: name.into(),
            weight: Some(weight),
        })
        .to_vec();
    let mut order = String::new();
    for _ in 0..20 {
        let claims = claim(&mut lab, &queues, 1);
        order.push_str(&claims.runs[0].queue[..1]);
    }
    assert_eq!(order, "hhhhlhhhhlhhhhlhhhhl");
    let all = claim(&mut lab, &queues, 50);
    assert_eq!(
        counts(&all, |run| &run.queue),
        BTreeMap::from([("high", 40), ("low", 10)])
    );
    let rest = claim(&mut lab, &queues, 1_000);
    assert_eq!(rest.runs.len(), 130);
}

#[test]
fn queues_are_served_by_the_ranks_in_force_whatever_the_worker_read() {
    let mut lab = Lab::new();
    for queue in ["a", "b", "unknown"] {
        fill(&mut lab, 1, queue, "", "job");
    }
    let queues = ["unknown", "a", "b"].map(ServedQueue::from);
    for (ranks, first) in [([50, 10], "b"), ([10, 50], "a")] {
        let mut rules = Rules::default();
        for (queue, rank) in ["a", "b"].into_iter().zip(ranks) {
            let it = QueueRules {
                rank,
                ..QueueRules::default()
            };
            rules.queues.insert(queue.into(), it);
        }
        use_rules(&mut lab, &rules);
        assert_eq!(claim(&mut lab, &queues, 1).runs[0].queue, first);
    }
    assert_eq!(claim(&mut lab, &queues, 1).runs[0].queue, "unknown");
}

/// Proves: as `a_reserved_slot_serves_its_queue_while_the_others_are_full`.
#[test]
fn a_reserve_is_kept_free_and_used_by_its_queue_only() {
    let mut lab = Lab::new();
    let mut rules = Rules::default();
    let high = QueueRules {
        rank: 10,
        reserve: 2,
        ..QueueRules::default()
    };
    rules.queues.insert("high".into(), high);
    use_rules(&mut lab, &rules);
    fill(&mut lab, 20, "low", "", "job");
    let queues = ["high".into(), "low".into()];
    let first = claim(&mut lab, &queues, 4);
    assert_eq!(first.runs.len(), 2, "two slots stay free");
    assert!(first.passed.gated && !first.full);
    assert_eq!(claim(&mut lab, &queues, 2).runs.len(), 0);
    fill(&mut lab, 1, "high", "", "job");
    let second = claim(&mut lab, &queues, 2);
    assert_eq!(
        counts(&second, |run| &run.queue),
        BTreeMap::from([("high", 1)])
    );
    // One slot is still reserved: the run that `high` holds counts for its reserve.
    assert_eq!(claim(&mut lab, &queues, 1).runs.len(), 0);
    end(&mut lab, &first.runs[0], Class::Success, Verdict::Succeed);
    assert_eq!(claim(&mut lab, &queues, 2).runs.len(), 1);
}

#[test]
fn a_paused_queue_starts_nothing() {
    let mut lab = Lab::new();
    let mut rules = Rules::default();
    let paused = QueueRules {
        paused: Some(Paused {
            by: "catalogue".into(),
            reason: None,
            until_ms: None,
        }),
        ..QueueRules::default()
    };
    rules.queues.insert("low".into(), paused);
    use_rules(&mut lab, &rules);
    fill(&mut lab, 2, "low", "", "job");
    fill(&mut lab, 1, "default", "", "job");
    let queues = ["default".into(), "low".into()];
    let claims = claim(&mut lab, &queues, 10);
    assert_eq!(claims.runs.len(), 1);
    assert!(!claims.passed.comes && !claims.passed.gated && !claims.full);
}

/// Proves (flow): a breaker opens, lets one run try, and closes; a wait that a service asks for pauses its limits.
#[test]
fn a_breaker_opens_lets_one_try_and_closes() {
    let limit = LimitRules {
        breaker: Some(BreakerRules {
            failures: 3,
            within_ms: 10_000,
            cooldown_ms: 5_000,
        }),
        ..LimitRules::default()
    };
    let mut lab = under_limit(limit, 20);
    let queues = ["default".into()];
    let fails = |lab: &mut Lab, runs: &[Claimed]| {
        for run in runs {
            let due_ms = lab.now_ms + 1_000_000;
            let failure = true;
            end(
                lab,
                run,
                Class::Transient,
                Verdict::Defer { due_ms, failure },
            );
        }
    };
    let first = claim(&mut lab, &queues, 5);
    fails(&mut lab, &first.runs[..3]);
    let closed = claim(&mut lab, &queues, 5);
    assert_eq!(
        (closed.runs.len(), closed.passed.opens_ms),
        (0, Some(lab.now_ms + 5_000))
    );
    // A run from before the opening ends and does not affect the breaker.
    end(&mut lab, &first.runs[3], Class::Success, Verdict::Succeed);
    fails(&mut lab, &first.runs[4..]);
    lab.now_ms += 5_000;
    let probe = claim(&mut lab, &queues, 5);
    assert_eq!(probe.runs.len(), 1, "one tries");
    fails(&mut lab, &probe.runs);
    assert_eq!(
        claim(&mut lab, &queues, 5).passed.opens_ms,
        Some(lab.now_ms + 5_000)
    );
    lab.now_ms += 5_000;
    let probe = claim(&mut lab, &queues, 5);
    end(&mut lab, &probe.runs[0], Class::Success, Verdict::Succeed);
    assert_eq!(claim(&mut lab, &queues, 5).runs.len(), 5);
}

/// Proves: as `a_clock_that_steps_back_lengthens_no_wait`.
#[test]
fn setting_the_clock_back_does_not_lengthen_the_wait_of_a_limit() {
    let limit = LimitRules {
        rate: Some(Rate::parse("1/s").unwrap()),
        breaker: Some(BreakerRules {
            failures: 1,
            within_ms: 10_000,
            cooldown_ms: 5_000,
        }),
        ..LimitRules::default()
    };
    let mut lab = under_limit(limit, 3);
    let queues = ["default".into()];
    lab.now_ms += 86_400_000;
    let first = claim(&mut lab, &queues, 1);
    let verdict = Verdict::Defer {
        due_ms: lab.now_ms + 60_000,
        failure: true,
    };
    end(&mut lab, &first.runs[0], Class::Transient, verdict);
    // A day back: a worker notices the step, or starts.
    lab.now_ms -= 86_400_000;
    let now_ms = lab.now_ms;
    lab.store
        .write(|tx| tx.rebase_relative_delays(now_ms))
        .unwrap();
    let closed = claim(&mut lab, &queues, 3);
    assert_eq!(closed.passed.opens_ms, Some(now_ms + 5_000));
    lab.now_ms += 4_999;
    assert_eq!(claim(&mut lab, &queues, 3).runs.len(), 0);
    lab.now_ms += 1;
    assert_eq!(claim(&mut lab, &queues, 3).runs.len(), 1);
}

/// Proves: as `a_breaker_opens_lets_one_try_and_closes`.
#[test]
fn a_rate_limited_ending_pauses_its_limits_for_the_wait() {
    let limit = LimitRules {
        concurrency: Some(5),
        ..LimitRules::default()
    };
    let mut lab = under_limit(limit, 3);
    fill(&mut lab, 3, "default", "", "ask");
    let queues = ["default".into()];
    let first = claim(&mut lab, &queues, 1);
    let verdict = Verdict::Defer {
        due_ms: lab.now_ms + 60_000,
        failure: false,
    };
    end(&mut lab, &first.runs[0], Class::RateLimited, verdict);
    let closed = claim(&mut lab, &queues, 10);
    assert_eq!(
        (closed.runs.len(), closed.passed.opens_ms),
        (0, Some(lab.now_ms + 60_000))
    );
    lab.now_ms += 60_000;
    assert_eq!(claim(&mut lab, &queues, 10).runs.len(), 5);
}

#[test]
fn a_walk_over_many_closed_tenants_ends_and_finds_the_open_one() {
    let mut lab = Lab::new();
    let mut rules = Rules::default();
    let limit = LimitRules {
        concurrency: Some(1),
        ..LimitRules::default()
    };
    rules.limits.insert("one".into(), limit);
    rules.jobs.insert("closed".into(), job(&["one"], None));
    use_rules(&mut lab, &rules);
    fill(&mut lab, 1, "default", "", "closed");
    let queues = ["default".into()];
    assert_eq!(claim(&mut lab, &queues, 1).runs.len(), 1);
    for n in 0..700 {
        fill(&mut lab, 1, "default", &format!("t{n:03}"), "closed");
    }
    let rounds = |lab: &mut Lab| {
        for round in 1.. {
            let claims = claim(lab, &queues, 4);
            if !claims.full || !claims.runs.is_empty() {
                return (round, claims.runs.len());
            }
            assert!(round < 10, "the walk never ends");
        }
        unreachable!()
    };
    assert_eq!(rounds(&mut lab), (3, 0));
    assert_eq!(rounds(&mut lab), (3, 0), "also from where it stopped");
    fill(&mut lab, 1, "default", "t350", "open");
    assert_eq!(rounds(&mut lab).1, 1);
}

/// Claims and ends in turn in a store with many lanes with caps and rates, of which most are closed at any time. Returns the runs of
/// each
/// claim and its summary of those passed over.
fn results_of_claims(known_after: &dyn Fn(&str) -> Option<String>) -> Vec<(Vec<i64>, PassedOver)> {
    let mut lab = Lab::new();
    let mut rules = Rules::default();
    for n in 0..40 {
        let limit = LimitRules {
            concurrency: Some(1 + n % 3),
            rate: (n % 7 == 0).then(|| Rate::parse("1/s").unwrap()),
            ..LimitRules::default()
        };
        rules.limits.insert(format!("l{n:02}"), limit);
        let limits = [format!("l{n:02}"), format!("l{:02}", n / 8)];
        let limits: Vec<&str> = limits.iter().map(String::as_str).collect();
        rules.jobs.insert(format!("j{n:02}"), job(&limits, None));
    }
    use_rules(&mut lab, &rules);
    for n in 0..600 {
        // Some jobs have no runs, and some are not in the catalogue.
        let (job, tenant) = (n * 7 % 45, ["", "a", "b"][n / 45 % 3]);
        if job % 5 != 3 {
            fill(&mut lab, 1, "default", tenant, &format!("j{job:02}"));
        }
    }
    let queues = ["default".into()];
    let mut running: VecDeque<Claimed> = VecDeque::new();
    let mut results = Vec::new();
    for n in 0..120 {
        let claims = claim_knowing(&mut lab, &queues, [1, 4, 40][n % 3], known_after);
        // A worker that reached its maximum claims again anyway, so the summary does not matter.
        let passed = if claims.full {
            PassedOver::default()
        } else {
            claims.passed
        };
        results.push((claims.runs.iter().map(|it| it.run.0).collect(), passed));
        running.extend(claims.runs);
        for _ in 0..n % 8 {
            if let Some(run) = running.pop_front() {
                end(&mut lab, &run, Class::Success, Verdict::Succeed);
            }
        }
        lab.now_ms += 100;
    }
    results
}

fn behind(known: &BTreeSet<String>, job: &str) -> Option<String> {
    let behind = (Bound::Excluded(job), Bound::Unbounded);
    known.range::<str, _>(behind).next().cloned()
}

/// Proves (flow): skipping closed lanes changes neither what a claim takes nor what it reports.
#[test]
fn skipping_closed_lanes_changes_no_claim() {
    let known: BTreeSet<String> = (0..40).map(|n| format!("j{n:02}")).collect();
    let skipping = results_of_claims(&|job| behind(&known, job));
    let visiting_all = results_of_claims(&|_| None);
    assert_eq!(skipping, visiting_all);
    let taken: usize = visiting_all.iter().map(|(runs, _)| runs.len()).sum();
    assert!(taken > 200, "{taken}");
}

/// Proves: as `skipping_closed_lanes_changes_no_claim`.
#[test]
fn skipped_lanes_with_runs_count_as_passed_over() {
    for has_runs in [true, false] {
        let mut lab = Lab::new();
        let mut rules = Rules::default();
        for (name, rate) in [("a", "1/h"), ("b", "1/min")] {
            let limit = LimitRules {
                rate: Some(Rate::parse(rate).unwrap()),
                ..LimitRules::default()
            };
            rules.limits.insert(name.into(), limit);
            rules.jobs.insert(name.into(), job(&[name], None));
        }
        use_rules(&mut lab, &rules);
        for job in ["a", "b"] {
            fill(&mut lab, 1, "default", "", job);
        }
        let queues = ["default".into()];
        assert_eq!(claim(&mut lab, &queues, 9).runs.len(), 2);
        for job in if has_runs { "abc" } else { "ac" }
            .split_terminator("")
            .skip(1)
        {
            fill(&mut lab, 1, "default", "", job);
        }
        let known = BTreeSet::from(["a", "b", "c"].map(String::from));
        let claims = claim_knowing(&mut lab, &queues, 9, &|job| behind(&known, job));
        assert_eq!(claims.runs.len(), 1, "`c` is open");
        let wait_ms = if has_runs { 60_000 } else { 3_600_000 };
        assert_eq!(claims.passed.opens_ms, Some(lab.now_ms + wait_ms));
    }
}
