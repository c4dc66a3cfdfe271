//! Dedup keys of jobs that coalesce: they are active while their run has not ended.

use super::{Lab, bury, new_run};
use crate::catalogue::{Coalesce, SequenceOnDead};
use crate::error::Kind;
use crate::policy::Verdict;
use crate::run::{RunId, State};
use crate::store::{Enqueued, NewDedup, NewRun};

pub(super) fn alike(how: Coalesce, params: &str) -> impl Fn(&mut NewRun) {
    let params = params.to_owned();
    move |new| {
        new.params = Some(params.clone());
        new.dedup = Some(NewDedup {
            key: "k".into(),
            window_ms: None,
            coalesce: Some(how),
        });
    }
}

fn enqueue(lab: &mut Lab, change: impl Fn(&mut NewRun)) -> Enqueued {
    let now_ms = lab.now_ms;
    let mut new = new_run("job", now_ms);
    change(&mut new);
    lab.write(|tx| tx.enqueue(&new, now_ms))
}

/// Id, whether it is a duplicate, and whether the existing run got the new parameters.
fn answer(lab: &mut Lab, change: impl Fn(&mut NewRun)) -> (RunId, bool, bool) {
    let answer = enqueue(lab, change);
    (answer.run, answer.duplicate, answer.replaced)
}

fn params(lab: &Lab, run: RunId) -> String {
    let detail = lab.store.show_run(run, lab.now_ms).unwrap().unwrap();
    detail.params.unwrap()
}

fn defer(lab: &Lab) -> Verdict {
    Verdict::Defer {
        due_ms: lab.now_ms + 1000,
        failure: true,
    }
}

#[test]
fn an_equal_enqueue_is_dropped_only_while_the_run_waits() {
    let mut lab = Lab::new();
    let how = Coalesce::DropWaiting;
    let first = enqueue(&mut lab, alike(how, "1")).run;
    let other = answer(&mut lab, |new| {
        alike(how, "1")(new);
        new.job = "other".into();
    });
    assert!(!other.1, "the scope is the job");
    assert_eq!(answer(&mut lab, alike(how, "2")), (first, true, false));
    assert_eq!(params(&lab, first), "1");
    let claimed = lab.claim(2).swap_remove(0);
    assert_eq!(claimed.run, first);
    // The running one may have read its data already: later changes need another run.
    let second = answer(&mut lab, alike(how, "3"));
    assert!(!second.1);
    // A run that waits for its next attempt counts as waiting.
    let due = defer(&lab);
    lab.end(&claimed, due);
    assert_eq!(answer(&mut lab, alike(how, "4")), (second.0, true, false));
    lab.check();
}

#[test]
fn an_equal_enqueue_is_dropped_while_the_run_waits_or_runs() {
    let mut lab = Lab::new();
    let how = Coalesce::DropActive;
    for verdict in [Verdict::Succeed, bury()] {
        let first = enqueue(&mut lab, alike(how, "1")).run;
        assert_eq!(answer(&mut lab, alike(how, "2")), (first, true, false));
        let claimed = lab.claim_one();
        let again = enqueue(&mut lab, alike(how, "3"));
        assert_eq!((again.run, again.state), (first, State::Running));
        lab.end(&claimed, verdict);
    }
    assert!(!enqueue(&mut lab, alike(how, "4")).duplicate);
    lab.check();
}

