//! `jobctl doctor`: says nothing bad of a sound installation, and names what is wrong with every other.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::invariants;
use crate::world::{World, until};

const JOBS: &str = "[job.a]\ncommand = [\"/bin/true\"]\n";

/// What the doctor says, by check: level and message.
fn findings(world: &World, words: &str, code: i32) -> Vec<(String, String, String)> {
    let said = world.run(&format!("doctor --json {words}")).json(code);
    let schema = said["schema"].as_str().expect("a schema");
    assert!(schema.starts_with("jobctl.doctor"), "{schema}");
    let items = said["items"].as_array().expect("items");
    let text = |item: &Value, field: &str| item[field].as_str().unwrap_or_default().to_owned();
    for item in items {
        let told = item["level"] == "ok" || !text(item, "hint").is_empty();
        assert!(told, "no hint: {item}");
    }
    items
        .iter()
        .map(|item| {
            (
                text(item, "check"),
                text(item, "level"),
                text(item, "message"),
            )
        })
        .collect()
}

#[track_caller]
fn has(found: &[(String, String, String)], check: &str, level: &str, message: &str) {
    let any = found
        .iter()
        .any(|it| it.0 == check && it.1 == level && it.2.contains(message));
    assert!(any, "no {level} of {check} with `{message}` in {found:#?}");
}

#[test]
fn a_new_and_a_used_installation_are_sound() {
    let world = World::with_catalogue(JOBS);
    has(
        &findings(&world, "", 0),
        "store",
        "ok",
        "no store exists yet",
    );
    assert!(!world.state().exists(), "the doctor makes nothing");
    world.run("-q enqueue a").ok();
    world.run("-q run-worker --drain").ok();
    let found = findings(&world, "--verify", 0);
    has(&found, "directory", "ok", "state");
    has(&found, "rows", "ok", "invariants hold");
    has(&found, "writers", "ok", "no process");
    assert!(found.iter().all(|it| it.1 != "error"), "{found:?}");
}

#[test]
fn rights_that_are_too_wide_are_named() {
    let world = World::with_catalogue(JOBS);
    world.run("-q enqueue a").ok();
    let mode = |path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(world.state(), 0o755);
    mode(world.state().join("jobctl.db"), 0o644);
    let found = findings(&world, "", 1);
    has(
        &found,
        "directory",
        "error",
        "state`: others have rights to it (mode 0755)",
    );
    has(
        &found,
        "directory",
        "error",
        "jobctl.db`: others have rights to it (mode 0644)",
    );
    let errors = found.iter().filter(|it| it.1 == "error").count();
    assert_eq!(errors, 2, "{found:?}");
}

#[test]
fn a_wrong_catalogue_and_a_missing_one_are_reported() {
    let world = World::with_catalogue("[job.a]\ncommand = 7\n");
    has(&findings(&world, "", 1), "catalogue", "error", "1 error");
    fs::remove_file(world.catalogue()).unwrap();
    has(
        &findings(&world, "", 0),
        "catalogue",
        "warning",
        "does not exist",
    );
}

#[test]
fn the_process_that_holds_the_store_is_named() {
    let world = World::with_catalogue(JOBS);
    world.run("-q enqueue a").ok();
    let lock = fs::File::open(world.state().join("write.lock")).unwrap();
    fs2::FileExt::lock_exclusive(&lock).unwrap();
    let found = findings(&world, "", 1);
    let process = format!("process {} (", std::process::id());
    has(&found, "writers", "error", &process);
}

#[test]
fn a_dead_worker_and_a_missing_scheduler_are_reported() {
    let jobs = format!(
        "{JOBS}[job.b]\ncommand = [\"/bin/true\"]\nschedule = {{ every = '1h', timezone = 'UTC' }}\n"
    );
    let world = World::with_catalogue(&jobs);
    world.run("-q schedule --once").ok();
    let worker = world.start("-q run-worker");
    until("a worker", || {
        invariants::number(&invariants::open(&world), "SELECT count(*) FROM worker") == 1
    });
    worker.signal("KILL");
    drop(worker);
    let found = findings(&world, "", 1);
    has(&found, "workers", "error", "gone");
    has(&found, "scheduler", "error", "no scheduler: 1 schedule");
}

#[test]
fn a_store_that_is_not_ours_is_reported_and_left_alone() {
    let world = World::with_catalogue(JOBS);
    world.run("-q enqueue a").ok();
    fs::write(
        world.state().join("jobctl.db"),
        "not a database at all, but long enough to be read",
    )
    .unwrap();
    let found = findings(&world, "--verify", 1);
    has(
        &found,
        "store",
        "error",
        "is not a database; it was not changed",
    );
}

