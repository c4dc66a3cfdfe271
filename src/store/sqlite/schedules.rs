//! Schedules in force, the versions of their rules, and the scheduler's own row.
//!
//! Rule: only the end of a version is ever changed; rules and zone data are stored once, by their digest.

use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

use super::writer::Tx;
use crate::error::Result;
use crate::schedule::StoredRule;
use crate::store::{Agenda, NewVersion, ScheduleRow, SchedulerRow, VersionRow};
use crate::units::hex;

const COLUMNS: &str = "job, version, digest, watermark_ms, next_ms, succeeded_ms";

fn schedule_row(row: &Row<'_>) -> rusqlite::Result<ScheduleRow> {
    Ok(ScheduleRow {
        job: row.get("job")?,
        version: row.get("version")?,
        digest: row.get("digest")?,
        watermark_ms: row.get("watermark_ms")?,
        next_ms: row.get("next_ms")?,
        succeeded_ms: row.get("succeeded_ms")?,
    })
}

fn schedule(conn: &Connection, job: &str) -> Result<Option<ScheduleRow>> {
    let sql = format!("SELECT {COLUMNS} FROM schedule WHERE job = ?1");
    let mut statement = conn.prepare_cached(&sql)?;
    Ok(statement.query_row([job], schedule_row).optional()?)
}

fn version_row(row: &Row<'_>) -> rusqlite::Result<VersionRow> {
    let text = |column: &str| -> rusqlite::Result<String> {
        let bytes: Vec<u8> = row.get(column)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(VersionRow {
        version: row.get("version")?,
        from_ms: row.get("from_ms")?,
        until_ms: row.get("until_ms")?,
        stored: StoredRule {
            rule: text("rule")?,
            zone: text("zone")?,
        },
        data_version: row.get("data_version")?,
    })
}

const VERSION: &str = "
    SELECT schedule_version.id AS version, from_ms, until_ms, rule.body AS rule, zone.body AS zone, data_version
    FROM schedule_version
    JOIN content AS rule ON rule.digest = schedule_version.rule
    JOIN content AS zone ON zone.digest = schedule_version.zone";

impl Tx<'_> {
    /// The schedule of a job.
    pub fn schedule(&self, job: &str) -> Result<Option<ScheduleRow>> {
        schedule(self.conn, job)
    }

    /// One version of a schedule.
    pub fn version(&self, version: i64) -> Result<Option<VersionRow>> {
        let sql = format!("{VERSION} WHERE schedule_version.id = ?1");
        let mut statement = self.conn.prepare_cached(&sql)?;
        Ok(statement.query_row([version], version_row).optional()?)
    }

    /// Puts a new version in force, with the watermark at its beginning.
    pub fn begin_version(&mut self, new: &NewVersion<'_>) -> Result<i64> {
        const SQL: &str = "
            INSERT INTO schedule_version (job, from_ms, rule, zone, data_version) VALUES (?1, ?2, ?3, ?4, ?5)
            RETURNING id";
        const IN_FORCE: &str = "
            INSERT INTO schedule (job, version, digest, watermark_ms, next_ms) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (job) DO UPDATE SET version = excluded.version, digest = excluded.digest,
                watermark_ms = excluded.watermark_ms, next_ms = excluded.next_ms";
        let rule = self.keep_content(new.stored.rule.as_bytes())?;
        let zone = self.keep_content(new.stored.zone.as_bytes())?;
        let version: i64 = self.conn.prepare_cached(SQL)?.query_row(
            params![new.job, new.from_ms, rule, zone, new.data_version],
            |row| row.get(0),
        )?;
        self.conn.prepare_cached(IN_FORCE)?.execute(params![
            new.job,
            version,
            new.digest,
            new.from_ms,
            new.next_ms
        ])?;
        Ok(version)
    }

    /// Ends the version in force of a job at an instant; after that the job has no schedule.
    pub fn end_version(&mut self, job: &str, until_ms: i64) -> Result<()> {
        const SQL: &str = "
            UPDATE schedule_version SET until_ms = max(?2, from_ms)
            WHERE id = (SELECT version FROM schedule WHERE job = ?1)";
        const NONE: &str = "UPDATE schedule SET version = NULL, next_ms = NULL WHERE job = ?1";
        self.conn
            .prepare_cached(SQL)?
            .execute(params![job, until_ms])?;
        self.conn.prepare_cached(NONE)?.execute([job])?;
        Ok(())
    }

    /// Moves later begins and ends of versions of a job's schedule back to this time: they were set while the clock was ahead.
    pub fn begin_versions_by(&mut self, job: &str, now_ms: i64) -> Result<()> {
        const SQL: &str = "
            UPDATE schedule_version SET from_ms = min(from_ms, ?2), until_ms = min(until_ms, ?2) WHERE job = ?1";
        self.conn
            .prepare_cached(SQL)?
            .execute(params![job, now_ms])?;
        Ok(())
    }

    /// Stores a new digest: the rule is the same, but something else has changed that opening a period depends on.
    pub fn save_digest(&mut self, job: &str, digest: &str) -> Result<()> {
        const SQL: &str = "UPDATE schedule SET digest = ?2 WHERE job = ?1";
        self.conn.prepare_cached(SQL)?.execute([job, digest])?;
        Ok(())
    }

    /// Stores that all periods up to `watermark_ms` have rows.
    pub fn advance(&mut self, job: &str, watermark_ms: i64, next_ms: Option<i64>) -> Result<()> {
        const SQL: &str = "UPDATE schedule SET watermark_ms = ?2, next_ms = ?3 WHERE job = ?1";
        self.conn
            .prepare_cached(SQL)?
            .execute(params![job, watermark_ms, next_ms])?;
        Ok(())
    }

    /// Instant of the last period of a job that succeeded, milliseconds.
    pub(super) fn succeeded_ms(&self, job: &str) -> Result<Option<i64>> {
        const SQL: &str = "SELECT succeeded_ms FROM schedule WHERE job = ?1";
        let mut statement = self.conn.prepare_cached(SQL)?;
        Ok(statement
            .query_row([job], |row| row.get(0))
            .optional()?
            .flatten())
    }

    /// Stores that this process is the leader.
    pub fn lead(&mut self, pid: u32, host: &str, now_ms: i64) -> Result<()> {
        const SQL: &str = "UPDATE scheduler SET pid = ?1, host = ?2, started_ms = ?3";
        self.conn
            .prepare_cached(SQL)?
            .execute(params![pid, host, now_ms])?;
        Ok(())
    }

    /// Stores the catalogue from which schedules were loaded.
    pub fn loaded_from(&mut self, path: &str) -> Result<()> {
        const SQL: &str = "UPDATE scheduler SET catalogue = ?1";
        self.conn.prepare_cached(SQL)?.execute([path])?;
        Ok(())
    }

    /// Stores the state of the clock guard.
    pub fn save_clock(&mut self, clock: &str) -> Result<()> {
        const SQL: &str = "UPDATE scheduler SET clock = ?1";
        self.conn.prepare_cached(SQL)?.execute([clock])?;
        Ok(())
    }

    /// Stores that an operator accepted the clock.
    pub fn accept_clock(&mut self, accepted: &str) -> Result<()> {
        const SQL: &str = "UPDATE scheduler SET accepted = ?1";
        self.conn.prepare_cached(SQL)?.execute([accepted])?;
        Ok(())
    }

    fn keep_content(&self, body: &[u8]) -> Result<String> {
        const SQL: &str =
            "INSERT INTO content (digest, body) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        let digest = hex(&Sha256::digest(body)[..16]);
        self.conn
            .prepare_cached(SQL)?
            .execute(params![digest, body])?;
        Ok(digest)
    }
}

