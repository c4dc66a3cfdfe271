//! Operations on one run by operators: cancel and retry.
//!
//! Rule: like every transition, these are statements whose WHERE names the old state; in another state nothing changes.

use rusqlite::{OptionalExtension, params};

use super::moves::{exactly_one, no_such_move};
use super::writer::Tx;
use crate::error::Result;
use crate::run::{Event, RunId, State};
use crate::store::decide::Depth;
use crate::store::{Handled, PRIORITY_STEP_MS};

/// The columns of a run that a transition needs.
struct Before {
    state: State,
    queue: String,
    tenant: String,
    ready: bool,
}

impl Tx<'_> {
    fn before(&self, run: RunId) -> Result<Option<Before>> {
        const SQL: &str = "SELECT state, queue, tenant, ready FROM run WHERE id = ?1";
        let row: Option<(String, String, String, bool)> = self
            .conn
            .prepare_cached(SQL)?
            .query_row([run.0], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()?;
        Ok(row.and_then(|(state, queue, tenant, ready)| {
            Some(Before {
                state: State::from_word(&state)?,
                queue,
                tenant,
                ready,
            })
        }))
    }

    /// Cancels a waiting run at once; requests the worker of a running one to stop it.
    pub fn cancel(&mut self, run: RunId, actor: &str, now_ms: i64) -> Result<Handled> {
        const WAITING: &str = "
            UPDATE run SET state = 'cancelled', ready = 0, worker = NULL, fence = ?2, ended_ms = max(?3, coalesce(started_ms, ?3)), cancel_ms = ?3,
                cancel_by = ?4, reason = 'cancelled'
            WHERE id = ?1 AND state = 'waiting'";
        const RUNNING: &str = "
            UPDATE run SET cancel_ms = coalesce(cancel_ms, ?2), cancel_by = coalesce(cancel_by, ?3)
            WHERE id = ?1 AND state = 'running'";
        let Some(before) = self.before(run)? else {
            return Ok(Handled::Unknown);
        };
        let Some(after) = before.state.after(Event::Cancel) else {
            return Ok(Handled::Forbidden(before.state));
        };
        if before.state == State::Running {
            let changed = self
                .conn
                .prepare_cached(RUNNING)?
                .execute(params![run.0, now_ms, actor])?;
            exactly_one(changed, "request a cancel")?;
            return Ok(Handled::Requested);
        }
        let fence = self.fences(1)?;
        let changed = self
            .conn
            .prepare_cached(WAITING)?
            .execute(params![run.0, fence, now_ms, actor])?;
        exactly_one(changed, "cancel a run")?;
        self.count(
            &before.queue,
            &before.tenant,
            Depth::waiting(before.ready),
            Depth::NONE,
        );
        Ok(Handled::Moved(after))
    }

    /// Makes an ended run wait again, due now and without a deadline. Its history, number of attempts and idempotency key stay; an
    /// open dead letter is closed.
    pub fn retry(&mut self, run: RunId, actor: &str, now_ms: i64) -> Result<Handled> {
        let Some(before) = self.before(run)? else {
            return Ok(Handled::Unknown);
        };
        let Some(after) = before.state.after(Event::Retry) else {
            return Ok(Handled::Forbidden(before.state));
        };
        self.close_letter_of(run, &before, actor, now_ms)?;
        self.wait_again(run, &before, now_ms)?;
        Ok(Handled::Moved(after))
    }

    /// As [`Tx::retry`], only for a run with an open dead letter.
    pub fn retry_dead(&mut self, run: RunId, actor: &str, now_ms: i64) -> Result<Handled> {
        let Some(before) = self.before(run)? else {
            return Ok(Handled::Unknown);
        };
        match before.state.after(Event::Retry) {
            Some(after) if self.close_letter_of(run, &before, actor, now_ms)? => {
                self.wait_again(run, &before, now_ms)?;
                Ok(Handled::Moved(after))
            }
            _ => Ok(Handled::NoDeadLetter(before.state)),
        }
    }

    /// Closes the open dead letter of an ended run. Returns whether there was one.
    fn close_letter_of(
        &mut self,
        run: RunId,
        before: &Before,
        actor: &str,
        now_ms: i64,
    ) -> Result<bool> {
        let closed = self.close_letter(run, "retried", actor, now_ms)?;
        if closed && before.state != State::Dead {
            return Err(no_such_move(
                "retry a run that has a dead letter and is not dead",
            ));
        }
        Ok(closed)
    }

    fn wait_again(&mut self, run: RunId, before: &Before, now_ms: i64) -> Result<()> {
        const SQL: &str = "
            UPDATE run SET state = 'waiting', ready = (gates = 0), worker = NULL, fence = ?3,
                due_ms = ?4, order_key = ?4 + priority * ?5, wait_set_ms = NULL, deadline_ms = NULL,
                failures = 0, crashes = 0, releases = 0, limited_ms = NULL, retried = attempts,
                ended_ms = NULL, cancel_ms = NULL, cancel_by = NULL, reason = NULL, result = NULL
            WHERE id = ?1 AND state = ?2 RETURNING ready";
        self.rejoin_sequence(run)?;
        let fence = self.fences(1)?;
        let values = params![run.0, before.state.word(), fence, now_ms, PRIORITY_STEP_MS];
        // It still waits for its predecessors that have not ended, and for the runs of its sequence.
        let ready: bool = self
            .conn
            .prepare_cached(SQL)?
            .query_row(values, |row| row.get(0))?;
        self.count(
            &before.queue,
            &before.tenant,
            Depth::NONE,
            Depth::waiting(ready),
        );
        Ok(())
    }
}
