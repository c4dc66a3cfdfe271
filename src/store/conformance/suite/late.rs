//! Claims over many runs whose deadline has passed, or whose waits restart because the clock was set back.

use super::flow::claim;
use super::{Lab, WORKER};
use crate::records::samples;
use crate::run::{RunId, State};
use crate::store::Claims;

/// Expires and claims until no run is left, as a worker does. Returns the claimed runs and the number of claims.
fn drain(lab: &mut Lab) -> (Vec<RunId>, usize) {
    let (mut got, mut asked) = (Vec::new(), 0);
    loop {
        let now_ms = lab.now_ms;
        let buried = lab.write(|tx| tx.expire(now_ms)).len();
        let claims = claim(lab, &["default".into()], 8);
        assert!(buried <= 100, "{buried} in one transaction");
        asked += 1;
        got.extend(claims.runs.iter().map(|claimed| claimed.run));
        if buried == 0 && claims.runs.is_empty() {
            assert!(!claims.full, "it would claim for ever");
            return (got, asked);
        }
    }
}

/// Proves: as `no_attempt_starts_at_or_after_the_deadline`.
#[test]
fn no_claim_takes_an_expired_run_however_many_have_expired() {
    let mut lab = Lab::new();
    let deadline_ms = lab.now_ms + 1_000;
    let late: Vec<RunId> = (0..1_000)
        .map(|_| lab.enqueue(|run| run.deadline_ms = Some(deadline_ms)))
        .collect();
    // Three runs that are not late: behind them in their lane, in another lane, and of another tenant.
    let behind = lab.enqueue(|_| {});
    let beside = lab.enqueue(|run| run.job = "other".into());
    let tenant = lab.enqueue(|run| run.tenant = "acme".into());
    lab.now_ms = deadline_ms;
    let first = claim(&mut lab, &["default".into()], 8);
    let first: Vec<RunId> = first.runs.iter().map(|claimed| claimed.run).collect();
    assert_eq!(
        first,
        [tenant, beside],
        "other runs do not wait for expired ones"
    );
    let (got, asked) = drain(&mut lab);
    assert_eq!(got, [behind]);
    assert!(asked <= 13, "{asked}");
    assert!(late.iter().all(|run| lab.state(*run) == State::Dead));
    lab.check();
}

#[test]
fn one_millisecond_before_its_deadline_a_run_is_claimed() {
    let mut lab = Lab::new();
    let deadline_ms = lab.now_ms + 1_000;
    let run = lab.enqueue(|run| run.deadline_ms = Some(deadline_ms));
    lab.now_ms = deadline_ms - 1;
    assert_eq!(lab.claim_one().run, run);
}

/// Claims the run that is reserved for this worker.
fn claim_reserved(lab: &mut Lab, run: RunId) -> Claims {
    let now_ms = lab.now_ms;
    lab.write(|tx| {
        let request = samples::claim_request(WORKER, &[], 1);
        tx.claim_reserved(run, &request, now_ms)
    })
}

#[test]
fn a_reserved_run_dies_at_its_deadline_too() {
    let mut lab = Lab::new();
    let deadline_ms = lab.now_ms + 1_000;
    let run = lab.enqueue(|run| run.deadline_ms = Some(deadline_ms));
    lab.write(|tx| tx.reserve_for(run, WORKER));
    let expire = |lab: &mut Lab| {
        let now_ms = lab.now_ms;
        lab.write(|tx| tx.expire_reserved(run, WORKER, now_ms))
    };
    lab.now_ms = deadline_ms - 1;
    assert!(expire(&mut lab).is_none());
    lab.now_ms = deadline_ms;
    assert_eq!(claim_reserved(&mut lab, run).runs.len(), 0);
    assert!(expire(&mut lab).is_some());
    assert_eq!(lab.state(run), State::Dead);
    lab.check();
}

#[test]
fn a_claimed_reserved_run_does_not_wait_again_when_the_clock_moves() {
    let mut lab = Lab::new();
    let set_ms = lab.now_ms;
    let run = lab.enqueue(|run| (run.due_ms, run.wait_set_ms) = (set_ms + 1_000, Some(set_ms)));
    lab.write(|tx| tx.reserve_for(run, WORKER));
    lab.now_ms += 1_000;
    let claimed = claim_reserved(&mut lab, run).runs.remove(0);
    lab.write(|tx| tx.unclaim(run, claimed.fence));
    // A ready run stays ready after a clock step, and no wait is left that could restart.
    lab.now_ms = set_ms - 500_000;
    let now_ms = lab.now_ms;
    lab.write(|tx| tx.rebase_relative_delays(now_ms));
    let row = lab.store.show_run(run, now_ms).unwrap().unwrap().row;
    assert_eq!(row.due_ms, set_ms + 1_000);
    assert_eq!(lab.claim_one().run, run);
}

#[test]
fn a_clock_that_is_set_back_restarts_every_kind_of_wait_a_slice_at_a_time() {
    let mut lab = Lab::new();
    let set_ms = lab.now_ms;
    let first = lab.enqueue(|_| {});
    let waits = |run: &mut crate::store::NewRun| {
        run.due_ms = set_ms + 60_000;
        run.wait_set_ms = Some(set_ms);
    };
    let gated = lab.enqueue(|run| {
        waits(run);
        run.after = vec![first];
    });
    let kept = lab.enqueue(waits);
    lab.write(|tx| tx.reserve_for(kept, WORKER));
    let many: Vec<RunId> = (0..1_500).map(|_| lab.enqueue(waits)).collect();
    lab.now_ms = 1_000;
    let now_ms = lab.now_ms;
    let mut slices = 1;
    while lab.write(|tx| tx.rebase_relative_delays(now_ms)) {
        slices += 1;
    }
    assert_eq!(slices, 2);
    for run in many.into_iter().chain([gated, kept]) {
        let row = lab.store.show_run(run, now_ms).unwrap().unwrap().row;
        assert_eq!(row.due_ms, now_ms + 60_000);
    }
}