impl super::Store {
    /// The schedule of a job.
    pub fn schedule(&self, job: &str) -> Result<Option<ScheduleRow>> {
        schedule(self.connection()?, job)
    }

    /// All schedules, including those that are not in force any more, by job.
    pub fn schedules(&self) -> Result<Vec<ScheduleRow>> {
        let sql = format!("SELECT {COLUMNS} FROM schedule ORDER BY job");
        let mut statement = self.connection()?.prepare_cached(&sql)?;
        let rows = statement
            .query_map([], schedule_row)?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// Schedules in force whose watermark is later than this.
    pub fn schedules_ahead(&self, after_ms: i64, limit: i64) -> Result<Vec<ScheduleRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM schedule WHERE version IS NOT NULL AND watermark_ms > ?1 ORDER BY job LIMIT ?2"
        );
        let mut statement = self.connection()?.prepare_cached(&sql)?;
        let rows = statement
            .query_map([after_ms, limit], schedule_row)?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// One version of a schedule.
    pub fn version(&self, version: i64) -> Result<Option<VersionRow>> {
        let sql = format!("{VERSION} WHERE schedule_version.id = ?1");
        let mut statement = self.connection()?.prepare_cached(&sql)?;
        Ok(statement.query_row([version], version_row).optional()?)
    }

    /// Every version of a job's schedule, the oldest first.
    pub fn versions(&self, job: &str) -> Result<Vec<VersionRow>> {
        let sql = format!("{VERSION} WHERE job = ?1 ORDER BY from_ms, schedule_version.id");
        let mut statement = self.connection()?.prepare_cached(&sql)?;
        let rows = statement
            .query_map([job], version_row)?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// The number of schedules in force, and the next period.
    pub fn agenda(&self) -> Result<Agenda> {
        const COUNT: &str = "SELECT count(*) FROM schedule WHERE version IS NOT NULL";
        const NEXT: &str = "
            SELECT next_ms, job FROM schedule WHERE next_ms IS NOT NULL ORDER BY next_ms, job LIMIT 1";
        let conn = self.connection()?;
        let next = conn
            .prepare_cached(NEXT)?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(Agenda {
            schedules: conn
                .prepare_cached(COUNT)?
                .query_row([], |row| row.get(0))?,
            next,
        })
    }

    /// The number of schedules with a period that was due before an instant and is not opened.
    pub fn overdue(&self, before_ms: i64) -> Result<i64> {
        const SQL: &str = "SELECT count(*) FROM schedule WHERE next_ms < ?1";
        Ok(self
            .connection()?
            .prepare_cached(SQL)?
            .query_row([before_ms], |row| row.get(0))?)
    }

    /// The scheduler's own row.
    pub fn scheduler(&self) -> Result<SchedulerRow> {
        const SQL: &str = "SELECT pid, host, started_ms, catalogue, clock, accepted FROM scheduler";
        let mut statement = self.connection()?.prepare_cached(SQL)?;
        Ok(statement.query_row([], |row| {
            Ok(SchedulerRow {
                pid: row.get("pid")?,
                host: row.get("host")?,
                started_ms: row.get("started_ms")?,
                catalogue: row.get("catalogue")?,
                clock: row.get("clock")?,
                accepted: row.get("accepted")?,
            })
        })?)
    }
}
