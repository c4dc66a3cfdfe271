//! The cached catalogue: an enqueue need not parse the files, and workers notice a newer one.

use rusqlite::{OptionalExtension, params};

use super::writer::Tx;
use crate::catalogue::{Catalogue, Intake};
use crate::error::{Error, Kind, Result};
use crate::store::Settings;

impl Tx<'_> {
    /// Puts the rules of a catalogue for queues, limits and tenants in force. Returns whether another one was in force.
    fn put_in_force(&self, catalogue: &Catalogue) -> Result<bool> {
        const NO_QUEUES: &str = "DELETE FROM queue";
        const QUEUE: &str = "INSERT INTO queue (queue, rank) VALUES (?1, ?2)";
        if !self.put_rules_in_force(catalogue)? {
            return Ok(false);
        }
        self.conn.prepare_cached(NO_QUEUES)?.execute([])?;
        let mut insert = self.conn.prepare_cached(QUEUE)?;
        for (name, queue) in &catalogue.queues {
            insert.execute(params![name, queue.rank])?;
        }
        Ok(true)
    }

    /// Puts a catalogue in force and caches it. Returns its generation, which does not change for the same files.
    pub fn apply_catalogue(&mut self, catalogue: &Catalogue, now_ms: i64) -> Result<i64> {
        const READ: &str = "SELECT generation, stamp FROM catalogue WHERE path = ?1";
        self.put_in_force(catalogue)?;
        let path = catalogue.path.to_string_lossy();
        let known: Option<(i64, String)> = self
            .conn
            .prepare_cached(READ)?
            .query_row([&path], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        match known {
            Some((generation, stamp)) if stamp == catalogue.stamp => Ok(generation),
            _ => self.save_catalogue(catalogue, &catalogue.stamp, now_ms),
        }
    }

    /// Whether the rules in force are those of this version of this catalogue.
    pub fn is_in_force(&self, catalogue: &Catalogue) -> Result<bool> {
        let (path, stamp) = self.in_force()?;
        let ours = catalogue.path.to_string_lossy();
        Ok(path.as_deref() == Some(&*ours) && stamp.as_deref() == Some(&*catalogue.stamp))
    }

    /// Path and stamp of the catalogue whose rules are in force.
    fn in_force(&self) -> Result<(Option<String>, Option<String>)> {
        const SQL: &str = "SELECT path, stamp FROM flow";
        let mut statement = self.conn.prepare_cached(SQL)?;
        Ok(statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    /// As [`Tx::apply_catalogue`], for files that are too young for a reliable stamp: the next enqueue reads them again.
    pub fn apply_without_caching(&mut self, catalogue: &Catalogue, now_ms: i64) -> Result<()> {
        if self.put_in_force(catalogue)? {
            self.save_catalogue(catalogue, "", now_ms)?;
        }
        Ok(())
    }

    /// Caches a catalogue while a worker or a scheduler is alive: the next command need not read it, but the rules in force do not
    /// change. If it is a newer version of theirs, they notice and load it themselves.
    pub fn cache_catalogue(
        &mut self,
        catalogue: &Catalogue,
        settled: bool,
        now_ms: i64,
    ) -> Result<()> {
        const READ: &str = "SELECT 1 FROM catalogue WHERE path = ?1 AND stamp = ?2";
        let path = catalogue.path.to_string_lossy();
        let is_theirs = self.in_force()?.0.as_deref() == Some(&*path);
        let known = settled
            && self
                .conn
                .prepare_cached(READ)?
                .exists([&*path, &catalogue.stamp])?;
        if !known && (settled || is_theirs) {
            let stamp = if settled { &*catalogue.stamp } else { "" };
            self.save_catalogue(catalogue, stamp, now_ms)?;
        }
        Ok(())
    }

    fn save_catalogue(&self, catalogue: &Catalogue, stamp: &str, now_ms: i64) -> Result<i64> {
        const GENERATION: &str = "SELECT coalesce(max(generation), 0) + 1 FROM catalogue";
        const KEEP: &str = "
            INSERT INTO catalogue (path, stamp, generation, loaded_ms, settings) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (path) DO UPDATE SET stamp = excluded.stamp, generation = excluded.generation,
                loaded_ms = excluded.loaded_ms, settings = excluded.settings";
        const FORGET: &str = "DELETE FROM catalogue_job WHERE path = ?1";
        const JOB: &str = "INSERT INTO catalogue_job (path, job, intake) VALUES (?1, ?2, ?3)";
        let path = catalogue.path.to_string_lossy();
        let generation: i64 = self
            .conn
            .prepare_cached(GENERATION)?
            .query_row([], |row| row.get(0))?;
        let settings = to_json(&Settings::of(catalogue))?;
        self.conn
            .prepare_cached(KEEP)?
            .execute(params![path, stamp, generation, now_ms, settings])?;
        self.conn.prepare_cached(FORGET)?.execute([&path])?;
        let mut insert = self.conn.prepare_cached(JOB)?;
        for (name, job) in &catalogue.jobs {
            insert.execute(params![path, name, to_json(&job.intake)?])?;
        }
        Ok(generation)
    }
}

impl super::Store {
    /// The cached settings of the catalogue at `path`, if they have this stamp.
    pub fn cached_settings(&self, path: &str, stamp: &str) -> Result<Option<Settings>> {
        const SQL: &str = "SELECT settings FROM catalogue WHERE path = ?1 AND stamp = ?2";
        let text: Option<String> = self
            .connection()?
            .prepare_cached(SQL)?
            .query_row([path, stamp], |row| row.get(0))
            .optional()?;
        // If another version of jobctl wrote it in another format, the catalogue is parsed again.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// The cached settings and intake of a job, if the catalogue at `path` was cached with this stamp and has the job. `None` if the
    /// rules in force are of another version of that catalogue.
    pub fn cached_intake(
        &self,
        path: &str,
        stamp: &str,
        job: &str,
    ) -> Result<Option<(Settings, Intake)>> {
        const SQL: &str = "
            SELECT settings, (SELECT intake FROM catalogue_job WHERE path = ?1 AND job = ?3)
            FROM catalogue WHERE path = ?1 AND stamp = ?2
                AND NOT EXISTS (SELECT 1 FROM flow WHERE flow.path = ?1 AND flow.stamp <> ?2)";
        let texts: Option<(String, Option<String>)> = self
            .connection()?
            .prepare_cached(SQL)?
            .query_row([path, stamp, job], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(texts.and_then(|(settings, intake)| {
            let settings = serde_json::from_str(&settings).ok()?;
            Some((settings, serde_json::from_str(&intake?).ok()?))
        }))
    }

    /// Generation of the catalogue at `path`.
    pub fn catalogue_generation(&self, path: &str) -> Result<Option<i64>> {
        const SQL: &str = "SELECT generation FROM catalogue WHERE path = ?1";
        Ok(self
            .connection()?
            .prepare_cached(SQL)?
            .query_row([path], |row| row.get(0))
            .optional()?)
    }
}

fn to_json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| {
        Error::new(
            Kind::Bug,
            format!("cannot write the catalogue as JSON: {error}"),
        )
    })
}
