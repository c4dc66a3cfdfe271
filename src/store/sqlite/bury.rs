//! Burials: the dead run, its dead letter, and the fingerprint of similar deaths.

use rusqlite::params;
use sha2::{Digest, Sha256};

use super::leave::Last;
use super::moves::exactly_one;
use super::writer::Tx;
use crate::error::Result;
use crate::run::{Reason, RunId};
use crate::store::decide::{Depth, LaneName};
use crate::store::{Burial, Holder};
use crate::units::hex;

impl Tx<'_> {
    pub(super) fn bury_running(
        &self,
        holder: Holder,
        reason: Reason,
        (failures, crashes): (i64, i64),
        last: Last<'_>,
        now_ms: i64,
    ) -> Result<()> {
        const SQL: &str = "
            UPDATE run SET state = 'dead', worker = NULL, attempts = ?3, failures = failures + ?4, crashes = crashes + ?10,
                ended_ms = max(?5, coalesce(started_ms, ?9)), exit_code = ?6, last_error = ?7, reason = ?8, started_ms = coalesce(started_ms, ?9)
            WHERE id = ?1 AND fence = ?2 AND state = 'running'";
        let changed = self.conn.prepare_cached(SQL)?.execute(params![
            holder.run.0,
            holder.fence.0,
            holder.attempt,
            failures,
            now_ms,
            last.exit_code,
            last.error,
            reason.word(),
            last.started_ms,
            crashes
        ])?;
        exactly_one(changed, "bury a run")
    }

    /// Buries a waiting run whose deadline has passed.
    pub(super) fn bury_expired(&mut self, run: RunId, now_ms: i64) -> Result<Burial> {
        // `ready` is read before the update: a RETURNING clause only sees the new row.
        const READ: &str = "SELECT job, queue, tenant, ready, last_error FROM run WHERE id = ?1";
        const SQL: &str = "
            UPDATE run SET state = 'dead', ready = 0, worker = NULL, ended_ms = max(?2, coalesce(started_ms, ?2)),
                reason = 'deadline'
            WHERE id = ?1 AND state = 'waiting'";
        let (job, queue, tenant, ready, error): (String, String, String, bool, Option<String>) =
            self.conn.prepare_cached(READ)?.query_row([run.0], |row| {
                Ok((
                    row.get("job")?,
                    row.get("queue")?,
                    row.get("tenant")?,
                    row.get("ready")?,
                    row.get("last_error")?,
                ))
            })?;
        let changed = self.conn.prepare_cached(SQL)?.execute([run.0, now_ms])?;
        exactly_one(changed, "expire a run")?;
        self.count(&queue, &tenant, Depth::waiting(ready), Depth::NONE);
        let error = error.unwrap_or_else(|| "the deadline passed before it could start".to_owned());
        self.dead_letter(run, &job, Reason::Deadline, Some(&error), &[], now_ms)?;
        Ok(Burial {
            run,
            job,
            reason: Reason::Deadline,
        })
    }

    /// Buries a run that was just claimed and whose row is invalid, because it would make every claim fail.
    pub(super) fn bury_unusable(
        &mut self,
        run: RunId,
        lane: LaneName<'_>,
        why: &str,
        now_ms: i64,
    ) -> Result<Burial> {
        const SQL: &str = "
            UPDATE run SET state = 'dead', ready = 0, worker = NULL, ended_ms = ?2, last_error = ?3, reason = 'permanent'
            WHERE id = ?1 AND state = 'running'";
        let LaneName { queue, tenant, job } = lane;
        let error = format!("its row in the store is invalid: {why}; it was not started");
        let values = params![run.0, now_ms, error];
        let changed = self.conn.prepare_cached(SQL)?.execute(values)?;
        exactly_one(changed, "bury a run")?;
        self.count(queue, tenant, Depth::READY, Depth::NONE);
        self.dead_letter(run, job, Reason::Permanent, Some(&error), &[], now_ms)?;
        Ok(Burial {
            run,
            job: job.to_owned(),
            reason: Reason::Permanent,
        })
    }

    pub(super) fn dead_letter(
        &self,
        run: RunId,
        job: &str,
        reason: Reason,
        error: Option<&str>,
        tail: &[u8],
        now_ms: i64,
    ) -> Result<()> {
        const SQL: &str = "
            INSERT INTO dead_letter (run, job, reason, error, fingerprint, attempts, output_tail, died_ms)
            SELECT ?1, ?2, ?3, ?4, ?5, attempts, ?6, ?7 FROM run WHERE id = ?1";
        let print = fingerprint(job, reason, error.unwrap_or_default());
        let tail = (!tail.is_empty()).then_some(tail);
        self.conn.prepare_cached(SQL)?.execute(params![
            run.0,
            job,
            reason.word(),
            error,
            print,
            tail,
            now_ms
        ])?;
        Ok(())
    }
}

/// A text that is equal for similar deaths: words with digits in the error are ignored, except the exit code or signal at its beginning.
fn fingerprint(job: &str, reason: Reason, error: &str) -> String {
    let mut normal = String::with_capacity(error.len());
    let code_at = ["exit ", "ended by signal "]
        .into_iter()
        .find(|begin| error.starts_with(begin))
        .map(|begin| begin.split_whitespace().count());
    for (at, word) in error.split_whitespace().enumerate() {
        let keep = Some(at) == code_at || !word.bytes().any(|b| b.is_ascii_digit());
        normal.push_str(if keep { word } else { "#" });
        normal.push(' ');
    }
    let mut hasher = Sha256::new();
    for part in [job, reason.word(), &normal] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hex(&hasher.finalize()[..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_that_differ_only_in_numbers_have_equal_fingerprints() {
        let print = |error| fingerprint("job", Reason::Exhausted, error);
        for (one, other) in [
            ("unknown department for 77", "unknown department for 7977"),
            ("exit 1: order 5 of a1b2", "exit 1: order 123456 of 77"),
            ("ended by signal 9: step 2", "ended by signal 9: step 31"),
        ] {
            assert_eq!(print(one), print(other), "{one}");
        }
        for (one, other) in [
            ("exit 1: no", "exit 2: no"),
            ("ended by signal 9", "ended by signal 11"),
            ("unknown department for 7", "unknown section for 7"),
        ] {
            assert_ne!(print(one), print(other), "{one}");
        }
    }
}
