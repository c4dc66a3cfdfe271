//! Hands ready runs to a worker: queues by rank, tenants in turn, then each lane in its order.
//!
//! A lane is (queue, tenant, job). Whether a lane is open is judged once per claim and before any of its rows is read, so a
//! million runs of a paused job in front cost one seek.

use std::collections::{HashMap, HashSet, VecDeque};

use rusqlite::{OptionalExtension, Row, params};

use super::lanes::{first_lane_behind, next_lane};
use super::writer::{Depth, Tx};
use crate::error::{Error, Kind, Result};
use crate::run::{Event, Fence, Guarantee, RunId, State, Trigger, WorkerId};
use crate::store::{Burial, ClaimRequest, Claimed, Claims, Waiting};

/// Delayed runs made ready per transaction.
const PROMOTE_MAX: i64 = 1000;

/// Expired runs buried per transaction.
const EXPIRE_MAX: i64 = 100;

/// Tenants looked at per queue and claim; the next claim goes on behind them.
const TENANTS_MAX: usize = 256;

/// Where each queue's turn of tenants stands; kept by the worker between claims.
#[derive(Debug, Default)]
pub struct Turns(HashMap<String, String>);

impl Tx<'_> {
    /// Makes due runs ready; whether more may be due.
    pub fn promote(&mut self, now_ms: i64) -> Result<bool> {
        const SQL: &str = "
            UPDATE run SET ready = 1, wait_set_ms = NULL
            WHERE id IN (
                SELECT id FROM run INDEXED BY run_due
                WHERE state = 'waiting' AND ready = 0 AND worker IS NULL AND gates = 0 AND due_ms <= ?1
                ORDER BY due_ms LIMIT ?2)
            RETURNING queue, tenant";
        let mut statement = self.conn.prepare_cached(SQL)?;
        let rows: Vec<(String, String)> = statement
            .query_map([now_ms, PROMOTE_MAX], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (queue, tenant) in &rows {
            self.count(queue, tenant, Depth::DELAYED, Depth::READY);
        }
        Ok(rows.len() as i64 == PROMOTE_MAX)
    }

    /// The wall clock stepped back: relative waits that began later than now begin anew with their own length.
    pub fn restart_waits(&mut self, now_ms: i64) -> Result<bool> {
        const SQL: &str = "
            UPDATE run SET due_ms = ?1 + (due_ms - wait_set_ms), wait_set_ms = ?1
            WHERE id IN (
                SELECT id FROM run INDEXED BY run_due
                WHERE state = 'waiting' AND ready = 0 AND worker IS NULL AND gates = 0 AND due_ms > ?1 AND wait_set_ms > ?1
                LIMIT ?2)";
        let changed = self
            .conn
            .prepare_cached(SQL)?
            .execute([now_ms, PROMOTE_MAX])?;
        Ok(changed as i64 == PROMOTE_MAX)
    }

    /// Buries waiting runs whose deadline has passed.
    pub fn expire(&mut self, now_ms: i64) -> Result<Vec<Burial>> {
        const SQL: &str = "
            SELECT id FROM run INDEXED BY run_deadline
            WHERE state = 'waiting' AND deadline_ms IS NOT NULL AND deadline_ms <= ?1
            ORDER BY deadline_ms LIMIT ?2";
        let runs: Vec<i64> = self
            .conn
            .prepare_cached(SQL)?
            .query_map([now_ms, EXPIRE_MAX], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        runs.into_iter()
            .map(|run| self.bury_expired(RunId(run), now_ms))
            .collect()
    }

    /// Takes up to `max` runs for a worker.
    pub fn claim(&mut self, request: &ClaimRequest<'_>, turns: &mut Turns) -> Result<Claims> {
        let mut claims = Claims {
            full: request.max == 0,
            ..Claims::default()
        };
        let paused = paused_jobs(self.conn)?;
        let open = |job: &str| !paused.contains(job) && (request.knows)(job);
        for queue in request.queues {
            self.claim_from(queue, request, &open, turns, &mut claims)?;
            if claims.wants_idle || claims.full {
                break;
            }
        }
        Ok(claims)
    }

    fn claim_from(
        &mut self,
        queue: &str,
        request: &ClaimRequest<'_>,
        open: &dyn Fn(&str) -> bool,
        turns: &mut Turns,
        claims: &mut Claims,
    ) -> Result<()> {
        let wanted = request.max - claims.runs.len();
        let start = turns.0.get(queue).cloned();
        let (mut tenants, mut cut) =
            self.tenants_behind(queue, start.as_deref(), None, open, wanted)?;
        if let (Some(start), true, true) = (&start, tenants.len() < wanted, cut.is_none()) {
            let (rest, rest_cut) =
                self.tenants_behind(queue, None, Some(start), open, wanted - tenants.len())?;
            tenants.extend(rest);
            cut = rest_cut;
        }
        while let Some(mut tenant) = tenants.pop_front() {
            let Some((lane, run)) = tenant.front(self, queue, wanted)? else {
                continue;
            };
            // Beyond the free slots only what is short: anything else would wait here while another worker is idle.
            if claims.runs.len() >= request.free && !(request.is_short)(&tenant.lanes[lane].job) {
                claims.full = true;
                return Ok(());
            }
            tenant.lanes[lane].rows.pop_front();
            if claims.fence == 0 {
                // A number for each run that may be taken; what is left over is never used. Not before there is one: a
                // claim that takes nothing writes nothing and wakes nobody.
                claims.fence = self.fences(request.max as i64)?;
            }
            let claimed = self.take(run, request, claims.fence)?;
            claims.fence += 1;
            let alone = claimed.must_be_alone();
            if alone && !(request.idle && claims.runs.is_empty()) {
                // It stays where it is until the worker is idle.
                self.unclaim(claimed.run, claimed.fence)?;
                claims.wants_idle = true;
                return Ok(());
            }
            claims.runs.push(claimed);
            turns.0.insert(queue.to_owned(), tenant.name.clone());
            if alone {
                claims.wants_idle = true;
                return Ok(());
            }
            if claims.runs.len() >= request.max {
                claims.full = true;
                return Ok(());
            }
            tenants.push_back(tenant);
        }
        if let Some(last) = cut {
            // Too many tenants without an open lane: the next claim looks further.
            turns.0.insert(queue.to_owned(), last);
            claims.full = true;
        }
        Ok(())
    }

    /// Tenants of a queue that have an open lane: those after `after`, up to and with `upto`; and the last tenant looked at
    /// where there were too many.
    fn tenants_behind(
        &self,
        queue: &str,
        after: Option<&str>,
        upto: Option<&str>,
        open: &dyn Fn(&str) -> bool,
        max: usize,
    ) -> Result<(VecDeque<Tenant>, Option<String>)> {
        let mut tenants: VecDeque<Tenant> = VecDeque::new();
        let mut visited = 0;
        let mut last_tenant = None;
        let mut found = match after {
            Some(after) => first_lane_behind(self.conn, queue, after)?,
            None => next_lane(self.conn, queue, "", "")?,
        };
        while let Some((tenant, job)) = found {
            if upto.is_some_and(|upto| tenant.as_str() > upto) {
                break;
            }
            let new = tenants.back().is_none_or(|last| last.name != tenant);
            if new && tenants.len() >= max {
                break;
            }
            if new && visited >= TENANTS_MAX {
                return Ok((tenants, last_tenant));
            }
            if open(&job) {
                if new {
                    tenants.push_back(Tenant {
                        name: tenant.clone(),
                        lanes: Vec::new(),
                    });
                }
                if let Some(last) = tenants.back_mut() {
                    last.lanes.push(Lane {
                        job: job.clone(),
                        rows: VecDeque::new(),
                        last: None,
                        ended: false,
                    });
                }
            }
            if new {
                visited += 1;
                last_tenant = Some(tenant.clone());
            }
            found = next_lane(self.conn, queue, &tenant, &job)?;
        }
        Ok((tenants, None))
    }

    fn take(&mut self, run: i64, request: &ClaimRequest<'_>, fence: i64) -> Result<Claimed> {
        const SQL: &str = "
            UPDATE run SET state = 'running', ready = 0, worker = ?2, fence = ?3
            WHERE id = ?1 AND state = 'waiting' AND ready = 1
            RETURNING id, fence, job, queue, tenant, attempts + 1, failures, crashes, max_attempts, max_crashes,
                guarantee, deadline_ms, limited_ms, params, has_payload, idempotency_key, trigger, parent,
                correlation_id, initiator, business_key, traceparent, exit_code, last_error,
                period, scheduled_ms, business_date";
        debug_assert_eq!(State::Waiting.after(Event::Claim), Some(State::Running));
        let (mut claimed, has_payload) = self
            .conn
            .prepare_cached(SQL)?
            .query_row(params![run, request.worker.0, fence], claimed_row)?;
        if has_payload {
            claimed.payload = Some(self.payload_of(claimed.run)?);
        }
        if claimed.period.is_some() {
            claimed.previous_success_ms = self.succeeded_ms(&claimed.job)?;
        }
        self.count(
            &claimed.queue,
            &claimed.tenant,
            Depth::READY,
            Depth::RUNNING,
        );
        Ok(claimed)
    }

    /// Keeps a waiting run for one worker (`run JOB`): no other claims it.
    pub fn keep_for(&mut self, run: RunId, worker: WorkerId) -> Result<()> {
        const LOOK: &str =
            "SELECT queue, tenant, ready FROM run WHERE id = ?1 AND state = 'waiting'";
        const SQL: &str =
            "UPDATE run SET ready = 0, worker = ?2 WHERE id = ?1 AND state = 'waiting'";
        let (queue, tenant, ready): (String, String, bool) = self
            .conn
            .prepare_cached(LOOK)?
            .query_row([run.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        self.conn.prepare_cached(SQL)?.execute([run.0, worker.0])?;
        self.count(&queue, &tenant, Depth::waiting(ready), Depth::DELAYED);
        Ok(())
    }

    /// Takes the waiting run that this worker keeps for itself (`run JOB`), if it is due.
    pub fn claim_kept(
        &mut self,
        run: RunId,
        request: &ClaimRequest<'_>,
        now_ms: i64,
    ) -> Result<Option<Claimed>> {
        const SQL: &str = "
            UPDATE run SET ready = 1, worker = NULL
            WHERE id = ?1 AND state = 'waiting' AND worker = ?2 AND due_ms <= ?3 AND gates = 0 RETURNING queue, tenant";
        let mut statement = self.conn.prepare_cached(SQL)?;
        let row: Option<(String, String)> = statement
            .query_row(params![run.0, request.worker.0, now_ms], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        drop(statement);
        let Some((queue, tenant)) = row else {
            return Ok(None);
        };
        self.count(&queue, &tenant, Depth::DELAYED, Depth::READY);
        let fence = self.fences(1)?;
        self.take(run.0, request, fence).map(Some)
    }

    fn payload_of(&self, run: RunId) -> Result<Vec<u8>> {
        const SQL: &str = "SELECT body FROM payload WHERE run = ?1";
        Ok(self
            .conn
            .prepare_cached(SQL)?
            .query_row([run.0], |row| row.get(0))?)
    }
}

fn claimed_row(row: &Row<'_>) -> rusqlite::Result<(Claimed, bool)> {
    let guarantee: String = row.get(10)?;
    let trigger: String = row.get(16)?;
    let claimed = Claimed {
        run: RunId(row.get(0)?),
        fence: Fence(row.get(1)?),
        job: row.get(2)?,
        queue: row.get(3)?,
        tenant: row.get(4)?,
        attempt: row.get(5)?,
        failures: row.get(6)?,
        crashes: row.get(7)?,
        max_attempts: row.get(8)?,
        max_crashes: row.get(9)?,
        guarantee: Guarantee::from_word(&guarantee).unwrap_or(Guarantee::AtMostOnce),
        deadline_ms: row.get(11)?,
        limited_ms: row.get(12)?,
        params: row.get(13)?,
        payload: None,
        idempotency_key: row.get(15)?,
        trigger: Trigger::from_word(&trigger).unwrap_or(Trigger::Manual),
        parent: row.get::<_, Option<i64>>(17)?.map(RunId),
        correlation_id: row.get(18)?,
        initiator: row.get(19)?,
        business_key: row.get(20)?,
        traceparent: row.get(21)?,
        last_exit_code: row.get(22)?,
        last_error: row.get(23)?,
        period: super::runs::period_of(row, 24)?,
        previous_success_ms: None,
    };
    Ok((claimed, row.get(14)?))
}

/// A tenant with the open lanes that it has in one queue.
struct Tenant {
    name: String,
    lanes: Vec<Lane>,
}

/// The front rows of one (queue, tenant, job).
struct Lane {
    job: String,
    /// (order key, run), not yet taken.
    rows: VecDeque<(i64, i64)>,
    /// The last row read.
    last: Option<(i64, i64)>,
    ended: bool,
}

impl Tenant {
    /// The lane and run that are next: the smallest order key over all lanes, then the smallest id.
    fn front(&mut self, tx: &Tx<'_>, queue: &str, wanted: usize) -> Result<Option<(usize, i64)>> {
        // A tenant with many lanes gives few rows from each.
        let page = (wanted / self.lanes.len().max(1)).clamp(1, 64);
        let mut best: Option<(i64, i64, usize)> = None;
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            lane.fill(tx, queue, &self.name, page)?;
            if let Some(&(key, run)) = lane.rows.front()
                && best.is_none_or(|(best_key, best_run, _)| (key, run) < (best_key, best_run))
            {
                best = Some((key, run, index));
            }
        }
        Ok(best.map(|(_, run, index)| (index, run)))
    }
}

impl Lane {
    fn fill(&mut self, tx: &Tx<'_>, queue: &str, tenant: &str, page: usize) -> Result<()> {
        const EQUAL: &str = "
            SELECT order_key, id FROM run INDEXED BY run_ready
            WHERE ready = 1 AND queue = ?1 AND tenant = ?2 AND job = ?3 AND order_key = ?4 AND id > ?5
            ORDER BY id LIMIT ?6";
        const BEHIND: &str = "
            SELECT order_key, id FROM run INDEXED BY run_ready
            WHERE ready = 1 AND queue = ?1 AND tenant = ?2 AND job = ?3 AND order_key > ?4
            ORDER BY order_key, id LIMIT ?5";
        if !self.rows.is_empty() || self.ended {
            return Ok(());
        }
        let pair = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        // Runs that were enqueued together have the same order key: among them the id decides. Two statements, for the reason
        // given in `lanes`.
        if let Some((key, run)) = self.last {
            let mut statement = tx.conn.prepare_cached(EQUAL)?;
            let values = params![queue, tenant, self.job, key, run, page as i64];
            self.rows = statement
                .query_map(values, pair)?
                .collect::<Result<_, _>>()?;
        }
        let missing = page - self.rows.len();
        if missing > 0 {
            let behind = self.last.map_or(i64::MIN, |(key, _)| key);
            let mut statement = tx.conn.prepare_cached(BEHIND)?;
            let values = params![queue, tenant, self.job, behind, missing as i64];
            for row in statement.query_map(values, pair)? {
                self.rows.push_back(row?);
            }
        }
        self.last = self.rows.back().copied().or(self.last);
        self.ended = self.rows.len() < page;
        Ok(())
    }
}

impl super::Store {
    /// When the next delayed run becomes due or a waiting one expires, milliseconds. Ready runs do not count: after a claim
    /// that took nothing they wait for something else than time.
    pub fn next_due(&self) -> Result<Option<i64>> {
        const DUE: &str = "
            SELECT due_ms FROM run INDEXED BY run_due
            WHERE state = 'waiting' AND ready = 0 AND worker IS NULL AND gates = 0 ORDER BY due_ms LIMIT 1";
        const DEADLINE: &str = "
            SELECT deadline_ms FROM run INDEXED BY run_deadline
            WHERE state = 'waiting' AND deadline_ms IS NOT NULL ORDER BY deadline_ms LIMIT 1";
        let conn = self.connection()?;
        let due: Option<i64> = conn
            .prepare_cached(DUE)?
            .query_row([], |row| row.get(0))
            .optional()?;
        let deadline: Option<i64> = conn
            .prepare_cached(DEADLINE)?
            .query_row([], |row| row.get(0))
            .optional()?;
        Ok([due, deadline].into_iter().flatten().min())
    }
}

impl super::Store {
    /// Waiting runs by queue and job: how many, and the earliest due time of those not yet due.
    pub fn waiting(&self) -> Result<Vec<Waiting>> {
        const SQL: &str = "
            SELECT queue, job, count(*), NULL FROM run INDEXED BY run_ready WHERE ready = 1
            GROUP BY queue, job
            UNION ALL
            SELECT queue, job, count(*), NULL FROM run INDEXED BY run_gated
            WHERE gates > 0 AND state = 'waiting' AND worker IS NULL GROUP BY queue, job
            UNION ALL
            SELECT queue, job, count(*), min(due_ms) FROM run INDEXED BY run_due
            WHERE state = 'waiting' AND ready = 0 AND worker IS NULL AND gates = 0 GROUP BY queue, job";
        let mut statement = self.connection()?.prepare_cached(SQL)?;
        let rows = statement
            .query_map([], |row| {
                Ok(Waiting {
                    queue: row.get(0)?,
                    job: row.get(1)?,
                    runs: row.get(2)?,
                    due_ms: row.get(3)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// State of a run, its due time, and the worker that runs or keeps it.
    pub fn whereabouts(&self, run: RunId) -> Result<Option<(State, i64, Option<WorkerId>)>> {
        const SQL: &str = "SELECT state, due_ms, worker FROM run WHERE id = ?1";
        let row: Option<(String, i64, Option<i64>)> = self
            .connection()?
            .prepare_cached(SQL)?
            .query_row([run.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        Ok(row.and_then(|(state, due_ms, worker)| {
            Some((State::from_word(&state)?, due_ms, worker.map(WorkerId)))
        }))
    }

    /// Names of the paused jobs.
    pub fn paused_jobs(&self) -> Result<HashSet<String>> {
        paused_jobs(self.connection()?)
    }
}

fn paused_jobs(conn: &rusqlite::Connection) -> Result<HashSet<String>> {
    let mut statement = conn.prepare_cached("SELECT job FROM pause")?;
    let jobs = statement
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(jobs)
}

/// What a bad transition answers.
pub(super) fn no_such_move(what: &str) -> Error {
    Error::new(Kind::Bug, format!("the store refused to {what}"))
}
