//! Invariants that the rows of every store must satisfy.
//!
//! Rule: reads only; each invariant is one query for the rows that violate it. The queries read whole tables, so they run only on
//! request.

use rusqlite::Connection;

use crate::error::Result;
use crate::store::Violation;

/// Number of rows that are named for one violation.
const NAMED_MAX: usize = 10;

/// Each invariant, and the query for the rows that violate it.
const INVARIANTS: &[(&str, &str)] = &[
    (
        "a running run has a worker",
        "SELECT id FROM run WHERE state = 'running' AND (worker IS NULL OR worker NOT IN (SELECT id FROM worker))",
    ),
    (
        "an ended run has an end and no worker",
        "SELECT id FROM run WHERE state IN ('succeeded', 'dead', 'cancelled') AND (ended_ms IS NULL OR worker IS NOT NULL)",
    ),
    (
        "a dead run has a dead letter, open unless discarded",
        "SELECT id FROM run WHERE state = 'dead' AND NOT EXISTS (
            SELECT 1 FROM dead_letter WHERE run = run.id AND (closed_ms IS NULL OR closed = 'discarded'))",
    ),
    (
        "only dead runs have open dead letters",
        "SELECT run FROM dead_letter WHERE closed_ms IS NULL
            AND (SELECT state FROM run WHERE id = dead_letter.run) IS NOT 'dead'",
    ),
    (
        "failures, crashes and releases were attempts",
        "SELECT id FROM run WHERE failures > max_attempts OR failures + crashes + releases > attempts",
    ),
    (
        "a success was started",
        "SELECT id FROM run WHERE state = 'succeeded' AND attempts < 1",
    ),
    (
        "attempts are numbered without gaps",
        "SELECT id FROM run WHERE state <> 'running' AND attempts <> (SELECT count(*) FROM attempt WHERE run = run.id)",
    ),
    (
        "only a running run has an open attempt, and only one",
        "SELECT run FROM attempt WHERE ended_ms IS NULL GROUP BY run
            HAVING count(*) > 1 OR (SELECT state FROM run WHERE id = attempt.run) IS NOT 'running'",
    ),
    (
        "nothing ended before it started",
        "SELECT id FROM run WHERE ended_ms < started_ms UNION SELECT run FROM attempt WHERE ended_ms < started_ms",
    ),
    (
        "a fence is not above the counter of the store",
        "SELECT id FROM run WHERE fence > (SELECT fence FROM store)",
    ),
    (
        "a payload belongs to a run that has one, and the other way round",
        "SELECT run FROM payload WHERE (SELECT has_payload FROM run WHERE id = payload.run) IS NOT 1
         UNION ALL SELECT id FROM run WHERE has_payload AND NOT EXISTS (SELECT 1 FROM payload WHERE run = run.id)",
    ),
    (
        "the counters of queues equal what is in them",
        "SELECT queue || ' ' || tenant FROM (
            SELECT queue, tenant, ready, delayed, running FROM depth WHERE ready OR delayed OR running
            UNION ALL
            SELECT queue, tenant, sum(ready), sum(state = 'waiting' AND NOT ready), sum(state = 'running')
            FROM run WHERE state IN ('waiting', 'running') GROUP BY queue, tenant)
         GROUP BY queue, tenant, ready, delayed, running HAVING count(*) <> 2",
    ),
    (
        "the counters of a queue are the sum of those of its tenants",
        "SELECT queue FROM (
            SELECT queue, ready, delayed, running FROM queue_depth WHERE ready OR delayed OR running
            UNION ALL
            SELECT queue, sum(ready), sum(delayed), sum(running) FROM depth WHERE ready OR delayed OR running GROUP BY queue)
         GROUP BY queue, ready, delayed, running HAVING count(*) <> 2",
    ),
    (
        "a run is found by its queue and by its tenant",
        "SELECT id FROM run WHERE NOT EXISTS (
                SELECT 1 FROM first_run WHERE kind = 'queue' AND name = queue AND part = id / 256 AND first_run.run <= id)
            OR (tenant <> '' AND NOT EXISTS (
                SELECT 1 FROM first_run WHERE kind = 'tenant' AND name = tenant AND part = id / 256 AND first_run.run <= id))",
    ),
    (
        "a run waits for as many runs as it has gates",
        "SELECT id FROM run WHERE state IN ('waiting', 'running')
            AND gates <> (SELECT count(*) FROM gate WHERE successor = run.id)",
    ),
    (
        "a gate is held by a run that has not ended, or is dead and stops its sequence",
        "SELECT run FROM gate WHERE (
            SELECT state IN ('waiting', 'running') OR (state = 'dead' AND sequence_place IS NOT NULL)
            FROM run WHERE id = gate.run) IS NOT 1",
    ),
    (
        "of one sequence at most one run is running",
        "SELECT max(id) FROM run WHERE state = 'running' AND sequence_key IS NOT NULL
            GROUP BY job, sequence_key HAVING count(*) > 1",
    ),
    (
        "a run has a place in its sequence until it ends, a dead one that stops it until its dead letter is closed",
        "SELECT id FROM run WHERE sequence_key IS NOT NULL
            AND (sequence_place IS NOT NULL) <> (state IN ('waiting', 'running') OR (state = 'dead' AND sequence_stops
                AND EXISTS (SELECT 1 FROM dead_letter WHERE run = run.id AND closed_ms IS NULL)))",
    ),
    (
        "a run waits for the one before it in its sequence",
        "SELECT id FROM (
            SELECT id, lag(id) OVER (PARTITION BY job, sequence_key ORDER BY sequence_place) AS before
            FROM run WHERE sequence_place IS NOT NULL)
         WHERE before IS NOT NULL AND NOT EXISTS (SELECT 1 FROM gate WHERE gate.run = before AND successor = id)",
    ),
    (
        "a period has at most one run of its schedule",
        "SELECT job || ' ' || period FROM run WHERE trigger = 'period' GROUP BY job, period HAVING count(*) > 1",
    ),
    (
        "a run of a schedule is named by the row of its period",
        "SELECT id FROM run WHERE trigger = 'period' AND NOT EXISTS (
            SELECT 1 FROM period WHERE period.job = run.job AND period.period = run.period AND period.run = run.id)",
    ),
    (
        "an opened period has a run, any other has none",
        "SELECT job || ' ' || period FROM period WHERE (result IN ('opened', 'caught_up')) <> (run IS NOT NULL)",
    ),
];

impl super::Store {
    /// Checks every row. Returns the violated invariants.
    pub fn verify(&self) -> Result<Vec<Violation>> {
        let conn = self.connection()?;
        let mut violations = integrity(conn)?;
        for (invariant, sql) in INVARIANTS {
            let rows = rows(conn, sql)?;
            if !rows.is_empty() {
                violations.push(Violation { invariant, rows });
            }
        }
        Ok(violations)
    }

    /// Number of invariants that [`super::Store::verify`] checks.
    pub fn invariants() -> usize {
        INVARIANTS.len() + 1
    }
}

fn integrity(conn: &Connection) -> Result<Vec<Violation>> {
    let rows = rows(conn, "PRAGMA integrity_check")?;
    Ok(if rows == ["ok"] {
        Vec::new()
    } else {
        vec![Violation {
            invariant: "the database is not damaged",
            rows,
        }]
    })
}

fn rows(conn: &Connection, sql: &str) -> Result<Vec<String>> {
    use rusqlite::types::ValueRef;
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while found.len() < NAMED_MAX
        && let Some(row) = rows.next()?
    {
        found.push(match row.get_ref(0)? {
            ValueRef::Integer(n) => n.to_string(),
            ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            _ => String::new(),
        });
    }
    Ok(found)
}
