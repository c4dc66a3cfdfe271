//! Ends attempts: one named statement per transition out of `running`, each fenced.
//!
//! Rule: zero rows changed means that the claim is no longer ours: nothing else about the run is written then.

use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::writer::{Depth, Tx};
use crate::attempt::{Class, EndingKind, Report};
use crate::error::Result;
use crate::flow::{Ended, FlowEvent};
use crate::policy::{Judged, Verdict};
use crate::run::{Event, Fence, Reason, RunId, State, WorkerId};
use crate::store::{Burial, Outcome, Start};
use crate::units::hex;

/// A claim, as every write about a running run names it.
#[derive(Debug, Clone, Copy)]
pub struct Holder {
    /// Which run.
    pub run: RunId,
    /// Proof of the claim.
    pub fence: Fence,
    /// Who holds it.
    pub worker: WorkerId,
    /// Number of the attempt.
    pub attempt: i64,
}

/// What became of an attempt that ended.
#[derive(Debug)]
pub struct Finished {
    /// Where its run is now.
    pub outcome: Outcome,
    /// Its death, which may call for another run.
    pub burial: Option<Burial>,
    /// What it changed for limits and breakers.
    pub flow: Vec<FlowEvent>,
}

impl Finished {
    fn of(outcome: Outcome, flow: Vec<FlowEvent>) -> Self {
        Self {
            outcome,
            burial: None,
            flow,
        }
    }
}

/// What the row of a run keeps of its last attempt.
#[derive(Clone, Copy)]
struct Last<'a> {
    started_ms: i64,
    exit_code: Option<i32>,
    error: Option<&'a str>,
}

/// A running run, as far as a transition needs it.
struct Held {
    queue: String,
    tenant: String,
    job: String,
    cancel: bool,
    limited_ms: Option<i64>,
}

/// Columns that every way out of `running` sets.
struct Counted {
    failures: i64,
    releases: i64,
    crashes: i64,
    limited_ms: Option<i64>,
}

