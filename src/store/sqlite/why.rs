//! Reads the facts about what keeps a run from starting, in one snapshot; `flow::explain` interprets them.
//!
//! Rule: every read is bounded, by an index and a number, however many runs wait.

use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use super::flow;
use super::lanes::Lanes;
use super::workers::slots_of;
use crate::error::Result;
use crate::flow::Rules;
use crate::flow::explain::{AHEAD_MAX, Ahead, Facts, Head, HeldRun, Place, RunFacts, Worker};
use crate::run::{RunId, State, WorkerId};
use crate::store::Asked;

/// Number of lanes whose first run is read.
const LANES_MAX: usize = 256;

/// Number of lanes of one tenant in which runs ahead are counted.
const TENANT_LANES_MAX: usize = 64;

/// Number of predecessors that are named.
const NAMED: i64 = 5;

/// Number of gates, or of delayed runs, that are searched.
const LOOKED_AT: i64 = 10_000;

impl super::Store {
    /// The facts about a run; `None` if it does not exist.
    pub fn why(&self, asked: Asked<'_>, now_ms: i64) -> Result<Option<Facts>> {
        self.snapshot(|store| {
            let conn = store.connection()?;
            let rules = store.rules.borrow_mut().in_force(conn, now_ms)?;
            let mut facts = Facts {
                now_ms,
                throttles: flow::throttles(conn)?,
                paused_jobs: flow::paused_jobs(conn, now_ms)?,
                holders: holders(conn)?,
                workers: workers(conn)?,
                rules,
                ..Facts::default()
            };
            let run = match asked {
                Asked::Run(run) => Some(run),
                Asked::Job(job, queue) => {
                    queue.clone_into(&mut facts.place.queue);
                    job.clone_into(&mut facts.place.job);
                    next_of_job(conn, job)?
                }
                Asked::Queue(queue) => {
                    queue.clone_into(&mut facts.place.queue);
                    heads(conn, queue, &mut facts)?;
                    match facts.first(queue) {
                        Some(run) => Some(run),
                        None => next_delayed(conn, queue)?,
                    }
                }
            };
            if let Some(run) = run {
                let Some((place, order_key, run)) = run_facts(conn, run)? else {
                    return Ok(None);
                };
                if run.state == State::Waiting {
                    facts.ahead = ahead(conn, &place, order_key, run.run)?;
                }
                facts.place = place;
                facts.run = Some(run);
            }
            facts.job_known = knows_job(conn, &facts.place.job)?;
            facts.heads.clear();
            let queue = facts.place.queue.clone();
            let Rules { queues, .. } = &facts.rules.rules;
            let mut ranked: Vec<(i64, String)> = queues
                .iter()
                .map(|(name, rules)| (rules.rank, name.clone()))
                .filter(|place| *place < (facts.rank(&queue), queue.clone()))
                .collect();
            ranked.sort();
            for (_, queue) in ranked {
                heads(conn, &queue, &mut facts)?;
            }
            heads(conn, &queue, &mut facts)?;
            Ok(Some(facts))
        })
    }

    /// Whether the store has a queue, by the rules in force or because of present or past runs; and all queues of the rules.
    pub fn knows_queue(&self, queue: &str, now_ms: i64) -> Result<(bool, Vec<String>)> {
        const SQL: &str = "SELECT 1 FROM depth WHERE queue = ?1 LIMIT 1";
        let conn = self.connection()?;
        let rules = self.rules.borrow_mut().in_force(conn, now_ms)?;
        let names: Vec<String> = rules.rules.queues.keys().cloned().collect();
        let known =
            names.iter().any(|name| name == queue) || conn.prepare_cached(SQL)?.exists([queue])?;
        Ok((known, names))
    }
}

