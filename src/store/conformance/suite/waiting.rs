//! Summaries of waiting runs for workers and operators, read without a scan of all runs.

use super::{Lab, WORKER};
use crate::policy::Verdict;
use crate::run::{RunId, State, WorkerId};
use crate::store::Waiting;

fn named(lab: &Lab) -> Vec<Waiting> {
    let mut waiting = lab.store.waiting().unwrap();
    let key = |it: &Waiting| (it.queue.clone(), it.job.clone(), it.due_ms);
    waiting.sort_by_key(key);
    waiting
}

#[test]
fn waiting_runs_are_counted_by_queue_and_job() {
    let mut lab = Lab::new();
    lab.enqueue(|run| run.priority = 0);
    let running = lab.claim_one();
    let kept = lab.enqueue(|_| {});
    lab.write(|tx| tx.reserve_for(kept, WorkerId(7)));
    for _ in 0..2 {
        lab.enqueue(|run| run.queue = "low".into());
    }
    let due_ms = lab.now_ms + 500;
    for later in [100, 0] {
        lab.enqueue(|run| (run.job, run.due_ms) = ("later".into(), due_ms + later));
    }
    lab.enqueue(|run| (run.job, run.after) = ("behind".into(), vec![running.run]));
    let row = |queue: &str, job: &str, runs, due_ms| Waiting {
        queue: queue.into(),
        job: job.into(),
        runs,
        due_ms,
    };
    // Running runs and runs that are reserved for a worker do not count.
    let expected = [
        row("default", "behind", 1, None),
        row("default", "later", 2, Some(due_ms)),
        row("low", "job", 2, None),
    ];
    assert_eq!(named(&lab), expected);
    lab.end(&running, Verdict::Succeed);
    lab.claim(9);
    assert_eq!(named(&lab), [row("default", "later", 2, Some(due_ms))]);
}

#[test]
fn the_next_instant_is_that_of_a_due_time_or_of_a_deadline() {
    let mut lab = Lab::new();
    let now_ms = lab.now_ms;
    let next = |lab: &mut Lab| lab.write(|tx| tx.next_due());
    lab.enqueue(|_| {});
    assert_eq!(next(&mut lab), None, "time alone changes nothing");
    lab.enqueue(|run| run.due_ms = now_ms + 900);
    lab.enqueue(|run| run.due_ms = now_ms + 800);
    assert_eq!(next(&mut lab), Some(now_ms + 800));
    let late = lab.enqueue(|run| run.deadline_ms = Some(now_ms + 700));
    assert_eq!(next(&mut lab), Some(now_ms + 700));
    lab.write(|tx| tx.cancel(late, "ann", now_ms));
    assert_eq!(next(&mut lab), Some(now_ms + 800));
    lab.now_ms += 800;
    let promoted_ms = lab.now_ms;
    assert!(!lab.write(|tx| tx.promote(promoted_ms)));
    assert_eq!(next(&mut lab), Some(now_ms + 900));
}

#[test]
fn tenants_with_many_waiting_runs_are_named_over_all_queues() {
    let mut lab = Lab::new();
    let mut add = |tenant: &str, queue: &str| {
        lab.enqueue(|run| (run.tenant, run.queue) = (tenant.into(), queue.into()));
    };
    for queue in ["default", "low", "low"] {
        add("acme", queue);
        add("", queue);
    }
    add("big", "default");
    let named = |lab: &Lab, least| {
        let mut named = lab.store.tenants_with_waiting(least).unwrap();
        named.sort();
        named
    };
    let (acme, big) = (("acme".to_owned(), 3), ("big".to_owned(), 1));
    assert_eq!(named(&lab, 1), [acme.clone(), big]);
    assert_eq!(named(&lab, 3), [acme]);
    assert_eq!(named(&lab, 4), []);
    lab.claim(9);
    assert_eq!(named(&lab, 1), [], "running runs do not wait");
}

#[test]
fn a_run_is_located_by_its_state_its_due_time_and_its_worker() {
    let mut lab = Lab::new();
    let due_ms = lab.now_ms;
    let (first, second) = (lab.enqueue(|_| {}), lab.enqueue(|_| {}));
    lab.write(|tx| tx.reserve_for(second, WorkerId(7)));
    lab.claim_one();
    let at = |lab: &mut Lab, run| {
        let located = lab.store.run_location(run).unwrap();
        assert_eq!(lab.write(|tx| tx.run_location(run)), located);
        assert_eq!(lab.store.state_of(run).unwrap(), located.map(|it| it.0));
        located
    };
    let running = Some((State::Running, due_ms, Some(WORKER)));
    assert_eq!(at(&mut lab, first), running);
    let waiting = Some((State::Waiting, due_ms, Some(WorkerId(7))));
    assert_eq!(at(&mut lab, second), waiting);
    assert_eq!(at(&mut lab, RunId(99)), None);
}
