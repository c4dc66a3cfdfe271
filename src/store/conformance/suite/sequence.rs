//! Sequences: runs of a job with equal keys run one after another, however each ends.

use super::{Lab, bury};
use crate::catalogue::SequenceOnDead;
use crate::policy::Verdict;
use crate::run::{RunId, Shown, State, WorkerId};
use crate::store::{Claimed, Handled, NewRun, NewSequence, PruneRule, Pruning, Start};

pub(super) fn in_sequence(key: &str, on_dead: SequenceOnDead) -> impl Fn(&mut NewRun) {
    let sequence = NewSequence {
        key: key.to_owned(),
        on_dead,
    };
    move |new| new.sequence = Some(sequence.clone())
}

fn blocking(lab: &mut Lab, key: &str) -> RunId {
    lab.enqueue(in_sequence(key, SequenceOnDead::Block))
}

fn continuing(lab: &mut Lab, key: &str) -> RunId {
    lab.enqueue(in_sequence(key, SequenceOnDead::Continue))
}

/// The runs that a worker with many slots claims now.
fn claims(lab: &mut Lab) -> Vec<Claimed> {
    let mut claimed = lab.claim(100);
    claimed.sort_by_key(|claimed| claimed.run);
    claimed
}

/// Claims, and expects this run and no other.
#[track_caller]
fn only(lab: &mut Lab, run: RunId) -> Claimed {
    let mut claimed = claims(lab);
    let runs: Vec<RunId> = claimed.iter().map(|claimed| claimed.run).collect();
    assert_eq!(runs, [run]);
    claimed.remove(0)
}

#[track_caller]
fn nothing(lab: &mut Lab) {
    let claimed = claims(lab);
    assert!(claimed.is_empty(), "{claimed:?}");
}

/// Panics if an invariant is violated, as `doctor --verify` would report.
#[track_caller]
fn holds(lab: &Lab) {
    lab.check();
}

fn gates(lab: &Lab, run: RunId) -> Vec<RunId> {
    let detail = lab.store.show_run(run, lab.now_ms).unwrap().unwrap();
    detail.waits_for.iter().map(|(run, _)| *run).collect()
}

#[test]
fn equal_keys_run_one_after_another_in_the_order_of_their_enqueue() {
    let mut lab = Lab::new();
    let a: Vec<RunId> = (0..3)
        .map(|n| {
            lab.enqueue(|new| {
                in_sequence("a", SequenceOnDead::Block)(new);
                // Neither priority nor due time changes the order of a sequence.
                new.priority = 100 - n;
                new.due_ms -= n;
            })
        })
        .collect();
    let b = blocking(&mut lab, "b");
    let elsewhere = lab.enqueue(|new| {
        in_sequence("a", SequenceOnDead::Block)(new);
        new.job = "other".into();
    });
    let plain = lab.enqueue(|_| {});
    let first = claims(&mut lab);
    let runs: Vec<RunId> = first.iter().map(|claimed| claimed.run).collect();
    assert_eq!(runs, [a[0], b, elsewhere, plain]);
    nothing(&mut lab);
    holds(&lab);
    lab.end(&first[0], Verdict::Succeed);
    let second = only(&mut lab, a[1]);
    lab.end(&second, Verdict::Succeed);
    only(&mut lab, a[2]);
    holds(&lab);
}

#[test]
fn a_run_that_waits_for_another_is_shown_as_blocked_by_it() {
    let mut lab = Lab::new();
    let (first, second) = (blocking(&mut lab, "a"), blocking(&mut lab, "a"));
    let shown = |lab: &Lab, run| lab.store.show_run(run, lab.now_ms).unwrap().unwrap();
    assert_eq!(shown(&lab, first).row.shown, Shown::Ready);
    let detail = shown(&lab, second);
    assert_eq!(detail.row.shown, Shown::Blocked);
    assert_eq!(detail.row.sequence_key.as_deref(), Some("a"));
    assert_eq!(detail.waits_for, [(first, State::Waiting)]);
}

/// Proves: as `any_gate_is_inherited_not_only_those_of_sequences`.
#[test]
fn cancelling_a_run_in_a_sequence_starts_none_beside_the_first() {
    for on_dead in [SequenceOnDead::Block, SequenceOnDead::Continue] {
        let mut lab = Lab::new();
        let runs: Vec<RunId> = (0..4)
            .map(|_| lab.enqueue(in_sequence("a", on_dead)))
            .collect();
        let first = only(&mut lab, runs[0]);
        let now_ms = lab.now_ms;
        for run in [runs[1], runs[2]] {
            lab.write(|tx| tx.cancel(run, "ann", now_ms));
            nothing(&mut lab);
            holds(&lab);
        }
        assert_eq!(gates(&lab, runs[3]), [runs[0]]);
        lab.end(&first, Verdict::Succeed);
        only(&mut lab, runs[3]);
        holds(&lab);
    }
}

