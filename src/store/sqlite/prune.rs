//! Removes ended runs with all their data, and rows of periods, in slices short enough not to delay other writers.
//!
//! Rule: runs with an open dead letter or an active dedup key, and runs that others wait for, are always kept. Rows are removed
//! first, and the caller removes the log files after COMMIT: an interrupted prune leaves files without a run, never the reverse.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, named_params, params};

use super::first_runs::FirstRun;
use super::writer::Tx;
use crate::error::Result;
use crate::records::{Phase, Pruned, Pruning};
use crate::run::RunId;
use crate::store::PruneRule;
use crate::store::decide::dedup_hash;

/// A removed run and its idempotency key.
type Gone = (RunId, [u8; 16]);

/// A run that may be removed.
struct Candidate {
    run: i64,
    key: [u8; 16],
    job: String,
    dedup_key: Option<String>,
    freed: bool,
}

impl Tx<'_> {
    /// Among the next `limit` rows, removes those that match the rule.
    pub fn prune(
        &mut self,
        rule: &PruneRule,
        at: &Pruning,
        limit: i64,
        now_ms: i64,
    ) -> Result<Pruned> {
        let (removed, next) = match &at.0 {
            Phase::Runs(after) => self.prune_runs(rule, *after, limit, now_ms)?,
            Phase::FirstRuns(after) => {
                let next = self.prune_first_runs(after, limit)?;
                (
                    Vec::new(),
                    Some(next.map_or_else(Phase::dedup, Phase::FirstRuns)),
                )
            }
            Phase::Dedup(hash, job, key) => (
                Vec::new(),
                Some(self.prune_dedup(*hash, job, key, limit, now_ms)?),
            ),
            Phase::Requests(after) => (Vec::new(), self.prune_requests(rule, after, limit)?),
            Phase::Periods(after) => (Vec::new(), self.prune_periods(rule, *after, limit)?),
        };
        let (runs, keys) = removed.into_iter().unzip();
        Ok(Pruned {
            runs,
            keys,
            next: next.map(Pruning),
        })
    }

    fn prune_runs(
        &mut self,
        rule: &PruneRule,
        after: i64,
        limit: i64,
        now_ms: i64,
    ) -> Result<(Vec<Gone>, Option<Phase>)> {
        let (candidates, last) = self.candidates(rule, after, limit)?;
        let mut runs = Vec::new();
        for candidate in candidates {
            if self.free_key(&candidate, now_ms)? {
                self.remove_run(candidate.run)?;
                runs.push((RunId(candidate.run), candidate.key));
            }
        }
        let next = match last {
            Some(last) => Phase::Runs(last),
            None => Phase::FirstRuns(FirstRun::default()),
        };
        Ok((runs, Some(next)))
    }

    /// Of the next `limit` runs those that match the rule, and the last one that was checked.
    fn candidates(
        &self,
        rule: &PruneRule,
        after: i64,
        limit: i64,
    ) -> Result<(Vec<Candidate>, Option<i64>)> {
        // A run ends after its creation: if all creation times are too recent, no following run is old enough. A single recent row
        // proves nothing, because the clock may have stepped.
        const SQL: &str = "
            SELECT id, job, dedup_key, state IN ('dead', 'cancelled') AS freed,
                state IN ('succeeded', 'dead', 'cancelled')
                    AND (ended_ms < :before OR id <= :upto)
                    AND NOT EXISTS (SELECT 1 FROM dead_letter WHERE dead_letter.run = run.id AND closed_ms IS NULL)
                    AND NOT EXISTS (SELECT 1 FROM gate WHERE gate.run = run.id) AS removable,
                created_ms < :before OR id <= :upto AS old, idempotency_key
            FROM run WHERE id > :after ORDER BY id LIMIT :limit";
        let mut statement = self.conn.prepare_cached(SQL)?;
        let mut rows = statement.query(named_params! {
            ":before": rule.ended_before_ms.unwrap_or(i64::MIN),
            ":upto": rule.upto.map_or(i64::MIN, |run| run.0),
            ":after": after,
            ":limit": limit,
        })?;
        let mut candidates = Vec::new();
        let (mut last, mut all_young) = (None, true);
        while let Some(row) = rows.next()? {
            all_young &= !row.get::<_, bool>("old")?;
            last = Some(row.get("id")?);
            if row.get("removable")? {
                candidates.push(Candidate {
                    run: row.get("id")?,
                    key: row.get("idempotency_key")?,
                    job: row.get("job")?,
                    dedup_key: row.get("dedup_key")?,
                    freed: row.get("freed")?,
                });
            }
        }
        Ok((candidates, last.filter(|_| !all_young)))
    }

    /// Whether the dedup key of the run is not active any more; then its row is removed too.
    fn free_key(&self, candidate: &Candidate, now_ms: i64) -> Result<bool> {
        const READ: &str =
            "SELECT run, until_ms FROM dedup WHERE hash = ?1 AND job = ?2 AND key = ?3";
        const DELETE: &str = "DELETE FROM dedup WHERE hash = ?1 AND job = ?2 AND key = ?3";
        let Some(key) = &candidate.dedup_key else {
            return Ok(true);
        };
        let hash = dedup_hash(&candidate.job, key);
        let holder: Option<(i64, i64)> = self
            .conn
            .prepare_cached(READ)?
            .query_row(params![hash, candidate.job, key], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        match holder {
            Some((run, until_ms)) if run == candidate.run => {
                if until_ms > now_ms && !candidate.freed {
                    return Ok(false);
                }
                self.conn
                    .prepare_cached(DELETE)?
                    .execute(params![hash, candidate.job, key])?;
                Ok(true)
            }
            // A later run holds the key now.
            _ => Ok(true),
        }
    }

    fn remove_run(&self, run: i64) -> Result<()> {
        for sql in [
            "DELETE FROM attempt WHERE run = ?1",
            "DELETE FROM payload WHERE run = ?1",
            "DELETE FROM dead_letter WHERE run = ?1",
            "DELETE FROM gate WHERE successor = ?1",
            "DELETE FROM run WHERE id = ?1",
        ] {
            self.conn.prepare_cached(sql)?.execute([run])?;
        }
        Ok(())
    }

    /// Keys whose window is over and whose run has ended or is gone.
    fn prune_dedup(
        &self,
        hash: i64,
        job: &str,
        key: &str,
        limit: i64,
        now_ms: i64,
    ) -> Result<Phase> {
        const READ: &str = "
            SELECT dedup.hash, dedup.job, dedup.key,
                until_ms <= ?4 AND (run.id IS NULL OR run.state IN ('succeeded', 'dead', 'cancelled'))
            FROM dedup LEFT JOIN run ON run.id = dedup.run
            WHERE (dedup.hash, dedup.job, dedup.key) > (?1, ?2, ?3)
            ORDER BY dedup.hash, dedup.job, dedup.key LIMIT ?5";
        const DELETE: &str = "DELETE FROM dedup WHERE hash = ?1 AND job = ?2 AND key = ?3";
        let mut statement = self.conn.prepare_cached(READ)?;
        let rows: Vec<(i64, String, String, bool)> = statement
            .query_map(params![hash, job, key, now_ms, limit], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?
            .collect::<Result<_, _>>()?;
        for (hash, job, key, over) in &rows {
            if *over {
                self.conn
                    .prepare_cached(DELETE)?
                    .execute(params![hash, job, key])?;
            }
        }
        Ok(match rows.into_iter().next_back() {
            Some((hash, job, key, _)) => Phase::Dedup(hash, job, key),
            None => Phase::Requests(String::new()),
        })
    }

    /// Request ids older than the age, unless their run has not ended: repeating the request must still find it.
    fn prune_requests(&self, rule: &PruneRule, after: &str, limit: i64) -> Result<Option<Phase>> {
        const READ: &str = "
            SELECT request.id,
                request.created_ms < ?3 AND (run.id IS NULL OR run.state IN ('succeeded', 'dead', 'cancelled'))
            FROM request LEFT JOIN run ON run.id = request.run
            WHERE request.id > ?1 ORDER BY request.id LIMIT ?2";
        const DELETE: &str = "DELETE FROM request WHERE id = ?1";
        let Some(before_ms) = rule.ended_before_ms else {
            return Ok(Some(Phase::Periods(0)));
        };
        let mut statement = self.conn.prepare_cached(READ)?;
        let rows: Vec<(String, bool)> = statement
            .query_map(params![after, limit, before_ms], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect::<Result<_, _>>()?;
        for (id, over) in &rows {
            if *over {
                self.conn.prepare_cached(DELETE)?.execute([id])?;
            }
        }
        let last = rows.into_iter().next_back();
        Ok(Some(
            last.map_or(Phase::Periods(0), |(id, _)| Phase::Requests(id)),
        ))
    }

    /// Rows of periods older than the age whose run was removed, except the last one of a schedule. The versions record where an audit
    /// must begin.
    fn prune_periods(&mut self, rule: &PruneRule, after: i64, limit: i64) -> Result<Option<Phase>> {
        const READ: &str = "
            SELECT id, job, last_due_ms,
                last_due_ms < ?3 AND NOT EXISTS (SELECT 1 FROM run WHERE run.id = period.run)
                    AND EXISTS (SELECT 1 FROM period AS later INDEXED BY period_job
                        WHERE later.job = period.job AND later.due_ms > period.due_ms)
            FROM period WHERE id > ?1 ORDER BY id LIMIT ?2";
        const DELETE: &str = "DELETE FROM period WHERE id = ?1";
        const FROM: &str = "
            UPDATE schedule_version SET from_ms = min(?2, coalesce(until_ms, ?2)) WHERE job = ?1 AND from_ms < ?2";
        const OVER: &str = "
            DELETE FROM schedule_version WHERE job = ?1 AND until_ms < ?2
                AND NOT EXISTS (SELECT 1 FROM period WHERE period.job = ?1 AND version = schedule_version.id)";
        let Some(before_ms) = rule.ended_before_ms else {
            return Ok(None);
        };
        let mut statement = self.conn.prepare_cached(READ)?;
        let rows: Vec<(i64, String, i64, bool)> = statement
            .query_map(params![after, limit, before_ms], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?
            .collect::<Result<_, _>>()?;
        let mut upto: BTreeMap<&str, i64> = BTreeMap::new();
        for (id, job, last_due_ms, over) in &rows {
            if *over {
                self.conn.prepare_cached(DELETE)?.execute([id])?;
                let upto = upto.entry(job).or_insert(*last_due_ms);
                *upto = (*upto).max(*last_due_ms);
            }
        }
        for (job, upto_ms) in upto {
            self.conn
                .prepare_cached(FROM)?
                .execute(params![job, upto_ms])?;
            self.conn
                .prepare_cached(OVER)?
                .execute(params![job, upto_ms])?;
        }
        Ok(rows
            .into_iter()
            .next_back()
            .map(|(id, ..)| Phase::Periods(id)))
    }
}

impl super::Store {
    /// The newest ended run that is not among the newest `keep` ended ones; `None` if there are not more.
    ///
    /// Reads backwards, `page` runs at a time, so that each read is short.
    pub fn beyond_newest(&self, keep: u64, page: i64) -> Result<Option<RunId>> {
        const SQL: &str = "
            SELECT id, state IN ('succeeded', 'dead', 'cancelled') FROM run WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
        let mut statement = self.connection()?.prepare_cached(SQL)?;
        let (mut before, mut ended) = (i64::MAX, 0);
        loop {
            let mut rows = statement.query([before, page])?;
            let mut any = false;
            while let Some(row) = rows.next()? {
                any = true;
                before = row.get(0)?;
                if row.get(1)? {
                    ended += 1;
                    if ended > keep {
                        return Ok(Some(RunId(before)));
                    }
                }
            }
            if !any {
                return Ok(None);
            }
        }
    }

    /// Which of these ids are runs.
    pub fn existing(&self, from: RunId, to: RunId) -> Result<Vec<RunId>> {
        const SQL: &str = "SELECT id FROM run WHERE id BETWEEN ?1 AND ?2 ORDER BY id";
        let mut statement = self.connection()?.prepare_cached(SQL)?;
        let rows = statement
            .query_map([from.0, to.0], |row| Ok(RunId(row.get(0)?)))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }
}
