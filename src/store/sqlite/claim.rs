//! Transitions of waiting runs by a worker: promote, expire, take, reserve; `lane_walk` selects the runs.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::flow;
use super::labels::{label_columns, labels_of};
use super::writer::{Depth, Tx};
use crate::error::Result;
use crate::run::{Event, Fence, Guarantee, RunId, State, Trigger, WorkerId};
use crate::store::{Burial, ClaimRequest, Claimed, Claims, Handover, Waiting};

/// Delayed runs that are made ready per transaction.
const PROMOTE_MAX: i64 = 1000;

/// Expired runs that are buried per transaction.
const EXPIRE_MAX: i64 = 100;

/// Restarts relative waits that began later than now. The bound of a hundred years is for rows of other programs: a sum beyond 64
/// bits would make every attempt fail.
pub(super) const REBASE_RELATIVE_DELAYS: &str = "
    UPDATE run SET wait_set_ms = ?1,
        due_ms = iif(due_ms > ?1, ?1 + min(max(due_ms - wait_set_ms, -3155760000000), 3155760000000), due_ms)
    WHERE id IN (
        SELECT id FROM run INDEXED BY run_wait WHERE state = 'waiting' AND wait_set_ms > ?1 LIMIT ?2)";

/// The columns of [`claimed_row`].
macro_rules! claimed_columns {
    () => {
        concat!(
            " RETURNING id, fence, job, queue, tenant, attempts, failures, crashes, max_attempts, max_crashes,
            guarantee, deadline_ms, limited_ms, params, has_payload, idempotency_key, trigger, parent,
            exit_code, last_error, period, scheduled_ms, business_date, attempts > retried AS started_before, ",
            label_columns!()
        )
    };
}

/// Takes a run that is still ready, unless its deadline has passed: `expire` may not have buried it yet.
const TAKE: &str = concat!(
    "UPDATE run SET state = 'running', ready = 0, worker = ?2, fence = ?3, limits = ?4
    WHERE id = ?1 AND state = 'waiting' AND ready = 1 AND (deadline_ms IS NULL OR deadline_ms > ?5)",
    claimed_columns!()
);

/// Takes over a run that another worker has claimed, with the limits of that claim; not if its deadline has passed or a cancel was
/// requested.
const TAKE_OVER: &str = concat!(
    "UPDATE run SET worker = ?4, fence = ?5
    WHERE id = ?1 AND fence = ?2 AND worker = ?3 AND state = 'running' AND cancel_ms IS NULL
        AND (deadline_ms IS NULL OR deadline_ms > ?6)",
    claimed_columns!()
);

/// Bound of valid numbers of attempts and failures.
const COUNT_MAX: i64 = 1_000_000_000_000;

/// Result of taking one run.
pub(super) enum Taken {
    /// It is running now.
    Claimed(Box<Claimed>),
    /// Its deadline has passed; it waits for its burial.
    Late,
    /// Its row was invalid.
    Buried(Burial),
}

/// A run to be taken.
pub(super) struct Wanted<'a> {
    pub(super) run: i64,
    /// Queue, tenant, job.
    pub(super) lane: (&'a str, &'a str, &'a str),
    /// The limits of its job.
    pub(super) limits: Option<&'a str>,
}

