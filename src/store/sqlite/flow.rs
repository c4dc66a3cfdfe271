//! Flow control in the store: the current gates, the stored state of limits, and the rules that a catalogue puts in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::known_rules::{catalogue_path, catalogue_rules, overrides};
use super::leave::Lane;
use super::writer::Tx;
use crate::catalogue::Catalogue;
use crate::error::{Error, Kind, Result};
use crate::flow::{
    Breaker, EndedClaim, FlowEvent, FlowView, Gates, LimitOutcome, Overridden, Override, Paused,
    Rules, Running, Subject, Throttle, limits_of,
};
use crate::run::Fence;

fn throttle_of(row: &Row<'_>) -> rusqlite::Result<Throttle> {
    let pair = |first: &str, second: &str| -> rusqlite::Result<Option<(i64, i64)>> {
        let (first, second): (Option<i64>, Option<i64>) = (row.get(first)?, row.get(second)?);
        Ok(first.zip(second))
    };
    let failures: Option<String> = row.get("failures")?;
    Ok(Throttle {
        arrival_us: row.get("arrival_us")?,
        wait: pair("wait_set_ms", "wait_until_ms")?,
        breaker: Breaker {
            failures_ms: failures
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default(),
            open: pair("opened_ms", "closes_ms")?,
            fence: row.get("opened_fence")?,
        },
    })
}

