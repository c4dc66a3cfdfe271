//! Changes of queues and limits by operators, which override the catalogue.
//!
//! Rule: each operation changes the version of the rules and records the change in its own transaction, so that every claim after
//! its commit follows it, in every process.

use rusqlite::{OptionalExtension, Row, params};

use super::known_rules::override_row;
use super::writer::Tx;
use crate::error::Result;
use crate::flow::{OFF, ON, Override, OverrideKey, Setting, Subject};
use crate::store::{Act, Reset};

impl Tx<'_> {
    /// Pauses a queue. If an operator has already paused it, nothing changes, and that pause is returned.
    pub fn pause_queue(&mut self, queue: &str, act: &Act<'_>) -> Result<Option<Override>> {
        self.switch_on(queue, OverrideKey::Paused, "pause", act)
    }

    /// Resumes a paused queue, even if the catalogue pauses it. Returns whether it was paused.
    pub fn resume_queue(
        &mut self,
        queue: &str,
        catalogue_pauses: bool,
        act: &Act<'_>,
    ) -> Result<bool> {
        let key = OverrideKey::Paused;
        let before = self.change_in_force(queue, key, act.now_ms)?;
        let paused = before.map_or(catalogue_pauses, |change| !change.is_off());
        if !paused {
            return Ok(false);
        }
        if catalogue_pauses {
            self.put(queue, key, OFF, act)?;
        } else {
            self.remove(queue, key)?;
        }
        self.note_act("queue", queue, "resume", act)?;
        Ok(true)
    }

    /// Pauses a limit: no run under it starts. If it is already paused, nothing changes, and that pause is returned.
    pub fn pause_limit(&mut self, limit: &str, act: &Act<'_>) -> Result<Option<Override>> {
        self.switch_on(limit, OverrideKey::LimitPaused, "pause", act)
    }

    /// Resumes a paused limit. Returns the ended pause. Its breaker and a wait that a service asked for do not change.
    pub fn resume_limit(&mut self, limit: &str, act: &Act<'_>) -> Result<Option<Override>> {
        let key = OverrideKey::LimitPaused;
        let before = self.change_in_force(limit, key, act.now_ms)?;
        if before.is_some() {
            self.remove(limit, key)?;
            self.note_act("limit", limit, "resume", act)?;
        }
        Ok(before)
    }

    /// Closes the breaker of a limit or a job, and cancels the wait that a service asked for. A pause and the settings do not change.
    pub fn reset(&mut self, subject: &Subject, act: &Act<'_>) -> Result<Reset> {
        let mut throttle = self.throttle(subject)?;
        let reset = Reset {
            breaker: throttle.breaker.open.is_some(),
            waited_until_ms: throttle.waits_until_ms(act.now_ms),
        };
        if reset != Reset::default() {
            throttle.reset();
            self.save_throttle(subject, &throttle)?;
            self.note_act(subject.kind(), subject.name(), "reset", act)?;
        }
        Ok(reset)
    }

    /// Changes settings of a queue or a limit, or removes changes. Returns for each whether anything changed.
    pub fn change_settings(
        &mut self,
        name: &str,
        settings: &[Setting],
        act: &Act<'_>,
    ) -> Result<Vec<bool>> {
        let mut done = Vec::new();
        for Setting { key, value } in settings {
            let kind = kind_of(*key);
            let changed = if let Some(value) = value {
                self.put(name, *key, value, act)?;
                true
            } else {
                let before = self.change_in_force(name, *key, act.now_ms)?;
                self.remove(name, *key)?;
                before.is_some()
            };
            if changed {
                let what = format!("{key}={}", value.as_deref().unwrap_or("catalogue"));
                self.note_act(kind, name, &what, act)?;
            }
            done.push(changed);
        }
        Ok(done)
    }

    fn switch_on(
        &mut self,
        name: &str,
        key: OverrideKey,
        what: &str,
        act: &Act<'_>,
    ) -> Result<Option<Override>> {
        let before = self.change_in_force(name, key, act.now_ms)?;
        if let Some(before) = before.filter(|change| !change.is_off()) {
            return Ok(Some(before));
        }
        self.put(name, key, ON, act)?;
        self.note_act(kind_of(key), name, what, act)?;
        Ok(None)
    }

    fn change_in_force(
        &self,
        name: &str,
        key: OverrideKey,
        now_ms: i64,
    ) -> Result<Option<Override>> {
        const SQL: &str = "
            SELECT name, value, set_by, reason, set_ms, until_ms FROM override
            WHERE kind = ?1 AND name = ?2 AND key = ?3 AND (until_ms IS NULL OR until_ms > ?4)";
        let read = |row: &Row<'_>| override_row(row, key);
        let mut statement = self.conn.prepare_cached(SQL)?;
        let found = statement.query_row(params![kind_of(key), name, key.word(), now_ms], read);
        Ok(found.optional()?)
    }

    fn put(&self, name: &str, key: OverrideKey, value: &str, act: &Act<'_>) -> Result<()> {
        const SQL: &str = "
            INSERT INTO override (kind, name, key, value, set_ms, set_by, reason, until_ms)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
            ON CONFLICT (kind, name, key) DO UPDATE SET value = excluded.value, set_ms = excluded.set_ms,
                set_by = excluded.set_by, reason = excluded.reason, until_ms = excluded.until_ms";
        let Act {
            by,
            reason,
            now_ms,
            until_ms,
        } = *act;
        let kind = kind_of(key);
        let values = params![kind, name, key.word(), value, now_ms, by, reason, until_ms];
        self.conn.prepare_cached(SQL)?.execute(values)?;
        self.change_version()
    }

    fn remove(&self, name: &str, key: OverrideKey) -> Result<()> {
        const SQL: &str = "DELETE FROM override WHERE kind = ?1 AND name = ?2 AND key = ?3";
        let mut statement = self.conn.prepare_cached(SQL)?;
        statement.execute(params![kind_of(key), name, key.word()])?;
        self.change_version()
    }

    /// Makes every process reload the rules.
    fn change_version(&self) -> Result<()> {
        const SQL: &str = "UPDATE flow SET version = version + 1";
        self.conn.prepare_cached(SQL)?.execute([])?;
        Ok(())
    }
}

fn kind_of(key: OverrideKey) -> &'static str {
    if key.is_of_queue() { "queue" } else { "limit" }
}
