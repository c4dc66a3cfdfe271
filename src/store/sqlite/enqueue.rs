//! Stores new runs, one for each dedup key.

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::coalesce::Coalesced;
use super::first_runs::FirstRuns;
use super::late_statement::LateStatement;
use super::sequence::Tails;
use super::writer::Tx;
use crate::catalogue::SequenceOnDead;
use crate::error::{Error, Kind, Result};
use crate::flow::Guard;
use crate::run::{RunId, State};
use crate::store::decide::Depth;
use crate::store::{Enqueued, NewRun, PRIORITY_STEP_MS};

/// The row of the dedup table for a key with a window.
struct DedupKey<'a> {
    hash: i64,
    job: &'a str,
    key: &'a str,
    window_ms: i64,
    /// Place in the batch.
    index: usize,
}

impl DedupKey<'_> {
    fn is(&self, other: &DedupKey<'_>) -> bool {
        (self.hash, self.job, self.key) == (other.hash, other.job, other.key)
    }
}

/// Result of the lookup by dedup window for a run of a batch.
#[derive(Default)]
enum Fate {
    /// It is new.
    #[default]
    New,
    /// It duplicates a stored run.
    Existing(Enqueued),
    /// It duplicates the run with this index in the batch.
    Twin(usize),
}

/// Result of the lookup for a single run.
enum Found<'n> {
    /// It duplicates a stored run.
    Existing(Enqueued),
    /// It is new, waits for other runs, and holds this key.
    New(Behind, Option<DedupKey<'n>>),
}

/// The dedup key of a run that has a window.
fn window(run: &NewRun, index: usize) -> Option<DedupKey<'_>> {
    let dedup = run.dedup.as_ref()?;
    Some(DedupKey {
        window_ms: dedup.window_ms?,
        hash: dedup_hash(&run.job, &dedup.key),
        job: &run.job,
        key: &dedup.key,
        index,
    })
}

/// The keys of the runs in a batch that only have a window, in hash order, so that a large batch walks the table once. Runs that
/// coalesce are looked up one by one, because each changes the result of the next lookup.
fn keys_in_hash_order(new: &[NewRun]) -> Vec<DedupKey<'_>> {
    let mut keys: Vec<DedupKey<'_>> = new
        .iter()
        .enumerate()
        .filter(|(_, run)| run.dedup.as_ref().is_some_and(|it| it.coalesce.is_none()))
        .filter_map(|(index, run)| window(run, index))
        .collect();
    keys.sort_unstable_by_key(|key| (key.hash, key.job, key.key, key.index));
    keys
}

/// First 64 bits of SHA-256, for the order of the rows; the key itself is compared too.
pub(super) fn dedup_hash(job: &str, key: &str) -> i64 {
    let mut hasher = Sha256::new();
    hasher.update((job.len() as u64).to_le_bytes());
    hasher.update(job);
    hasher.update(key);
    let digest = hasher.finalize();
    i64::from_le_bytes(digest[..8].try_into().unwrap_or_default())
}