/// What is wrong in the rows is found, whatever it is: each damage breaks the claim beside it.
/// Proves (durable): damage to the rows is found by the check of the store.
/// Fault: as `every_command_survives_hostile_rows_with_a_documented_exit_code`.
#[test]
fn every_damage_to_the_rows_is_found() {
    for (damage, claim) in [
        ("UPDATE run SET state = 'running', ready = 0", "a running run has a worker"),
        ("UPDATE run SET state = 'succeeded', ready = 0", "an ended run has an end"),
        (
            "UPDATE run SET state = 'dead', ready = 0, ended_ms = 1",
            "a dead run has a dead letter",
        ),
        (
            "INSERT INTO dead_letter (run, job, reason, fingerprint, attempts, died_ms) VALUES (1, 'a', 'permanent', '', 1, 1)",
            "only dead runs have open dead letters",
        ),
        ("UPDATE run SET failures = 2", "failures, crashes and releases"),
        ("UPDATE run SET attempts = 2", "attempts are numbered"),
        (
            "INSERT INTO attempt (run, number, fence, worker, started_ms) VALUES (1, 1, 1, 1, 1)",
            "only a running run has an open attempt",
        ),
        (
            "UPDATE run SET started_ms = 2, ended_ms = 1",
            "nothing ended before it started",
        ),
        (
            "INSERT INTO attempt (run, number, fence, worker, started_ms, ended_ms) VALUES (1, 1, 1, 1, 2, 1)",
            "nothing ended before it started",
        ),
        ("UPDATE run SET fence = 9", "a fence is not above"),
        ("UPDATE run SET has_payload = 1", "a payload belongs"),
        ("UPDATE depth SET ready = 7", "the counters of queues"),
        ("DELETE FROM first_run", "a run is found by its queue"),
        ("UPDATE run SET ready = 0, gates = 1", "a run waits for as many"),
        ("INSERT INTO gate VALUES (99, 1)", "a gate is held"),
        ("UPDATE run SET sequence_key = 'k'", "a run has a place in its sequence"),
        (
            "UPDATE run SET sequence_key = 'k', sequence_place = 1;
             INSERT INTO run (job, queue, tenant, priority, state, ready, order_key, created_ms, due_ms, max_attempts,
                 max_crashes, guarantee, idempotency_key, trigger, sequence_key, sequence_place)
             SELECT job, queue, tenant, priority, state, ready, order_key, created_ms, due_ms, max_attempts, max_crashes,
                 guarantee, idempotency_key, trigger, sequence_key, 2 FROM run",
            "a run waits for the one before it",
        ),
        (
            "UPDATE run SET sequence_key = 'k', sequence_place = 1, state = 'running', ready = 0;
             INSERT INTO run (job, queue, tenant, priority, state, ready, order_key, created_ms, due_ms, max_attempts,
                 max_crashes, guarantee, idempotency_key, trigger, sequence_key, sequence_place)
             SELECT job, queue, tenant, priority, state, ready, order_key, created_ms, due_ms, max_attempts, max_crashes,
                 guarantee, idempotency_key, trigger, sequence_key, 2 FROM run",
            "of one sequence at most one run is running",
        ),
        (
            "UPDATE run SET trigger = 'period', period = 'x', scheduled_ms = 1",
            "a run of a schedule is named",
        ),
        (
            "INSERT INTO period (job, period, due_ms, last_period, last_due_ms, count, business_date, result, version, decided_ms)
             VALUES ('a', 'x', 1, 'x', 1, 1, '2026-11-22', 'opened', 1, 1)",
            "an opened period has a run",
        ),
    ] {
        let world = World::with_catalogue(JOBS);
        world.run("-q enqueue a").ok();
        let conn = invariants::open(&world);
        conn.execute_batch(damage).expect(damage);
        drop(conn);
        has(&findings(&world, "--verify", 1), "rows", "error", claim);
    }
}

#[test]
fn the_selftest_kills_and_loses_nothing() {
    let world = World::with_catalogue(JOBS);
    let found = findings(&world, "--selftest", 0);
    has(&found, "enqueue", "ok", "every acknowledged run is there");
    has(
        &found,
        "workers",
        "ok",
        "every run was recovered and succeeded",
    );
    has(&found, "rows", "ok", "holds");
    assert!(!world.state().exists(), "the state is not touched");
    let left: Vec<_> = fs::read_dir(world.root())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().starts_with("selftest"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