impl Tx<'_> {
    /// Records that attempts have started, for those who look while they run.
    pub fn note_start(&mut self, worker: WorkerId, start: &Start) -> Result<Outcome> {
        const RUN: &str = "
            UPDATE run SET attempts = ?3, started_ms = coalesce(started_ms, ?4)
            WHERE id = ?1 AND fence = ?2 AND state = 'running'";
        const ATTEMPT: &str = "
            INSERT INTO attempt (run, number, fence, worker, started_ms) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (run, number) DO NOTHING";
        let changed = self.conn.prepare_cached(RUN)?.execute(params![
            start.run.0,
            start.fence.0,
            start.attempt,
            start.started_ms
        ])?;
        if changed != 1 {
            return Ok(Outcome::Fenced);
        }
        self.conn.prepare_cached(ATTEMPT)?.execute(params![
            start.run.0,
            start.attempt,
            start.fence.0,
            worker.0,
            start.started_ms
        ])?;
        Ok(Outcome::Moved(State::Running))
    }

    /// Ends an attempt as the verdict says; a cancel that was requested meanwhile beats all but success.
    ///
    /// Idempotent for one claim: after an unknown COMMIT the same call answers what it answered before.
    pub fn finish(
        &mut self,
        holder: Holder,
        report: &Report,
        judged: &Judged,
        verdict: Verdict,
        keep: bool,
        now_ms: i64,
    ) -> Result<Finished> {
        if verdict == Verdict::Succeed {
            let Some((queue, tenant, job)) = self.succeed(holder, report, now_ms)? else {
                return Ok(Finished::of(self.already_ended(holder)?, Vec::new()));
            };
            self.end_attempt(holder, report, judged)?;
            self.count(&queue, &tenant, Depth::RUNNING, Depth::NONE);
            let flow = self.note_ending(&job, Ended::Well, now_ms)?;
            return Ok(Finished::of(Outcome::Moved(State::Succeeded), flow));
        }
        let Some(held) = self.held(holder)? else {
            return Ok(Finished::of(self.already_ended(holder)?, Vec::new()));
        };
        let Held {
            queue,
            tenant,
            job,
            cancel,
            limited_ms,
        } = held;
        let verdict = if cancel { Verdict::Cancel } else { verdict };
        let ended = match (judged.class, verdict) {
            // How it would have ended by itself, nobody knows.
            (_, Verdict::Cancel | Verdict::Release) => None,
            (Class::Transient, _) => Some(Ended::Transiently),
            (Class::RateLimited, Verdict::Defer { due_ms, .. }) => {
                Some(Ended::RateLimited { until_ms: due_ms })
            }
            _ => None,
        };
        let flow = match ended {
            Some(ended) => self.note_ending(&job, ended, now_ms)?,
            None => Vec::new(),
        };
        self.end_attempt(holder, report, judged)?;
        let error = judged.error.as_deref();
        let last = Last {
            started_ms: report.started_ms,
            exit_code: report.ending.exit_code(),
            error,
        };
        let mut burial = None;
        let (event, waiting) = match verdict {
            Verdict::Succeed => return Err(super::claim::no_such_move("end a run twice")),
            Verdict::Cancel => {
                self.cancel_running(holder, report, error, now_ms)?;
                (Event::Cancel, None)
            }
            Verdict::Defer { due_ms, failure } => {
                let counted = Counted {
                    failures: i64::from(failure),
                    releases: 0,
                    crashes: 0,
                    limited_ms: (!failure).then(|| limited_ms.unwrap_or(now_ms)),
                };
                self.back_to_waiting(holder, &counted, due_ms, Some(now_ms), last, keep)?;
                (Event::Defer, Some(false))
            }
            Verdict::Release => {
                let counted = Counted {
                    failures: 0,
                    releases: 1,
                    crashes: 0,
                    limited_ms,
                };
                self.back_to_waiting(holder, &counted, now_ms, None, last, false)?;
                (Event::Release, Some(true))
            }
            Verdict::Bury { reason, failure } => {
                self.bury_running(holder, reason, failure, last, now_ms)?;
                self.dead_letter(holder.run, &job, reason, error, &report.output_tail, now_ms)?;
                burial = Some(Burial {
                    run: holder.run,
                    job,
                    reason,
                });
                (Event::Bury, None)
            }
        };
        let to = waiting.map_or(Depth::NONE, Depth::waiting);
        self.count(&queue, &tenant, Depth::RUNNING, to);
        let state = State::Running
            .after(event)
            .ok_or_else(|| super::claim::no_such_move("end a run"))?;
        Ok(Finished {
            outcome: Outcome::Moved(state),
            burial,
            flow,
        })
    }

    /// Tells a finish that is repeated after an unknown COMMIT from one whose claim is gone.
    fn already_ended(&self, holder: Holder) -> Result<Outcome> {
        const SQL: &str = "
            SELECT run.state FROM attempt JOIN run ON run.id = attempt.run
            WHERE attempt.run = ?1 AND attempt.number = ?2 AND attempt.fence = ?3 AND attempt.ended_ms IS NOT NULL
                AND attempt.ending <> 'lost'";
        let state: Option<String> = self
            .conn
            .prepare_cached(SQL)?
            .query_row(
                params![holder.run.0, holder.attempt, holder.fence.0],
                |row| row.get(0),
            )
            .optional()?;
        Ok(state
            .as_deref()
            .and_then(State::from_word)
            .map_or(Outcome::Fenced, Outcome::Moved))
    }

    fn end_attempt(&self, holder: Holder, report: &Report, judged: &Judged) -> Result<()> {
        const SQL: &str = "
            INSERT INTO attempt (run, number, fence, worker, started_ms, ended_ms, ending, exit_code, signal, class,
                error, output_tail, output_bytes, leaked)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
            ON CONFLICT (run, number) DO UPDATE SET
                ended_ms = excluded.ended_ms, ending = excluded.ending, exit_code = excluded.exit_code,
                signal = excluded.signal, class = excluded.class, error = excluded.error,
                output_tail = excluded.output_tail, output_bytes = excluded.output_bytes, leaked = excluded.leaked";
        let tail = (!report.output_tail.is_empty()).then_some(&report.output_tail);
        self.conn.prepare_cached(SQL)?.execute(params![
            holder.run.0,
            holder.attempt,
            holder.fence.0,
            holder.worker.0,
            report.started_ms,
            report.ended_ms,
            report.ending.kind().word(),
            report.ending.exit_code(),
            report.ending.signal(),
            judged.class.word(),
            judged.error,
            tail,
            report.output_bytes as i64,
            report.leaked,
        ])?;
        Ok(())
    }

    /// Queue and tenant of the run that succeeded; `None` where the claim is gone.
    fn succeed(
        &self,
        holder: Holder,
        report: &Report,
        now_ms: i64,
    ) -> Result<Option<(String, String, String)>> {
        const SQL: &str = "
            UPDATE run SET state = 'succeeded', worker = NULL, attempts = ?3, ended_ms = ?4,
                started_ms = coalesce(started_ms, ?5), exit_code = ?6, result = ?7, limited_ms = NULL
            WHERE id = ?1 AND fence = ?2 AND state = 'running' RETURNING queue, tenant, job";
        let results = &report.said.results;
        let result = (!results.is_empty()).then(|| format!("[{}]", results.join(",")));
        let mut statement = self.conn.prepare_cached(SQL)?;
        let values = params![
            holder.run.0,
            holder.fence.0,
            holder.attempt,
            now_ms,
            report.started_ms,
            report.ending.exit_code(),
            result
        ];
        let moved = statement.query_row(values, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        Ok(moved.optional()?)
    }

    /// What a transition needs to know of a run that is still held.
    fn held(&self, holder: Holder) -> Result<Option<Held>> {
        const SQL: &str = "
            SELECT queue, tenant, job, cancel_ms IS NOT NULL, limited_ms FROM run
            WHERE id = ?1 AND fence = ?2 AND state = 'running'";
        let mut statement = self.conn.prepare_cached(SQL)?;
        let held = statement.query_row([holder.run.0, holder.fence.0], |row| {
            Ok(Held {
                queue: row.get(0)?,
                tenant: row.get(1)?,
                job: row.get(2)?,
                cancel: row.get(3)?,
                limited_ms: row.get(4)?,
            })
        });
        Ok(held.optional()?)
    }

    fn cancel_running(
        &mut self,
        holder: Holder,
        report: &Report,
        error: Option<&str>,
        now_ms: i64,
    ) -> Result<()> {
        const SQL: &str = "
            UPDATE run SET state = 'cancelled', worker = NULL, fence = ?3, attempts = ?4, ended_ms = ?5,
                started_ms = coalesce(started_ms, ?6), exit_code = ?7, last_error = ?8, reason = 'cancelled'
            WHERE id = ?1 AND fence = ?2 AND state = 'running'";
        let fence = self.fences(1)?;
        let changed = self.conn.prepare_cached(SQL)?.execute(params![
            holder.run.0,
            holder.fence.0,
            fence,
            holder.attempt,
            now_ms,
            report.started_ms,
            report.ending.exit_code(),
            error
        ])?;
        exactly_one(changed, "cancel a run")
    }

    /// Defer, release: the attempt counts as started; what else counts is in `counted`.
    fn back_to_waiting(
        &mut self,
        holder: Holder,
        counted: &Counted,
        due_ms: i64,
        wait_set_ms: Option<i64>,
        last: Last<'_>,
        keep: bool,
    ) -> Result<()> {
        const SQL: &str = "
            UPDATE run SET state = 'waiting', ready = ?3, worker = ?4, fence = ?5, due_ms = ?6, wait_set_ms = ?7,
                attempts = ?8, failures = failures + ?9, releases = releases + ?10, crashes = crashes + ?11,
                limited_ms = ?12, exit_code = ?13, last_error = ?14, started_ms = coalesce(started_ms, ?15)
            WHERE id = ?1 AND fence = ?2 AND state = 'running'";
        let fence = self.fences(1)?;
        let ready = wait_set_ms.is_none();
        let keeper = keep.then_some(holder.worker.0);
        let changed = self.conn.prepare_cached(SQL)?.execute(params![
            holder.run.0,
            holder.fence.0,
            ready,
            keeper,
            fence,
            due_ms,
            wait_set_ms,
            holder.attempt,
            counted.failures,
            counted.releases,
            counted.crashes,
            counted.limited_ms,
            last.exit_code,
            last.error,
            last.started_ms
        ])?;
        exactly_one(changed, "put a run back")
    }

    fn bury_running(
        &self,
        holder: Holder,
        reason: Reason,
        failure: bool,
        last: Last<'_>,
        now_ms: i64,
    ) -> Result<()> {
        const SQL: &str = "
            UPDATE run SET state = 'dead', worker = NULL, attempts = ?3, failures = failures + ?4, ended_ms = ?5,
                exit_code = ?6, last_error = ?7, reason = ?8, started_ms = coalesce(started_ms, ?9)
            WHERE id = ?1 AND fence = ?2 AND state = 'running'";
        let changed = self.conn.prepare_cached(SQL)?.execute(params![
            holder.run.0,
            holder.fence.0,
            holder.attempt,
            failure,
            now_ms,
            last.exit_code,
            last.error,
            reason.word(),
            last.started_ms
        ])?;
        exactly_one(changed, "bury a run")
    }

    /// Buries a waiting run whose deadline has passed.
    pub(super) fn bury_expired(&mut self, run: RunId, now_ms: i64) -> Result<Burial> {
        // `ready` is read before the update clears it: a RETURNING clause only sees the new row.
        const LOOK: &str = "SELECT job, queue, tenant, ready, last_error FROM run WHERE id = ?1";
        const SQL: &str = "
            UPDATE run SET state = 'dead', ready = 0, worker = NULL, ended_ms = ?2, reason = 'deadline'
            WHERE id = ?1 AND state = 'waiting'";
        let (job, queue, tenant, ready, error): (String, String, String, bool, Option<String>) =
            self.conn.prepare_cached(LOOK)?.query_row([run.0], |row| {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                ))
            })?;
        let changed = self.conn.prepare_cached(SQL)?.execute([run.0, now_ms])?;
        exactly_one(changed, "expire a run")?;
        self.count(&queue, &tenant, Depth::waiting(ready), Depth::NONE);
        let error = error.unwrap_or_else(|| "the deadline passed before it could start".to_owned());
        self.dead_letter(run, &job, Reason::Deadline, Some(&error), &[], now_ms)?;
        Ok(Burial {
            run,
            job,
            reason: Reason::Deadline,
        })
    }

    pub(super) fn dead_letter(
        &self,
        run: RunId,
        job: &str,
        reason: Reason,
        error: Option<&str>,
        tail: &[u8],
        now_ms: i64,
    ) -> Result<()> {
        const SQL: &str = "
            INSERT INTO dead_letter (run, job, reason, error, fingerprint, attempts, output_tail, died_ms)
            SELECT ?1, ?2, ?3, ?4, ?5, attempts, ?6, ?7 FROM run WHERE id = ?1";
        let print = fingerprint(job, reason, error.unwrap_or_default());
        let tail = (!tail.is_empty()).then_some(tail);
        self.conn.prepare_cached(SQL)?.execute(params![
            run.0,
            job,
            reason.word(),
            error,
            print,
            tail,
            now_ms
        ])?;
        Ok(())
    }

    /// Gives a claim back whose command was certainly not started.
    pub fn unclaim(&mut self, run: RunId, fence: Fence) -> Result<Outcome> {
        const SQL: &str = "
            UPDATE run SET state = 'waiting', ready = 1, worker = NULL, fence = ?3
            WHERE id = ?1 AND fence = ?2 AND state = 'running' AND cancel_ms IS NULL
            RETURNING queue, tenant";
        const CANCEL: &str = "
            UPDATE run SET state = 'cancelled', worker = NULL, fence = ?3, ended_ms = cancel_ms, reason = 'cancelled'
            WHERE id = ?1 AND fence = ?2 AND state = 'running' AND cancel_ms IS NOT NULL
            RETURNING queue, tenant";
        let new_fence = self.fences(1)?;
        for (sql, to, state) in [
            (SQL, Depth::READY, State::Waiting),
            (CANCEL, Depth::NONE, State::Cancelled),
        ] {
            let mut statement = self.conn.prepare_cached(sql)?;
            let row: Option<(String, String)> = statement
                .query_row([run.0, fence.0, new_fence], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            drop(statement);
            if let Some((queue, tenant)) = row {
                self.count(&queue, &tenant, Depth::RUNNING, to);
                return Ok(Outcome::Moved(state));
            }
        }
        Ok(Outcome::Fenced)
    }

    /// The worker died after the start mark: the run goes back, or is dead if it may not.
    pub(super) fn lose(
        &mut self,
        holder: Holder,
        started_ms: i64,
        reason: Option<Reason>,
        counts: bool,
        error: &str,
        now_ms: i64,
    ) -> Result<(Outcome, Option<Burial>)> {
        const ATTEMPT: &str = "
            INSERT INTO attempt (run, number, fence, worker, started_ms, ended_ms, ending, class, error)
            VALUES (?1, ?2, ?3, ?4,
                -- The start is known from a file's time only, and that clock of the kernel lags a little.
                max(?5, coalesce((SELECT ended_ms FROM attempt WHERE run = ?1 AND number = ?2 - 1), ?5)),
                ?6, ?7, 'transient', ?8)
            ON CONFLICT (run, number) DO UPDATE SET ended_ms = excluded.ended_ms, ending = excluded.ending,
                class = excluded.class, error = excluded.error";
        const CRASHES: &str = "UPDATE run SET crashes = crashes + ?2 WHERE id = ?1";
        const CANCEL: &str = "
            UPDATE run SET state = 'cancelled', worker = NULL, fence = ?3, attempts = ?4, ended_ms = ?5,
                last_error = ?6, reason = 'cancelled'
            WHERE id = ?1 AND fence = ?2 AND state = 'running'";
        let Some(held) = self.held(holder)? else {
            return Ok((Outcome::Fenced, None));
        };
        let Held {
            queue,
            tenant,
            job,
            cancel,
            limited_ms,
        } = held;
        self.conn.prepare_cached(ATTEMPT)?.execute(params![
            holder.run.0,
            holder.attempt,
            holder.fence.0,
            holder.worker.0,
            started_ms,
            now_ms,
            EndingKind::Lost.word(),
            error
        ])?;
        if cancel {
            let fence = self.fences(1)?;
            let changed = self.conn.prepare_cached(CANCEL)?.execute(params![
                holder.run.0,
                holder.fence.0,
                fence,
                holder.attempt,
                now_ms,
                error
            ])?;
            exactly_one(changed, "cancel a run")?;
            self.count(&queue, &tenant, Depth::RUNNING, Depth::NONE);
            return Ok((Outcome::Moved(State::Cancelled), None));
        }
        let crashes = i64::from(counts);
        let last = Last {
            started_ms,
            exit_code: None,
            error: Some(error),
        };
        if let Some(reason) = reason {
            self.conn
                .prepare_cached(CRASHES)?
                .execute([holder.run.0, crashes])?;
            self.bury_running(holder, reason, false, last, now_ms)?;
            self.dead_letter(holder.run, &job, reason, Some(error), &[], now_ms)?;
            self.count(&queue, &tenant, Depth::RUNNING, Depth::NONE);
            let burial = Burial {
                run: holder.run,
                job,
                reason,
            };
            return Ok((Outcome::Moved(State::Dead), Some(burial)));
        }
        let counted = Counted {
            failures: 0,
            releases: 0,
            crashes,
            limited_ms,
        };
        self.back_to_waiting(holder, &counted, now_ms, None, last, false)?;
        self.count(&queue, &tenant, Depth::RUNNING, Depth::READY);
        Ok((Outcome::Moved(State::Waiting), None))
    }
}

pub(super) fn exactly_one(changed: usize, what: &str) -> Result<()> {
    if changed == 1 {
        Ok(())
    } else {
        Err(super::claim::no_such_move(what))
    }
}

/// Groups equal deaths: numbers and ids in the error do not count.
fn fingerprint(job: &str, reason: Reason, error: &str) -> String {
    let mut normal = String::with_capacity(error.len());
    for word in error.split_whitespace() {
        let id_like = word.bytes().any(|b| b.is_ascii_digit());
        // The leading "exit 65" is what distinguishes most errors, so short numbers stay.
        let keep = !id_like || word.trim_end_matches(':').len() <= 3;
        normal.push_str(if keep { word } else { "#" });
        normal.push(' ');
    }
    let mut hasher = Sha256::new();
    for part in [job, reason.word(), &normal] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hex(&hasher.finalize()[..6])
}
