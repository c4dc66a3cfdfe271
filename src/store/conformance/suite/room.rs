//! Room in queues and of tenants: all waiting runs count, in the transaction that stores the next one.

use std::collections::BTreeMap;

use super::periods::{of_period, opened_with};
use super::{Lab, act, bury};
use crate::catalogue::Coalesce;
use crate::error::{Error, Kind, Result};
use crate::flow::{OverrideKey, QueueRules, Quota, Rules, Setting, TenantRules};
use crate::policy::Verdict;
use crate::run::{State, Trigger};
use crate::store::{Act, Enqueued, Handled, NewDedup, NewRun, QueueRow};

/// Queue `default` has room for 4 waiting runs, each tenant for 2, tenant `big` for 3.
fn lab() -> Lab {
    let mut lab = Lab::new();
    let mut rules = Rules::default();
    let queue = QueueRules {
        max_waiting: Some(4),
        ..QueueRules::default()
    };
    rules.queues.insert("default".into(), queue);
    rules.queues.insert("high".into(), QueueRules::default());
    let quota = |max_waiting| Quota {
        max_waiting: Some(max_waiting),
        ..Quota::default()
    };
    rules.tenants.each = quota(2);
    let big = TenantRules {
        weight: None,
        quota: quota(3),
    };
    rules.tenants.named = BTreeMap::from([("big".to_owned(), big)]);
    lab.store.write(|tx| tx.save_rules(&rules)).unwrap();
    lab
}

fn new(lab: &Lab, queue: &str, tenant: &str) -> NewRun {
    NewRun {
        queue: queue.into(),
        tenant: tenant.into(),
        ..super::new_run("job", lab.now_ms)
    }
}

fn try_one(lab: &mut Lab, new: &NewRun) -> Result<Enqueued> {
    let now_ms = lab.now_ms;
    lab.store.write(|tx| tx.enqueue(new, now_ms))
}

#[track_caller]
fn refused(lab: &mut Lab, queue: &str, tenant: &str) -> Error {
    let new = new(lab, queue, tenant);
    let before = lab.store.queues(lab.now_ms).unwrap();
    let error = try_one(lab, &new).unwrap_err();
    assert_eq!(error.kind, Kind::TryAgain);
    assert!(error.retry_after_ms.is_some());
    assert_eq!(lab.store.queues(lab.now_ms).unwrap(), before);
    error
}

#[track_caller]
fn accepted(lab: &mut Lab, queue: &str, tenant: &str) -> Enqueued {
    let new = new(lab, queue, tenant);
    try_one(lab, &new).unwrap()
}

fn waiting(lab: &Lab) -> i64 {
    let queues = lab.store.queues(lab.now_ms).unwrap();
    queues.iter().map(QueueRow::waiting).sum()
}

fn set(lab: &mut Lab, value: Option<&str>, act: &Act<'_>) {
    let setting = Setting {
        key: OverrideKey::MaxWaiting,
        value: value.map(str::to_owned),
    };
    let done = lab
        .store
        .write(|tx| tx.change_settings("default", &[setting], act));
    assert_eq!(done.unwrap(), [true]);
}

#[test]
fn every_waiting_run_counts_and_a_start_makes_room() {
    let mut lab = lab();
    accepted(&mut lab, "default", "");
    lab.enqueue(|run| run.due_ms += 60_000);
    let first = accepted(&mut lab, "default", "");
    lab.enqueue(|run| run.after = vec![first.run]);
    let error = refused(&mut lab, "default", "");
    assert_eq!(
        error.message,
        "queue `default` is full: 4 of 4 runs waiting; nothing was enqueued"
    );
    assert_eq!(error.retry_after_ms, Some(30_000));
    accepted(&mut lab, "high", "");
    // One run of `high`, two of `default`.
    assert_eq!(lab.claim(3).len(), 3);
    accepted(&mut lab, "default", "");
    lab.enqueue(|_| {});
    let error = refused(&mut lab, "default", "");
    assert_eq!(error.retry_after_ms, Some(1_000));
}

#[test]
fn a_tenant_has_its_room_over_all_queues_and_runs_without_one_have_no_bound() {
    let mut lab = lab();
    accepted(&mut lab, "default", "acme");
    accepted(&mut lab, "high", "acme");
    for queue in ["default", "high"] {
        let error = refused(&mut lab, queue, "acme");
        assert_eq!(
            error.message,
            "tenant `acme` is full: 2 of 2 runs waiting; nothing was enqueued"
        );
    }
    for _ in 0..3 {
        accepted(&mut lab, "high", "big");
    }
    refused(&mut lab, "high", "big");
    for _ in 0..10 {
        accepted(&mut lab, "high", "");
    }
}

#[test]
fn a_batch_is_stored_up_to_the_first_run_without_room() {
    let mut lab = lab();
    let now_ms = lab.now_ms;
    let mut batch: Vec<NewRun> = vec![
        new(&lab, "default", "acme"),
        new(&lab, "high", "acme"),
        new(&lab, "high", ""),
        new(&lab, "default", "acme"),
        new(&lab, "high", ""),
    ];
    let key = |run: &mut NewRun| {
        run.dedup = Some(NewDedup {
            key: "k".into(),
            window_ms: Some(1_000),
            coalesce: None,
        });
    };
    // The last run is not stored, so it must not hold its key afterwards.
    key(&mut batch[4]);
    let stored = lab
        .store
        .write(|tx| tx.enqueue_fitting(&batch, None, now_ms));
    let (answers, refusal) = stored.unwrap();
    assert_eq!(answers.len(), 3);
    let details = refusal.unwrap().details.unwrap();
    assert_eq!(
        (
            &details["full"],
            &details["waiting"],
            &details["max_waiting"]
        ),
        (&"tenant acme".into(), &2.into(), &2.into())
    );
    let error = lab
        .store
        .write(|tx| tx.enqueue_all(&batch, now_ms))
        .unwrap_err();
    assert_eq!(error.kind, Kind::TryAgain);
    assert_eq!(waiting(&lab), 3);
    assert!(!try_one(&mut lab, &batch[4]).unwrap().duplicate);
}