impl Tx<'_> {
    /// Makes due runs ready. Returns whether more may be due.
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

    /// To be called after the wall clock stepped back: relative waits that began later than now restart now with their full length,
    /// including those of limits. Returns whether more may be left.
    pub fn rebase_relative_delays(&mut self, now_ms: i64) -> Result<bool> {
        self.rebase_throttles(now_ms)?;
        let mut statement = self.conn.prepare_cached(REBASE_RELATIVE_DELAYS)?;
        Ok(statement.execute([now_ms, PROMOTE_MAX])? as i64 == PROMOTE_MAX)
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

    /// Buries the run that is reserved for this worker, if its deadline has passed.
    pub fn expire_reserved(
        &mut self,
        run: RunId,
        worker: WorkerId,
        now_ms: i64,
    ) -> Result<Option<Burial>> {
        const SQL: &str = "
            SELECT 1 FROM run WHERE id = ?1 AND state = 'waiting' AND worker = ?2 AND deadline_ms <= ?3";
        let mut statement = self.conn.prepare_cached(SQL)?;
        let expired = statement.exists(params![run.0, worker.0, now_ms])?;
        drop(statement);
        expired.then(|| self.bury_expired(run, now_ms)).transpose()
    }

    /// Takes a run, unless its deadline has passed or its row is invalid.
    pub(super) fn take(
        &mut self,
        wanted: &Wanted<'_>,
        request: &ClaimRequest<'_>,
        fence: i64,
        now_ms: i64,
    ) -> Result<Taken> {
        debug_assert_eq!(State::Waiting.after(Event::Claim), Some(State::Running));
        let values = params![wanted.run, request.worker.0, fence, wanted.limits, now_ms];
        let row = self
            .conn
            .prepare_cached(TAKE)?
            .query_row(values, claimed_row);
        let claimed = match row {
            Ok((claimed, has_payload)) => self.complete(claimed, has_payload)?,
            Err(rusqlite::Error::QueryReturnedNoRows) => return Ok(Taken::Late),
            Err(error @ rusqlite::Error::SqliteFailure(..)) => return Err(error.into()),
            // The row was updated, but its content cannot be read.
            Err(error) => Err(error.to_string()),
        };
        let mut claimed = match claimed {
            Ok(claimed) => claimed,
            Err(why) => {
                let burial = self.bury_unusable(RunId(wanted.run), wanted.lane, &why, now_ms)?;
                return Ok(Taken::Buried(burial));
            }
        };
        self.apply_terms(&mut claimed, request)?;
        self.count(
            &claimed.queue,
            &claimed.tenant,
            Depth::READY,
            Depth::RUNNING,
        );
        Ok(Taken::Claimed(Box::new(claimed)))
    }

    /// Completes a claimed run with data of other tables; the inner error says why its row is invalid.
    fn complete(
        &self,
        mut claimed: Claimed,
        has_payload: bool,
    ) -> Result<std::result::Result<Claimed, String>> {
        let counts = [claimed.attempt - 1, claimed.failures, claimed.crashes];
        if counts.iter().any(|count| !(0..COUNT_MAX).contains(count)) {
            let [attempts, failures, crashes] = counts;
            let why = format!("{attempts} attempts, {failures} failures, {crashes} crashes");
            return Ok(Err(why));
        }
        if has_payload {
            claimed.payload = self.payload_of(claimed.run)?;
            if claimed.payload.is_none() {
                return Ok(Err("its payload is missing".to_owned()));
            }
        }
        if claimed.period.is_some() {
            claimed.previous_success_ms = self.succeeded_ms(&claimed.job)?;
        }
        Ok(Ok(claimed))
    }

    /// Stores the stricter guarantee and number of attempts with the claim, so that recovery uses them too.
    fn apply_terms(&self, claimed: &mut Claimed, request: &ClaimRequest<'_>) -> Result<()> {
        const SQL: &str = "UPDATE run SET guarantee = ?2, max_attempts = ?3 WHERE id = ?1";
        let Some((guarantee, attempts)) = (request.terms)(&claimed.job) else {
            return Ok(());
        };
        let once = [claimed.guarantee, guarantee].contains(&Guarantee::AtMostOnce);
        // A run that already has that many failures still gets this attempt.
        let attempts = if once { 1 } else { attempts };
        let attempts = attempts
            .max(claimed.failures.saturating_add(1))
            .min(claimed.max_attempts);
        let is_stricter =
            (once && claimed.guarantee != Guarantee::AtMostOnce) || attempts < claimed.max_attempts;
        if !is_stricter {
            return Ok(());
        }
        if once {
            claimed.guarantee = Guarantee::AtMostOnce;
        }
        if once && claimed.started_before {
            // The slot refuses to start it again; its earlier attempts had other terms.
            return Ok(());
        }
        claimed.max_attempts = attempts;
        self.conn.prepare_cached(SQL)?.execute(params![
            claimed.run.0,
            claimed.guarantee.word(),
            attempts
        ])?;
        Ok(())
    }

    /// Reserves a waiting run for one worker (`run JOB`): no other worker can claim it.
    pub fn reserve_for(&mut self, run: RunId, worker: WorkerId) -> Result<()> {
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

    /// Takes the waiting run that is reserved for this worker (`run JOB`), if it is due. Limits apply to it; a paused job or queue does
    /// not, since a user requested this particular run.
    pub fn claim_reserved(
        &mut self,
        run: RunId,
        request: &ClaimRequest<'_>,
        now_ms: i64,
    ) -> Result<Claims> {
        const LOOK: &str = "
            SELECT queue, tenant, job, deadline_ms FROM run
            WHERE id = ?1 AND state = 'waiting' AND worker = ?2 AND due_ms <= ?3 AND gates = 0
                AND (deadline_ms IS NULL OR deadline_ms > ?3)";
        const SQL: &str = "
            UPDATE run SET ready = 1, worker = NULL, wait_set_ms = NULL
            WHERE id = ?1 AND state = 'waiting' AND worker = ?2";
        let mut claims = Claims::default();
        let values = params![run.0, request.worker.0, now_ms];
        let row: Option<(String, String, String, Option<i64>)> = self
            .conn
            .prepare_cached(LOOK)?
            .query_row(values, |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()?;
        let Some((queue, tenant, job, deadline_ms)) = row else {
            return Ok(claims);
        };
        let rules = self.rules(now_ms)?;
        let mut gates = flow::gates(self.conn, &rules.rules, now_ms)?;
        let lane = gates.lane(&queue, &tenant, &job);
        if let Some(closed) = gates.closed_to_operator(&lane) {
            // A change of an operator may end before, and so may the deadline pass.
            let opens_ms = [closed.until_ms, rules.until_ms, deadline_ms];
            claims.passed.opens_ms = opens_ms.into_iter().flatten().min();
            claims.passed.gated = closed.until_ms.is_none();
            claims.passed.comes = true;
            return Ok(claims);
        }
        gates.take(&lane);
        for (subject, throttle) in gates.changed() {
            self.save_throttle(subject, throttle)?;
        }
        self.conn
            .prepare_cached(SQL)?
            .execute([run.0, request.worker.0])?;
        self.count(&queue, &tenant, Depth::DELAYED, Depth::READY);
        let fence = self.fences(1)?;
        let limits = gates.limits_of_claim(&job);
        let wanted = Wanted {
            run: run.0,
            lane: (&queue, &tenant, &job),
            limits: limits.as_deref(),
        };
        match self.take(&wanted, request, fence, now_ms)? {
            Taken::Claimed(claimed) => claims.runs.push(*claimed),
            Taken::Buried(burial) => claims.buried.push(burial),
            Taken::Late => {}
        }
        Ok(claims)
    }

    /// Takes over a run that the parent of this worker has claimed for it. The claim gets a new fence, so that later writes of the
    /// parent change nothing.
    pub fn take_over(
        &mut self,
        from: &Handover,
        request: &ClaimRequest<'_>,
        now_ms: i64,
    ) -> Result<Claims> {
        let mut claims = Claims::default();
        let fence = self.fences(1)?;
        let Handover {
            run,
            fence: given,
            parent,
        } = *from;
        let worker = request.worker.0;
        let row = self
            .conn
            .prepare_cached(TAKE_OVER)?
            .query_row(
                [run.0, given.0, parent.0, worker, fence, now_ms],
                claimed_row,
            )
            .optional()?;
        let Some((claimed, has_payload)) = row else {
            return Ok(claims);
        };
        match self.complete(claimed, has_payload)? {
            Ok(mut claimed) => {
                self.apply_terms(&mut claimed, request)?;
                claims.runs.push(claimed);
            }
            // Its row is invalid: the next claim buries it.
            Err(_) => {
                self.unclaim(run, Fence(fence))?;
            }
        }
        Ok(claims)
    }

    fn payload_of(&self, run: RunId) -> Result<Option<Vec<u8>>> {
        const SQL: &str = "SELECT body FROM payload WHERE run = ?1";
        let mut statement = self.conn.prepare_cached(SQL)?;
        Ok(statement.query_row([run.0], |row| row.get(0)).optional()?)
    }
}

fn claimed_row(row: &Row<'_>) -> rusqlite::Result<(Claimed, bool)> {
    let guarantee: String = row.get("guarantee")?;
    let trigger: String = row.get("trigger")?;
    let claimed = Claimed {
        run: RunId(row.get("id")?),
        fence: Fence(row.get("fence")?),
        job: row.get("job")?,
        queue: row.get("queue")?,
        tenant: row.get("tenant")?,
        attempt: row.get::<_, i64>("attempts")?.saturating_add(1),
        started_before: row.get("started_before")?,
        failures: row.get("failures")?,
        crashes: row.get("crashes")?,
        max_attempts: row.get("max_attempts")?,
        max_crashes: row.get("max_crashes")?,
        guarantee: Guarantee::from_word(&guarantee).unwrap_or(Guarantee::AtMostOnce),
        deadline_ms: row.get("deadline_ms")?,
        limited_ms: row.get("limited_ms")?,
        params: row.get("params")?,
        payload: None,
        idempotency_key: row.get("idempotency_key")?,
        trigger: Trigger::from_word(&trigger).unwrap_or(Trigger::Manual),
        parent: row.get::<_, Option<i64>>("parent")?.map(RunId),
        labels: labels_of(row)?,
        last_exit_code: row.get("exit_code")?,
        last_error: row.get("last_error")?,
        period: super::runs::period_of(row)?,
        previous_success_ms: None,
    };
    Ok((claimed, row.get("has_payload")?))
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

    /// State of a run, its due time, and the worker that runs it or for which it is reserved.
    pub fn run_location(&self, run: RunId) -> Result<Option<RunLocation>> {
        run_location(self.connection()?, run)
    }

    /// Names of the paused jobs.
    pub fn paused_jobs(&self, now_ms: i64) -> Result<HashSet<String>> {
        let pauses = self.pauses(now_ms)?.into_iter();
        Ok(pauses.map(|pause| pause.job).collect())
    }
}

/// State of a run, its due time in milliseconds, and the worker that runs it or for which it is reserved.
type RunLocation = (State, i64, Option<WorkerId>);

fn run_location(conn: &Connection, run: RunId) -> Result<Option<RunLocation>> {
    const SQL: &str = "SELECT state, due_ms, worker FROM run WHERE id = ?1";
    let row: Option<(String, i64, Option<i64>)> = conn
        .prepare_cached(SQL)?
        .query_row([run.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    Ok(row.and_then(|(state, due_ms, worker)| {
        Some((State::from_word(&state)?, due_ms, worker.map(WorkerId)))
    }))
}

impl Tx<'_> {
    /// As [`super::Store::run_location`], within the transaction.
    pub fn run_location(&self, run: RunId) -> Result<Option<RunLocation>> {
        run_location(self.conn, run)
    }

    /// When the next delayed run becomes due or a waiting one expires, milliseconds. Ready runs do not count: after a claim without
    /// runs they wait for something other than time.
    pub fn next_due(&self) -> Result<Option<i64>> {
        const DUE: &str = "
            SELECT due_ms FROM run INDEXED BY run_due
            WHERE state = 'waiting' AND ready = 0 AND worker IS NULL AND gates = 0 ORDER BY due_ms LIMIT 1";
        const DEADLINE: &str = "
            SELECT deadline_ms FROM run INDEXED BY run_deadline
            WHERE state = 'waiting' AND deadline_ms IS NOT NULL ORDER BY deadline_ms LIMIT 1";
        let due: Option<i64> = self
            .conn
            .prepare_cached(DUE)?
            .query_row([], |row| row.get(0))
            .optional()?;
        let deadline: Option<i64> = self
            .conn
            .prepare_cached(DEADLINE)?
            .query_row([], |row| row.get(0))
            .optional()?;
        Ok([due, deadline].into_iter().flatten().min())
    }
}
