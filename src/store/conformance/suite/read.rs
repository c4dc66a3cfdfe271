//! Lists, filters and counters.

use super::{Lab, act};
use crate::policy::Verdict;
use crate::run::{Reason, RunId, Shown};
use crate::store::{DeadFilter, QueueRow, RunFilter};

pub(super) fn list(lab: &Lab, change: impl FnOnce(&mut RunFilter)) -> Vec<(i64, Shown)> {
    let mut filter = RunFilter {
        limit: 100,
        ..RunFilter::default()
    };
    change(&mut filter);
    let rows = lab.store.list_runs(&filter, lab.now_ms).unwrap();
    rows.iter().map(|row| (row.run.0, row.shown)).collect()
}

/// One run of each kind: 1 succeeded, 2 dead, 3 retrying, 4 running, 5 cancelled, 6 delayed, 7 blocked, 8 ready.
fn one_of_each() -> Lab {
    let mut lab = Lab::new();
    let now_ms = lab.now_ms;
    let verdicts = [
        Verdict::Succeed,
        super::bury(),
        Verdict::Defer {
            due_ms: now_ms + 500,
            failure: true,
        },
    ];
    for verdict in verdicts {
        lab.enqueue(|_| {});
        let claimed = lab.claim_one();
        lab.end(&claimed, verdict);
    }
    lab.enqueue(|new| new.queue = "high".into());
    lab.claim_one();
    let cancelled = lab.enqueue(|_| {});
    lab.write(|tx| tx.cancel(cancelled, "ann", now_ms));
    lab.enqueue(|new| new.due_ms += 500);
    lab.enqueue(|new| new.job = "paused".into());
    lab.write(|tx| tx.pause_job("paused", &act(now_ms)));
    lab.enqueue(|new| new.tenant = "t".into());
    lab.check();
    lab
}

#[test]
fn every_run_is_found_by_its_shown_state() {
    let lab = one_of_each();
    let expected = [
        (8, Shown::Ready),
        (7, Shown::Blocked),
        (6, Shown::Delayed),
        (5, Shown::Cancelled),
        (4, Shown::Running),
        (3, Shown::Retrying),
        (2, Shown::Dead),
        (1, Shown::Succeeded),
    ];
    assert_eq!(list(&lab, |_| {}), expected);
    for pair in expected {
        assert_eq!(list(&lab, |filter| filter.shown = vec![pair.1]), [pair]);
        let job = if pair.0 == 7 { "paused" } else { "job" };
        let by_job = list(&lab, |filter| {
            filter.job = Some(job.into());
            filter.shown = vec![pair.1];
        });
        assert_eq!(by_job, [pair]);
    }
    let several = list(&lab, |filter| {
        filter.shown = vec![Shown::Dead, Shown::Running, Shown::Ready];
    });
    assert_eq!(
        several.iter().map(|pair| pair.0).collect::<Vec<_>>(),
        [8, 4, 2]
    );
}

#[test]
fn time_alone_makes_delayed_and_retrying_runs_ready() {
    let mut lab = one_of_each();
    lab.now_ms += 500;
    let ready = list(&lab, |filter| filter.shown = vec![Shown::Ready]);
    assert_eq!(
        ready.iter().map(|pair| pair.0).collect::<Vec<_>>(),
        [8, 6, 3]
    );
}

#[test]
fn filters_and_pages_are_combined() {
    let lab = one_of_each();
    let ids = |change: &dyn Fn(&mut RunFilter)| -> Vec<i64> {
        list(&lab, change).iter().map(|pair| pair.0).collect()
    };
    assert_eq!(ids(&|filter| filter.queue = Some("high".into())), [4]);
    assert_eq!(ids(&|filter| filter.tenant = Some("t".into())), [8]);
    assert_eq!(ids(&|filter| filter.since_ms = Some(1_000_001)), [0i64; 0]);
    let page = ids(&|filter| {
        filter.job = Some("job".into());
        (filter.limit, filter.before) = (2, Some(8));
    });
    assert_eq!(page, [6, 5]);
    assert_eq!(
        ids(&|filter| filter.job = Some("' OR 1 = 1 --".into())),
        [0i64; 0]
    );
}

