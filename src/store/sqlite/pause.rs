//! Paused jobs: their runs wait until an operator resumes them; what runs goes on.

use rusqlite::params;

use super::writer::Tx;
use crate::error::Result;
use crate::store::Pause;

impl Tx<'_> {
    /// Pauses a job; a job that is paused already keeps its pause. Whether it was not.
    pub fn pause_job(
        &mut self,
        job: &str,
        actor: &str,
        reason: Option<&str>,
        now_ms: i64,
    ) -> Result<bool> {
        const SQL: &str = "
            INSERT INTO pause (job, paused_ms, paused_by, reason) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (job) DO NOTHING";
        let changed = self
            .conn
            .prepare_cached(SQL)?
            .execute(params![job, now_ms, actor, reason])?;
        Ok(changed == 1)
    }

    /// Resumes a job; whether it was paused.
    pub fn resume_job(&mut self, job: &str) -> Result<bool> {
        const SQL: &str = "DELETE FROM pause WHERE job = ?1";
        Ok(self.conn.prepare_cached(SQL)?.execute([job])? == 1)
    }
}

impl super::Store {
    /// All paused jobs by name.
    pub fn pauses(&self) -> Result<Vec<Pause>> {
        const SQL: &str = "SELECT job, paused_ms, paused_by, reason FROM pause ORDER BY job";
        let mut statement = self.connection()?.prepare_cached(SQL)?;
        let rows = statement
            .query_map([], |row| {
                Ok(Pause {
                    job: row.get(0)?,
                    paused_ms: row.get(1)?,
                    paused_by: row.get(2)?,
                    reason: row.get(3)?,
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
