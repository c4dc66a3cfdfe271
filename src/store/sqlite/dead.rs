//! Dead letters: lists of the open ones, and how operators close them.
//!
//! Rule: a dead letter is closed in the transaction that retries or discards its run; it is never reopened.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::writer::Tx;
use crate::error::Result;
use crate::run::{Reason, RunId, State};
use crate::store::{Closed, DeadFilter, DeadLetter, Handled};

const COLUMNS: &str = "run, job, reason, error, fingerprint, attempts, output_tail, died_ms, closed, closed_by, closed_ms";

/// The predicates of the given filters, and the values of their parameters.
fn matches(filter: &DeadFilter) -> (String, Vec<(&'static str, &dyn ToSql)>) {
    let mut wanted = "closed_ms IS NULL".to_owned();
    let mut values: Vec<(&str, &dyn ToSql)> = Vec::new();
    if let Some(job) = &filter.job {
        wanted += " AND job = :job";
        values.push((":job", job));
    }
    if let Some(reason) = filter.reason {
        // The word is a constant of ours, so it may be part of the SQL text.
        wanted = wanted + " AND reason = '" + reason.word() + "'";
    }
    if let Some(fingerprint) = &filter.fingerprint {
        wanted += " AND fingerprint = :fingerprint";
        values.push((":fingerprint", fingerprint));
    }
    (wanted, values)
}

/// The index for the open letters of a filter, in the order of the deaths; `None` to merge those of each reason.
fn index(filter: &DeadFilter) -> &'static str {
    if filter.fingerprint.is_some() {
        "dead_letter_alike"
    } else if filter.job.is_some() {
        "dead_letter_job"
    } else {
        "dead_letter_reason"
    }
}

/// The newest open letters of any reason: those among the newest of each reason.
fn newest(before: &str) -> String {
    let of_each = Reason::ALL.iter().map(|reason| {
        format!(
            "SELECT id FROM (SELECT id FROM dead_letter INDEXED BY dead_letter_reason
             WHERE closed_ms IS NULL AND reason = '{}'{before} ORDER BY id DESC LIMIT :limit)",
            reason.word()
        )
    });
    let of_each: Vec<String> = of_each.collect();
    format!(
        "dead_letter NOT INDEXED WHERE id IN ({})",
        of_each.join(" UNION ALL ")
    )
}

/// The statement that lists them, and the values of its parameters.
fn listed<'f>(
    filter: &'f DeadFilter,
    before: Option<&'f i64>,
    limit: &'f i64,
) -> (String, Vec<(&'static str, &'f dyn ToSql)>) {
    const BEHIND: &str = " AND id < (SELECT max(id) FROM dead_letter INDEXED BY dead_letter_run WHERE run = :before)";
    let (wanted, mut values) = matches(filter);
    let behind = before.map_or("", |_| BEHIND);
    if let Some(before) = before {
        values.push((":before", before));
    }
    values.push((":limit", limit));
    let from = if *filter == DeadFilter::default() {
        newest(behind)
    } else {
        format!(
            "dead_letter INDEXED BY {} WHERE {wanted}{behind}",
            index(filter)
        )
    };
    let columns = COLUMNS.replace("output_tail", "NULL AS output_tail");
    let sql = format!("SELECT {columns} FROM {from} ORDER BY id DESC LIMIT :limit");
    (sql, values)
}

fn letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let reason: String = row.get("reason")?;
    let how: Option<String> = row.get("closed")?;
    let closed = match how {
        Some(how) => Some(Closed {
            how,
            by: row.get("closed_by")?,
            at_ms: row.get("closed_ms")?,
        }),
        None => None,
    };
    Ok(DeadLetter {
        run: RunId(row.get("run")?),
        job: row.get("job")?,
        reason: Reason::from_word(&reason).unwrap_or(Reason::Exhausted),
        error: row.get("error")?,
        fingerprint: row.get("fingerprint")?,
        attempts: row.get("attempts")?,
        output_tail: row.get("output_tail")?,
        died_ms: row.get("died_ms")?,
        closed,
    })
}

/// The newest dead letters of one run, at most `limit`, the newest last.
pub(super) fn of_run(conn: &Connection, run: RunId, limit: i64) -> Result<Vec<DeadLetter>> {
    let sql = format!("SELECT {COLUMNS} FROM dead_letter WHERE run = ?1 ORDER BY id DESC LIMIT ?2");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows: Vec<DeadLetter> = statement
        .query_map([run.0, limit], letter)?
        .collect::<Result<_, _>>()?;
    rows.reverse();
    Ok(rows)
}

