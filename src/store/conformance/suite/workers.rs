//! Rows of workers: registration, lacking resources, and requests to stop.

use super::{Lab, WORKER, worker_row};
use crate::policy::Verdict;
use crate::run::WorkerId;
use crate::store::{Lacking, WorkerRow};

const OTHER: WorkerId = WorkerId(7);
const NOBODY: WorkerId = WorkerId(99);

/// A lab with a second worker.
fn lab() -> Lab {
    let mut lab = Lab::new();
    let row = WorkerRow {
        host: "elsewhere".into(),
        parent: Some(WORKER),
        pid_ns: Some(5),
        ..worker_row(OTHER)
    };
    lab.write(|tx| tx.add_worker(&row));
    lab
}

fn ids(rows: &[WorkerRow]) -> Vec<WorkerId> {
    rows.iter().map(|row| row.worker).collect()
}

#[test]
fn worker_ids_are_never_reused() {
    let mut lab = lab();
    let [first, second] = lab.write(|tx| Ok([tx.next_worker_id()?, tx.next_worker_id()?]));
    assert!(OTHER < first && first < second);
    assert!(
        lab.store.worker(second).unwrap().is_none(),
        "an id alone is no registration"
    );
    lab.write(|tx| tx.add_worker(&worker_row(second)));
    let third = lab.write(|tx| {
        tx.remove_worker(second)?;
        tx.next_worker_id()
    });
    assert!(third > second, "also if its worker is gone");
}

#[test]
fn a_worker_is_registered_until_it_is_removed() {
    let mut lab = lab();
    assert_eq!(ids(&lab.store.workers().unwrap()), [WORKER, OTHER]);
    assert_eq!(ids(&lab.write(|tx| tx.workers())), [WORKER, OTHER]);
    let row = lab.store.worker(OTHER).unwrap().unwrap();
    assert_eq!(
        (row.host.as_str(), row.parent, row.pid_ns, row.stop_ms),
        ("elsewhere", Some(WORKER), Some(5), None)
    );
    let without = lab.write(|tx| tx.without_row(&[NOBODY, OTHER, WorkerId(98)]));
    assert_eq!(without, [NOBODY, WorkerId(98)]);
    assert!(lab.write(|tx| tx.remove_worker(OTHER)));
    assert!(!lab.write(|tx| tx.remove_worker(OTHER)));
    assert_eq!(ids(&lab.store.workers().unwrap()), [WORKER]);
    assert!(lab.store.worker(OTHER).unwrap().is_none());
}

#[test]
fn a_worker_is_not_registered_twice() {
    let mut lab = lab();
    let again = worker_row(OTHER);
    assert!(lab.store.write(|tx| tx.add_worker(&again)).is_err());
    let row = lab.store.worker(OTHER).unwrap().unwrap();
    assert_eq!(row.host, "elsewhere", "the first one stays");
}

#[test]
fn a_worker_that_holds_a_run_is_not_removed() {
    let mut lab = lab();
    lab.enqueue(|_| {});
    let claimed = lab.claim_one();
    let held = [(claimed.run, claimed.fence, 0)];
    assert_eq!(lab.store.held_by(WORKER).unwrap(), held);
    assert_eq!(lab.write(|tx| tx.held_by(WORKER)), held);
    assert_eq!(lab.write(|tx| tx.held_by(OTHER)), []);
    assert!(!lab.write(|tx| tx.remove_worker(WORKER)));
    assert!(lab.store.worker(WORKER).unwrap().is_some());
    lab.end(&claimed, Verdict::Succeed);
    assert!(lab.write(|tx| tx.remove_worker(WORKER)));
}

#[test]
fn a_run_reserved_for_a_worker_is_free_when_the_worker_is_removed() {
    let mut lab = lab();
    let run = lab.enqueue(|_| {});
    lab.write(|tx| tx.reserve_for(run, OTHER));
    assert!(lab.claim(1).is_empty());
    lab.write(|tx| tx.remove_worker(OTHER));
    assert_eq!(lab.claim_one().run, run);
}

#[test]
fn a_worker_is_asked_to_stop_once() {
    let mut lab = lab();
    assert!(lab.write(|tx| tx.ask_worker_to_stop(OTHER, 5)));
    assert!(lab.write(|tx| tx.ask_worker_to_stop(OTHER, 9)));
    assert!(!lab.write(|tx| tx.ask_worker_to_stop(NOBODY, 9)));
    let stops = [WORKER, OTHER].map(|it| lab.store.worker(it).unwrap().unwrap().stop_ms);
    assert_eq!(stops, [None, Some(5)]);
}

#[test]
fn only_the_named_worker_is_declared_gone() {
    let mut lab = lab();
    assert!(lab.write(|tx| tx.declare_gone(OTHER)));
    assert!(!lab.write(|tx| tx.declare_gone(NOBODY)));
    let boots = [WORKER, OTHER].map(|it| lab.store.worker(it).unwrap().unwrap().boot_id);
    assert_eq!(boots, ["boot", "gone"]);
}

#[test]
fn a_lacking_resource_is_shown_until_the_worker_has_it() {
    let mut lab = lab();
    let lacking = |words: &str| Lacking {
        words: words.into(),
        until_ms: 5,
    };
    for words in ["memory", "processes"] {
        lab.write(|tx| tx.note_lacking(OTHER, Some(&lacking(words))));
    }
    lab.write(|tx| tx.note_lacking(NOBODY, Some(&lacking("disk"))));
    let told = lab.store.lacking().unwrap();
    assert_eq!(Vec::from_iter(told), [(OTHER, lacking("processes"))]);
    lab.write(|tx| tx.note_lacking(OTHER, None));
    assert!(lab.store.lacking().unwrap().is_empty());
}

#[test]
fn slots_read_from_the_store_are_limited_to_the_valid_range() {
    let mut lab = Lab::new();
    for (id, slots) in [(7, 1 << 62), (8, -5), (9, 5)] {
        let row = WorkerRow {
            slots,
            ..worker_row(WorkerId(id))
        };
        lab.write(|tx| tx.add_worker(&row));
    }
    let workers = lab.store.workers().unwrap();
    let slots: Vec<i64> = workers.iter().map(|it| it.slots).collect();
    assert_eq!(slots, [4, 1_024, 0, 5]);
}
