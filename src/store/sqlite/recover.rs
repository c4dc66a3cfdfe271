//! Recovery of the runs of a dead worker.
//!
//! Rule: the caller holds the dead worker's lock and has ended all processes that the worker left; only then do its runs wait
//! again.

use rusqlite::params;

use super::writer::Tx;
use crate::error::Result;
use crate::run::{Fence, Guarantee, RunId};
use crate::store::decide::{DeadClaim, DeadClaimOutcome, outcomes};
use crate::store::{Death, Holder, Recovered};

impl Tx<'_> {
    /// Recovers every run of a dead worker, and removes the worker unless a run is blocked.
    pub fn recover(&mut self, death: &Death, now_ms: i64) -> Result<Recovered> {
        const SQL: &str = "
            SELECT id, fence, attempts, crashes, max_crashes, guarantee,
                (SELECT count(*) FROM attempt WHERE run = run.id AND number = run.attempts AND ended_ms IS NULL) > 0 AS noted
            FROM run INDEXED BY run_worker WHERE worker = ?1 AND state = 'running' ORDER BY id";
        let held: Vec<DeadClaim> = self
            .conn
            .prepare_cached(SQL)?
            .query_map([death.worker.0], |row| {
                Ok(DeadClaim {
                    run: RunId(row.get("id")?),
                    fence: Fence(row.get("fence")?),
                    attempts: row.get("attempts")?,
                    crashes: row.get("crashes")?,
                    max_crashes: row.get("max_crashes")?,
                    at_most_once: row.get::<_, String>("guarantee")?
                        == Guarantee::AtMostOnce.word(),
                    is_noted: row.get("noted")?,
                })
            })?
            .collect::<Result<_, _>>()?;
        let mut recovered = Recovered::default();
        for (held, outcome) in held.iter().zip(outcomes(death, &held, now_ms)) {
            let loss = match outcome {
                DeadClaimOutcome::Blocked => continue,
                DeadClaimOutcome::Unclaimed => {
                    self.unclaim(held.run, held.fence)?;
                    recovered.unclaimed += 1;
                    continue;
                }
                DeadClaimOutcome::Lost(loss) => loss,
            };
            let holder = Holder {
                run: held.run,
                fence: held.fence,
                worker: death.worker,
                attempt: loss.attempt,
            };
            let (_, burial) = self.lose(holder, &loss, now_ms)?;
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
