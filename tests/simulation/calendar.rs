//! Compares the decisions about periods with what happened: when they were found, who had paused their job, what else of it could
//! still run, and how long nothing came.
//!
//! Rule: where a clock that was set makes it a matter of opinion, nothing is foretold.

use std::collections::BTreeSet;

use super::host::{HOUR, Host, MINUTE, SECOND};
use super::witness::Witness;

/// `late_grace`, where a schedule says nothing.
const GRACE_MS: i64 = MINUTE;

/// The longest time from one period of `elapsed` to the next, and some for a scheduler to come to it.
const ELAPSED_MS: i64 = 6 * HOUR + MINUTE;

/// What is known about periods.
#[derive(Debug, Default)]
pub(super) struct Calendar {
    /// Pauses of jobs: from, until.
    pauses: Vec<(String, i64, Option<i64>)>,
    /// Pauses that began by another clock.
    unsure: BTreeSet<String>,
    /// Instants from then on are known.
    known_from_ms: i64,
    /// Up to when `elapsed` was decided; and since when that is so, by the true time.
    elapsed_ms: Option<i64>,
    elapsed_since_ms: i64,
    /// How far the clock was set forwards, all in all, as long as it was little each time: two schedulers that saw different steps, or
    /// met a boot, do not agree how far elapsed time is ahead.
    forwards_ms: Option<i64>,
}

impl Calendar {
    pub(super) fn new() -> Self {
        Self {
            forwards_ms: Some(0),
            ..Self::default()
        }
    }

    /// The host was booted.
    pub(super) fn boot(&mut self) {
        self.forwards_ms = None;
    }

    pub(super) fn pause(&mut self, job: &str, now_ms: i64) {
        self.pauses.push((job.to_owned(), now_ms, None));
    }

    pub(super) fn resume(&mut self, job: &str, now_ms: i64) {
        for (of, _, until_ms) in &mut self.pauses {
            if of == job && until_ms.is_none() {
                *until_ms = Some(now_ms);
            }
        }
        if self.unsure.remove(job) {
            self.known_from_ms = self.known_from_ms.max(now_ms);
        }
    }

    /// The clock was set: what was before says nothing.
    pub(super) fn set_clock(&mut self, before_ms: i64, now_ms: i64) {
        let by_ms = now_ms - before_ms;
        self.forwards_ms = if by_ms.abs() > HOUR {
            None
        } else {
            self.forwards_ms.map(|it| it + by_ms.max(0))
        };
        let pauses = std::mem::take(&mut self.pauses).into_iter();
        let open = pauses.filter(|(_, _, until_ms)| until_ms.is_none());
        self.unsure.extend(open.map(|(job, ..)| job));
        self.known_from_ms = self.known_from_ms.max(before_ms).max(now_ms);
    }

    /// Whether a job was paused at an instant, where that is known.
    fn was_paused(&self, job: &str, at_ms: i64) -> Option<bool> {
        let known = at_ms > self.known_from_ms && !self.unsure.contains(job);
        let holds = |(of, from_ms, until_ms): &(String, i64, Option<i64>)| {
            of == job && at_ms >= *from_ms && until_ms.is_none_or(|it| at_ms < it)
        };
        known.then(|| self.pauses.iter().any(holds))
    }

    /// Something was decided; `held` while the clock is doubted, `never_late` where `hourly` wants nothing that is late.
    pub(super) fn decided(&self, witness: &Witness, held: bool, never_late: bool) {
        if held {
            return;
        }
        let now_ms = witness.now_ms;
        for run in &witness.new {
            let one = |what: &str| {
                witness.number(&format!(
                    "SELECT {what} FROM period WHERE run = {run} AND job <> 'elapsed'
                    UNION ALL SELECT 0 LIMIT 1"
                ))
            };
            let (late_ms, caught_up) =
                (one("decided_ms - due_ms"), one("result = 'caught_up'") == 1);
            assert_eq!(
                late_ms > GRACE_MS,
                caught_up,
                "run {run} of a period is {late_ms} ms late"
            );
            let hourly = one("job = 'hourly'") == 1;
            let wanted = !(caught_up && hourly && never_late);
            assert!(wanted, "run {run} is late, and late ones are not wanted");
        }
        let sql = format!(
            "SELECT count(*) FROM period AS it WHERE decided_ms = {now_ms} AND reason = 'overlap' AND count = 1
             AND NOT EXISTS (SELECT 1 FROM run WHERE run.job = it.job AND trigger = 'period' AND (state = 'running'
                OR (state = 'waiting' AND (deadline_ms IS NULL OR deadline_ms > {now_ms}))))"
        );
        let stood = witness.number(&sql);
        assert_eq!(
            stood, 0,
            "what cannot run any more stands in a period's way"
        );
        self.judge_pauses(witness);
    }

    fn judge_pauses(&self, witness: &Witness) {
        const SQL: &str = "
            SELECT job, due_ms, coalesce(reason = 'paused', 0) FROM period
            WHERE decided_ms = ?1 AND count = 1 AND job <> 'elapsed' AND (reason IS NULL OR reason NOT IN ('gap', 'removed'))
                AND NOT (result = 'merged' AND reason IS NULL)";
        let mut statement = witness.conn.prepare_cached(SQL).expect(SQL);
        let rows = statement.query_map([witness.now_ms], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        });
        for row in rows.expect(SQL) {
            let (job, due_ms, paused): (String, i64, bool) = row.expect(SQL);
            let was = self.was_paused(&job, due_ms);
            let right = was.is_none_or(|was| was == paused);
            assert!(
                right,
                "period of `{job}` at {due_ms}: paused {was:?}, told {paused}"
            );
        }
    }
}

impl Host {
    /// A scheduler has been well for a while and has nothing to do: nothing is overdue.
    pub(super) fn nothing_is_overdue(&mut self) {
        const SQL: &str = "
            SELECT job, next_ms FROM schedule WHERE version IS NOT NULL AND job <> 'elapsed' AND next_ms <= ?1";
        let now_ms = self.wall_ms();
        let mut statement = self.witness.conn.prepare_cached(SQL).expect(SQL);
        let mut rows = statement.query([now_ms - SECOND]).expect(SQL);
        if let Some(row) = rows.next().expect(SQL) {
            panic!("a period was forgotten at {now_ms}: {row:?}");
        }
    }

    /// Time that elapses does not stand still.
    pub(super) fn elapsed_goes_on(&mut self, well: bool) {
        let sql = "SELECT coalesce(max(watermark_ms), 0) FROM schedule WHERE job = 'elapsed' AND version IS NOT NULL";
        let mark_ms = Some(self.witness.number(sql)).filter(|it| *it > 0);
        let (now_ms, calendar) = (self.true_ms, &mut self.calendar);
        if calendar.elapsed_ms != mark_ms {
            calendar.elapsed_ms = mark_ms;
            calendar.elapsed_since_ms = now_ms;
        }
        let stands_ms = now_ms - calendar.elapsed_since_ms;
        let may_ms = calendar.forwards_ms.map(|it| ELAPSED_MS + it);
        let stands = well && mark_ms.is_some() && may_ms.is_some_and(|may_ms| stands_ms > may_ms);
        assert!(
            !stands,
            "for {stands_ms} ms there was no period of `elapsed`"
        );
    }
}
