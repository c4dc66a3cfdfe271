//! Request ids: the stored result of an earlier try.

use super::Lab;
use crate::error::{Kind, Result};
use crate::policy::Verdict;
use crate::run::{RunId, State};
use crate::store::{Enqueued, ImportProgress};

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T>) {
    assert_eq!(answer.unwrap_err().kind, Kind::Refused);
}

#[test]
fn a_request_id_finds_only_the_run_that_it_stored() {
    let mut lab = Lab::new();
    let (run, other) = (lab.enqueue(|_| {}), lab.enqueue(|_| {}));
    let now_ms = lab.now_ms;
    let requested = |lab: &mut Lab, id: &str| lab.write(|tx| tx.requested(id, "job"));
    assert_eq!(requested(&mut lab, "a"), None);
    lab.write(|tx| tx.note_request("a", "job", run, now_ms));
    lab.write(|tx| tx.note_request("b", "job", other, now_ms));
    let found = Enqueued {
        run,
        duplicate: true,
        replaced: false,
        state: State::Waiting,
        due_ms: now_ms,
    };
    assert_eq!(requested(&mut lab, "a"), Some(found.clone()));
    let claimed = lab.claim_one();
    lab.end(&claimed, Verdict::Succeed);
    let found = Enqueued {
        state: State::Succeeded,
        ..found
    };
    assert_eq!(requested(&mut lab, "a"), Some(found));
    // The id cannot be stored for a second run, nor used by another job or by an import.
    let again = lab
        .store
        .write(|tx| tx.note_request("a", "job", other, now_ms));
    assert!(again.is_err());
    refused(lab.store.write(|tx| tx.requested("a", "other")));
    refused(lab.store.write(|tx| tx.import_progress("a")));
    refused(lab.store.import_progress("a"));
    assert_eq!(requested(&mut lab, "a").unwrap().run, run);
    assert_eq!(requested(&mut lab, "b").unwrap().run, other);
}

#[test]
fn an_import_continues_after_its_last_stored_slice() {
    let mut lab = Lab::new();
    let now_ms = lab.now_ms;
    let new = ImportProgress::default();
    assert_eq!(lab.store.import_progress("a").unwrap(), new);
    for lines_done in [10, 25] {
        let progress = ImportProgress {
            lines_done,
            accepted: lines_done - 1,
            duplicates: 1,
            digest: Some([lines_done as u8; 32]),
        };
        lab.write(|tx| tx.note_import("a", &progress, now_ms));
        assert_eq!(lab.store.import_progress("a").unwrap(), progress);
        assert_eq!(lab.write(|tx| tx.import_progress("a")), progress);
    }
    assert_eq!(lab.store.import_progress("b").unwrap(), new);
    refused(lab.store.write(|tx| tx.requested("a", "job")));
}

#[test]
fn progress_is_stored_with_the_runs_of_its_slice_or_not_at_all() {
    let mut lab = Lab::new();
    let now_ms = lab.now_ms;
    let batch = [super::new_run("job", now_ms)];
    let progress = ImportProgress {
        lines_done: 1,
        ..ImportProgress::default()
    };
    let failed = lab.store.write::<()>(|tx| {
        tx.enqueue_all(&batch, now_ms)?;
        tx.note_import("a", &progress, now_ms)?;
        Err(crate::error::Error::new(Kind::Failed, "no"))
    });
    assert!(failed.is_err());
    let left = lab.store.import_progress("a").unwrap();
    assert_eq!(left, ImportProgress::default());
    assert!(!lab.store.has_runs_of("job").unwrap());
}

#[test]
fn a_run_is_found_again_by_its_id_and_its_key_together() {
    let mut lab = Lab::new();
    let (run, other) = (lab.enqueue(|_| {}), lab.enqueue(|_| {}));
    let key = |run| lab.store.show_run(run, 0).unwrap().unwrap().idempotency_key;
    let (own, others) = (key(run), key(other));
    let found = Enqueued {
        run,
        duplicate: false,
        replaced: false,
        state: State::Waiting,
        due_ms: lab.now_ms,
    };
    assert_eq!(lab.store.has_run(run, own).unwrap(), Some(found.clone()));
    assert_eq!(lab.store.has_run(run, others).unwrap(), None);
    assert_eq!(lab.store.has_run(RunId(99), own).unwrap(), None);
    let before =
        |lab: &mut Lab, key, job: &str| lab.store.write(|tx| tx.stored_before(run, key, job));
    let duplicate = Enqueued {
        duplicate: true,
        ..found
    };
    assert_eq!(before(&mut lab, own, "job").unwrap(), Some(duplicate));
    assert_eq!(before(&mut lab, others, "job").unwrap(), None);
    refused(before(&mut lab, own, "other"));
}