impl Tx<'_> {
    /// Stores one run, or returns the run that it duplicates.
    pub fn enqueue(&mut self, new: &NewRun, now_ms: i64) -> Result<Enqueued> {
        let mut answers = self.enqueue_all(std::slice::from_ref(new), now_ms)?;
        answers
            .pop()
            .ok_or_else(|| Error::new(Kind::Bug, "an enqueue gave no answer"))
    }

    /// Stores runs in order; runs with equal keys become one.
    ///
    /// # Errors
    /// [`Kind::TryAgain`] if a queue or tenant has no room for one of them; [`Kind::Refused`] if one would replace the parameters of
    /// a run of another sequence.
    pub fn enqueue_all(&mut self, new: &[NewRun], now_ms: i64) -> Result<Vec<Enqueued>> {
        match self.enqueue_fitting(new, None, now_ms)? {
            (answers, None) => Ok(answers),
            (_, Some(refusal)) => Err(refusal),
        }
    }

    /// As [`Tx::enqueue_all`], but if there is no room for a run, stores the runs before it and returns the refusal. Disk space is
    /// only checked with a `guard`.
    pub fn enqueue_fitting(
        &mut self,
        new: &[NewRun],
        guard: Option<&Guard<'_>>,
        now_ms: i64,
    ) -> Result<(Vec<Enqueued>, Option<Error>)> {
        let keys = keys_in_hash_order(new);
        let mut fates: Vec<Fate> = Vec::new();
        fates.resize_with(if keys.is_empty() { 0 } else { new.len() }, Fate::default);
        let mut before: Option<&DedupKey<'_>> = None;
        for key in &keys {
            match before {
                // Equal keys are adjacent, in the order of the batch.
                Some(twin) if twin.is(key) => fates[key.index] = Fate::Twin(twin.index),
                _ => {
                    before = Some(key);
                    if let Some(existing) = self.duplicate_of(key, now_ms)? {
                        fates[key.index] = Fate::Existing(existing);
                    }
                }
            }
        }
        let mut answers: Vec<Enqueued> = Vec::with_capacity(new.len());
        let mut rows = Rows::prepare(self.conn)?;
        let mut tails = Tails::default();
        let mut room = self.room(guard, now_ms)?;
        let mut refusal = None;
        for (index, run) in new.iter().enumerate() {
            let answer = match fates.get_mut(index).map(std::mem::take) {
                None | Some(Fate::New) => match self.look_for(run, now_ms)? {
                    Found::Existing(existing) => existing,
                    Found::New(behind, key) => {
                        refusal = room.refuse(run, |subject| self.depth_of(subject))?;
                        if refusal.is_some() {
                            break;
                        }
                        self.store(run, (behind, key), &mut rows, &mut tails, now_ms)?
                    }
                },
                Some(Fate::Existing(existing)) => existing,
                Some(Fate::Twin(earlier)) => Enqueued {
                    duplicate: true,
                    ..answers[earlier].clone()
                },
            };
            answers.push(answer);
        }
        for key in &keys {
            if let Some(answer) = answers.get(key.index).filter(|answer| !answer.duplicate) {
                self.hold_key(key, answer.run, now_ms)?;
            }
        }
        Ok((answers, refusal))
    }

    /// Looks up the duplicates of a run; a waiting run that it coalesces with may get its parameters.
    fn look_for<'n>(&mut self, run: &'n NewRun, now_ms: i64) -> Result<Found<'n>> {
        let mut behind = Behind {
            runs: run.after.clone(),
            place: None,
        };
        let mut held = None;
        if let Some(dedup) = &run.dedup
            && let Some(how) = dedup.coalesce
        {
            let found = self.coalesce(run, (&dedup.key, how), now_ms)?;
            let key = window(run, 0);
            match (found, &key) {
                (Coalesced::Existing(existing), _) => return Ok(Found::Existing(existing)),
                (Coalesced::Behind(runs), _) if !runs.is_empty() => behind.runs.extend(runs),
                (_, Some(key)) => {
                    if let Some(existing) = self.duplicate_of(key, now_ms)? {
                        return Ok(Found::Existing(existing));
                    }
                }
                _ => {}
            }
            held = key;
        }
        Ok(Found::New(behind, held))
    }

    /// Stores a run with the runs that it waits for.
    fn store<'n>(
        &mut self,
        run: &'n NewRun,
        (mut behind, held): (Behind, Option<DedupKey<'n>>),
        rows: &mut Rows<'_>,
        tails: &mut Tails<'n>,
        now_ms: i64,
    ) -> Result<Enqueued> {
        if run.sequence.is_some() {
            let (place, before) = tails.place(self.conn, run)?;
            behind.place = place;
            behind.runs.extend(before);
        }
        behind.runs.sort_unstable();
        behind.runs.dedup();
        let (answer, ready) = rows.insert(run, &behind, now_ms)?;
        tails.note(run, answer.run, behind.place);
        self.count(&run.queue, &run.tenant, Depth::NONE, Depth::waiting(ready));
        if let Some(key) = held {
            self.hold_key(&key, answer.run, now_ms)?;
        }
        Ok(answer)
    }

    /// The run that holds the key: until the window is over and the run has started; not if it is dead or cancelled.
    fn duplicate_of(&self, key: &DedupKey<'_>, now_ms: i64) -> Result<Option<Enqueued>> {
        const SQL: &str = "
            SELECT dedup.run AS run, until_ms, state, attempts, due_ms
            FROM dedup LEFT JOIN run ON run.id = dedup.run
            WHERE dedup.hash = ?1 AND dedup.job = ?2 AND dedup.key = ?3";
        let row = self
            .conn
            .prepare_cached(SQL)?
            .query_row(params![key.hash, key.job, key.key], |row| {
                Ok((
                    RunId(row.get("run")?),
                    row.get::<_, i64>("until_ms")?,
                    row.get::<_, Option<String>>("state")?,
                    row.get::<_, Option<i64>>("attempts")?,
                    row.get::<_, Option<i64>>("due_ms")?,
                ))
            })
            .optional()?;
        let Some((run, until_ms, state, attempts, due_ms)) = row else {
            return Ok(None);
        };
        // A run without a row was pruned, so it had ended.
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
            replaced: false,
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
}