#[test]
fn an_expired_run_in_a_sequence_opens_its_successors_but_never_too_early() {
    for (on_dead, goes_on) in [
        (SequenceOnDead::Block, false),
        (SequenceOnDead::Continue, true),
    ] {
        let mut lab = Lab::new();
        let first = lab.enqueue(in_sequence("a", on_dead));
        let late = lab.enqueue(|new| {
            in_sequence("a", on_dead)(new);
            new.deadline_ms = Some(new.due_ms + 10);
        });
        let last = lab.enqueue(in_sequence("a", on_dead));
        let claimed = only(&mut lab, first);
        lab.now_ms += 10;
        let now_ms = lab.now_ms;
        assert_eq!(lab.write(|tx| tx.expire(now_ms)).len(), 1);
        assert_eq!(lab.state(late), State::Dead);
        nothing(&mut lab);
        holds(&lab);
        lab.end(&claimed, Verdict::Succeed);
        if goes_on {
            only(&mut lab, last);
        } else {
            nothing(&mut lab);
            lab.write(|tx| tx.discard(late, "ann", now_ms));
            only(&mut lab, last);
        }
        holds(&lab);
    }
}

/// Proves (sequence): a run that ends in the middle of a chain starts none beside the one in front.
#[test]
fn any_gate_is_inherited_not_only_those_of_sequences() {
    let mut lab = Lab::new();
    let first = lab.enqueue(|_| {});
    let claimed = lab.claim_one();
    let beside = lab.enqueue(|new| new.after = vec![first]);
    let middle = lab.enqueue(|new| new.after = vec![first]);
    let last = lab.enqueue(|new| new.after = vec![beside, middle, first]);
    let now_ms = lab.now_ms;
    lab.write(|tx| tx.cancel(middle, "ann", now_ms));
    // One gate for the first run, though it was inherited twice.
    assert_eq!(gates(&lab, last), [first, beside]);
    holds(&lab);
    lab.end(&claimed, Verdict::Succeed);
    let claimed = only(&mut lab, beside);
    lab.end(&claimed, Verdict::Succeed);
    only(&mut lab, last);
    holds(&lab);
}

#[test]
fn a_failed_attempt_keeps_the_key_until_its_retry_has_ended() {
    let mut lab = Lab::new();
    let (first, second) = (blocking(&mut lab, "a"), blocking(&mut lab, "a"));
    let claimed = only(&mut lab, first);
    let due_ms = lab.now_ms + 1000;
    lab.end(
        &claimed,
        Verdict::Defer {
            due_ms,
            failure: true,
        },
    );
    nothing(&mut lab);
    lab.now_ms = due_ms;
    let claimed = only(&mut lab, first);
    lab.end(&claimed, Verdict::Release);
    let claimed = only(&mut lab, first);
    lab.write(|tx| tx.unclaim(claimed.run, claimed.fence));
    holds(&lab);
    let claimed = only(&mut lab, first);
    lab.end(&claimed, Verdict::Succeed);
    only(&mut lab, second);
    holds(&lab);
}

#[test]
fn a_claim_given_back_after_its_start_was_stored_counts_as_not_started() {
    let mut lab = Lab::new();
    let run = blocking(&mut lab, "a");
    for earlier in 0..2 {
        let claimed = only(&mut lab, run);
        let start = Start {
            run,
            fence: claimed.fence,
            attempt: claimed.attempt,
            started_ms: lab.now_ms,
        };
        lab.write(|tx| tx.note_start(WorkerId(1), &start));
        lab.write(|tx| tx.unclaim(run, claimed.fence));
        let seen = lab.store.show_run(run, lab.now_ms).unwrap().unwrap();
        assert_eq!(seen.row.attempts, earlier);
        assert_eq!(seen.attempts.len() as i64, earlier);
        assert_eq!(seen.row.started_ms.is_some(), earlier > 0);
        holds(&lab);
        let claimed = only(&mut lab, run);
        assert_eq!(claimed.attempt, earlier + 1);
        lab.end(&claimed, Verdict::Release);
    }
}

/// Proves (sequence): a dead run stops its sequence until an operator acts, unless its job says otherwise.
#[test]
fn a_dead_run_stops_its_sequence_until_it_is_retried_and_ends() {
    let mut lab = Lab::new();
    let (first, second) = (blocking(&mut lab, "a"), blocking(&mut lab, "a"));
    let claimed = only(&mut lab, first);
    lab.end(&claimed, bury());
    let third = blocking(&mut lab, "a");
    nothing(&mut lab);
    holds(&lab);
    let now_ms = lab.now_ms;
    for _ in 0..2 {
        // It gets its place back, before the later runs; and it may die again.
        lab.write(|tx| tx.retry_dead(first, "ann", now_ms));
        let claimed = only(&mut lab, first);
        lab.end(&claimed, bury());
        nothing(&mut lab);
        holds(&lab);
    }
    lab.write(|tx| tx.retry(first, "ann", now_ms));
    let claimed = only(&mut lab, first);
    lab.end(&claimed, Verdict::Succeed);
    let claimed = only(&mut lab, second);
    lab.end(&claimed, Verdict::Succeed);
    only(&mut lab, third);
    holds(&lab);
}

