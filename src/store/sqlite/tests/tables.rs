//! Rows that remain after a prune, and a row with an absurdly long wait.

use super::{Lab, count_rows, new_run, prune_all};
use crate::policy::Verdict;
use crate::store::NewDedup;

#[test]
fn a_pruned_run_leaves_no_row_in_any_table() {
    let mut lab = Lab::new();
    let now_ms = lab.now_ms;
    let mut first = new_run("job", now_ms);
    first.payload = Some(b"{}".to_vec());
    first.dedup = Some(NewDedup {
        key: "k".into(),
        window_ms: Some(1),
        coalesce: None,
    });
    let run = lab.write(|tx| tx.enqueue(&first, now_ms)).run;
    lab.write(|tx| tx.note_request("a", "job", run, now_ms));
    let behind = lab.enqueue(|new| new.after = vec![run]);
    lab.dead(|_| {});
    let tables = [
        "run",
        "payload",
        "attempt",
        "dead_letter",
        "dedup",
        "request",
        "gate",
    ];
    let count = |lab: &Lab| tables.map(|table| count_rows(lab, table));
    assert_eq!(count(&lab), [3, 1, 1, 1, 1, 1, 1]);
    let claimed = lab.claim_one();
    lab.end(&claimed, Verdict::Succeed);
    lab.now_ms += 1_000;
    let now_ms = lab.now_ms;
    lab.write(|tx| tx.cancel(behind, "ann", now_ms));
    prune_all(&mut lab, 1);
    // The dead run is retained, with its attempt.
    assert_eq!(count(&lab), [1, 0, 1, 1, 0, 0, 0]);
}

#[test]
fn a_run_that_waited_leaves_no_gate_behind() {
    let mut lab = Lab::new();
    let waits = |lab: &mut Lab, before| lab.enqueue(|new| new.after = vec![before]);
    let first = lab.enqueue(|_| {});
    let gone = waits(&mut lab, first);
    waits(&mut lab, first);
    let now_ms = lab.now_ms;
    lab.write(|tx| tx.cancel(gone, "ann", now_ms));
    prune_all(&mut lab, 1);
    assert_eq!(count_rows(&lab, "gate"), 1);
}

#[test]
fn a_row_with_an_absurd_wait_does_not_stop_the_others_after_a_clock_step() {
    let mut lab = Lab::new();
    let set_ms = lab.now_ms;
    let waits = |run: &mut crate::store::NewRun| {
        run.due_ms = set_ms + 60_000;
        run.wait_set_ms = Some(set_ms);
    };
    let (plain, odd) = (lab.enqueue(waits), lab.enqueue(waits));
    lab.is_sound = false;
    let conn = lab.store.connection().unwrap();
    let sql = "UPDATE run SET due_ms = ?2 WHERE id = ?1";
    conn.execute(sql, [odd.0, i64::MAX]).unwrap();
    lab.now_ms = 1_000;
    let now_ms = lab.now_ms;
    assert!(!lab.write(|tx| tx.rebase_relative_delays(now_ms)));
    let due_ms = |run| lab.store.show_run(run, now_ms).unwrap().unwrap().row.due_ms;
    assert_eq!(due_ms(plain), now_ms + 60_000);
    assert_eq!(due_ms(odd), now_ms + 3_155_760_000_000);
}
