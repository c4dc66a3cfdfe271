//! Paused jobs: their runs wait until an operator resumes them or the time of the pause is over; running runs continue.

use rusqlite::{OptionalExtension, params};

use super::writer::Tx;
use crate::error::Result;
use crate::policy::Pauses;
use crate::store::{Act, Pause};

/// Number of past pauses of a job that are stored.
const PAST_PAUSES_MAX: i64 = 1000;

impl Tx<'_> {
    /// Pauses a job. Returns `false`, without a change, if it was already paused.
    pub fn pause_job(&mut self, job: &str, act: &Act<'_>) -> Result<bool> {
        const SQL: &str = "
            INSERT INTO pause (job, paused_ms, paused_by, reason, until_ms) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (job) DO UPDATE SET paused_ms = excluded.paused_ms, paused_by = excluded.paused_by,
                reason = excluded.reason, until_ms = excluded.until_ms
            WHERE pause.until_ms <= excluded.paused_ms";
        let Act {
            by,
            reason,
            now_ms,
            until_ms,
        } = *act;
        let values = params![job, now_ms, by, reason, until_ms];
        // An expired pause is replaced.
        self.remember_pause(job, now_ms, "until_ms <= ?2")?;
        let paused = self.conn.prepare_cached(SQL)?.execute(values)? == 1;
        if paused {
            self.note_act("job", job, "pause", act)?;
        }
        Ok(paused)
    }

    /// Resumes a job. Returns whether it was paused.
    pub fn resume_job(&mut self, job: &str, act: &Act<'_>) -> Result<bool> {
        const SQL: &str =
            "DELETE FROM pause WHERE job = ?1 RETURNING until_ms IS NULL OR until_ms > ?2";
        self.remember_pause(job, act.now_ms, "1")?;
        let mut statement = self.conn.prepare_cached(SQL)?;
        let ended: Vec<bool> = statement
            .query_map(params![job, act.now_ms], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let resumed = ended.contains(&true);
        if resumed {
            self.note_act("job", job, "resume", act)?;
        }
        Ok(resumed)
    }

    /// Stores a pause that ends now, or has expired, for periods that are not decided yet.
    fn remember_pause(&mut self, job: &str, now_ms: i64, which: &str) -> Result<()> {
        // A bound for a user who pauses and resumes in a loop while no scheduler runs.
        const BOUND: &str = "
            DELETE FROM past_pause WHERE job = ?1 AND from_ms <= (
                SELECT from_ms FROM past_pause WHERE job = ?1 ORDER BY from_ms DESC LIMIT 1 OFFSET ?2)";
        let remember = format!(
            "INSERT INTO past_pause (job, from_ms, until_ms)
             SELECT job, paused_ms, min(coalesce(until_ms, ?2), ?2) FROM pause
             WHERE job = ?1 AND paused_ms < min(coalesce(until_ms, ?2), ?2) AND {which}
                AND EXISTS (SELECT 1 FROM schedule WHERE schedule.job = ?1 AND version IS NOT NULL
                    AND watermark_ms < min(coalesce(until_ms, ?2), ?2))
             ON CONFLICT (job, from_ms) DO UPDATE SET until_ms = max(until_ms, excluded.until_ms)"
        );
        let remembered = self
            .conn
            .prepare_cached(&remember)?
            .execute(params![job, now_ms])?;
        if remembered > 0 {
            let mut bound = self.conn.prepare_cached(BOUND)?;
            bound.execute(params![job, PAST_PAUSES_MAX])?;
        }
        Ok(())
    }

    /// The pauses of a job, for periods that are not decided yet.
    pub fn pauses_of(&self, job: &str) -> Result<Pauses> {
        const CURRENT: &str = "SELECT paused_ms, until_ms FROM pause WHERE job = ?1";
        const PAST: &str = "SELECT from_ms, until_ms FROM past_pause WHERE job = ?1";
        let current = self
            .conn
            .prepare_cached(CURRENT)?
            .query_row([job], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let mut statement = self.conn.prepare_cached(PAST)?;
        let past = statement
            .query_map([job], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        Ok(Pauses { current, past })
    }

    /// Removes pauses before an instant up to which all periods are decided.
    pub fn forget_pauses(&mut self, job: &str, until_ms: i64) -> Result<()> {
        const SQL: &str = "DELETE FROM past_pause WHERE job = ?1 AND until_ms <= ?2";
        self.conn
            .prepare_cached(SQL)?
            .execute(params![job, until_ms])?;
        Ok(())
    }
}

impl super::Store {
    /// All paused jobs by name.
    pub fn pauses(&self, now_ms: i64) -> Result<Vec<Pause>> {
        const SQL: &str = "
            SELECT job, paused_ms, paused_by, reason, until_ms FROM pause
            WHERE until_ms IS NULL OR until_ms > ?1 ORDER BY job";
        let mut statement = self.connection()?.prepare_cached(SQL)?;
        let rows = statement
            .query_map([now_ms], |row| {
                Ok(Pause {
                    job: row.get("job")?,
                    paused_ms: row.get("paused_ms")?,
                    paused_by: row.get("paused_by")?,
                    reason: row.get("reason")?,
                    until_ms: row.get("until_ms")?,
                })
            })?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// Whether any run of this job is in the store.
    pub fn has_runs_of(&self, job: &str) -> Result<bool> {
        const SQL: &str = "SELECT 1 FROM run INDEXED BY run_job WHERE job = ?1 LIMIT 1";
        Ok(self.connection()?.prepare_cached(SQL)?.exists([job])?)
    }

    /// Names of the jobs of all loaded catalogues, and of paused jobs.
    pub fn known_jobs(&self) -> Result<Vec<String>> {
        const SQL: &str = "SELECT job FROM catalogue_job UNION SELECT job FROM pause ORDER BY job";
        let mut statement = self.connection()?.prepare_cached(SQL)?;
        let rows = statement
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }
}
