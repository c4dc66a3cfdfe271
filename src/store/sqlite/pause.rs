//! Paused jobs: their runs wait until an operator resumes them or the time of the pause is over; what runs goes on.

use rusqlite::params;

use super::writer::Tx;
use crate::error::Result;
use crate::store::{Act, Pause};

impl Tx<'_> {
    /// Pauses a job; a job that is paused already keeps its pause. Whether it was not.
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
        let paused = self.conn.prepare_cached(SQL)?.execute(values)? == 1;
        if paused {
            self.note_act("job", job, "pause", act)?;
        }
        Ok(paused)
    }

    /// Resumes a job; whether it was paused.
    pub fn resume_job(&mut self, job: &str, act: &Act<'_>) -> Result<bool> {
        const SQL: &str =
            "DELETE FROM pause WHERE job = ?1 RETURNING until_ms IS NULL OR until_ms > ?2";
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
                    job: row.get(0)?,
                    paused_ms: row.get(1)?,
                    paused_by: row.get(2)?,
                    reason: row.get(3)?,
                    until_ms: row.get(4)?,
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

    /// Names of the jobs that the store knows: of every catalogue that was read, and those that are paused.
    pub fn known_jobs(&self) -> Result<Vec<String>> {
        const SQL: &str = "SELECT job FROM catalogue_job UNION SELECT job FROM pause ORDER BY job";
        let mut statement = self.connection()?.prepare_cached(SQL)?;
        let rows = statement
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }
}
