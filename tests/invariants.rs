//! What must hold in every store, whatever happened to its processes: read with plain SQL, beside jobctl's own code.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::world::World;

/// Opens the database for reading, as `sqlite3` would.
pub(crate) fn open(world: &World) -> Connection {
    open_in(&world.state())
}

/// The same of any store directory.
pub(crate) fn open_in(state: &Path) -> Connection {
    let path = state.join("jobctl.db");
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .expect("the database opens");
    conn.busy_timeout(crate::world::PATIENCE)
        .expect("a timeout");
    conn
}

/// One number.
pub(crate) fn number(conn: &Connection, sql: &str) -> i64 {
    conn.query_row(sql, [], |row| row.get(0)).expect(sql)
}

/// Rows that must not exist, whatever the clock and operators do: each query names what it proves.
const NEVER: &[(&str, &str)] = &[
    ("a run is owned only while it runs or is kept", "SELECT id FROM run WHERE (state = 'running') > (worker IS NOT NULL)"),
    ("an ended run has no owner", "SELECT id FROM run WHERE state IN ('succeeded', 'dead', 'cancelled') AND worker IS NOT NULL"),
    ("an ended run has an end", "SELECT id FROM run WHERE state IN ('succeeded', 'dead', 'cancelled') AND ended_ms IS NULL"),
    ("a dead run has an open dead letter unless discarded", "
        SELECT id FROM run WHERE state = 'dead' AND NOT EXISTS (
            SELECT 1 FROM dead_letter WHERE run = run.id AND (closed_ms IS NULL OR closed = 'discarded'))"),
    ("only dead runs have open dead letters", "
        SELECT run FROM dead_letter WHERE closed_ms IS NULL
        AND (SELECT state FROM run WHERE id = dead_letter.run) IS NOT 'dead'"),
    ("failures stay within their limit", "SELECT id FROM run WHERE failures > max_attempts"),
    ("what counted was started", "SELECT id FROM run WHERE failures + crashes + releases > attempts"),
    ("a success ran", "SELECT id FROM run WHERE state = 'succeeded' AND attempts < 1"),
    ("attempts are numbered without gaps", "
        SELECT id FROM run WHERE state <> 'running'
        AND attempts <> (SELECT count(*) FROM attempt WHERE run = run.id)"),
    ("an attempt that is over has an ending", "
        SELECT run FROM attempt WHERE (ended_ms IS NULL) <> (ending IS NULL)"),
    ("at most one attempt of a run is open", "
        SELECT run FROM attempt WHERE ended_ms IS NULL GROUP BY run HAVING count(*) > 1"),
    ("only a running run has an open attempt", "
        SELECT attempt.run FROM attempt JOIN run ON run.id = attempt.run
        WHERE attempt.ended_ms IS NULL AND run.state <> 'running'"),
    ("what is ready waits for nothing", "SELECT id FROM run WHERE ready = 1 AND (state <> 'waiting' OR gates > 0)"),
    // A death beside that of the worker's parent proves nothing, and counts half.
    ("deaths of workers stay within their limit", "SELECT id FROM run WHERE crashes > 2 * max_crashes"),
    ("a running run is a registered worker's", "
        SELECT id FROM run WHERE state = 'running' AND NOT EXISTS (SELECT 1 FROM worker WHERE id = run.worker)"),
    ("a run counts the runs that it waits for", "
        SELECT id FROM run WHERE gates <> (SELECT count(*) FROM gate WHERE successor = run.id)"),
    ("only runs that have not ended are waited for", "
        SELECT successor FROM gate WHERE coalesce(
            (SELECT state NOT IN ('waiting', 'running') AND NOT (state = 'dead' AND sequence_stops)
             FROM run WHERE id = gate.run), 1)"),
    ("of one sequence one run at a time is running", "
        SELECT max(id) FROM run WHERE state = 'running' AND sequence_key IS NOT NULL
        GROUP BY job, sequence_key HAVING count(*) > 1"),
    ("who has a place in a sequence has not ended, or stops it", "
        SELECT id FROM run WHERE sequence_key IS NOT NULL AND (sequence_place IS NULL) <> (state IN ('succeeded', 'cancelled')
            OR (state = 'dead' AND NOT (sequence_stops AND EXISTS (
                SELECT 1 FROM dead_letter WHERE run = run.id AND closed_ms IS NULL))))"),
    ("in a sequence everybody waits for the one in front", "
        SELECT behind.id FROM run AS behind JOIN run AS front
        ON front.job = behind.job AND front.sequence_key = behind.sequence_key AND front.sequence_place = (
            SELECT max(sequence_place) FROM run WHERE job = behind.job AND sequence_key = behind.sequence_key
            AND sequence_place < behind.sequence_place)
        WHERE NOT EXISTS (SELECT 1 FROM gate WHERE run = front.id AND successor = behind.id)"),
    ("one run per period", "
        SELECT min(id) FROM run WHERE period IS NOT NULL GROUP BY job, period HAVING count(*) > 1"),
    ("a period with a run says so", "
        SELECT id FROM period WHERE (result IN ('opened', 'caught_up')) <> (run IS NOT NULL)"),
    ("a run works one period", "SELECT run FROM period WHERE run IS NOT NULL GROUP BY run HAVING count(*) > 1"),
    ("every run of the calendar is recorded", "
        SELECT id FROM run WHERE trigger = 'period' AND NOT EXISTS (
            SELECT 1 FROM period WHERE run = run.id AND job = run.job AND period = run.period)"),
    ("a request id stands for a run of its job", "
        SELECT run.id FROM request JOIN run ON run.id = request.run WHERE run.job <> request.job"),
    ("the owner of a run is a worker", "
        SELECT id FROM run WHERE worker IS NOT NULL AND worker NOT IN (SELECT id FROM worker)"),
    ("a run has a payload or says that it has none", "
        SELECT id FROM run WHERE has_payload <> EXISTS (SELECT 1 FROM payload WHERE run = run.id)"),
    ("no row names a run that is not there", "
        SELECT run FROM (SELECT run FROM payload UNION ALL SELECT run FROM attempt UNION ALL SELECT run FROM dead_letter)
        WHERE run NOT IN (SELECT id FROM run)"),
    ("a period has the rule that it came from", "
        SELECT id FROM period WHERE version NOT IN (SELECT id FROM schedule_version)"),
    ("a rule is kept with its zone", "
        SELECT id FROM schedule_version WHERE rule NOT IN (SELECT digest FROM content)
        OR zone NOT IN (SELECT digest FROM content)"),
    ("a run is found by its queue and by its tenant", "
        SELECT id FROM run WHERE NOT EXISTS (
            SELECT 1 FROM first_run WHERE kind = 'queue' AND name = queue AND part = id / 256 AND first_run.run <= id)
        OR (tenant <> '' AND NOT EXISTS (
            SELECT 1 FROM first_run WHERE kind = 'tenant' AND name = tenant AND part = id / 256 AND first_run.run <= id))"),
    ("the counters of a queue are the sum of those of its tenants", "
        SELECT count(*) FROM (
            SELECT queue, ready, delayed, running FROM queue_depth WHERE ready OR delayed OR running
            UNION ALL
            SELECT queue, sum(ready), sum(delayed), sum(running) FROM depth GROUP BY queue
            HAVING sum(ready) OR sum(delayed) OR sum(running))
        GROUP BY queue, ready, delayed, running HAVING count(*) <> 2"),
];

/// As `NEVER`, where the clock was right and no operator let an ended run start again.
const NEVER_IN_ORDER: &[(&str, &str)] = &[
    (
        "attempts of one run do not overlap",
        "
        SELECT later.run FROM attempt AS later JOIN attempt AS earlier
        ON earlier.run = later.run AND earlier.number = later.number - 1
        WHERE earlier.ended_ms > later.started_ms",
    ),
    (
        "at most once is at most once",
        "
        SELECT id FROM run WHERE guarantee = 'at-most-once' AND attempts > retried + 1",
    ),
];

/// Asserts all of them.
#[track_caller]
pub(crate) fn hold(world: &World) {
    let broken = broken(&open(world));
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Asserts what holds whatever the clock and operators do.
#[track_caller]
pub(crate) fn always(conn: &Connection) {
    let broken = broken_always(conn);
    assert!(broken.is_empty(), "{broken:#?}");
}

/// What does not hold.
pub(crate) fn broken(conn: &Connection) -> Vec<String> {
    let check: String = conn
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap_or_else(|error| error.to_string());
    if check != "ok" {
        return vec![check];
    }
    let mut broken = broken_always(conn);
    broken.extend(rows_against(conn, NEVER_IN_ORDER));
    broken
}

fn broken_always(conn: &Connection) -> Vec<String> {
    let mut broken = rows_against(conn, NEVER);
    let (counted, recounted) = (counted(conn), recounted(conn));
    if counted != recounted {
        broken.push(format!(
            "depth counters are {counted:?} and should be {recounted:?}"
        ));
    }
    broken
}

fn rows_against(conn: &Connection, never: &[(&str, &str)]) -> Vec<String> {
    let mut broken = Vec::new();
    for (claim, sql) in never {
        let mut statement = conn.prepare_cached(sql).expect(claim);
        let rows: Vec<i64> = statement
            .query_map([], |row| row.get(0))
            .expect(claim)
            .map(|row| row.expect(claim))
            .collect();
        if !rows.is_empty() {
            broken.push(format!("{claim}: not so for {rows:?}"));
        }
    }
    broken
}

type Depths = BTreeMap<(String, String), (i64, i64, i64)>;

fn depths(conn: &Connection, sql: &str) -> Depths {
    let mut statement = conn.prepare(sql).expect(sql);
    statement
        .query_map([], |row| {
            Ok((
                (row.get(0)?, row.get(1)?),
                (row.get(2)?, row.get(3)?, row.get(4)?),
            ))
        })
        .expect(sql)
        .map(|row| row.expect(sql))
        .filter(|(_, counts)| *counts != (0, 0, 0))
        .collect()
}

fn counted(conn: &Connection) -> Depths {
    depths(
        conn,
        "SELECT queue, tenant, ready, delayed, running FROM depth",
    )
}

fn recounted(conn: &Connection) -> Depths {
    depths(
        conn,
        "SELECT queue, tenant, sum(ready), sum(state = 'waiting' AND NOT ready), sum(state = 'running')
         FROM run GROUP BY queue, tenant",
    )
}

/// Processes that carry the mark of a claim of this world's store.
pub(crate) fn marked_processes(world: &World) -> Vec<u32> {
    let uuid: String = open(world)
        .query_row("SELECT uuid FROM store", [], |row| row.get(0))
        .expect("a uuid");
    let mark = format!("JOBCTL_RUN_MARK={uuid}.");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
        if environ
            .split(|&byte| byte == 0)
            .any(|entry| entry.starts_with(mark.as_bytes()))
        {
            found.push(pid);
        }
    }
    found
}