#[test]
fn a_replaced_run_gets_the_newest_parameters_and_keeps_its_place() {
    let mut lab = Lab::new();
    let how = Coalesce::Replace;
    let first = enqueue(&mut lab, |new| {
        alike(how, "1")(new);
        new.payload = Some(b"1".to_vec());
        new.labels.correlation_id = Some("c1".into());
        new.due_ms += 50;
        new.priority = 7;
    });
    let bystander = lab.enqueue(|new| new.params = Some("mine".into()));
    let before = lab.store.show_run(first.run, lab.now_ms).unwrap().unwrap();
    for payload in [None, Some(b"two".to_vec())] {
        let bytes = payload.as_ref().map(|bytes| bytes.len() as i64);
        let again = enqueue(&mut lab, |new| {
            alike(how, "2")(new);
            new.payload.clone_from(&payload);
            new.labels.initiator = Some("bob".into());
            new.labels.business_key = Some("b2".into());
            new.due_ms += 5000;
            new.priority = 900;
            new.queue = "low".into();
        });
        assert_eq!(
            (again.run, again.duplicate, again.due_ms),
            (first.run, true, first.due_ms)
        );
        let detail = lab.store.show_run(first.run, lab.now_ms).unwrap().unwrap();
        assert_eq!(
            (detail.params.as_deref(), detail.payload_bytes),
            (Some("2"), bytes)
        );
        let row = &detail.row;
        assert_eq!(
            (
                row.labels.correlation_id.as_deref(),
                row.labels.initiator.as_deref(),
                row.labels.business_key.as_deref()
            ),
            (None, Some("bob"), Some("b2"))
        );
        assert_eq!(
            (row.due_ms, row.priority, row.queue.as_str(), row.created_ms),
            (first.due_ms, 7, "default", before.row.created_ms)
        );
        // The old idempotency key belongs to the old parameters.
        assert_ne!(detail.idempotency_key, before.idempotency_key);
        lab.check();
    }
    assert_eq!(params(&lab, bystander), "mine");
    lab.now_ms += 50;
    let claimed = lab.claim(2);
    let claimed = claimed.iter().find(|it| it.run == first.run).unwrap();
    assert_eq!(claimed.payload.as_deref(), Some(&b"two"[..]));
    // It is running now: the next enqueue stores another run.
    assert!(!enqueue(&mut lab, alike(how, "3")).duplicate);
}

#[test]
fn a_run_between_two_attempts_is_replaced_too() {
    let mut lab = Lab::new();
    let how = Coalesce::Replace;
    let first = enqueue(&mut lab, alike(how, "1")).run;
    let claimed = lab.claim_one();
    let due = defer(&lab);
    lab.end(&claimed, due);
    assert_eq!(answer(&mut lab, alike(how, "2")), (first, true, true));
    lab.now_ms += 1000;
    let claimed = lab.claim_one();
    assert_eq!(
        (claimed.params.as_deref(), claimed.attempt, claimed.failures),
        (Some("2"), 2, 1)
    );
}

#[test]
fn any_number_of_enqueues_adds_one_run_after_the_running_one() {
    let mut lab = Lab::new();
    let how = Coalesce::Rerun;
    let first = enqueue(&mut lab, alike(how, "1")).run;
    assert_eq!(answer(&mut lab, alike(how, "2")), (first, true, true));
    let running = lab.claim_one();
    assert_eq!(running.params.as_deref(), Some("2"));
    let (second, duplicate, _) = answer(&mut lab, alike(how, "3"));
    assert!(!duplicate && second != first);
    for n in 4..10 {
        let again = answer(&mut lab, alike(how, &n.to_string()));
        assert_eq!(again, (second, true, true));
    }
    assert!(lab.claim(10).is_empty(), "it waits for the running run");
    lab.check();
    lab.end(&running, Verdict::Succeed);
    let running = lab.claim_one();
    assert_eq!(
        (running.run, running.params.as_deref()),
        (second, Some("9"))
    );
    lab.end(&running, Verdict::Succeed);
    assert!(!enqueue(&mut lab, alike(how, "10")).duplicate);
    lab.check();
}

