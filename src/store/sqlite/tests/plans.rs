//! Plans of statements that every claim, enqueue or end executes.

use rusqlite::params;

use super::{Lab, plan};

#[test]
fn running_runs_are_counted_by_an_index_only() {
    let found = plan(&Lab::new(), super::super::flow::RUNNING, &[]);
    assert_eq!(
        found,
        "SEARCH run USING COVERING INDEX run_worker (worker>?)"
    );
}

#[test]
fn waits_to_rebase_after_a_clock_step_are_found_by_one_seek() {
    let sql = super::super::waiting::REBASE_RELATIVE_DELAYS;
    let found = plan(&Lab::new(), sql, params![0, 0]);
    assert!(
        found.contains("USING COVERING INDEX run_wait (wait_set_ms>?)"),
        "{found}"
    );
    assert!(!found.contains("SCAN"), "{found}");
}

#[test]
fn the_end_of_a_sequence_and_the_gates_of_a_run_are_found_by_one_seek() {
    let lab = Lab::new();
    let last = plan(
        &lab,
        "SELECT id, sequence_place FROM run INDEXED BY run_sequence
         WHERE job = ?1 AND sequence_key = ?2 AND sequence_place IS NOT NULL ORDER BY sequence_place DESC LIMIT 1",
        params!["job", "a"],
    );
    assert_eq!(
        last,
        "SEARCH run USING COVERING INDEX run_sequence (job=? AND sequence_key=? AND sequence_place>?)"
    );
    let gates = plan(
        &lab,
        "SELECT run FROM gate WHERE successor = ?1",
        params![1],
    );
    assert_eq!(
        gates,
        "SEARCH gate USING COVERING INDEX gate_successor (successor=?)"
    );
    let alike = plan(
        &lab,
        "SELECT id FROM run INDEXED BY run_alike
         WHERE dedup_live = 1 AND state IN ('waiting', 'running') AND job = ?1 AND dedup_key = ?2 ORDER BY id DESC",
        params!["job", "a"],
    );
    assert!(
        alike.contains("run_alike (job=? AND dedup_key=?)"),
        "{alike}"
    );
}
