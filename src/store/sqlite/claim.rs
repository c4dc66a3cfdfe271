//! Claims: moves ready runs to `running` for a worker; `decide::take_runs` selects them.

use std::collections::VecDeque;

use rusqlite::{OptionalExtension, Row, params};

use super::flow;
use super::labels::{label_columns, labels_of};
use super::lanes::{self, Lanes};
use super::writer::Tx;
use crate::error::Result;
use crate::run::{Event, Fence, Guarantee, RunId, State, Trigger, WorkerId};
use crate::store::decide::{
    ClaimInProgress, Depth, LaneName, LanesOfQueue, Position, ReadyRuns, Taken, Wanted,
    apply_terms, invalid_counts, take_runs,
};
use crate::store::{ClaimRequest, Claimed, Claims, Handover, Turns};

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

impl ReadyRuns for Tx<'_> {
    fn lanes<'s>(&'s self, queue: &'s str) -> Result<impl LanesOfQueue + 's> {
        Lanes::of(self.conn, queue)
    }

    fn runs_after(
        &self,
        lane: LaneName<'_>,
        last: Position,
        max: usize,
        found: &mut VecDeque<Position>,
    ) -> Result<()> {
        lanes::runs_after(self.conn, lane, last, max, found)
    }

    fn allocate_fences(&mut self, count: i64) -> Result<i64> {
        self.fences(count)
    }

    fn take(
        &mut self,
        wanted: &Wanted<'_>,
        request: &ClaimRequest<'_>,
        fence: i64,
        now_ms: i64,
    ) -> Result<Taken> {
        debug_assert_eq!(State::Waiting.after(Event::Claim), Some(State::Running));
        let values = params![wanted.run.0, request.worker.0, fence, wanted.limits, now_ms];
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
                let burial = self.bury_unusable(wanted.run, wanted.lane, &why, now_ms)?;
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
}

impl Tx<'_> {
    /// Takes up to `max` runs for a worker.
    pub fn claim(
        &mut self,
        request: &ClaimRequest<'_>,
        turns: &mut Turns,
        now_ms: i64,
    ) -> Result<Claims> {
        if request.max == 0 {
            return Ok(Claims {
                full: true,
                ..Claims::default()
            });
        }
        let rules = self.rules(now_ms)?;
        let gates = flow::gates(self.conn, &rules.rules, now_ms)?;
        let reserves = self.reserves(request, &rules.rules)?;
        let mut claim = ClaimInProgress::new(request, gates, reserves, rules.until_ms);
        take_runs(self, &mut claim, turns)?;
        for (subject, throttle) in claim.gates.changed() {
            self.save_throttle(subject, throttle)?;
        }
        Ok(claim.claims)
    }

    /// Completes a claimed run with data of other tables; the inner error says why its row is invalid.
    fn complete(
        &self,
        mut claimed: Claimed,
        has_payload: bool,
    ) -> Result<std::result::Result<Claimed, String>> {
        if let Some(why) = invalid_counts(&claimed) {
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
        if !apply_terms(claimed, guarantee, attempts) {
            return Ok(());
        }
        self.conn.prepare_cached(SQL)?.execute(params![
            claimed.run.0,
            claimed.guarantee.word(),
            claimed.max_attempts
        ])?;
        Ok(())
    }

    /// Reserves a waiting run for one worker (`run JOB`): no other worker can claim it.
    pub fn reserve_for(&mut self, run: RunId, worker: WorkerId) -> Result<()> {
        const READ: &str =
            "SELECT queue, tenant, ready FROM run WHERE id = ?1 AND state = 'waiting'";
        const SQL: &str =
            "UPDATE run SET ready = 0, worker = ?2 WHERE id = ?1 AND state = 'waiting'";
        let (queue, tenant, ready): (String, String, bool) = self
            .conn
            .prepare_cached(READ)?
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
        const READ: &str = "
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
            .prepare_cached(READ)?
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
            // A change by an operator may expire earlier, or the deadline may pass earlier.
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
            run,
            lane: LaneName {
                queue: &queue,
                tenant: &tenant,
                job: &job,
            },
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