/// A run with its lane and its place in the order.
fn run_facts(conn: &Connection, run: RunId) -> Result<Option<(Place, i64, RunFacts)>> {
    const SQL: &str = "
        SELECT queue, tenant, job, order_key, state, due_ms, deadline_ms, attempts, failures, max_attempts,
            limited_ms IS NOT NULL AS limited, worker, ended_ms, cancel_ms, cancel_by,
            reason, last_error, gates
        FROM run WHERE id = :run";
    const ATTEMPT: &str = "
        SELECT number, started_ms FROM attempt WHERE run = :run AND ended_ms IS NULL ORDER BY number DESC LIMIT 1";
    let read = |row: &Row<'_>| {
        let state: String = row.get("state")?;
        let cancel_ms: Option<i64> = row.get("cancel_ms")?;
        let cancel_by: Option<String> = row.get("cancel_by")?;
        let facts = RunFacts {
            run,
            // The CHECK of the schema allows no other word.
            state: State::from_word(&state).unwrap_or(State::Dead),
            due_ms: row.get("due_ms")?,
            deadline_ms: row.get("deadline_ms")?,
            attempts: row.get("attempts")?,
            failures: row.get("failures")?,
            max_attempts: row.get("max_attempts")?,
            limited: row.get("limited")?,
            worker: row.get::<_, Option<i64>>("worker")?.map(WorkerId),
            attempt: None,
            ended_ms: row.get("ended_ms")?,
            cancel: cancel_ms.map(|ms| (ms, cancel_by)),
            reason: row.get("reason")?,
            last_error: row.get("last_error")?,
            gates: row.get("gates")?,
            after: Vec::new(),
        };
        Ok((place_of(row)?, row.get("order_key")?, facts))
    };
    let found: Option<(Place, i64, RunFacts)> = conn
        .prepare_cached(SQL)?
        .query_row(named_params! {":run": run.0}, read)
        .optional()?;
    let Some((place, order_key, mut facts)) = found else {
        return Ok(None);
    };
    if facts.state == State::Running {
        facts.attempt = conn
            .prepare_cached(ATTEMPT)?
            .query_row(named_params! {":run": run.0}, |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
    }
    if facts.gates > 0 {
        facts.after = predecessors(conn, run)?;
    }
    Ok(Some((place, order_key, facts)))
}

/// Some of the runs that must end first, found in a bounded part of the gates; the caller knows their total number.
fn predecessors(conn: &Connection, run: RunId) -> Result<Vec<(RunId, State)>> {
    const SQL: &str = "
        SELECT first.run, run.state FROM (
            SELECT run, successor FROM gate WHERE run < ?1 ORDER BY run DESC LIMIT ?2) AS first
        JOIN run ON run.id = first.run
        WHERE first.successor = ?1 LIMIT ?3";
    let mut statement = conn.prepare_cached(SQL)?;
    let rows = statement.query_map([run.0, LOOKED_AT, NAMED], |row| {
        let state: String = row.get(1)?;
        Ok((
            RunId(row.get(0)?),
            State::from_word(&state).unwrap_or(State::Waiting),
        ))
    })?;
    let mut rows: Vec<(RunId, State)> = rows.collect::<Result<_, _>>()?;
    rows.sort_unstable_by_key(|(run, _)| *run);
    Ok(rows)
}

