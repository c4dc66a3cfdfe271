//! Transactions: all or nothing, and their visibility to other processes.

use super::{Lab, act, new_run};
use crate::error::{Error, Kind, Result};
use crate::run::State;
use crate::store::{Answer, Order, SCHEMA_VERSION, Turns, Tx};

fn no() -> Error {
    Error::new(Kind::Refused, "no")
}

#[test]
fn a_failed_order_is_rolled_back_alone() {
    let mut lab = Lab::new();
    let now_ms = lab.now_ms;
    let order = |job: &'static str, ends: Result<Answer>| {
        Order::other(move |tx, now_ms| {
            tx.enqueue(&new_run(job, now_ms), now_ms)?;
            ends
        })
    };
    let done = || Ok(Answer::Done { more: false });
    let orders = vec![
        order("a", done()),
        order("b", Err(no())),
        order("c", done()),
    ];
    let then = &mut |_: &mut Tx<'_>, _, _: &Answer, _| Ok(());
    let answers = lab
        .store
        .perform(orders, &mut Turns::default(), &|| now_ms, then);
    let kinds: Vec<Option<Kind>> = answers
        .into_iter()
        .map(|answer| answer.err().map(|error| error.kind))
        .collect();
    assert_eq!(kinds, [None, Some(Kind::Refused), None]);
    let stored = ["a", "b", "c"].map(|job| lab.store.has_runs_of(job).unwrap());
    assert_eq!(stored, [true, false, true]);
}

#[test]
fn a_write_that_fails_changes_nothing() {
    let mut lab = Lab::new();
    let now_ms = lab.now_ms;
    let failed = lab.store.write::<()>(|tx| {
        tx.enqueue(&new_run("job", now_ms), now_ms)?;
        tx.pause_job("job", &act(now_ms))?;
        Err(no())
    });
    assert_eq!(failed.unwrap_err().kind, Kind::Refused);
    assert!(!lab.store.has_runs_of("job").unwrap());
    assert_eq!(lab.store.pauses(now_ms).unwrap(), []);
}

#[test]
fn a_commit_is_visible_to_all_and_changes_the_data_version() {
    let lab = Lab::new();
    let now_ms = lab.now_ms;
    let mut other = lab.open();
    let before = lab.store.data_version().unwrap();
    assert_eq!(lab.store.data_version().unwrap(), before);
    let new = new_run("job", now_ms);
    let run = other.write(|tx| tx.enqueue(&new, now_ms)).unwrap().run;
    assert_ne!(lab.store.data_version().unwrap(), before);
    assert_eq!(lab.state(run), State::Waiting);
}

#[test]
fn a_snapshot_does_not_see_later_commits() {
    let mut lab = Lab::new();
    let now_ms = lab.now_ms;
    let mut other = lab.open();
    let stored = lab.store.snapshot(|store| {
        assert!(!store.has_runs_of("job")?);
        let stored = other.write(|tx| tx.enqueue(&new_run("job", now_ms), now_ms));
        assert!(!store.has_runs_of("job")?);
        Ok(stored)
    });
    match stored.unwrap() {
        Ok(_) => {}
        // A store may block writers while a snapshot is open.
        Err(error) => {
            assert_eq!(error.kind, Kind::TryAgain);
            lab.enqueue(|_| {});
        }
    }
    assert!(lab.store.has_runs_of("job").unwrap());
}

#[test]
fn each_store_has_a_name_of_its_own() {
    let (lab, other) = (Lab::new(), Lab::new());
    assert_eq!(lab.store.uuid(), lab.open().uuid());
    assert_ne!(lab.store.uuid(), other.store.uuid());
    assert_eq!(lab.store.schema(), SCHEMA_VERSION);
}
