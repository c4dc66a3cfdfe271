//! Stores new runs, once per dedup key and request id.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::writer::{Depth, Tx};
use crate::error::{Error, Kind, Result};
use crate::run::{RunId, State};
use crate::store::{Enqueued, NewRun, PRIORITY_STEP_MS};

/// The row of the dedup table for a key.
struct DedupKey<'a> {
    hash: i64,
    job: &'a str,
    key: &'a str,
    window_ms: i64,
    /// Place in the batch.
    index: usize,
}

/// First 64 bits of SHA-256: places the row; the key itself is compared too.
pub(super) fn dedup_hash(job: &str, key: &str) -> i64 {
    let mut hasher = Sha256::new();
    hasher.update((job.len() as u64).to_le_bytes());
    hasher.update(job);
    hasher.update(key);
    let digest = hasher.finalize();
    i64::from_le_bytes(digest[..8].try_into().unwrap_or_default())
}

impl Tx<'_> {
    /// Stores one run, or finds the one that it duplicates.
    pub fn enqueue(&mut self, new: &NewRun, now_ms: i64) -> Result<Enqueued> {
        let mut answers = self.enqueue_all(std::slice::from_ref(new), now_ms)?;
        answers
            .pop()
            .ok_or_else(|| Error::new(Kind::Bug, "an enqueue gave no answer"))
    }

    /// Stores runs in their order; a key that stands twice in them is one run.
    pub fn enqueue_all(&mut self, new: &[NewRun], now_ms: i64) -> Result<Vec<Enqueued>> {
        // Looked up and written in hash order, so that a large batch walks the table once.
        let mut keys: Vec<DedupKey<'_>> = new
            .iter()
            .enumerate()
            .filter_map(|(index, run)| {
                let (key, window_ms) = run.dedup.as_ref()?;
                let hash = dedup_hash(&run.job, key);
                Some(DedupKey {
                    hash,
                    job: &run.job,
                    key,
                    window_ms: *window_ms,
                    index,
                })
            })
            .collect();
        keys.sort_by_key(|key| (key.hash, key.index));
        let mut found: HashMap<usize, Enqueued> = HashMap::new();
        let mut twin: HashMap<usize, usize> = HashMap::new();
        let mut first: HashMap<(&str, &str), usize> = HashMap::with_capacity(keys.len());
        for key in &keys {
            if let Some(&earlier) = first.get(&(key.job, key.key)) {
                twin.insert(key.index, earlier);
            } else {
                first.insert((key.job, key.key), key.index);
                if let Some(existing) = self.duplicate_of(key, now_ms)? {
                    found.insert(key.index, existing);
                }
            }
        }
        drop(first);
        let mut answers: Vec<Enqueued> = Vec::with_capacity(new.len());
        for (index, run) in new.iter().enumerate() {
            let answer = match (found.remove(&index), twin.get(&index)) {
                (Some(existing), _) => existing,
                (None, Some(&earlier)) => Enqueued {
                    duplicate: true,
                    ..answers[earlier].clone()
                },
                (None, None) => self.insert(run, now_ms)?,
            };
            answers.push(answer);
        }
        for key in &keys {
            if !answers[key.index].duplicate {
                self.hold_key(key, answers[key.index].run, now_ms)?;
            }
        }
        Ok(answers)
    }

    /// The run that holds the key: until the window is over and it has started, unless it died or was cancelled.
    fn duplicate_of(&self, key: &DedupKey<'_>, now_ms: i64) -> Result<Option<Enqueued>> {
        const SQL: &str = "
            SELECT dedup.run, dedup.until_ms, run.state, run.attempts, run.due_ms
            FROM dedup LEFT JOIN run ON run.id = dedup.run
            WHERE dedup.hash = ?1 AND dedup.job = ?2 AND dedup.key = ?3";
        let row = self
            .conn
            .prepare_cached(SQL)?
            .query_row(params![key.hash, key.job, key.key], |row| {
                Ok((
                    RunId(row.get(0)?),
                    row.get::<_, i64>(1)?,
                    row.get::<_, Option<String>>(2)?,
                    row.get::<_, Option<i64>>(3)?,
                    row.get::<_, Option<i64>>(4)?,
                ))
            })
            .optional()?;
        let Some((run, until_ms, state, attempts, due_ms)) = row else {
            return Ok(None);
        };
        // Without a row the run was pruned, so it ended.
        let state = state
            .as_deref()
            .and_then(State::from_word)
            .unwrap_or(State::Succeeded);
        let started = state.is_final() || attempts.unwrap_or(1) > 0;
        let free =
            matches!(state, State::Dead | State::Cancelled) || (until_ms <= now_ms && started);
        Ok((!free).then_some(Enqueued {
            run,
            duplicate: true,
            state,
            due_ms: due_ms.unwrap_or(now_ms),
        }))
    }

    fn hold_key(&self, key: &DedupKey<'_>, run: RunId, now_ms: i64) -> Result<()> {
        const SQL: &str = "
            INSERT INTO dedup (hash, job, key, run, until_ms) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (hash, job, key) DO UPDATE SET run = excluded.run, until_ms = excluded.until_ms";
        let until_ms = now_ms.saturating_add(key.window_ms);
        self.conn
            .prepare_cached(SQL)?
            .execute(params![key.hash, key.job, key.key, run.0, until_ms])?;
        Ok(())
    }

    fn insert(&mut self, run: &NewRun, now_ms: i64) -> Result<Enqueued> {
        const SQL: &str = "
            INSERT INTO run (
                job, queue, tenant, priority, state, ready, order_key, created_ms, due_ms, wait_set_ms, deadline_ms,
                max_attempts, max_crashes, guarantee, params, has_payload, idempotency_key, dedup_key,
                trigger, parent, correlation_id, initiator, business_key, traceparent
            ) VALUES (
                ?1, ?2, ?3, ?4, 'waiting', ?5, ?6, ?7, ?8, ?9, ?10,
                ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                ?18, ?19, ?20, ?21, ?22, ?23
            )";
        const PAYLOAD: &str = "INSERT INTO payload (run, body) VALUES (?1, ?2)";
        let due_ms = run.due_ms.max(now_ms);
        let ready = due_ms <= now_ms;
        let order_key = due_ms.saturating_add(run.priority.saturating_mul(PRIORITY_STEP_MS));
        self.conn.prepare_cached(SQL)?.execute(params![
            run.job,
            run.queue,
            run.tenant,
            run.priority,
            ready,
            order_key,
            now_ms,
            due_ms,
            run.wait_set_ms,
            run.deadline_ms,
            run.max_attempts,
            run.max_crashes,
            run.guarantee.word(),
            run.params,
            run.payload.is_some(),
            run.idempotency_key,
            run.dedup.as_ref().map(|(key, _)| key),
            run.trigger.word(),
            run.parent.map(|parent| parent.0),
            run.correlation_id,
            run.initiator,
            run.business_key,
            run.traceparent,
        ])?;
        let id = self.conn.last_insert_rowid();
        if let Some(payload) = &run.payload {
            self.conn
                .prepare_cached(PAYLOAD)?
                .execute(params![id, payload])?;
        }
        self.count(&run.queue, &run.tenant, Depth::NONE, Depth::waiting(ready));
        Ok(Enqueued {
            run: RunId(id),
            duplicate: false,
            state: State::Waiting,
            due_ms,
        })
    }

    /// The run with this id and idempotency key, if `job` has it: what an earlier try may have stored.
    ///
    /// # Errors
    /// [`Kind::Refused`] when it is a run of another job.
    pub fn stored_before(
        &self,
        run: RunId,
        idempotency_key: [u8; 16],
        job: &str,
    ) -> Result<Option<Enqueued>> {
        match look_up(self.conn, run, idempotency_key)? {
            Some((owner, _)) if owner != job => Err(Error::new(
                Kind::Refused,
                format!("run {run} belongs to job `{owner}`; nothing was enqueued"),
            )
            .hint("give each request an id of its own")),
            found => Ok(found.map(|(_, existing)| Enqueued {
                duplicate: true,
                ..existing
            })),
        }
    }

    /// The run of this request id.
    ///
    /// # Errors
    /// [`Kind::Refused`] when the id belongs to another job or to an import.
    pub fn requested(&self, request_id: &str, job: &str) -> Result<Option<Enqueued>> {
        const SQL: &str = "
            SELECT request.job, request.run, run.state, run.due_ms
            FROM request LEFT JOIN run ON run.id = request.run WHERE request.id = ?1";
        let row = self
            .conn
            .prepare_cached(SQL)?
            .query_row([request_id], |row| {
                Ok((
                    row.get::<_, Option<String>>(0)?,
                    row.get::<_, Option<i64>>(1)?,
                    row.get::<_, Option<String>>(2)?,
                    row.get::<_, Option<i64>>(3)?,
                ))
            })
            .optional()?;
        match row {
            None => Ok(None),
            Some((Some(owner), Some(run), state, due_ms)) if owner == job => Ok(Some(Enqueued {
                run: RunId(run),
                duplicate: true,
                state: state.as_deref().and_then(State::from_word).unwrap_or(State::Succeeded),
                due_ms: due_ms.unwrap_or(0),
            })),
            Some((owner, ..)) => Err(Error::new(
                Kind::Refused,
                match owner {
                    Some(owner) => {
                        format!("request id `{request_id}` belongs to job `{owner}`; nothing was enqueued")
                    }
                    None => format!("request id `{request_id}` belongs to an import; nothing was enqueued"),
                },
            )
            .hint("give each request an id of its own")),
        }
    }

    /// Remembers that this request id became this run.
    pub fn note_request(&self, request_id: &str, job: &str, run: RunId, now_ms: i64) -> Result<()> {
        const SQL: &str = "INSERT INTO request (id, job, run, created_ms) VALUES (?1, ?2, ?3, ?4)";
        self.conn
            .prepare_cached(SQL)?
            .execute(params![request_id, job, run.0, now_ms])?;
        Ok(())
    }

    /// Progress of the import with this request id; zeros when it is new.
    ///
    /// # Errors
    /// [`Kind::Refused`] when the id belongs to a single enqueue.
    pub fn import_progress(&self, request_id: &str) -> Result<ImportProgress> {
        import_progress(self.conn, request_id)
    }

    /// Records the progress of an import in the transaction that stores its lines.
    pub fn note_import(
        &self,
        request_id: &str,
        progress: ImportProgress,
        now_ms: i64,
    ) -> Result<()> {
        const SQL: &str = "
            INSERT INTO request (id, lines_done, accepted, duplicates, created_ms) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (id) DO UPDATE SET lines_done = excluded.lines_done, accepted = excluded.accepted,
                duplicates = excluded.duplicates";
        self.conn.prepare_cached(SQL)?.execute(params![
            request_id,
            progress.lines_done,
            progress.accepted,
            progress.duplicates,
            now_ms
        ])?;
        Ok(())
    }
}