impl super::Store {
    /// Open dead letters, the newest first, without their output; after the letter of run `before`, if given.
    pub fn list_dead(
        &self,
        filter: &DeadFilter,
        before: Option<RunId>,
        limit: i64,
    ) -> Result<Vec<DeadLetter>> {
        let before = before.map(|run| run.0);
        let (sql, values) = listed(filter, before.as_ref(), &limit);
        let mut statement = self.connection()?.prepare_cached(&sql)?;
        let rows = statement
            .query_map(&values[..], letter)?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// Runs with a matching open dead letter and an id above `after`, in the order of their ids.
    pub fn dead_runs(&self, filter: &DeadFilter, after: RunId, limit: i64) -> Result<Vec<RunId>> {
        let (wanted, mut values) = matches(filter);
        values.push((":after", &after.0));
        values.push((":limit", &limit));
        let sql = format!(
            "SELECT run FROM dead_letter INDEXED BY dead_letter_open WHERE {wanted} AND run > :after
             ORDER BY run LIMIT :limit"
        );
        let mut statement = self.connection()?.prepare_cached(&sql)?;
        let rows = statement
            .query_map(&values[..], |row| Ok(RunId(row.get(0)?)))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// Number of open dead letters that match.
    pub fn count_dead(&self, filter: &DeadFilter) -> Result<i64> {
        let (wanted, values) = matches(filter);
        let sql = format!(
            "SELECT count(*) FROM dead_letter INDEXED BY {} WHERE {wanted}",
            index(filter)
        );
        let mut statement = self.connection()?.prepare_cached(&sql)?;
        let count = statement.query_row(&values[..], |row| row.get(0))?;
        Ok(count)
    }
}

impl Tx<'_> {
    /// Closes the open dead letter of a run; the run stays dead, and does not block its sequence any more.
    pub fn discard(&mut self, run: RunId, actor: &str, now_ms: i64) -> Result<Handled> {
        const STATE: &str = "SELECT state FROM run WHERE id = ?1";
        if self.close_letter(run, "discarded", actor, now_ms)? {
            self.give_up_place(run)?;
            return Ok(Handled::Discarded);
        }
        let state: Option<String> = self
            .conn
            .prepare_cached(STATE)?
            .query_row([run.0], |row| row.get(0))
            .optional()?;
        let state = state.as_deref().and_then(State::from_word);
        Ok(state.map_or(Handled::Unknown, Handled::NoDeadLetter))
    }

    /// Closes the open dead letter of a run. Returns whether there was one.
    pub(super) fn close_letter(
        &mut self,
        run: RunId,
        how: &str,
        actor: &str,
        now_ms: i64,
    ) -> Result<bool> {
        const SQL: &str = "
            UPDATE dead_letter SET closed = ?2, closed_by = ?3, closed_ms = ?4 WHERE run = ?1 AND closed_ms IS NULL";
        let changed = self
            .conn
            .prepare_cached(SQL)?
            .execute(params![run.0, how, actor, now_ms])?;
        Ok(changed == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::tests::Lab;

    /// Fault: as `each_filter_seeks_by_its_own_index_and_sorts_nothing`.
    #[test]
    fn each_filter_of_dead_letters_seeks_by_its_own_index_and_sorts_nothing() {
        let mut lab = Lab::new();
        lab.dead(|_| {});
        let some = || Some("a".to_owned());
        let all = DeadFilter::default;
        for (filter, used) in [
            (all(), "USING INDEX dead_letter_reason (reason=?)"),
            (
                DeadFilter {
                    job: some(),
                    ..all()
                },
                "INDEX dead_letter_job (job=?)",
            ),
            (
                DeadFilter {
                    fingerprint: some(),
                    ..all()
                },
                "INDEX dead_letter_alike (fingerprint=?)",
            ),
            (
                DeadFilter {
                    reason: Some(Reason::Poison),
                    ..all()
                },
                "INDEX dead_letter_reason (reason=?)",
            ),
        ] {
            let (sql, values) = listed(&filter, None, &10);
            let conn = lab.store.connection().unwrap();
            let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let lines = plan.query_map(&values[..], |row| row.get(3)).unwrap();
            let lines: Vec<String> = lines.collect::<rusqlite::Result<_>>().unwrap();
            let plan = lines.join("\n");
            assert!(plan.contains(used) && !plan.contains("ORDER BY"), "{plan}");
        }
    }

    #[test]
    fn a_page_of_dead_letters_continues_after_a_listed_run() {
        let mut lab = Lab::new();
        let runs = [1, 2, 3].map(|_| lab.dead(|_| {}));
        let page = |lab: &Lab, before| -> Vec<RunId> {
            let letters = lab
                .store
                .list_dead(&DeadFilter::default(), before, 2)
                .unwrap();
            letters.iter().map(|letter| letter.run).collect()
        };
        assert_eq!(page(&lab, None), [runs[2], runs[1]]);
        assert_eq!(page(&lab, Some(runs[1])), [runs[0]]);
        let now_ms = lab.now_ms;
        lab.write(|tx| tx.discard(runs[1], "ann", now_ms));
        assert_eq!(
            page(&lab, Some(runs[1])),
            [runs[0]],
            "also when that one was closed meanwhile"
        );
    }
}