/// All running runs.
fn holders(conn: &Connection) -> Result<Vec<HeldRun>> {
    const SQL: &str = "
        SELECT queue, tenant, job, id, worker, limits, fence
        FROM run INDEXED BY run_worker WHERE worker IS NOT NULL AND state = 'running' ORDER BY id";
    let mut statement = conn.prepare_cached(SQL)?;
    let rows = statement.query_map([], |row| {
        Ok(HeldRun {
            place: place_of(row)?,
            run: RunId(row.get("id")?),
            worker: WorkerId(row.get("worker")?),
            limits: row.get::<_, Option<String>>("limits")?.unwrap_or_default(),
            fence: row.get("fence")?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn workers(conn: &Connection) -> Result<Vec<Worker>> {
    const SQL: &str =
        "SELECT id, queues, slots, stop_ms IS NOT NULL AS stopping, parent FROM worker ORDER BY id";
    let mut statement = conn.prepare_cached(SQL)?;
    let rows = statement.query_map([], |row| {
        Ok(Worker {
            worker: WorkerId(row.get("id")?),
            queues: row.get("queues")?,
            slots: slots_of(row)?,
            stopping: row.get("stopping")?,
            parent: row.get::<_, Option<i64>>("parent")?.map(WorkerId),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether a loaded catalogue has the job; `None` if none was loaded.
pub(super) fn knows_job(conn: &Connection, job: &str) -> Result<Option<bool>> {
    const SQL: &str = "
        SELECT max(EXISTS (SELECT 1 FROM catalogue_job WHERE path = catalogue.path AND job = ?1)) FROM catalogue";
    Ok(conn
        .prepare_cached(SQL)?
        .query_row([job], |row| row.get(0))?)
}

/// The first runs of a queue's lanes, added to those of other queues.
fn heads(conn: &Connection, queue: &str, facts: &mut Facts) -> Result<()> {
    let mut lanes = Lanes::of(conn, queue)?;
    let mut next = Some(String::new());
    while let Some(tenant) = next {
        let mut at = String::new();
        while let Some(head) = lanes.behind(&tenant, &at)? {
            if facts.heads.len() >= LANES_MAX {
                facts.heads_cut = true;
                return Ok(());
            }
            at.clone_from(&head.job);
            facts.heads.push(Head {
                place: Place {
                    queue: queue.to_owned(),
                    tenant: tenant.clone(),
                    job: head.job,
                },
                run: head.first.run,
                order_key: head.first.order_key,
            });
        }
        next = lanes.tenant_after(&tenant)?;
    }
    Ok(())
}

/// Ready runs before this one, in each lane of its tenant in its queue.
fn ahead(conn: &Connection, place: &Place, order_key: i64, run: RunId) -> Result<Vec<Ahead>> {
    // Two statements, for the reason given in `lanes`.
    const BEFORE: &str = "
        SELECT count(*) FROM (
            SELECT 1 FROM run INDEXED BY run_ready
            WHERE ready = 1 AND queue = ?1 AND tenant = ?2 AND job = ?3 AND order_key < ?4 LIMIT ?5)";
    const EQUAL: &str = "
        SELECT count(*) FROM (
            SELECT 1 FROM run INDEXED BY run_ready
            WHERE ready = 1 AND queue = ?1 AND tenant = ?2 AND job = ?3 AND order_key = ?4 AND id < ?5 LIMIT ?6)";
    let Place { queue, tenant, job } = place;
    let count = |job: &str| -> Result<i64> {
        let mut before = conn.prepare_cached(BEFORE)?;
        let n: i64 = before
            .query_row(params![queue, tenant, job, order_key, AHEAD_MAX], |row| {
                row.get(0)
            })?;
        let mut equal = conn.prepare_cached(EQUAL)?;
        let values = params![queue, tenant, job, order_key, run.0, AHEAD_MAX - n];
        let more: i64 = equal.query_row(values, |row| row.get(0))?;
        Ok(n + more)
    };
    let mut all = vec![Ahead {
        job: job.clone(),
        runs: count(job)?,
    }];
    let mut lanes = Lanes::of(conn, queue)?;
    let mut at = String::new();
    for _ in 0..TENANT_LANES_MAX {
        let Some(head) = lanes.behind(tenant, &at)? else {
            break;
        };
        if head.job != *job {
            all.push(Ahead {
                runs: count(&head.job)?,
                job: head.job.clone(),
            });
        }
        at = head.job;
    }
    Ok(all)
}

/// The next waiting run of a job: the first of its ready ones, or the first due among its newest.
fn next_of_job(conn: &Connection, job: &str) -> Result<Option<RunId>> {
    const LANES: &str = "
        SELECT queue, tenant FROM depth WHERE ready > 0 LIMIT ?1";
    const HEAD: &str = "
        SELECT order_key, id FROM run INDEXED BY run_ready
        WHERE ready = 1 AND queue = ?1 AND tenant = ?2 AND job = ?3 ORDER BY order_key, id LIMIT 1";
    const NEWEST: &str = "
        SELECT id FROM (
            SELECT id, state, due_ms FROM run INDEXED BY run_job WHERE job = ?1 ORDER BY id DESC LIMIT ?2)
        WHERE state = 'waiting' ORDER BY due_ms, id LIMIT 1";
    let mut lanes = conn.prepare_cached(LANES)?;
    let lanes = lanes.query_map([LANES_MAX as i64], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    })?;
    let mut head = conn.prepare_cached(HEAD)?;
    let mut first: Option<(i64, i64)> = None;
    for lane in lanes {
        let (queue, tenant) = lane?;
        let found = head.query_row([queue.as_str(), &tenant, job], |row| {
            Ok((row.get(0)?, row.get(1)?))
        });
        first = [first, found.optional()?].into_iter().flatten().min();
    }
    if let Some((_, run)) = first {
        return Ok(Some(RunId(run)));
    }
    let mut newest = conn.prepare_cached(NEWEST)?;
    let run = newest.query_row(params![job, LOOKED_AT], |row| row.get(0).map(RunId));
    Ok(run.optional()?)
}

/// The run of a queue that is due next, among those of all queues that are.
fn next_delayed(conn: &Connection, queue: &str) -> Result<Option<RunId>> {
    const SQL: &str = "
        SELECT id FROM (
            SELECT id, queue, due_ms FROM run INDEXED BY run_due
            WHERE state = 'waiting' AND ready = 0 AND worker IS NULL AND gates = 0 ORDER BY due_ms LIMIT ?2)
        WHERE queue = ?1 ORDER BY due_ms, id LIMIT 1";
    let mut statement = conn.prepare_cached(SQL)?;
    let run = statement.query_row(params![queue, LOOKED_AT], |row| row.get(0).map(RunId));
    Ok(run.optional()?)
}

/// The lane of a run.
fn place_of(row: &Row<'_>) -> rusqlite::Result<Place> {
    Ok(Place {
        queue: row.get("queue")?,
        tenant: row.get("tenant")?,
        job: row.get("job")?,
    })
}
