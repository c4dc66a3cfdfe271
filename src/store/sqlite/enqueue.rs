//! Stores new runs, one for each dedup key.

use rusqlite::{CachedStatement, Connection, OptionalExtension, params, params_from_iter};

use super::coalesce::Coalesced;
use super::first_runs::FirstRuns;
use super::labels::{label_columns, label_places, label_values};
use super::late_statement::LateStatement;
use super::sequence::tail_of;
use super::writer::Tx;
use crate::catalogue::SequenceOnDead;
use crate::error::{Error, Kind, Result};
use crate::flow::Guard;
use crate::run::{RunId, State};
use crate::store::decide::{
    DedupKey, DedupOutcome, Depth, KeyHolder, Queued, Tails, dedup_outcomes,
};
use crate::store::{Enqueued, NewRun};

/// Result of the lookup for a single run.
enum Found<'n> {
    /// It duplicates a stored run.
    Existing(Enqueued),
    /// It is new, waits for other runs, and holds this key.
    New(Behind, Option<DedupKey<'n>>),
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
        let keys = DedupKey::in_hash_order(new);
        let mut outcomes = dedup_outcomes(&keys, new.len(), |key| self.duplicate_of(key, now_ms))?;
        let mut answers: Vec<Enqueued> = Vec::with_capacity(new.len());
        let mut rows = Rows::prepare(self.conn)?;
        let mut tails = Tails::default();
        let mut room = self.room(guard, now_ms)?;
        let mut refusal = None;
        for (index, run) in new.iter().enumerate() {
            let answer = match outcomes.get_mut(index).map(std::mem::take) {
                None | Some(DedupOutcome::New) => match self.look_for(run, now_ms)? {
                    Found::Existing(existing) => existing,
                    Found::New(behind, key) => {
                        refusal = room.refuse(run, |subject| self.depth_of(subject))?;
                        if refusal.is_some() {
                            break;
                        }
                        self.store(run, (behind, key), &mut rows, &mut tails, now_ms)?
                    }
                },
                Some(DedupOutcome::Existing(existing)) => existing,
                Some(DedupOutcome::InBatch(earlier)) => Enqueued {
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
            let key = DedupKey::of(run, 0);
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
        if let Some(place) = tails.place(run, |job, key| tail_of(self.conn, job, key))? {
            behind.place = Some(place.number);
            behind.runs.extend(place.before);
        }
        behind.runs.sort_unstable();
        behind.runs.dedup();
        let (answer, ready) = rows.insert(run, &behind, now_ms)?;
        if let Some(place) = behind.place {
            tails.note(run, answer.run, place);
        }
        self.count(&run.queue, &run.tenant, Depth::NONE, Depth::waiting(ready));
        if let Some(key) = held {
            self.hold_key(&key, answer.run, now_ms)?;
        }
        Ok(answer)
    }

    /// The run that holds the key.
    fn duplicate_of(&self, key: &DedupKey<'_>, now_ms: i64) -> Result<Option<Enqueued>> {
        const SQL: &str = "
            SELECT dedup.run AS run, until_ms, state, attempts, due_ms
            FROM dedup LEFT JOIN run ON run.id = dedup.run
            WHERE dedup.hash = ?1 AND dedup.job = ?2 AND dedup.key = ?3";
        let mut statement = self.conn.prepare_cached(SQL)?;
        let holder = statement.query_row(params![key.hash, key.job, key.key], |row| {
            let state: Option<String> = row.get("state")?;
            Ok(KeyHolder {
                run: RunId(row.get("run")?),
                until_ms: row.get("until_ms")?,
                state: state.as_deref().and_then(State::from_word),
                attempts: row.get("attempts")?,
                due_ms: row.get("due_ms")?,
            })
        });
        Ok(holder.optional()?.and_then(|it| it.duplicate(now_ms)))
    }

    fn hold_key(&self, key: &DedupKey<'_>, run: RunId, now_ms: i64) -> Result<()> {
        const SQL: &str = "
            INSERT INTO dedup (hash, job, key, run, until_ms) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (hash, job, key) DO UPDATE SET run = excluded.run, until_ms = excluded.until_ms";
        let values = params![key.hash, key.job, key.key, run.0, key.until_ms(now_ms)];
        self.conn.prepare_cached(SQL)?.execute(values)?;
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
        const SQL: &str = concat!(
            "
            INSERT INTO run (
                job, queue, tenant, priority, state, ready, order_key, created_ms, due_ms, wait_set_ms, deadline_ms,
                max_attempts, max_crashes, guarantee, params, has_payload, idempotency_key, dedup_key,
                trigger, parent, period, scheduled_ms, business_date, gates,
                sequence_key, sequence_place, sequence_stops, dedup_live, ",
            label_columns!(),
            ") VALUES (
                ?1, ?2, ?3, ?4, 'waiting', ?5, ?6, ?7, ?8, ?9, ?10,
                ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                ?18, ?19, ?20, ?21, ?22, ?23,
                ?24, ?25, ?26, ?27, ",
            label_places!(),
            ")"
        );
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
        let Queued {
            due_ms,
            ready,
            order_key,
        } = Queued::of(run, !behind.runs.is_empty(), now_ms);
        let own = params![
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
        ];
        let labels = label_values(&run.labels);
        self.run
            .execute(params_from_iter(own.iter().chain(&labels)))?;
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
