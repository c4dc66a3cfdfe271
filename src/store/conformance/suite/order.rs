//! The order inside a tenant of a queue: a step of priority equals a minute, so no run is overtaken for ever.

use proptest::prelude::*;

use super::flow::claim;
use super::{Lab, WORKER};
use crate::run::RunId;
use crate::store::{NewRun, PRIORITY_STEP_MS, ServedQueue};

const QUEUES: [&str; 2] = ["default", "low"];
const TENANTS: [&str; 2] = ["", "acme"];
const JOBS: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
struct New {
    queue: usize,
    tenant: usize,
    job: usize,
    priority: i64,
    /// Delay of its due time, milliseconds.
    delay_ms: i64,
}

#[derive(Debug, Clone)]
enum Step {
    Enqueue(Vec<New>),
    Claim(usize),
    Wait(i64),
}

/// A waiting run, as the test expects it.
#[derive(Debug)]
struct Known {
    id: RunId,
    queue: &'static str,
    tenant: &'static str,
    priority: i64,
    due_ms: i64,
}

impl Known {
    fn is_beside(&self, other: &Self) -> bool {
        (self.queue, self.tenant) == (other.queue, other.tenant)
    }
}

fn step() -> impl Strategy<Value = Step> {
    // Ties are frequent on purpose: of due times, of priorities and of order keys.
    let delay_ms = prop_oneof![2 => Just(0), 1 => (0..6i64).prop_map(|n| n * PRIORITY_STEP_MS), 1 => 0..400_000i64];
    let priority = prop_oneof![2 => 0..6i64, 1 => Just(100)];
    let new = (0..2usize, 0..2usize, 0..3usize, priority, delay_ms).prop_map(
        |(queue, tenant, job, priority, delay_ms)| New {
            queue,
            tenant,
            job,
            priority,
            delay_ms,
        },
    );
    prop_oneof![
        3 => prop::collection::vec(new, 1..8).prop_map(Step::Enqueue),
        4 => prop_oneof![1..4usize, Just(100)].prop_map(Step::Claim),
        3 => prop_oneof![(0..4i64).prop_map(|n| n * PRIORITY_STEP_MS), 0..100_000i64].prop_map(Step::Wait),
    ]
}

fn enqueue(lab: &mut Lab, all: &[New]) -> Vec<Known> {
    let now_ms = lab.now_ms;
    let runs: Vec<NewRun> = all
        .iter()
        .map(|new| NewRun {
            queue: QUEUES[new.queue].into(),
            tenant: TENANTS[new.tenant].into(),
            priority: new.priority,
            due_ms: now_ms + new.delay_ms,
            ..super::new_run(JOBS[new.job], now_ms)
        })
        .collect();
    let stored = lab.write(|tx| tx.enqueue_all(&runs, now_ms));
    let known = all.iter().zip(stored).map(|(new, stored)| Known {
        id: stored.run,
        queue: QUEUES[new.queue],
        tenant: TENANTS[new.tenant],
        priority: new.priority,
        due_ms: stored.due_ms,
    });
    known.collect()
}

/// Claims, and compares each claimed run with the due runs of its queue and tenant that it overtook.
fn claim_and_compare(
    lab: &mut Lab,
    max: usize,
    waiting: &mut Vec<Known>,
) -> Result<(), TestCaseError> {
    let queues = QUEUES.map(ServedQueue::from);
    let claims = claim(lab, &queues, max);
    for claimed in claims.runs {
        let place = waiting.iter().position(|it| it.id == claimed.run);
        let first = waiting.remove(place.expect("a run that waits"));
        prop_assert!(first.due_ms <= lab.now_ms, "{first:?} is not due");
        for other in waiting
            .iter()
            .filter(|it| first.is_beside(it) && it.due_ms <= lab.now_ms)
        {
            // The overtaking run may be due at most this much later.
            let lead_ms = (other.priority - first.priority) * PRIORITY_STEP_MS;
            let later_ms = first.due_ms - other.due_ms;
            prop_assert!(later_ms <= lead_ms, "{first:?} overtook {other:?}");
            prop_assert!(
                later_ms < lead_ms || first.id < other.id,
                "{first:?} before {other:?}"
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Proves (flow): inside a tenant of a queue a run is overtaken only by runs that are due within one minute per
    /// step of priority.
    #[test]
    fn a_run_is_overtaken_only_by_runs_due_within_a_minute_per_step_of_priority(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut lab = Lab::new();
        let mut waiting = Vec::new();
        for step in steps {
            match step {
                Step::Enqueue(all) => waiting.extend(enqueue(&mut lab, &all)),
                Step::Claim(max) => claim_and_compare(&mut lab, max, &mut waiting)?,
                Step::Wait(ms) => lab.now_ms += ms,
            }
        }
        lab.now_ms += 1_000_000;
        claim_and_compare(&mut lab, 1_000, &mut waiting)?;
        prop_assert!(waiting.is_empty(), "{waiting:?} were forgotten");
    }
}

/// Proves: as `a_run_is_overtaken_only_by_runs_due_within_a_minute_per_step_of_priority`.
#[test]
fn urgent_runs_overtake_a_waiting_run_only_as_long_as_their_priorities_differ() {
    let mut lab = Lab::new();
    let begun_ms = lab.now_ms;
    let patient = lab.enqueue(|run| run.priority = 10);
    // More urgent runs arrive than can ever be executed.
    for minute in 0.. {
        lab.now_ms = begun_ms + minute * PRIORITY_STEP_MS;
        lab.enqueue(|run| run.priority = 0);
        lab.enqueue(|run| run.priority = 0);
        if lab.claim_one().run == patient {
            break;
        }
        assert!(minute < 100, "it waits for ever");
    }
    // Only the runs of the first ten minutes started before it.
    assert_eq!(lab.store.held_by(WORKER).unwrap().len(), 20 + 1);
}
