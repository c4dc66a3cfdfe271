//! Recovery of the runs of a dead worker, and claims that are handed over to another worker.

use std::collections::HashMap;

use super::{Lab, WORKER, bury, worker_row};
use crate::policy::Verdict;
use crate::records::samples;
use crate::run::{Fence, Guarantee, Reason, RunId, State, WorkerId};
use crate::store::{Cause, Claimed, Claims, Death, Handover, Outcome, Start};

const OTHER: WorkerId = WorkerId(7);

/// The death of [`WORKER`], of which only the starts of these claims are known.
fn death(started: &[&Claimed]) -> Death {
    let started = started.iter().map(|it| ((it.run, it.fence), 1_000_000));
    Death {
        worker: WORKER,
        cause: Cause::Unknown,
        proves: true,
        started: started.collect(),
        blocked: Vec::new(),
    }
}

/// Unclaimed, lost, and buried runs.
fn recover(lab: &mut Lab, death: &Death) -> (u32, u32, Vec<(RunId, Reason)>) {
    let now_ms = lab.now_ms;
    let recovered = lab.write(|tx| tx.recover(death, now_ms));
    let buried = recovered.buried.iter().map(|it| (it.run, it.reason));
    (recovered.unclaimed, recovered.lost, buried.collect())
}

/// Attempts, crashes and worker of a run.
fn seen(lab: &Lab, run: RunId) -> (State, i64, i64, Option<WorkerId>) {
    let row = lab.store.show_run(run, lab.now_ms).unwrap().unwrap().row;
    (row.state, row.attempts, row.crashes, row.worker)
}

#[test]
fn runs_of_a_dead_worker_wait_again_and_only_started_ones_count_a_crash() {
    let mut lab = Lab::new();
    let runs = [0; 3].map(|_| lab.enqueue(|_| {}));
    let held = lab.claim(3);
    let start = Start {
        run: held[1].run,
        fence: held[1].fence,
        attempt: 1,
        started_ms: lab.now_ms,
    };
    lab.write(|tx| tx.note_start(WORKER, &start));
    // One start is known by its start mark, another one by the store.
    let death = death(&[&held[0]]);
    assert_eq!(recover(&mut lab, &death), (1, 2, vec![]));
    let waits = |n| (State::Waiting, n, n, None);
    assert_eq!(
        runs.map(|run| seen(&lab, run)),
        [waits(1), waits(1), waits(0)]
    );
    assert!(lab.store.worker(WORKER).unwrap().is_none());
    assert_eq!(
        recover(&mut lab, &death),
        (0, 0, vec![]),
        "no claim is left"
    );
    // A stale claim changes nothing.
    for claimed in &held {
        assert_eq!(lab.end(claimed, Verdict::Succeed), Outcome::Fenced);
        let back = lab.write(|tx| tx.unclaim(claimed.run, claimed.fence));
        assert_eq!(back, Outcome::Fenced);
    }
    let noted = lab.write(|tx| tx.note_start(WORKER, &start));
    assert_eq!(noted, Outcome::Fenced);
    assert_eq!(seen(&lab, runs[1]), waits(1));
}

#[test]
fn runs_of_other_workers_are_not_recovered() {
    let mut lab = Lab::new();
    lab.write(|tx| tx.add_worker(&worker_row(OTHER)));
    let (first, second) = (lab.enqueue(|_| {}), lab.enqueue(|_| {}));
    let mine = lab.claim_one();
    let theirs = lab.claim_as(OTHER, 1).remove(0);
    assert_eq!((mine.run, theirs.run), (first, second));
    let death = death(&[&mine, &theirs]);
    assert_eq!(recover(&mut lab, &death), (0, 1, vec![]));
    assert_eq!(seen(&lab, second), (State::Running, 0, 0, Some(OTHER)));
}

#[test]
fn a_run_that_cannot_be_ended_stays_claimed_by_the_dead_worker() {
    let mut lab = Lab::new();
    let (first, second) = (lab.enqueue(|_| {}), lab.enqueue(|_| {}));
    let held = lab.claim(2);
    let mut death = death(&[&held[0], &held[1]]);
    death.blocked = vec![first];
    assert_eq!(recover(&mut lab, &death), (0, 1, vec![]));
    assert_eq!(lab.state(second), State::Waiting);
    assert_eq!(
        lab.store.held_by(WORKER).unwrap(),
        [(first, held[0].fence, 0)]
    );
    assert!(lab.store.worker(WORKER).unwrap().is_some());
    death.blocked = Vec::new();
    assert_eq!(recover(&mut lab, &death), (0, 1, vec![]));
    assert!(lab.store.worker(WORKER).unwrap().is_none());
}

#[test]
fn a_started_at_most_once_run_is_dead_after_its_worker_died() {
    let mut lab = Lab::new();
    let once = |lab: &mut Lab| {
        lab.enqueue(|run| (run.guarantee, run.max_attempts) = (Guarantee::AtMostOnce, 1))
    };
    let (started, not_started) = (once(&mut lab), once(&mut lab));
    let held = lab.claim(2);
    let death = death(&[&held[0]]);
    let crashed = vec![(started, Reason::Crashed)];
    assert_eq!(recover(&mut lab, &death), (1, 0, crashed));
    assert_eq!(lab.state(not_started), State::Waiting);
}