pub(super) fn throttles(conn: &Connection) -> Result<BTreeMap<Subject, Throttle>> {
    const SQL: &str = "
        SELECT kind, name, arrival_us, wait_set_ms, wait_until_ms, failures, opened_ms, closes_ms, opened_fence
        FROM throttle";
    let mut statement = conn.prepare_cached(SQL)?;
    let rows = statement.query_map([], |row| {
        let (kind, name): (String, String) = (row.get(0)?, row.get(1)?);
        let subject = if kind == "job" {
            Subject::Job(name)
        } else {
            Subject::Limit(name)
        };
        Ok((subject, throttle_of(row)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// All running runs, with the columns that gates count.
pub(super) const RUNNING: &str = "
    SELECT queue, tenant, job, limits, fence FROM run INDEXED BY run_worker
    WHERE worker IS NOT NULL AND state = 'running'";

/// Adds all running runs to the gates.
fn count_running(conn: &Connection, gates: &mut Gates<'_>) -> Result<()> {
    let mut statement = conn.prepare_cached(RUNNING)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let text = |column: &str| -> rusqlite::Result<&str> { Ok(row.get_ref(column)?.as_str()?) };
        let limits = row
            .get_ref("limits")?
            .as_str_or_null()
            .map_err(rusqlite::Error::from)?;
        gates.count(&Running {
            queue: text("queue")?,
            tenant: text("tenant")?,
            job: text("job")?,
            limits: limits.unwrap_or_default(),
            fence: row.get("fence")?,
        });
    }
    Ok(())
}

pub(super) fn paused_jobs(conn: &Connection, now_ms: i64) -> Result<BTreeMap<String, Paused>> {
    const SQL: &str = "SELECT job, paused_by, reason, until_ms FROM pause WHERE until_ms IS NULL OR until_ms > ?1";
    let mut statement = conn.prepare_cached(SQL)?;
    let rows = statement.query_map([now_ms], |row| {
        let paused = Paused {
            by: row.get(1)?,
            reason: row.get(2)?,
            until_ms: row.get(3)?,
        };
        Ok((row.get(0)?, paused))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The current gates.
pub(super) fn gates<'r>(conn: &Connection, rules: &'r Rules, now_ms: i64) -> Result<Gates<'r>> {
    let throttles = if rules.limits.is_empty() && rules.jobs.is_empty() {
        BTreeMap::new()
    } else {
        throttles(conn)?
    };
    let paused_jobs = paused_jobs(conn, now_ms)?;
    let mut gates = Gates::new(rules, &[], throttles, paused_jobs, now_ms);
    if rules.have_caps() {
        count_running(conn, &mut gates)?;
    }
    Ok(gates)
}

impl super::Store {
    /// The current flow control; `in_file` reads the rules of the catalogue's file, for a store that has no rules yet.
    pub fn flow(&self, in_file: impl FnOnce() -> Option<Rules>, now_ms: i64) -> Result<FlowView> {
        let snapshot = self.connection()?.unchecked_transaction()?;
        let kept = catalogue_rules(&snapshot)?;
        let catalogue = if kept.queues.is_empty() {
            in_file().unwrap_or(kept)
        } else {
            kept
        };
        let overrides: Vec<Override> = overrides(&snapshot)?
            .into_iter()
            .filter(|change| change.holds(now_ms))
            .collect();
        let in_force = Overridden::new(catalogue.clone(), &overrides, now_ms);
        let gates = gates(&snapshot, &in_force.rules, now_ms)?;
        let source = catalogue_path(&snapshot)?;
        Ok(FlowView::new(catalogue, source, overrides, gates))
    }
}

impl Tx<'_> {
    /// The rules in force, with the changes by operators.
    pub(super) fn rules(&self, now_ms: i64) -> Result<Arc<Overridden>> {
        self.known_rules.borrow_mut().in_force(self.conn, now_ms)
    }

    /// The rules of the catalogue that was loaded last; rules without queues if none was loaded.
    pub fn catalogue_rules(&self) -> Result<Rules> {
        catalogue_rules(self.conn)
    }

    /// Updates the limits of a job, and the breaker of the job itself, after an ending. Returns the changes.
    pub(super) fn note_ending(
        &self,
        lane: &Lane,
        fence: Fence,
        ended: LimitOutcome,
        now_ms: i64,
    ) -> Result<Vec<FlowEvent>> {
        let in_force = self.rules(now_ms)?;
        let rules = &in_force.rules;
        let mut events = Vec::new();
        let job_rules = rules.jobs.get(&lane.job);
        let claimed_under = lane.limits.as_deref().unwrap_or_default();
        let limits = limits_of(claimed_under, job_rules).filter_map(|name| {
            let breaker = rules.limits.get(name)?.breaker;
            Some((Subject::Limit(name.to_owned()), breaker))
        });
        let own = job_rules.map(|rules| (Subject::Job(lane.job.clone()), rules.breaker));
        for (subject, breaker) in limits.chain(own) {
            let is_limit = matches!(subject, Subject::Limit(_));
            let minds = breaker.is_some()
                || (is_limit && matches!(ended, LimitOutcome::RateLimited { .. }));
            if !minds {
                continue;
            }
            let before = self.throttle(&subject)?;
            let mut throttle = before.clone();
            let claim = EndedClaim {
                fence: fence.0,
                last: self.last_fence()?,
            };
            let change = throttle.learn(ended, breaker, is_limit, claim, now_ms);
            if throttle != before {
                self.save_throttle(&subject, &throttle)?;
            }
            events.extend(change.map(|change| FlowEvent { subject, change }));
        }
        Ok(events)
    }

    /// After the wall clock stepped back: waits of limits and jobs that began later than now restart with their full length.
    pub(super) fn rebase_throttles(&self, now_ms: i64) -> Result<()> {
        let in_force = self.rules(now_ms)?;
        for (subject, throttle) in throttles(self.conn)? {
            let limit = match &subject {
                Subject::Limit(name) => in_force.rules.limits.get(name),
                _ => None,
            };
            let rebased = throttle.rebased(limit.and_then(|limit| limit.rate), now_ms);
            if rebased != throttle {
                self.save_throttle(&subject, &rebased)?;
            }
        }
        Ok(())
    }

    /// Puts rules in force that belong to no catalogue, for tests.
    #[cfg(test)]
    pub(in crate::store) fn save_rules(&self, rules: &Rules) -> Result<()> {
        self.put_rules(rules, None).map(drop)
    }

    /// Puts the rules of a catalogue in force. Returns whether rules of another catalogue were in force.
    pub(super) fn put_rules_in_force(&self, catalogue: &Catalogue) -> Result<bool> {
        let path = catalogue.path.to_string_lossy();
        self.put_rules(&catalogue.flow_rules(), Some((&path, &catalogue.stamp)))
    }

    fn put_rules(&self, rules: &Rules, source: Option<(&str, &str)>) -> Result<bool> {
        const SQL: &str = "
            UPDATE flow SET version = version + (rules <> ?1), rules = ?1, bounded = ?2, path = ?3, stamp = ?4
            WHERE rules <> ?1 OR path IS NOT ?3 OR stamp IS NOT ?4";
        let text = serde_json::to_string(rules)
            .map_err(|error| Error::new(Kind::Bug, format!("cannot write the rules: {error}")))?;
        let (path, stamp) = source.unzip();
        let values = params![text, rules.bound_waiting(), path, stamp];
        Ok(self.conn.prepare_cached(SQL)?.execute(values)? > 0)
    }

    /// Stores the state of a limit or a job.
    pub(super) fn save_throttle(&self, subject: &Subject, throttle: &Throttle) -> Result<()> {
        const SQL: &str = "
            INSERT INTO throttle (
                kind, name, arrival_us, wait_set_ms, wait_until_ms, failures, opened_ms, closes_ms, opened_fence)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
            ON CONFLICT (kind, name) DO UPDATE SET arrival_us = excluded.arrival_us,
                wait_set_ms = excluded.wait_set_ms, wait_until_ms = excluded.wait_until_ms,
                failures = excluded.failures, opened_ms = excluded.opened_ms, closes_ms = excluded.closes_ms,
                opened_fence = excluded.opened_fence";
        let Breaker {
            failures_ms,
            open,
            fence,
        } = &throttle.breaker;
        let failures = (!failures_ms.is_empty()).then(|| format!("{failures_ms:?}"));
        self.conn.prepare_cached(SQL)?.execute(params![
            subject.kind(),
            subject.name(),
            throttle.arrival_us,
            throttle.wait.map(|(set_ms, _)| set_ms),
            throttle.wait.map(|(_, until_ms)| until_ms),
            failures,
            open.map(|(since_ms, _)| since_ms),
            open.map(|(_, until_ms)| until_ms),
            fence,
        ])?;
        Ok(())
    }

    /// The stored state of a limit or a job.
    pub(super) fn throttle(&self, subject: &Subject) -> Result<Throttle> {
        const SQL: &str = "
            SELECT arrival_us, wait_set_ms, wait_until_ms, failures, opened_ms, closes_ms, opened_fence
            FROM throttle WHERE kind = ?1 AND name = ?2";
        let found = self
            .conn
            .prepare_cached(SQL)?
            .query_row([subject.kind(), subject.name()], throttle_of)
            .optional()?;
        Ok(found.unwrap_or_default())
    }
}