#[test]
fn duplicates_need_no_room() {
    let mut lab = lab();
    let mut windowed = new(&lab, "default", "");
    windowed.dedup = Some(NewDedup {
        key: "k".into(),
        window_ms: Some(60_000),
        coalesce: None,
    });
    let mut replacing = new(&lab, "default", "");
    replacing.dedup = Some(NewDedup {
        key: "r".into(),
        window_ms: None,
        coalesce: Some(Coalesce::Replace),
    });
    let first = try_one(&mut lab, &windowed).unwrap();
    let second = try_one(&mut lab, &replacing).unwrap();
    for _ in 0..2 {
        accepted(&mut lab, "default", "");
    }
    refused(&mut lab, "default", "");
    assert_eq!(try_one(&mut lab, &windowed).unwrap().run, first.run);
    replacing.params = Some("{\"a\":\"new\"}".into());
    let replaced = try_one(&mut lab, &replacing).unwrap();
    assert_eq!((replaced.run, replaced.replaced), (second.run, true));
}

/// Proves: as `enqueuers_at_once_never_store_more_than_there_is_room_for`.
#[test]
fn periods_retries_and_on_dead_runs_are_never_refused() {
    let mut lab = lab();
    let dead = accepted(&mut lab, "default", "acme").run;
    let claimed = lab.claim_one();
    assert_eq!(claimed.run, dead);
    lab.end(&claimed, bury());
    for _ in 0..2 {
        accepted(&mut lab, "default", "acme");
        accepted(&mut lab, "default", "");
    }
    refused(&mut lab, "default", "acme");
    let now_ms = lab.now_ms;
    // Created by a schedule, by a dead run, and by a retry of an operator.
    let mut scheduled = new(&lab, "default", "acme");
    scheduled.trigger = Trigger::Period;
    scheduled.period = Some(of_period("2027-03-28T01:00[UTC]", now_ms - 1));
    opened_with(&mut lab, &scheduled);
    let mut after_a_death = new(&lab, "default", "acme");
    after_a_death.trigger = Trigger::OnDead;
    assert!(!try_one(&mut lab, &after_a_death).unwrap().duplicate);
    let mut by_hand = new(&lab, "default", "acme");
    by_hand.period = Some(of_period("2027-03-28T02:00[UTC]", now_ms));
    assert!(!try_one(&mut lab, &by_hand).unwrap().duplicate);
    let retried = lab
        .store
        .write(|tx| tx.retry_dead(dead, "ann", now_ms))
        .unwrap();
    assert_eq!(retried, Handled::Moved(State::Waiting));
    assert_eq!(waiting(&lab), 8);
    // Back to waiting by a backoff, and by a worker that stops.
    let claimed = lab.claim(2);
    let later = Verdict::Defer {
        due_ms: now_ms + 1_000,
        failure: true,
    };
    lab.end(&claimed[0], later);
    lab.end(&claimed[1], Verdict::Release);
    assert_eq!(waiting(&lab), 8);
    refused(&mut lab, "default", "");
}

#[test]
fn operators_set_the_room_of_a_queue_until_the_change_expires() {
    let mut lab = Lab::new();
    lab.store
        .write(|tx| tx.save_rules(&Rules::default()))
        .unwrap();
    accepted(&mut lab, "default", "");
    let for_a_second = Act {
        until_ms: Some(lab.now_ms + 1_000),
        ..act(lab.now_ms)
    };
    set(&mut lab, Some("1"), &for_a_second);
    refused(&mut lab, "default", "");
    lab.now_ms += 1_000;
    accepted(&mut lab, "default", "");
    let now = act(lab.now_ms);
    set(&mut lab, Some("1"), &now);
    refused(&mut lab, "default", "");
    set(&mut lab, None, &now);
    accepted(&mut lab, "default", "");
}

#[test]
fn a_refusal_by_a_paused_queue_says_when_the_pause_expires() {
    let mut lab = lab();
    let until = Act {
        until_ms: Some(lab.now_ms + 45_000),
        ..act(lab.now_ms)
    };
    lab.store
        .write(|tx| tx.pause_queue("default", &until))
        .unwrap();
    for _ in 0..4 {
        accepted(&mut lab, "default", "");
    }
    let error = refused(&mut lab, "default", "");
    assert_eq!(error.retry_after_ms, Some(45_000));
}

#[test]
fn runs_stored_earlier_in_the_same_transaction_count() {
    for (tenant, room) in [("big", 3), ("", 4)] {
        let mut lab = lab();
        let now_ms = lab.now_ms;
        let run = new(&lab, "default", tenant);
        let stored = lab.store.write(|tx| {
            let mut stored = 0;
            while stored < 10 && tx.enqueue(&run, now_ms).is_ok() {
                stored += 1;
            }
            Ok(stored)
        });
        assert_eq!(stored.unwrap(), room, "{tenant}");
    }
}
