//! Claims about the operator's verbs; each with two runs at least, because a statement without WHERE passes with one.

mod claim;
mod coalesce;
mod flow;
mod late;
mod limits;
mod model;
mod operate;
mod order;
mod overrides;
mod prune;
mod read;
mod retry;
mod room;
mod sequence;
mod unusable;
mod watch;
mod why;

use std::path::Path;
use std::time::Duration;

use super::Store;
use crate::attempt::{Class, Ending, Report, Said};
use crate::error::Result;
use crate::policy::{Judged, Verdict};
use crate::run::{Reason, RunId, State, WorkerId};
use crate::store::decide::samples;
use crate::store::{
    Act, ClaimRequest, Claimed, Create, Holder, NewDedup, NewRun, OpenOptions, Outcome,
    ServedQueue, Turns,
};

/// The worker that tests claim for.
pub(super) const WORKER: WorkerId = WorkerId(1);

/// A store of its own in a directory that ends with the test, at a time of its own.
pub(super) struct Lab {
    pub(super) store: Store,
    pub(super) now_ms: i64,
    turns: Turns,
    dir: tempfile::TempDir,
}

/// Somebody, at this time.
pub(super) fn act(now_ms: i64) -> Act<'static> {
    Act {
        by: "ann",
        reason: Some("mending"),
        now_ms,
        until_ms: None,
    }
}

impl Lab {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            store: open(dir.path()),
            now_ms: 1_000_000,
            turns: Turns::default(),
            dir,
        }
    }

    pub(super) fn enqueue(&mut self, change: impl FnOnce(&mut NewRun)) -> RunId {
        let now_ms = self.now_ms;
        let mut new = new_run("job", now_ms);
        change(&mut new);
        self.store.write(|tx| tx.enqueue(&new, now_ms)).unwrap().run
    }

    /// Promotes and claims up to `max` runs.
    pub(super) fn claim(&mut self, max: usize) -> Vec<Claimed> {
        let now_ms = self.now_ms;
        let turns = &mut self.turns;
        let queues = ["high", "default", "low"].map(ServedQueue::from);
        let claims = self.store.write(|tx| {
            tx.promote(now_ms)?;
            let request = ClaimRequest {
                worker: WORKER,
                queues: &queues,
                knows: &|_| true,
                terms: &|_| None,
                known_after: &|_| None,
                max,
                free: max,
                is_short: &|_| true,
            };
            tx.claim(&request, turns, now_ms)
        });
        claims.unwrap().runs
    }

    /// Claims exactly one run.
    pub(super) fn claim_one(&mut self) -> Claimed {
        let mut runs = self.claim(1);
        assert_eq!(runs.len(), 1);
        runs.remove(0)
    }

    pub(super) fn end(&mut self, claimed: &Claimed, verdict: Verdict) -> Outcome {
        let now_ms = self.now_ms;
        let code = i32::from(verdict != Verdict::Succeed);
        let holder = Holder {
            run: claimed.run,
            fence: claimed.fence,
            worker: WORKER,
            attempt: claimed.attempt,
        };
        let report = Report {
            started_ms: now_ms,
            ran_ms: 0,
            ending: Ending::Exited(code),
            output_tail: b"the end\n".to_vec(),
            output_bytes: 8,
            leaked: 0,
            said: Said {
                results: vec!["1".into()],
                ..Said::default()
            },
        };
        let judged = Judged {
            class: if code == 0 {
                Class::Success
            } else {
                Class::Transient
            },
            retry_after: None,
            error: (code != 0).then(|| "exit 1".to_owned()),
        };
        let ended = self
            .store
            .write(|tx| tx.finish(holder, &report, &judged, verdict, false, now_ms));
        ended.unwrap().outcome
    }

    /// Stores a run and lets it die.
    pub(super) fn dead(&mut self, change: impl FnOnce(&mut NewRun)) -> RunId {
        let run = self.enqueue(|new| {
            new.priority = 0;
            change(new);
        });
        let claimed = self.claim_one();
        assert_eq!(claimed.run, run);
        self.end(&claimed, bury());
        run
    }

    pub(super) fn state(&self, run: RunId) -> State {
        self.store
            .show_run(run, self.now_ms)
            .unwrap()
            .unwrap()
            .row
            .state
    }

    /// The counters of every (queue, tenant) must equal what the rows say, and exactly the dead runs have dead letters.
    #[track_caller]
    pub(super) fn check(&self) {
        const DEPTH: &str = "
            SELECT queue, tenant, ready, delayed, running FROM depth
            WHERE (ready, delayed, running) <> (0, 0, 0) ORDER BY queue, tenant";
        const RECOUNT: &str = "
            SELECT queue, tenant, sum(ready), sum(state = 'waiting' AND NOT ready), sum(state = 'running') FROM run
            WHERE state IN ('waiting', 'running') GROUP BY queue, tenant ORDER BY queue, tenant";
        const ODD: &str = "
            SELECT count(*) FROM dead_letter JOIN run ON run.id = dead_letter.run
            WHERE closed_ms IS NULL AND state <> 'dead'";
        const UNEXPLAINED: &str = "
            SELECT count(*) FROM run WHERE state = 'dead'
                AND NOT EXISTS (SELECT 1 FROM dead_letter WHERE run = run.id AND closed IS NOT 'retried')";
        assert_eq!(self.counts(DEPTH), self.counts(RECOUNT));
        for sql in [ODD, UNEXPLAINED] {
            let n: i64 = self
                .store
                .connection()
                .unwrap()
                .query_row(sql, [], |row| row.get(0))
                .unwrap();
            assert_eq!(n, 0, "{sql}");
        }
    }

    fn counts(&self, sql: &str) -> Vec<(String, String, i64, i64, i64)> {
        let mut statement = self.store.connection().unwrap().prepare(sql).unwrap();
        let rows = statement.query_map([], |row| {
            Ok((
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
            ))
        });
        rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    pub(super) fn count_rows(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        self.store
            .connection()
            .unwrap()
            .query_row(&sql, [], |row| row.get(0))
            .unwrap()
    }

    pub(super) fn write<T>(&mut self, body: impl FnOnce(&mut super::Tx<'_>) -> Result<T>) -> T {
        self.store.write(body).unwrap()
    }
}

pub(super) fn bury() -> Verdict {
    Verdict::Bury {
        reason: Reason::Exhausted,
        failure: true,
    }
}

fn open(dir: &Path) -> Store {
    let options = OpenOptions {
        dir: dir.join("state"),
        create: Create::IfMissing,
        busy_wait: Duration::from_secs(20),
        now_ms: 0,
    };
    options.open().unwrap().store
}

/// A dedup key that counts for a time.
fn window(key: &str, window_ms: i64) -> NewDedup {
    NewDedup {
        key: key.into(),
        window_ms: Some(window_ms),
        coalesce: None,
    }
}

pub(super) fn new_run(job: &str, now_ms: i64) -> NewRun {
    NewRun {
        due_ms: now_ms,
        idempotency_key: crate::clock::random_bytes(),
        ..samples::new_run(job)
    }
}