/// Proves: as `a_dead_run_stops_its_sequence_until_it_is_retried_and_ends`.
#[test]
fn discarding_a_dead_letter_continues_the_sequence() {
    let mut lab = Lab::new();
    let (first, second) = (blocking(&mut lab, "a"), blocking(&mut lab, "a"));
    let claimed = only(&mut lab, first);
    lab.end(&claimed, bury());
    nothing(&mut lab);
    let now_ms = lab.now_ms;
    let handled = lab.write(|tx| tx.discard(first, "ann", now_ms));
    assert_eq!(handled, Handled::Discarded);
    only(&mut lab, second);
    holds(&lab);
    // It has lost its place: after a retry it is last.
    lab.write(|tx| tx.retry(first, "ann", now_ms));
    nothing(&mut lab);
    holds(&lab);
}

/// Proves: as `a_dead_run_stops_its_sequence_until_it_is_retried_and_ends`.
#[test]
fn a_dead_run_does_not_block_its_sequence_with_continue() {
    let mut lab = Lab::new();
    let (first, second) = (continuing(&mut lab, "a"), continuing(&mut lab, "a"));
    let claimed = only(&mut lab, first);
    lab.end(&claimed, bury());
    only(&mut lab, second);
    holds(&lab);
}

/// Proves (sequence): a retried run is placed at the end of its sequence, or has kept its place.
#[test]
fn a_retried_run_goes_to_the_end_of_its_sequence() {
    for end in [Verdict::Succeed, bury()] {
        let mut lab = Lab::new();
        let (first, second) = (continuing(&mut lab, "a"), continuing(&mut lab, "a"));
        let claimed = only(&mut lab, first);
        lab.end(&claimed, end);
        let running = only(&mut lab, second);
        let now_ms = lab.now_ms;
        lab.write(|tx| tx.retry(first, "ann", now_ms));
        let third = continuing(&mut lab, "a");
        assert_eq!(gates(&lab, first), [second]);
        assert_eq!(gates(&lab, third), [first]);
        nothing(&mut lab);
        holds(&lab);
        lab.end(&running, Verdict::Succeed);
        let claimed = only(&mut lab, first);
        lab.end(&claimed, Verdict::Succeed);
        only(&mut lab, third);
        holds(&lab);
    }
}

#[test]
fn a_retried_run_of_an_empty_sequence_starts_at_once() {
    let mut lab = Lab::new();
    let first = blocking(&mut lab, "a");
    let claimed = only(&mut lab, first);
    lab.end(&claimed, Verdict::Succeed);
    let now_ms = lab.now_ms;
    lab.write(|tx| tx.retry(first, "ann", now_ms));
    only(&mut lab, first);
    holds(&lab);
}

#[test]
fn a_batch_of_equal_keys_is_one_chain() {
    let mut lab = Lab::new();
    let before = blocking(&mut lab, "k0");
    let now_ms = lab.now_ms;
    let batch: Vec<NewRun> = (0..30)
        .map(|n| {
            let mut new = super::new_run("job", now_ms);
            in_sequence(&format!("k{}", n % 3), SequenceOnDead::Block)(&mut new);
            new
        })
        .collect();
    let answers = lab.write(|tx| tx.enqueue_all(&batch, now_ms));
    holds(&lab);
    assert_eq!(gates(&lab, answers[0].run), [before]);
    for (n, answer) in answers.iter().enumerate().skip(3) {
        assert_eq!(gates(&lab, answer.run), [answers[n - 3].run]);
    }
}

/// Proves (sequence): a run that others wait for is not pruned.
#[test]
fn runs_that_others_wait_for_are_never_pruned() {
    let mut lab = Lab::new();
    let (first, second) = (blocking(&mut lab, "a"), blocking(&mut lab, "a"));
    let gone = blocking(&mut lab, "a");
    let claimed = only(&mut lab, first);
    lab.end(&claimed, bury());
    let now_ms = lab.now_ms;
    lab.write(|tx| tx.cancel(gone, "ann", now_ms));
    let rule = PruneRule {
        ended_before_ms: Some(i64::MAX),
        upto: None,
    };
    let pruned = lab.write(|tx| tx.prune(&rule, &Pruning::default(), 100, now_ms));
    assert_eq!(pruned.runs, [gone]);
    assert_eq!(gates(&lab, second), [first]);
    nothing(&mut lab);
    holds(&lab);
}

#[test]
fn runs_waiting_for_a_running_run_are_named_by_queue_and_job() {
    let mut lab = Lab::new();
    let behind = |lab: &Lab| lab.store.behind_running().unwrap();
    let first = blocking(&mut lab, "a");
    let second = blocking(&mut lab, "a");
    blocking(&mut lab, "a");
    assert_eq!(behind(&lab), []);
    let running = only(&mut lab, first);
    lab.enqueue(|run| run.job = "other".into());
    let row = lab.store.show_run(second, 0).unwrap().unwrap().row;
    assert_eq!(behind(&lab), [(row.queue, row.job)]);
    lab.end(&running, bury());
    assert_eq!(
        behind(&lab),
        [],
        "a run behind a dead one waits for an operator"
    );
}