#[test]
fn a_run_that_killed_enough_workers_is_dead() {
    let mut lab = Lab::new();
    let run = lab.enqueue(|run| run.max_crashes = 2);
    for buried in [vec![], vec![(run, Reason::Poison)]] {
        let claimed = lab.claim_one();
        let death = death(&[&claimed]);
        let lost = u32::from(buried.is_empty());
        assert_eq!(recover(&mut lab, &death), (0, lost, buried));
        lab.write(|tx| tx.add_worker(&worker_row(WORKER)));
    }
}

#[test]
fn a_reboot_loses_every_claim_and_counts_against_none() {
    let mut lab = Lab::new();
    let run = lab.enqueue(|run| run.max_crashes = 1);
    lab.claim_one();
    let reboot = Death {
        cause: Cause::Reboot,
        started: HashMap::new(),
        ..death(&[])
    };
    assert_eq!(recover(&mut lab, &reboot), (0, 1, vec![]));
    assert_eq!(seen(&lab, run), (State::Waiting, 1, 0, None));
}

#[test]
fn recovery_performs_a_cancel_that_the_dead_worker_did_not() {
    let mut lab = Lab::new();
    let runs = [0; 2].map(|_| lab.enqueue(|_| {}));
    let held = lab.claim(2);
    let now_ms = lab.now_ms;
    for run in runs {
        lab.write(|tx| tx.cancel(run, "ann", now_ms));
    }
    let mut asked = lab.store.cancels_for(WORKER).unwrap();
    asked.sort();
    assert_eq!(asked, [(runs[0], held[0].fence), (runs[1], held[1].fence)]);
    recover(&mut lab, &death(&[&held[0]]));
    assert_eq!(runs.map(|run| lab.state(run)), [State::Cancelled; 2]);
    assert_eq!(lab.store.cancels_for(WORKER).unwrap(), []);
}

#[test]
fn runs_reserved_for_a_dead_worker_are_free() {
    let mut lab = Lab::new();
    let run = lab.enqueue(|_| {});
    lab.write(|tx| tx.reserve_for(run, WORKER));
    assert!(lab.claim_as(OTHER, 1).is_empty());
    recover(&mut lab, &death(&[]));
    lab.write(|tx| tx.add_worker(&worker_row(OTHER)));
    assert_eq!(lab.claim_as(OTHER, 1)[0].run, run);
}

/// Lets [`OTHER`] take over a claim of [`WORKER`].
fn take_over(lab: &mut Lab, run: RunId, fence: Fence) -> Claims {
    let from = Handover {
        parent: WORKER,
        run,
        fence,
    };
    let now_ms = lab.now_ms;
    let request = samples::claim_request(OTHER, &[], 1);
    lab.write(|tx| tx.take_over(&from, &request, now_ms))
}

/// A lab with two workers, of which [`WORKER`] holds a run with a payload.
fn with_a_claim() -> (Lab, Claimed) {
    let mut lab = Lab::new();
    lab.write(|tx| tx.add_worker(&worker_row(OTHER)));
    lab.enqueue(|run| {
        run.payload = Some(b"{}".to_vec());
        run.deadline_ms = Some(run.due_ms + 1_000);
    });
    let claimed = lab.claim_one();
    (lab, claimed)
}

#[test]
fn a_claim_is_handed_over_once_and_the_parent_loses_it() {
    let (mut lab, given) = with_a_claim();
    let taken = take_over(&mut lab, given.run, given.fence).runs.remove(0);
    assert_eq!((taken.run, taken.attempt), (given.run, 1));
    assert_eq!(taken.payload.as_deref(), Some(&b"{}"[..]));
    assert!(taken.fence > given.fence);
    assert!(take_over(&mut lab, given.run, given.fence).runs.is_empty());
    assert_eq!(lab.end(&given, bury()), Outcome::Fenced);
    assert_eq!(lab.store.held_by(WORKER).unwrap(), []);
    assert_eq!(
        lab.store.held_by(OTHER).unwrap(),
        [(taken.run, taken.fence, 0)]
    );
}

#[test]
fn only_a_held_claim_that_may_still_start_is_handed_over() {
    let (mut lab, given) = with_a_claim();
    let Fence(fence) = given.fence;
    assert!(
        take_over(&mut lab, given.run, Fence(fence + 1))
            .runs
            .is_empty()
    );
    assert!(take_over(&mut lab, RunId(99), given.fence).runs.is_empty());
    lab.now_ms += 1_000;
    let late = take_over(&mut lab, given.run, given.fence);
    assert!(late.runs.is_empty(), "its deadline has passed");
    lab.now_ms -= 1_000;
    let now_ms = lab.now_ms;
    lab.write(|tx| tx.cancel(given.run, "ann", now_ms));
    assert!(take_over(&mut lab, given.run, given.fence).runs.is_empty());
    assert_eq!(
        lab.store.held_by(WORKER).unwrap(),
        [(given.run, given.fence, 0)]
    );
}
