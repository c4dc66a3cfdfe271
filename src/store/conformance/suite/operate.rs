//! Cancels, retries and discards by operators.

use super::{Lab, bury};
use crate::policy::Verdict;
use crate::run::{RunId, State};
use crate::store::{DeadFilter, Handled, Outcome};

#[test]
fn a_waiting_run_is_cancelled_at_once_and_only_that_one() {
    let mut lab = Lab::new();
    let (ready, delayed, other) = (
        lab.enqueue(|_| {}),
        lab.enqueue(|new| new.due_ms += 5000),
        lab.enqueue(|_| {}),
    );
    let now_ms = lab.now_ms;
    for run in [ready, delayed] {
        let handled = lab.write(|tx| tx.cancel(run, "ann", now_ms));
        assert_eq!(handled, Handled::Moved(State::Cancelled));
    }
    lab.check();
    assert_eq!(lab.state(other), State::Waiting);
    let row = lab.store.show_run(ready, now_ms).unwrap().unwrap().row;
    assert_eq!(
        (
            row.state,
            row.ended_ms,
            row.cancel_by.as_deref(),
            row.reason.as_deref()
        ),
        (
            State::Cancelled,
            Some(now_ms),
            Some("ann"),
            Some("cancelled")
        )
    );
    let again = lab.write(|tx| tx.cancel(ready, "bob", now_ms));
    assert_eq!(again, Handled::Forbidden(State::Cancelled));
    assert_eq!(
        lab.write(|tx| tx.cancel(RunId(99), "bob", now_ms)),
        Handled::Unknown
    );
}

#[test]
fn a_cancelled_run_cannot_be_taken_by_a_worker_that_saw_it_waiting() {
    let mut lab = Lab::new();
    let (run, other) = (lab.enqueue(|_| {}), lab.enqueue(|_| {}));
    let now_ms = lab.now_ms;
    lab.write(|tx| tx.cancel(run, "ann", now_ms));
    let claimed: Vec<RunId> = lab.claim(10).iter().map(|claimed| claimed.run).collect();
    assert_eq!(claimed, [other]);
}

#[test]
fn a_running_run_is_only_asked_and_its_worker_ends_it() {
    let mut lab = Lab::new();
    let (run, other) = (lab.enqueue(|_| {}), lab.enqueue(|_| {}));
    let claimed = lab.claim(2);
    let now_ms = lab.now_ms;
    assert_eq!(
        lab.write(|tx| tx.cancel(run, "ann", now_ms)),
        Handled::Requested
    );
    assert_eq!(
        lab.write(|tx| tx.cancel(run, "bob", now_ms + 1)),
        Handled::Requested
    );
    assert_eq!(lab.state(run), State::Running);
    let row = lab.store.show_run(run, now_ms).unwrap().unwrap().row;
    assert_eq!(
        (row.cancel_ms, row.cancel_by.as_deref()),
        (Some(now_ms), Some("ann"))
    );
    let asked: Vec<RunId> = lab
        .store
        .cancels_for(super::WORKER)
        .unwrap()
        .iter()
        .map(|(run, _)| *run)
        .collect();
    assert_eq!(asked, [run]);
    let outcome = lab.end(
        &claimed[0],
        Verdict::Defer {
            due_ms: now_ms + 9,
            failure: true,
        },
    );
    assert_eq!(outcome, Outcome::Moved(State::Cancelled));
    assert_eq!(lab.state(other), State::Running);
    lab.check();
}

