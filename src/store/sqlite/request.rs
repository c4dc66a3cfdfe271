//! Request ids: the run of an earlier request, and the progress of an import.
//!
//! Rule: the id is stored in the transaction that stores its runs, so neither exists without the other.

use rusqlite::{Connection, OptionalExtension, params};

use super::writer::Tx;
use crate::error::{Error, Kind, Result};
use crate::run::{RunId, State};
use crate::store::{Enqueued, ImportProgress};

impl Tx<'_> {
    /// The run with this id and idempotency key, which an earlier try may have stored.
    ///
    /// # Errors
    /// [`Kind::Refused`] if it is a run of another job.
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
    /// [`Kind::Refused`] if the id belongs to another job or to an import.
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
                replaced: false,
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

    /// Stores the run of this request id.
    pub fn note_request(&self, request_id: &str, job: &str, run: RunId, now_ms: i64) -> Result<()> {
        const SQL: &str = "INSERT INTO request (id, job, run, created_ms) VALUES (?1, ?2, ?3, ?4)";
        self.conn
            .prepare_cached(SQL)?
            .execute(params![request_id, job, run.0, now_ms])?;
        Ok(())
    }

    /// Progress of the import with this request id; zeros if it is new.
    ///
    /// # Errors
    /// [`Kind::Refused`] if the id belongs to a single enqueue.
    pub fn import_progress(&self, request_id: &str) -> Result<ImportProgress> {
        import_progress(self.conn, request_id)
    }

    /// Records the progress of an import in the transaction that stores its lines.
    pub fn note_import(
        &self,
        request_id: &str,
        progress: &ImportProgress,
        now_ms: i64,
    ) -> Result<()> {
        const SQL: &str = "
            INSERT INTO request (id, lines_done, accepted, duplicates, created_ms, lines_digest)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)
            ON CONFLICT (id) DO UPDATE SET lines_done = excluded.lines_done, accepted = excluded.accepted,
                duplicates = excluded.duplicates, lines_digest = excluded.lines_digest";
        self.conn.prepare_cached(SQL)?.execute(params![
            request_id,
            progress.lines_done,
            progress.accepted,
            progress.duplicates,
            now_ms,
            progress.digest
        ])?;
        Ok(())
    }
}

fn import_progress(conn: &Connection, request_id: &str) -> Result<ImportProgress> {
    const SQL: &str =
        "SELECT job, lines_done, accepted, duplicates, lines_digest FROM request WHERE id = ?1";
    let row = conn
        .prepare_cached(SQL)?
        .query_row([request_id], |row| {
            let progress = ImportProgress {
                lines_done: row.get("lines_done")?,
                accepted: row.get("accepted")?,
                duplicates: row.get("duplicates")?,
                digest: row.get("lines_digest")?,
            };
            Ok((row.get::<_, Option<String>>("job")?, progress))
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
            let state: String = row.get("state")?;
            let existing = Enqueued {
                run,
                duplicate: false,
                replaced: false,
                state: State::from_word(&state).unwrap_or(State::Waiting),
                due_ms: row.get("due_ms")?,
            };
            Ok((row.get("job")?, existing))
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

    /// The run with this id and idempotency key; after a failed COMMIT this shows whether it was stored.
    pub fn has_run(&self, run: RunId, idempotency_key: [u8; 16]) -> Result<Option<Enqueued>> {
        let found = look_up(self.connection()?, run, idempotency_key)?;
        Ok(found.map(|(_, existing)| existing))
    }
}
