//! Invalid rows, as another program may write them: a claim buries them and continues.

use super::Lab;
use crate::policy::Verdict;
use crate::run::{Reason, RunId, State};
use crate::store::conformance::on_disk::suite::flow::claim;

fn spoil(lab: &mut Lab, sql: &str, run: RunId) {
    lab.is_sound = false;
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
        spoil(&mut lab, spoilt, run);
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
        spoil(&mut lab, sql, run);
    }
    lab.end(&claimed, Verdict::Release);
    assert!(!lab.claim_one().must_be_alone());
    let again = lab.store.show_run(run, lab.now_ms).unwrap().unwrap().row;
    assert_eq!(again.state, State::Running);
}
