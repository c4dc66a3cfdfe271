//! Limits across changes of the catalogue and ends of runs: a run counts under the limits of its claim, a wait that a service
//! asked for pauses its limits after every verdict, and a half-open breaker ignores runs from before its opening.

use super::flow::{claim, end, job, use_rules};
use super::{Lab, bury};
use crate::attempt::Class;
use crate::flow::{BreakerRules, FlowChange, LimitRules, Rules, Subject};
use crate::policy::Verdict;
use crate::run::Reason;
use crate::store::Claimed;

/// Rules by which this job has the limit `api`.
fn rules_for(name: &str, limit: LimitRules) -> Rules {
    let mut rules = Rules::default();
    rules.limits.insert("api".into(), limit);
    rules.jobs.insert(name.into(), job(&["api"], None));
    rules
}

fn one_at_a_time() -> LimitRules {
    LimitRules {
        concurrency: Some(1),
        ..LimitRules::default()
    }
}

fn waiting(lab: &mut Lab, n: usize, name: &str) {
    for _ in 0..n {
        lab.enqueue(|run| name.clone_into(&mut run.job));
    }
}

fn claims(lab: &mut Lab, max: usize) -> Vec<Claimed> {
    claim(lab, &["default".into()], max).runs
}

#[test]
fn a_job_renamed_while_it_runs_still_counts_under_its_limit() {
    let removed = {
        let mut rules = rules_for("new", one_at_a_time());
        rules.jobs.insert("old".into(), job(&[], Some(9)));
        rules
    };
    for after in [rules_for("new", one_at_a_time()), removed] {
        let mut lab = Lab::new();
        use_rules(&mut lab, &rules_for("old", one_at_a_time()));
        waiting(&mut lab, 1, "old");
        let running = claims(&mut lab, 4);
        assert_eq!(running.len(), 1);
        use_rules(&mut lab, &after);
        waiting(&mut lab, 2, "new");
        assert_eq!(claims(&mut lab, 4).len(), 0, "the limit is full");
        end(&mut lab, &running[0], Class::Success, Verdict::Succeed);
        let second = claims(&mut lab, 4);
        assert_eq!(second.len(), 1);
        // Given back and claimed again, it counts under the limits that its job has then.
        lab.write(|tx| tx.unclaim(second[0].run, second[0].fence));
        use_rules(&mut lab, &Rules::default());
        assert_eq!(claims(&mut lab, 4).len(), 2);
    }
}

#[test]
fn a_job_that_gets_a_limit_while_it_runs_counts_under_it() {
    let mut lab = Lab::new();
    waiting(&mut lab, 2, "call");
    assert_eq!(claims(&mut lab, 1).len(), 1);
    use_rules(&mut lab, &rules_for("call", one_at_a_time()));
    assert_eq!(claims(&mut lab, 1).len(), 0);
}

#[test]
fn the_end_of_a_renamed_job_still_counts_for_its_limit() {
    let mut lab = Lab::new();
    use_rules(&mut lab, &rules_for("old", LimitRules::default()));
    waiting(&mut lab, 1, "old");
    let running = claims(&mut lab, 1);
    use_rules(&mut lab, &rules_for("new", LimitRules::default()));
    let due_ms = lab.now_ms + 60_000;
    let defer = Verdict::Defer {
        due_ms,
        failure: false,
    };
    let events = end(&mut lab, &running[0], Class::RateLimited, defer);
    assert_eq!(events.len(), 1);
    waiting(&mut lab, 1, "new");
    assert_eq!(claims(&mut lab, 1).len(), 0);
}

/// Proves: as `a_breaker_opens_lets_one_try_and_closes`.
#[test]
fn a_rate_limited_ending_pauses_its_limit_even_if_the_run_dies() {
    let exhausted = Verdict::Bury {
        reason: Reason::Exhausted,
        failure: false,
    };
    let too_late = Verdict::Bury {
        reason: Reason::Deadline,
        failure: false,
    };
    // An at-most-once run gets `bury()`.
    for verdict in [exhausted, too_late, bury(), Verdict::Cancel] {
        let mut lab = Lab::new();
        use_rules(&mut lab, &rules_for("call", LimitRules::default()));
        waiting(&mut lab, 3, "call");
        let first = claims(&mut lab, 1);
        let events = end(&mut lab, &first[0], Class::RateLimited, verdict);
        let until_ms = lab.now_ms + 60_000;
        let pause = FlowChange::Waits { until_ms };
        let (subject, change) = (&events[0].subject, events[0].change);
        assert_eq!((subject, change), (&Subject::Limit("api".into()), pause));
        lab.now_ms = until_ms - 1;
        assert_eq!(claims(&mut lab, 4).len(), 0, "{verdict:?}");
        lab.now_ms = until_ms;
        assert_eq!(claims(&mut lab, 4).len(), 2, "{verdict:?}");
    }
}

/// Proves: as `a_breaker_opens_lets_one_try_and_closes`.
#[test]
fn a_half_open_breaker_does_not_wait_for_a_run_from_before_its_opening() {
    let limit = LimitRules {
        breaker: Some(BreakerRules {
            failures: 1,
            within_ms: 1_000,
            cooldown_ms: 5_000,
        }),
        ..LimitRules::default()
    };
    let mut lab = Lab::new();
    use_rules(&mut lab, &rules_for("call", limit));
    waiting(&mut lab, 6, "call");
    let first = claims(&mut lab, 3);
    let fails = Verdict::Defer {
        due_ms: lab.now_ms + 1_000_000,
        failure: true,
    };
    end(&mut lab, &first[0], Class::Transient, fails);
    lab.now_ms += 5_000;
    let probe = claims(&mut lab, 3);
    assert_eq!(probe.len(), 1, "two from before still run");
    // The ends of these runs do not affect the breaker.
    let events = end(&mut lab, &first[1], Class::Success, Verdict::Succeed);
    assert_eq!(events, []);
    assert_eq!(end(&mut lab, &first[2], Class::Transient, fails), []);
    assert_eq!(claims(&mut lab, 3).len(), 0, "only the probe decides");
    let events = end(&mut lab, &probe[0], Class::Success, Verdict::Succeed);
    assert_eq!(events[0].change, FlowChange::Closed);
    assert_eq!(claims(&mut lab, 3).len(), 2);
}