/// How far an import came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportProgress {
    /// Lines that are stored or were found to be duplicates.
    pub lines_done: i64,
    /// New runs.
    pub accepted: i64,
    /// Lines that were duplicates.
    pub duplicates: i64,
}

fn import_progress(conn: &Connection, request_id: &str) -> Result<ImportProgress> {
    const SQL: &str = "SELECT job, lines_done, accepted, duplicates FROM request WHERE id = ?1";
    let row = conn
        .prepare_cached(SQL)?
        .query_row([request_id], |row| {
            let progress = ImportProgress {
                lines_done: row.get(1)?,
                accepted: row.get(2)?,
                duplicates: row.get(3)?,
            };
            Ok((row.get::<_, Option<String>>(0)?, progress))
        })
        .optional()?;
    match row {
        None => Ok(ImportProgress::default()),
        Some((None, progress)) => Ok(progress),
        Some((Some(job), _)) => Err(Error::new(
            Kind::Refused,
            format!(
                "request id `{request_id}` belongs to a run of job `{job}`; nothing was enqueued"
            ),
        )
        .hint("give each request an id of its own")),
    }
}

/// The run with this id and idempotency key, and its job.
fn look_up(
    conn: &Connection,
    run: RunId,
    idempotency_key: [u8; 16],
) -> Result<Option<(String, Enqueued)>> {
    const SQL: &str = "SELECT job, state, due_ms FROM run WHERE id = ?1 AND idempotency_key = ?2";
    let row = conn
        .prepare_cached(SQL)?
        .query_row(params![run.0, idempotency_key], |row| {
            let state: String = row.get(1)?;
            let existing = Enqueued {
                run,
                duplicate: false,
                state: State::from_word(&state).unwrap_or(State::Waiting),
                due_ms: row.get(2)?,
            };
            Ok((row.get(0)?, existing))
        })
        .optional()?;
    Ok(row)
}

impl super::Store {
    /// As [`Tx::import_progress`].
    pub fn import_progress(&self, request_id: &str) -> Result<ImportProgress> {
        import_progress(self.connection()?, request_id)
    }

    /// The state of a run.
    pub fn state_of(&self, run: RunId) -> Result<Option<State>> {
        const SQL: &str = "SELECT state FROM run WHERE id = ?1";
        let word: Option<String> = self
            .connection()?
            .prepare_cached(SQL)?
            .query_row([run.0], |row| row.get(0))
            .optional()?;
        Ok(word.and_then(|word| State::from_word(&word)))
    }

    /// Whether run `run` exists and carries this idempotency key: tells after a failed COMMIT if it was stored.
    pub fn has_run(&mut self, run: RunId, idempotency_key: [u8; 16]) -> Result<Option<Enqueued>> {
        self.reopen_if_dropped()?;
        let found = look_up(self.connection()?, run, idempotency_key)?;
        Ok(found.map(|(_, existing)| existing))
    }
}