/// Proves: as `runs_of_thirty_two_concurrent_enqueues_never_overlap_and_the_newest_runs_last`.
#[test]
fn the_newest_parameters_start_last() {
    let mut lab = Lab::new();
    let how = Coalesce::Rerun;
    let first = enqueue(&mut lab, alike(how, "1")).run;
    let running = lab.claim_one();
    let second = enqueue(&mut lab, alike(how, "2")).run;
    // The first one fails and waits as well: the run behind it still has the newest parameters.
    let due = defer(&lab);
    lab.end(&running, due);
    assert_eq!(answer(&mut lab, alike(how, "3")), (second, true, true));
    lab.now_ms += 1000;
    let running = lab.claim_one();
    assert_eq!((running.run, running.params.as_deref()), (first, Some("1")));
    // Cancelling the follower does not free the key: the first run is still running.
    let now_ms = lab.now_ms;
    lab.write(|tx| tx.cancel(second, "ann", now_ms));
    let third = answer(&mut lab, alike(how, "4"));
    assert!(!third.1);
    assert!(lab.claim(10).is_empty());
    lab.end(&running, bury());
    let running = lab.claim_one();
    assert_eq!(
        (running.run, running.params.as_deref()),
        (third.0, Some("4"))
    );
    // An operator retries the dead run beside it; it gets the next parameters and waits for the running one.
    lab.write(|tx| tx.retry_dead(first, "ann", now_ms));
    assert_eq!(answer(&mut lab, alike(how, "5")), (first, true, true));
    assert!(lab.claim(10).is_empty());
    lab.check();
    // Now the run with the smaller id starts last.
    let due = defer(&lab);
    lab.end(&running, due);
    assert_eq!(answer(&mut lab, alike(how, "6")), (first, true, true));
    lab.now_ms += 1000;
    let running = lab.claim_one();
    assert_eq!(running.params.as_deref(), Some("4"));
    lab.end(&running, Verdict::Succeed);
    assert_eq!(lab.claim_one().params.as_deref(), Some("6"));
}

#[test]
fn equal_keys_of_one_batch_become_one_run_with_the_newest_parameters() {
    let mut lab = Lab::new();
    let now_ms = lab.now_ms;
    let batch: Vec<NewRun> = (0..5)
        .map(|n| {
            let mut new = new_run("job", now_ms);
            alike(Coalesce::Replace, &n.to_string())(&mut new);
            new
        })
        .collect();
    let answers = lab.write(|tx| tx.enqueue_all(&batch, now_ms));
    assert_eq!(answers.iter().filter(|it| !it.duplicate).count(), 1);
    assert_eq!(params(&lab, answers[0].run), "4");
    let stored = lab.store.existing(RunId(0), RunId(99)).unwrap();
    assert_eq!(stored, [answers[0].run]);
    lab.check();
}

#[test]
fn a_window_and_while_each_make_a_duplicate() {
    let mut lab = Lab::new();
    let both = |params: &'static str| {
        move |new: &mut NewRun| {
            alike(Coalesce::Rerun, params)(new);
            new.dedup.as_mut().unwrap().window_ms = Some(1000);
        }
    };
    let first = enqueue(&mut lab, both("1")).run;
    assert_eq!(answer(&mut lab, both("2")), (first, true, true));
    let running = lab.claim_one();
    lab.end(&running, Verdict::Succeed);
    // It has ended and its window is not over: the duplicate is dropped with its parameters, as a window promises.
    assert_eq!(answer(&mut lab, both("3")), (first, true, false));
    lab.now_ms += 1000;
    let second = answer(&mut lab, both("4"));
    assert!(!second.1);
    let running = lab.claim_one();
    // It is running within its window: one more run follows it.
    assert!(!enqueue(&mut lab, both("5")).duplicate);
    lab.end(&running, bury());
    lab.check();
}

#[test]
fn a_waiting_run_that_can_never_start_takes_over_nothing() {
    let mut lab = Lab::new();
    let with_deadline = |new: &mut NewRun| {
        alike(Coalesce::Replace, "1")(new);
        new.deadline_ms = Some(new.due_ms + 10);
    };
    let first = enqueue(&mut lab, with_deadline).run;
    lab.now_ms += 10;
    let second = enqueue(&mut lab, alike(Coalesce::Replace, "2"));
    assert!(!second.duplicate && second.run != first);
}

#[test]
fn a_run_never_changes_its_sequence() {
    let mut lab = Lab::new();
    let of = |key: &'static str| {
        move |new: &mut NewRun| {
            alike(Coalesce::Replace, key)(new);
            super::sequence::in_sequence(key, SequenceOnDead::Block)(new);
        }
    };
    let first = enqueue(&mut lab, of("a")).run;
    assert_eq!(answer(&mut lab, of("a")), (first, true, true));
    let now_ms = lab.now_ms;
    let mut new = new_run("job", now_ms);
    of("b")(&mut new);
    let error = lab.store.write(|tx| tx.enqueue(&new, now_ms)).unwrap_err();
    assert_eq!(error.kind, Kind::Refused);
    assert_eq!(params(&lab, first), "a");
}