/// The runs that a new run waits for.
struct Behind {
    /// Runs that have to end first.
    runs: Vec<RunId>,
    /// Its place in its sequence.
    place: Option<i64>,
}

/// The statements that store a run, prepared once for a batch; rare ones at their first use.
struct Rows<'c> {
    conn: &'c Connection,
    run: CachedStatement<'c>,
    payload: LateStatement<'c>,
    gate: LateStatement<'c>,
    first: FirstRuns<'c>,
}

impl<'c> Rows<'c> {
    fn prepare(conn: &'c Connection) -> Result<Self> {
        const SQL: &str = "
            INSERT INTO run (
                job, queue, tenant, priority, state, ready, order_key, created_ms, due_ms, wait_set_ms, deadline_ms,
                max_attempts, max_crashes, guarantee, params, has_payload, idempotency_key, dedup_key,
                trigger, parent, correlation_id, initiator, business_key, traceparent,
                period, scheduled_ms, business_date, gates,
                sequence_key, sequence_place, sequence_stops, dedup_live
            ) VALUES (
                ?1, ?2, ?3, ?4, 'waiting', ?5, ?6, ?7, ?8, ?9, ?10,
                ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                ?18, ?19, ?20, ?21, ?22, ?23,
                ?24, ?25, ?26, ?27,
                ?28, ?29, ?30, ?31
            )";
        Ok(Self {
            conn,
            run: conn.prepare_cached(SQL)?,
            payload: LateStatement::default(),
            gate: LateStatement::default(),
            first: FirstRuns::new(conn),
        })
    }

    /// Stores the payload of a run and its gates.
    fn attach(&mut self, id: i64, payload: Option<&[u8]>, behind: &Behind) -> Result<()> {
        const GATE: &str = "INSERT INTO gate (run, successor) VALUES (?1, ?2)";
        const PAYLOAD: &str = "INSERT INTO payload (run, body) VALUES (?1, ?2)";
        if let Some(payload) = payload {
            self.payload
                .get(self.conn, PAYLOAD)?
                .execute(params![id, payload])?;
        }
        for before in &behind.runs {
            self.gate
                .get(self.conn, GATE)?
                .execute(params![before.0, id])?;
        }
        Ok(())
    }

    /// Stores the row of a run. Returns the answer, and whether the run is ready.
    fn insert(&mut self, run: &NewRun, behind: &Behind, now_ms: i64) -> Result<(Enqueued, bool)> {
        let due_ms = run.due_ms.max(now_ms);
        let ready = due_ms <= now_ms && behind.runs.is_empty();
        let order_key = due_ms.saturating_add(run.priority.saturating_mul(PRIORITY_STEP_MS));
        self.run.execute(params![
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
            run.dedup.as_ref().map(|dedup| &dedup.key),
            run.trigger.word(),
            run.parent.map(|parent| parent.0),
            run.correlation_id,
            run.initiator,
            run.business_key,
            run.traceparent,
            run.period.as_ref().map(|period| &period.key),
            run.period.as_ref().map(|period| period.scheduled_ms),
            run.period.as_ref().map(|period| &period.business_date),
            behind.runs.len() as i64,
            run.sequence.as_ref().map(|sequence| &sequence.key),
            behind.place,
            run.sequence
                .as_ref()
                .is_some_and(|sequence| sequence.on_dead == SequenceOnDead::Block),
            run.dedup
                .as_ref()
                .is_some_and(|dedup| dedup.coalesce.is_some()),
        ])?;
        let id = self.conn.last_insert_rowid();
        self.first.note(id, run, now_ms)?;
        self.attach(id, run.payload.as_deref(), behind)?;
        let answer = Enqueued {
            run: RunId(id),
            duplicate: false,
            replaced: false,
            state: State::Waiting,
            due_ms,
        };
        Ok((answer, ready))
    }
}
