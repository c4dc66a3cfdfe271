//! Recovery of the runs of a dead worker.
//!
//! Rule: the caller holds the dead worker's lock and has ended all processes that the worker left; only then do its runs wait
//! again.

use rusqlite::params;

use super::writer::Tx;
use crate::error::Result;
use crate::run::{Fence, Guarantee, Reason, RunId};
use crate::store::{Cause, Death, Holder, Recovered};

/// Factor for the number of deaths that make a run poison if the deaths do not prove that it is the cause.
const UNPROVED: i64 = 2;

impl Tx<'_> {
    /// Recovers every run of a dead worker, and removes the worker unless a run is blocked.
    pub fn recover(&mut self, death: &Death, now_ms: i64) -> Result<Recovered> {
        const SQL: &str = "
            SELECT id, fence, attempts, crashes, max_crashes, guarantee,
                (SELECT count(*) FROM attempt WHERE run = run.id AND number = run.attempts AND ended_ms IS NULL) > 0 AS noted
            FROM run INDEXED BY run_worker WHERE worker = ?1 AND state = 'running' ORDER BY id";
        struct Held {
            run: RunId,
            fence: Fence,
            attempts: i64,
            crashes: i64,
            max_crashes: i64,
            guarantee: String,
            noted: bool,
        }
        let held: Vec<Held> = self
            .conn
            .prepare_cached(SQL)?
            .query_map([death.worker.0], |row| {
                Ok(Held {
                    run: RunId(row.get("id")?),
                    fence: Fence(row.get("fence")?),
                    attempts: row.get("attempts")?,
                    crashes: row.get("crashes")?,
                    max_crashes: row.get("max_crashes")?,
                    guarantee: row.get("guarantee")?,
                    noted: row.get("noted")?,
                })
            })?
            .collect::<Result<_, _>>()?;
        let rebooted = death.cause == Cause::Reboot;
        let started = |held: &Held| {
            rebooted || held.noted || death.started.contains_key(&(held.run, held.fence))
        };
        // Only a death with a single run proves the cause. A run that always ends the parent too needs a bound as well.
        let times = if death.proves { 1 } else { UNPROVED };
        let enough = |max_crashes: i64| max_crashes.saturating_mul(times);
        let alone = held.iter().filter(|held| started(held)).count() == 1;
        let mut recovered = Recovered::default();
        for held in &held {
            if death.blocked.contains(&held.run) {
                continue;
            }
            if !started(held) {
                self.unclaim(held.run, held.fence)?;
                recovered.unclaimed += 1;
                continue;
            }
            let attempt = if held.noted {
                held.attempts
            } else {
                held.attempts.saturating_add(1)
            };
            let counts = death.cause == Cause::Unknown;
            let reason = if held.guarantee == Guarantee::AtMostOnce.word() {
                Some(Reason::Crashed)
            } else if counts && alone && held.crashes.saturating_add(1) >= enough(held.max_crashes)
            {
                Some(Reason::Poison)
            } else {
                None
            };
            let holder = Holder {
                run: held.run,
                fence: held.fence,
                worker: death.worker,
                attempt,
            };
            let started_ms = death
                .started
                .get(&(held.run, held.fence))
                .copied()
                .unwrap_or(now_ms);
            let worker = death.worker;
            let error = match death.cause {
                Cause::Unknown => format!("worker {worker} died while it ran"),
                Cause::Reboot => format!("the host went down while worker {worker} ran it"),
                Cause::Parent => {
                    format!("worker {worker} was stopped by its parent process during the attempt")
                }
            };
            let (_, burial) = self.lose(holder, started_ms, reason, counts, &error, now_ms)?;
            match burial {
                Some(burial) => recovered.buried.push(burial),
                None => recovered.lost += 1,
            }
        }
        if death.blocked.is_empty() {
            const KEPT: &str = "
                UPDATE run SET worker = NULL WHERE worker = ?1 AND state = 'waiting'";
            self.conn
                .prepare_cached(KEPT)?
                .execute(params![death.worker.0])?;
            self.remove_worker(death.worker)?;
        }
        Ok(recovered)
    }
}
