//! Those who keep the store: the scheduler, a migration, a prune.

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;

use super::cycle::{Cycle, alone};
use super::operators::history;
use super::sweep::{CATALOGUE, number, one_run};
use crate::invariants;
use crate::scheduler::lab;
use crate::world::{World, until};

/// A history of minutes that nobody opened yet.
fn minutes_ago(world: &World) {
    let schedule = "[job.note.schedule]\ncron = '* * * * *'\ncatch_up = 'all'\ncatch_up_within = '1h'\noverlap = 'queue'\n";
    let catalogue = CATALOGUE.replace("[job.once]", &format!("{schedule}[job.once]"));
    world.write_catalogue(&format!("[defaults]\ntimezone = \"UTC\"\n{catalogue}"));
    let now_ms = jobctl::clock::wall_ms();
    drop(lab::planner(world, lab::right(now_ms - 5 * lab::MINUTE)));
}

pub(super) const SCHEDULE: Cycle = Cycle {
    name: "schedule --once",
    words: "schedule --once",
    prepare: minutes_ago,
    beside: alone,
    check: |world, out| {
        let periods = "SELECT coalesce(sum(count), 0) FROM period";
        assert!(out.is_empty() || number(world, periods) >= 5, "{out}");
        assert_eq!(world.run("schedule --once").code, Some(0));
        assert!(number(world, periods) >= 5);
        lab::exactly_once(world);
    },
};

/// A clock that jumped by two days, which nobody has accepted.
fn doubted(world: &World) {
    minutes_ago(world);
    assert_eq!(world.run("schedule --once").code, Some(0));
    let conn = invariants::open(world);
    let moved = "UPDATE scheduler SET clock = json_set(clock, '$.offset_ms', clock ->> '$.offset_ms' - 172800000)";
    assert_eq!(conn.execute(moved, []), Ok(1));
    assert_eq!(world.run("schedule --once").code, Some(75));
}

pub(super) const ACCEPT: Cycle = Cycle {
    name: "schedule --accept-clock",
    words: "schedule --accept-clock",
    prepare: doubted,
    beside: alone,
    check: |world, out| {
        assert!(out.is_empty() || out.starts_with("accepted: "), "{out}");
        if !out.is_empty() {
            assert_eq!(world.run("schedule --once").code, Some(0));
        }
        assert_eq!(world.run("schedule --accept-clock").code, Some(0));
        assert_eq!(world.run("schedule --once").code, Some(0));
        lab::exactly_once(world);
    },
};

/// A store as the first version of jobctl left it, with two runs.
fn first_schema(world: &World) {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let dir = world.state();
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&dir)
        .expect("a directory");
    let path = dir.join("jobctl.db");
    let conn = Connection::open(&path).expect("a database");
    let schema = include_str!("../../../src/store/sqlite/migrations/0001_queue.sql");
    let rows = "
        INSERT INTO store (one, uuid, created_ms, fence) VALUES (1, '0123456789abcdef0123456789abcdef', 1, 0);
        INSERT INTO run (job, queue, tenant, priority, state, ready, order_key, created_ms, due_ms, max_attempts,
            max_crashes, guarantee, idempotency_key, trigger)
        SELECT 'note', 'default', '', 100, 'waiting', 1, 6000000 + value, 1, 1, 3, 3, 'at-least-once',
            randomblob(16), 'manual' FROM (SELECT 1 AS value UNION SELECT 2);
        INSERT INTO depth (queue, tenant, ready, delayed, running) VALUES ('default', '', 2, 0, 0);
        PRAGMA application_id = 0x6a6f6263;
        PRAGMA user_version = 1;
        PRAGMA journal_mode = WAL;";
    conn.execute_batch(schema).expect("the first schema");
    conn.execute_batch(rows).expect("its rows");
    drop(conn);
    let lock = dir.join("store.lock");
    fs::write(&lock, "0123456789abcdef0123456789abcdef\n").expect("a lock");
    for file in [path, lock] {
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its mode");
    }
}

/// The schema that this jobctl writes.
const NEWEST: i64 = jobctl::store::SCHEMA_VERSION;

pub(super) const MIGRATE: Cycle = Cycle {
    name: "migrate",
    words: "migrate",
    prepare: first_schema,
    beside: alone,
    check: |world, out| {
        let version = number(world, "PRAGMA user_version");
        let backup = world.state().join("jobctl.db.schema-1.bak");
        assert!(
            version == 1 || (version == NEWEST && backup.exists()),
            "{version}"
        );
        assert!(out.is_empty() || version == NEWEST, "{out}");
        assert_eq!(world.run("migrate").code, Some(0));
        assert_eq!(number(world, "PRAGMA user_version"), NEWEST);
        let old = Connection::open(&backup).expect("a copy");
        let check: String = old
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .expect("a check");
        assert_eq!(check, "ok");
        let copy =
            "SELECT (SELECT user_version FROM pragma_user_version) * 100 + count(*) FROM run";
        assert_eq!(invariants::number(&old, copy), 102);
        assert_eq!(
            number(world, "SELECT count(*) FROM run WHERE state = 'waiting'"),
            2
        );
    },
};

fn logs(world: &World) -> Vec<PathBuf> {
    let entries = fs::read_dir(world.state().join("output/0"));
    entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect()
}

pub(super) const PRUNE: Cycle = Cycle {
    name: "prune",
    words: "prune --age 0s",
    prepare: |world| {
        history(world);
        world.run("dlq discard 1 3").ok();
        // Its effect is known; what was pruned cannot be compared with it any more.
        fs::remove_file(world.root().join("effects")).expect("effects");
        one_run(world);
    },
    beside: alone,
    check: |world, out| {
        let left = "SELECT count(*) FROM run WHERE state <> 'waiting'";
        assert!(out.is_empty() || number(world, left) == 1, "{out}");
        assert!(number(world, left) >= 1);
        assert_eq!(world.run("prune --age 0s").code, Some(0));
        // The open dead letter and its output stay.
        assert_eq!(number(world, left), 1);
        assert_eq!(logs(world), [world.state().join("output/0/6.1.log")]);
    },
};

#[test]
fn workers_that_start_at_once_on_an_older_store_all_start() {
    let world = World::with_catalogue(CATALOGUE);
    first_schema(&world);
    let workers = [0; 4].map(|_| world.start("-q run-worker --slots 1"));
    until("all work", || {
        let version = number(&world, "PRAGMA user_version");
        version == NEWEST && number(&world, "SELECT count(*) FROM worker") == 4
    });
    for worker in workers {
        worker.signal("TERM");
        assert_eq!(worker.end().code, Some(0));
    }
}
