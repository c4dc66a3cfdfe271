//! Which rows a prune removes, and which it always retains.

use super::{Lab, bury};
use crate::policy::Verdict;
use crate::run::RunId;
use crate::store::{PruneRule, Pruning};

const ALL: PruneRule = PruneRule {
    ended_before_ms: Some(i64::MAX),
    upto: None,
};

fn prune(lab: &mut Lab, rule: PruneRule, limit: i64) -> Vec<i64> {
    let now_ms = lab.now_ms;
    let mut runs = Vec::new();
    let mut at = Some(Pruning::default());
    while let Some(here) = at {
        let pruned = lab.write(|tx| tx.prune(&rule, &here, limit, now_ms));
        runs.extend(pruned.runs.iter().map(|run| run.0));
        at = pruned.next;
    }
    lab.check();
    runs
}

fn succeed(lab: &mut Lab, change: impl FnOnce(&mut super::NewRun)) -> RunId {
    let run = lab.enqueue(|new| {
        new.priority = 0;
        change(new);
    });
    let claimed = lab.claim_one();
    assert_eq!(claimed.run, run);
    lab.end(&claimed, Verdict::Succeed);
    run
}

#[test]
fn a_prune_removes_all_data_of_an_ended_run_and_of_no_other() {
    let mut lab = Lab::new();
    let payload = |new: &mut super::NewRun| new.payload = Some(b"{}".to_vec());
    let done = succeed(&mut lab, payload);
    let dead = lab.dead(payload);
    let discarded = lab.dead(payload);
    let waiting = lab.enqueue(payload);
    let cancelled = lab.enqueue(payload);
    let now_ms = lab.now_ms;
    lab.write(|tx| tx.discard(discarded, "ann", now_ms));
    lab.write(|tx| tx.cancel(cancelled, "ann", now_ms));
    assert_eq!(prune(&mut lab, ALL, 2), [done.0, discarded.0, cancelled.0]);
    assert_eq!(
        lab.store.existing(RunId(0), RunId(99)).unwrap(),
        [dead, waiting]
    );
}

#[test]
fn a_prune_removes_only_runs_that_ended_before_the_given_time() {
    let mut lab = Lab::new();
    let old = succeed(&mut lab, |_| {});
    let long = lab.enqueue(|new| new.priority = 0);
    let claimed = lab.claim_one();
    lab.now_ms += 1000;
    let young = succeed(&mut lab, |_| {});
    lab.end(&claimed, Verdict::Succeed);
    let rule = PruneRule {
        ended_before_ms: Some(lab.now_ms),
        upto: None,
    };
    assert_eq!(prune(&mut lab, rule, 1), [old.0]);
    assert_eq!(
        lab.store.existing(RunId(0), RunId(99)).unwrap(),
        [long, young]
    );
}

#[test]
fn a_prune_by_number_retains_the_newest_ended_runs() {
    let mut lab = Lab::new();
    let runs: Vec<RunId> = (0..5).map(|_| succeed(&mut lab, |_| {})).collect();
    let waiting = lab.enqueue(|_| {});
    assert_eq!(lab.store.beyond_newest(5, 2).unwrap(), None);
    let upto = lab.store.beyond_newest(2, 2).unwrap();
    assert_eq!(upto, Some(runs[2]));
    let rule = PruneRule {
        ended_before_ms: None,
        upto,
    };
    assert_eq!(prune(&mut lab, rule, 10), [1, 2, 3]);
    assert_eq!(
        lab.store.existing(RunId(0), RunId(99)).unwrap(),
        [runs[3], runs[4], waiting]
    );
}

#[test]
fn a_run_with_an_active_dedup_key_is_not_pruned() {
    let mut lab = Lab::new();
    let hold = |new: &mut super::NewRun| new.dedup = Some(super::window("k", 60_000));
    let keeper = succeed(&mut lab, hold);
    let free = succeed(&mut lab, |new| new.dedup = Some(super::window("other", 1)));
    lab.now_ms += 1000;
    assert_eq!(prune(&mut lab, ALL, 10), [free.0]);
    assert_eq!(lab.enqueue(hold), keeper, "the key is still active");
    lab.now_ms += 60_000;
    assert_eq!(prune(&mut lab, ALL, 10), [keeper.0]);
    assert_ne!(lab.enqueue(hold), keeper);
}

#[test]
fn old_request_ids_are_pruned_unless_their_run_has_not_ended() {
    let mut lab = Lab::new();
    let done = succeed(&mut lab, |_| {});
    let waiting = lab.enqueue(|_| {});
    let now_ms = lab.now_ms;
    lab.write(|tx| tx.note_request("a", "job", done, now_ms));
    lab.write(|tx| tx.note_request("b", "job", waiting, now_ms));
    prune(&mut lab, ALL, 1);
    assert_eq!(lab.write(|tx| tx.requested("a", "job")), None);
    assert_eq!(
        lab.write(|tx| tx.requested("b", "job")).unwrap().run,
        waiting
    );
}

/// Fault: as `of_a_cancel_and_a_finish_one_wins`.
#[test]
fn a_dead_run_that_is_retried_between_two_slices_is_not_lost() {
    let mut lab = Lab::new();
    let (first, second) = (lab.dead(|_| {}), lab.dead(|_| {}));
    let now_ms = lab.now_ms;
    for run in [first, second] {
        lab.write(|tx| tx.discard(run, "ann", now_ms));
    }
    let pruned = lab.write(|tx| tx.prune(&ALL, &Pruning::default(), 1, now_ms));
    assert_eq!(pruned.runs, [first]);
    lab.write(|tx| tx.retry(second, "ann", now_ms));
    let pruned = lab.write(|tx| tx.prune(&ALL, &pruned.next.unwrap(), 1, now_ms));
    assert_eq!(pruned.runs, []);
    let claimed = lab.claim_one();
    assert_eq!((claimed.run, claimed.attempt), (second, 2));
    lab.end(&claimed, bury());
    lab.check();
}
