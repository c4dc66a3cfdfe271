//! Many retries at once: spread by their jitter, spaced by their limit, and without delay for other runs.

use super::flow::{claim, end, job, use_rules};
use super::{Lab, WORKER};
use crate::attempt::{Class, Ending};
use crate::catalogue::{Backoff, BackoffKind, Jitter};
use crate::clock;
use crate::flow::{LimitRules, Rate, Rules};
use crate::policy::{self, Budget, Judged, Verdict};
use crate::run::Guarantee;

const RUNS: usize = 200;
const WAIT_MS: i64 = 60_000;
const RATE: Rate = Rate {
    runs: 10,
    per_ms: 1_000,
    burst: 3,
};

/// The verdict of a worker about a first failure.
fn decide(now_ms: i64) -> Verdict {
    let backoff = Backoff {
        kind: BackoffKind::Fixed(WAIT_MS),
        max_ms: WAIT_MS,
        jitter: Jitter::Full,
    };
    let judged = Judged {
        class: Class::Transient,
        retry_after: None,
        error: None,
    };
    let budget = Budget {
        guarantee: Guarantee::AtLeastOnce,
        failures: 0,
        max_attempts: 3,
        deadline_ms: None,
        limited_ms: None,
        rate_limited_for_ms: 0,
    };
    let backoff_ms = policy::delay_ms(&backoff, 1, clock::random_unit());
    policy::verdict(&Ending::Exited(1), &judged, &budget, backoff_ms, now_ms)
}

/// Lets `RUNS` runs of `call` fail in the same millisecond. Returns when each is due again.
fn storm(lab: &mut Lab) -> Vec<i64> {
    for _ in 0..RUNS {
        lab.enqueue(|run| run.job = "call".into());
    }
    let all = claim(lab, &["default".into()], RUNS);
    assert_eq!(all.runs.len(), RUNS);
    let mut due = Vec::new();
    for run in &all.runs {
        let verdict = decide(lab.now_ms);
        let Verdict::Defer { due_ms, .. } = verdict else {
            panic!("{verdict:?}");
        };
        due.push(due_ms);
        end(lab, run, Class::Transient, verdict);
    }
    due
}

/// Proves (flow): many retries at once are spread by their jitter, spaced by their rate, and occupy no slot.
#[test]
fn retries_of_simultaneous_failures_are_spread_over_the_backoff() {
    let mut lab = Lab::new();
    let now_ms = lab.now_ms;
    let due = storm(&mut lab);
    assert!(
        due.iter()
            .all(|due_ms| (now_ms..=now_ms + WAIT_MS).contains(due_ms))
    );
    let mut tenths = [0; 10];
    for due_ms in &due {
        tenths[(((due_ms - now_ms) * 10 / WAIT_MS) as usize).min(9)] += 1;
    }
    // 20 are expected in each tenth, with a standard deviation of four: values outside this range do not occur by chance.
    assert!(tenths.iter().all(|n| (1..50).contains(n)), "{tenths:?}");
}

/// Proves: as `retries_of_simultaneous_failures_are_spread_over_the_backoff`.
#[test]
fn runs_waiting_for_a_retry_occupy_no_slot_and_due_ones_are_spaced_by_the_rate() {
    let mut lab = Lab::new();
    let due = storm(&mut lab);
    let mut rules = Rules::default();
    let api = LimitRules {
        rate: Some(RATE),
        ..LimitRules::default()
    };
    rules.limits.insert("api".into(), api);
    rules.jobs.insert("call".into(), job(&["api"], None));
    use_rules(&mut lab, &rules);
    assert_eq!(lab.store.held_by(WORKER).unwrap(), []);
    lab.enqueue(|run| run.job = "other".into());
    let queues = ["default".into()];
    let first = claim(&mut lab, &queues, 1);
    assert_eq!(first.runs[0].job, "other");
    end(&mut lab, &first.runs[0], Class::Success, Verdict::Succeed);
    // The worst case: no worker claims until all are due.
    lab.now_ms += WAIT_MS;
    let begun_ms = lab.now_ms;
    let mut starts = Vec::new();
    while starts.len() < RUNS {
        let claims = claim(&mut lab, &queues, RUNS);
        starts.extend(claims.runs.iter().map(|_| lab.now_ms));
        if starts.len() < RUNS {
            let opens_ms = claims
                .passed
                .opens_ms
                .expect("time alone lets the next start");
            assert!(opens_ms > lab.now_ms);
            lab.now_ms = opens_ms;
        }
    }
    for (first, from_ms) in starts.iter().enumerate() {
        for (last, to_ms) in starts.iter().enumerate().skip(first) {
            let most = (to_ms - from_ms) * RATE.runs / RATE.per_ms + RATE.burst;
            assert!(((last - first) as i64) < most, "{from_ms} to {to_ms}");
        }
    }
    // And not slower than the rate allows.
    let took_ms = starts[RUNS - 1] - begun_ms;
    assert_eq!(
        took_ms,
        (RUNS as i64 - RATE.burst) * RATE.per_ms / RATE.runs
    );
    assert!(due.iter().all(|due_ms| *due_ms <= begun_ms));
}