#[test]
fn a_retried_run_starts_again_and_keeps_its_history() {
    let mut lab = Lab::new();
    let run = lab.dead(|new| {
        new.priority = 7;
        new.deadline_ms = Some(9_000_000);
    });
    let other = lab.dead(|_| {});
    let before = lab.store.show_run(run, lab.now_ms).unwrap().unwrap();
    lab.now_ms += 1000;
    let now_ms = lab.now_ms;
    assert_eq!(
        lab.write(|tx| tx.retry(run, "ann", now_ms)),
        Handled::Moved(State::Waiting)
    );
    lab.check();
    let after = lab.store.show_run(run, now_ms).unwrap().unwrap();
    assert_eq!(after.idempotency_key, before.idempotency_key);
    assert_eq!(after.attempts, before.attempts);
    let row = &after.row;
    assert_eq!((row.attempts, row.failures, row.due_ms), (1, 0, now_ms));
    assert_eq!(
        (row.deadline_ms, row.ended_ms, row.reason.as_deref()),
        (None, None, None)
    );
    assert_eq!(row.last_error.as_deref(), Some("exit 1"));
    let closed = after.dead_letters[0].closed.as_ref().unwrap();
    assert_eq!(
        (closed.how.as_str(), closed.by.as_str(), closed.at_ms),
        ("retried", "ann", now_ms)
    );
    assert_eq!(lab.state(other), State::Dead);
    assert_eq!(lab.store.count_dead(&DeadFilter::default()).unwrap(), 1);
    // Its place in the lane follows from its priority and the time of the retry.
    let before = lab.enqueue(|new| {
        new.priority = 6;
        new.due_ms -= 1;
    });
    let behind = lab.enqueue(|new| new.priority = 8);
    let order = [0; 3].map(|_| lab.claim_one());
    let runs = order.each_ref().map(|claimed| claimed.run);
    assert_eq!((runs, order[1].attempt), ([before, run, behind], 2));
}

/// Proves (death): a stale fence changes nothing.
#[test]
fn a_stale_attempt_cannot_finish_a_run_that_was_retried() {
    let mut lab = Lab::new();
    let (run, _other) = (lab.enqueue(|new| new.priority = 0), lab.enqueue(|_| {}));
    let first = lab.claim_one();
    lab.end(&first, bury());
    let now_ms = lab.now_ms;
    lab.write(|tx| tx.retry(run, "ann", now_ms));
    let second = lab.claim_one();
    assert_eq!(second.run, run);
    let stale = super::Claimed {
        attempt: 2,
        ..first
    };
    assert_eq!(lab.end(&stale, Verdict::Succeed), Outcome::Fenced);
    assert_eq!(lab.state(run), State::Running);
    assert_eq!(
        lab.end(&second, Verdict::Succeed),
        Outcome::Moved(State::Succeeded)
    );
    lab.check();
}

/// Proves: as `only_an_operator_leaves_a_final_state`.
#[test]
fn only_ended_runs_are_retried() {
    let mut lab = Lab::new();
    let (waiting, running) = (lab.enqueue(|_| {}), lab.enqueue(|new| new.priority = 0));
    lab.claim_one();
    let now_ms = lab.now_ms;
    for (run, state) in [(waiting, State::Waiting), (running, State::Running)] {
        assert_eq!(
            lab.write(|tx| tx.retry(run, "ann", now_ms)),
            Handled::Forbidden(state)
        );
        assert_eq!(
            lab.write(|tx| tx.retry_dead(run, "ann", now_ms)),
            Handled::NoDeadLetter(state)
        );
    }
    lab.check();
}

#[test]
fn a_succeeded_run_loses_its_result_when_it_is_retried() {
    let mut lab = Lab::new();
    let (run, _other) = (lab.enqueue(|new| new.priority = 0), lab.enqueue(|_| {}));
    let claimed = lab.claim_one();
    lab.end(&claimed, Verdict::Succeed);
    let show = |lab: &Lab| lab.store.show_run(run, lab.now_ms).unwrap().unwrap();
    assert_eq!(show(&lab).results.as_deref(), Some("[1]"));
    let now_ms = lab.now_ms;
    lab.write(|tx| tx.retry(run, "ann", now_ms));
    assert_eq!(show(&lab).results, None);
    lab.check();
}

#[test]
fn a_discarded_letter_is_closed_and_its_run_stays_dead() {
    let mut lab = Lab::new();
    let (run, other) = (lab.dead(|_| {}), lab.dead(|_| {}));
    let now_ms = lab.now_ms;
    assert_eq!(
        lab.write(|tx| tx.discard(run, "ann", now_ms)),
        Handled::Discarded
    );
    let again = Handled::NoDeadLetter(State::Dead);
    assert_eq!(lab.write(|tx| tx.discard(run, "ann", now_ms)), again);
    assert_eq!(lab.write(|tx| tx.retry_dead(run, "ann", now_ms)), again);
    assert_eq!(lab.state(run), State::Dead);
    let open = lab
        .store
        .list_dead(&DeadFilter::default(), None, 10)
        .unwrap();
    assert_eq!(
        open.iter().map(|letter| letter.run).collect::<Vec<_>>(),
        [other]
    );
    assert_eq!(
        lab.write(|tx| tx.retry(run, "ann", now_ms)),
        Handled::Moved(State::Waiting)
    );
    lab.check();
}
