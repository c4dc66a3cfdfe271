//! The catalogue as its last reader found it: lets an enqueue skip the parser, and workers notice a newer one.

use rusqlite::{OptionalExtension, params};

use super::writer::Tx;
use crate::catalogue::{Catalogue, Intake};
use crate::error::{Error, Kind, Result};
use crate::store::Settings;

impl Tx<'_> {
    /// What a catalogue says of queues, limits and tenants holds from here on, for everybody; whether another one held before.
    fn put_in_force(&self, catalogue: &Catalogue) -> Result<bool> {
        const NO_QUEUES: &str = "DELETE FROM queue";
        const QUEUE: &str = "INSERT INTO queue (queue, rank) VALUES (?1, ?2)";
        if !self.keep_rules_of(catalogue)? {
            return Ok(false);
        }
        self.conn.prepare_cached(NO_QUEUES)?.execute([])?;
        let mut insert = self.conn.prepare_cached(QUEUE)?;
        for (name, queue) in &catalogue.queues {
            insert.execute(params![name, queue.rank])?;
        }
        Ok(true)
    }

    /// Puts a catalogue in force, keeps it and returns its generation; the same files keep their generation.
    pub fn keep_catalogue(&mut self, catalogue: &Catalogue, now_ms: i64) -> Result<i64> {
        const LOOK: &str = "SELECT generation, stamp FROM catalogue WHERE path = ?1";
        self.put_in_force(catalogue)?;
        let path = catalogue.path.to_string_lossy();
        let known: Option<(i64, String)> = self
            .conn
            .prepare_cached(LOOK)?
            .query_row([&path], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        match known {
            Some((generation, stamp)) if stamp == catalogue.stamp => Ok(generation),
            _ => self.keep_as(catalogue, &catalogue.stamp, now_ms),
        }
    }

    /// Whether the rules in force are those of this catalogue, as its files were when it was read.
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

    /// As [`Tx::keep_catalogue`], for one whose files are too young for their stamp to be trusted: the next enqueue reads them
    /// again.
    pub fn keep_unsettled(&mut self, catalogue: &Catalogue, now_ms: i64) -> Result<()> {
        if self.put_in_force(catalogue)? {
            self.keep_as(catalogue, "", now_ms)?;
        }
        Ok(())
    }

    /// Keeps a catalogue that a command read beside a worker or a scheduler: so that the next command need not read it, but what
    /// is in force stays. If it is theirs and changed, they see that there is a newer one, and load it themselves.
    pub fn keep_beside(&mut self, catalogue: &Catalogue, settled: bool, now_ms: i64) -> Result<()> {
        const LOOK: &str = "SELECT 1 FROM catalogue WHERE path = ?1 AND stamp = ?2";
        let path = catalogue.path.to_string_lossy();
        let is_theirs = self.in_force()?.0.as_deref() == Some(&*path);
        let known = settled
            && self
                .conn
                .prepare_cached(LOOK)?
                .exists([&*path, &catalogue.stamp])?;
        if !known && (settled || is_theirs) {
            let stamp = if settled { &*catalogue.stamp } else { "" };
            self.keep_as(catalogue, stamp, now_ms)?;
        }
        Ok(())
    }

    fn keep_as(&self, catalogue: &Catalogue, stamp: &str, now_ms: i64) -> Result<i64> {
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
    /// What the store knows of the catalogue at `path`, if it was kept with this stamp.
    pub fn kept_settings(&self, path: &str, stamp: &str) -> Result<Option<Settings>> {
        const SQL: &str = "SELECT settings FROM catalogue WHERE path = ?1 AND stamp = ?2";
        let text: Option<String> = self
            .connection()?
            .prepare_cached(SQL)?
            .query_row([path, stamp], |row| row.get(0))
            .optional()?;
        // A jobctl of another version may have written it: then it is simply parsed again.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// The settings and the enqueue side of one job, if the catalogue at `path` was kept with this stamp and has the job. What
    /// is in force must not be of other files at that path.
    pub fn kept(&self, path: &str, stamp: &str, job: &str) -> Result<Option<(Settings, Intake)>> {
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
