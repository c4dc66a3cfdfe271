//! Rows that nobody here wrote: a claim buries what it cannot use, and goes on.

use super::Lab;
use super::flow::claim;
use crate::policy::Verdict;
use crate::run::{Reason, RunId, State, WorkerId};
use crate::store::WorkerRow;

fn spoil(lab: &Lab, sql: &str, run: RunId) {
    let conn = lab.store.connection().unwrap();
    assert_eq!(conn.execute(sql, [run.0]).unwrap(), 1, "{sql}");
}

/// Proves (death): a row that no claim can use is buried and stops no claim.
#[test]
fn a_row_that_cannot_be_used_is_buried_and_stops_no_claim() {
    for spoilt in [
        "UPDATE run SET attempts = 9223372036854775807 WHERE id = ?1",
        "UPDATE run SET attempts = -1 WHERE id = ?1",
        "UPDATE run SET failures = 9223372036854775807 WHERE id = ?1",
        "UPDATE run SET crashes = -9223372036854775807 WHERE id = ?1",
        "UPDATE run SET params = CAST(x'ff' AS TEXT) WHERE id = ?1",
        "DELETE FROM payload WHERE run = ?1",
    ] {
        let mut lab = Lab::new();
        let run = lab.enqueue(|run| run.payload = Some(b"{}".to_vec()));
        let good = lab.enqueue(|run| run.payload = Some(b"{}".to_vec()));
        spoil(&lab, spoilt, run);
        let claims = claim(&mut lab, &["default".into()], 4);
        let got: Vec<RunId> = claims.runs.iter().map(|claimed| claimed.run).collect();
        assert_eq!(got, [good], "{spoilt}");
        let buried: Vec<(RunId, Reason)> =
            claims.buried.iter().map(|it| (it.run, it.reason)).collect();
        assert_eq!(buried, [(run, Reason::Permanent)], "{spoilt}");
        assert_eq!(claim(&mut lab, &["default".into()], 4).runs.len(), 0);
        let conn = lab.store.connection().unwrap();
        let sql = "SELECT error FROM dead_letter";
        let error: String = conn.query_row(sql, [], |row| row.get(0)).unwrap();
        assert!(
            error.starts_with("its row in the store is invalid: "),
            "{error}"
        );
        lab.check();
    }
}

#[test]
fn absurd_counts_do_not_prevent_an_end() {
    let mut lab = Lab::new();
    let run = lab.enqueue(|_| {});
    let claimed = lab.claim_one();
    for sql in [
        "UPDATE run SET releases = 9223372036854775807, max_crashes = -9223372036854775808 WHERE id = ?1",
        "UPDATE run SET deadline_ms = 9223372036854775807, limited_ms = -9223372036854775808 WHERE id = ?1",
    ] {
        spoil(&lab, sql, run);
    }
    lab.end(&claimed, Verdict::Release);
    assert!(!lab.claim_one().must_be_alone());
    let again = lab.store.show_run(run, lab.now_ms).unwrap().unwrap().row;
    assert_eq!(again.state, State::Running);
}

#[test]
fn a_worker_has_no_more_slots_than_one_can_be_started_with() {
    let mut lab = Lab::new();
    let row = |id, slots| WorkerRow {
        worker: WorkerId(id),
        pid: 1,
        pid_start: 1,
        boot_id: String::new(),
        pid_ns: None,
        host: String::new(),
        uid: 0,
        queues: String::new(),
        slots,
        started_ms: 0,
        stop_ms: None,
        parent: None,
    };
    for (id, slots) in [(7, 1 << 62), (8, -5), (9, 4)] {
        lab.write(|tx| tx.add_worker(&row(id, slots)));
    }
    let slots: Vec<i64> = lab
        .store
        .workers()
        .unwrap()
        .iter()
        .map(|it| it.slots)
        .collect();
    assert_eq!(slots, [1_024, 0, 4]);
}