#[test]
fn queues_count_their_ready_delayed_and_running_runs() {
    let mut lab = one_of_each();
    lab.now_ms += 200;
    let row = |queue: &str, ready, delayed, running, oldest_ready_ms| QueueRow {
        queue: queue.into(),
        rank: None,
        ready,
        delayed,
        running,
        oldest_ready_ms,
        oldest_cut: false,
    };
    let expected = [
        row("default", 2, 2, 0, Some(200)),
        row("high", 0, 0, 1, None),
    ];
    assert_eq!(lab.store.queues(lab.now_ms).unwrap(), expected);
    lab.now_ms += 300;
    let expected = [
        row("default", 4, 0, 0, Some(500)),
        row("high", 0, 0, 1, None),
    ];
    assert_eq!(
        lab.store.queues(lab.now_ms).unwrap(),
        expected,
        "due runs count before they are promoted"
    );
    assert_eq!(
        lab.store.busy().unwrap().into_iter().collect::<Vec<_>>(),
        [(super::WORKER.0, 1)]
    );
}

#[test]
fn the_oldest_run_of_a_queue_is_searched_in_its_first_lanes_only() {
    let mut lab = Lab::new();
    let now_ms = lab.now_ms;
    let of_tenants = |tenants: std::ops::Range<i64>| -> Vec<super::NewRun> {
        let runs = tenants.map(|n| super::NewRun {
            tenant: format!("t{n:04}"),
            ..super::new_run("job", now_ms)
        });
        runs.collect()
    };
    lab.write(|tx| tx.enqueue_all(&of_tenants(0..200), now_ms));
    lab.now_ms += 500;
    let default = lab.store.queues(lab.now_ms).unwrap().remove(0);
    assert_eq!(
        (default.oldest_ready_ms, default.oldest_cut),
        (Some(500), false)
    );
    lab.write(|tx| tx.enqueue_all(&of_tenants(200..600), now_ms));
    let default = lab.store.queues(lab.now_ms).unwrap().remove(0);
    assert_eq!((default.ready, default.oldest_cut), (600, true));
    assert_eq!(default.oldest_ready_ms, Some(500));
}

#[test]
fn dead_letters_are_found_by_job_reason_and_fingerprint() {
    let mut lab = Lab::new();
    let a = lab.dead(|new| new.job = "a".into());
    let b = lab.dead(|new| new.job = "b".into());
    let by = |filter: DeadFilter| -> Vec<RunId> {
        let letters = lab.store.list_dead(&filter, None, 10).unwrap();
        let runs: Vec<RunId> = letters.iter().map(|letter| letter.run).collect();
        let mut acted = lab.store.dead_runs(&filter, RunId(0), 10).unwrap();
        acted.reverse();
        assert_eq!(acted, runs, "an act selects the listed runs");
        assert_eq!(lab.store.count_dead(&filter).unwrap(), runs.len() as i64);
        runs
    };
    let print = lab
        .store
        .list_dead(&DeadFilter::default(), None, 1)
        .unwrap()[0]
        .fingerprint
        .clone();
    assert_eq!(by(DeadFilter::default()), [b, a]);
    assert_eq!(
        by(DeadFilter {
            job: Some("a".into()),
            ..DeadFilter::default()
        }),
        [a]
    );
    assert_eq!(
        by(DeadFilter {
            fingerprint: Some(print),
            ..DeadFilter::default()
        }),
        [b]
    );
    assert_eq!(
        by(DeadFilter {
            reason: Some(Reason::Permanent),
            ..DeadFilter::default()
        }),
        []
    );
    assert_eq!(
        lab.store.dead_runs(&DeadFilter::default(), a, 10).unwrap(),
        [b]
    );
}

#[test]
fn a_run_is_shown_inside_the_transaction_that_changes_it() {
    let mut lab = Lab::new();
    let (run, other) = (lab.enqueue(|_| {}), lab.enqueue(|_| {}));
    let now_ms = lab.now_ms;
    let seen = lab.write(|tx| {
        tx.cancel(run, "ann", now_ms)?;
        tx.show_run(run, now_ms)
    });
    assert_eq!(seen.unwrap().row.shown, Shown::Cancelled);
    assert_eq!(
        lab.store
            .show_run(other, now_ms)
            .unwrap()
            .unwrap()
            .row
            .shown,
        Shown::Ready
    );
    assert_eq!(lab.store.show_run(RunId(99), now_ms).unwrap(), None);
}
