//! Tests of the promises of all verbs. Each uses at least two runs, because a statement without WHERE passes with one.

mod catalogue;
mod claim;
mod coalesce;
mod fences;
pub(in crate::store) mod flow;
mod late;
mod limits;
mod model;
mod operate;
mod order;
mod orders;
mod overrides;
mod pauses;
mod periods;
mod prune;
mod read;
mod recover;
mod requests;
mod retry;
mod room;
mod schedules;
mod sequence;
mod transactions;
mod waiting;
mod why;
mod workers;

use super::Kind;
use crate::attempt::{Class, Ending, Report, Said};
use crate::error::Result;
use crate::policy::{Judged, Verdict};
use crate::records::samples;
use crate::run::{Reason, RunId, State, WorkerId};
use crate::store::conformance::make::Make;
use crate::store::{
    Act, ClaimRequest, Claimed, Holder, NewDedup, NewRun, Outcome, ServedQueue, Store, Turns, Tx,
    WorkerRow,
};

/// The worker that tests claim for.
pub(in crate::store) const WORKER: WorkerId = WorkerId(1);

/// A separate store with its own clock and the row of [`WORKER`]. When the test ends, every invariant must hold.
pub(in crate::store) struct Lab {
    pub(in crate::store) store: Store,
    pub(in crate::store) now_ms: i64,
    turns: Turns,
    place: Kind,
    /// Whether only verbs wrote the rows, so that the invariants must hold.
    pub(in crate::store) is_sound: bool,
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.is_sound && !std::thread::panicking() {
            self.check();
        }
    }
}

/// A change by some operator at this time.
pub(in crate::store) fn act(now_ms: i64) -> Act<'static> {
    Act {
        by: "ann",
        reason: Some("mending"),
        now_ms,
        until_ms: None,
    }
}

impl Lab {
    pub(in crate::store) fn new() -> Self {
        let place = Kind::make();
        let mut store = place.open();
        let row = worker_row(WORKER);
        store.write(|tx| tx.add_worker(&row)).unwrap();
        Self {
            store,
            now_ms: 1_000_000,
            turns: Turns::default(),
            place,
            is_sound: true,
        }
    }

    pub(in crate::store) fn enqueue(&mut self, change: impl FnOnce(&mut NewRun)) -> RunId {
        let now_ms = self.now_ms;
        let mut new = new_run("job", now_ms);
        change(&mut new);
        self.store.write(|tx| tx.enqueue(&new, now_ms)).unwrap().run
    }

    /// Promotes and claims up to `max` runs.
    pub(in crate::store) fn claim(&mut self, max: usize) -> Vec<Claimed> {
        self.claim_as(WORKER, max)
    }

    fn claim_as(&mut self, worker: WorkerId, max: usize) -> Vec<Claimed> {
        let now_ms = self.now_ms;
        let turns = &mut self.turns;
        let queues = ["high", "default", "low"].map(ServedQueue::from);
        let claims = self.store.write(|tx| {
            tx.promote(now_ms)?;
            let request = ClaimRequest {
                is_short: &|_| true,
                ..samples::claim_request(worker, &queues, max)
            };
            tx.claim(&request, turns, now_ms)
        });
        claims.unwrap().runs
    }

    /// Claims exactly one run.
    pub(in crate::store) fn claim_one(&mut self) -> Claimed {
        let mut runs = self.claim(1);
        assert_eq!(runs.len(), 1);
        runs.remove(0)
    }

    pub(in crate::store) fn end(&mut self, claimed: &Claimed, verdict: Verdict) -> Outcome {
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
    pub(in crate::store) fn dead(&mut self, change: impl FnOnce(&mut NewRun)) -> RunId {
        let run = self.enqueue(|new| {
            new.priority = 0;
            change(new);
        });
        let claimed = self.claim_one();
        assert_eq!(claimed.run, run);
        self.end(&claimed, bury());
        run
    }

    pub(in crate::store) fn state(&self, run: RunId) -> State {
        self.store
            .show_run(run, self.now_ms)
            .unwrap()
            .unwrap()
            .row
            .state
    }

    /// Panics if an invariant does not hold.
    #[track_caller]
    pub(in crate::store) fn check(&self) {
        assert_eq!(self.store.verify().unwrap(), []);
    }

    /// Opens the store once more, as another process would.
    pub(in crate::store) fn open(&self) -> Store {
        self.place.open()
    }

    pub(in crate::store) fn write<T>(&mut self, body: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> T {
        self.store.write(body).unwrap()
    }
}

fn worker_row(worker: WorkerId) -> WorkerRow {
    WorkerRow {
        worker,
        pid: 1,
        pid_start: 1,
        boot_id: "boot".into(),
        pid_ns: None,
        host: "host".into(),
        uid: 0,
        queues: "default".into(),
        slots: 4,
        started_ms: 0,
        stop_ms: None,
        parent: None,
    }
}

pub(in crate::store) fn bury() -> Verdict {
    Verdict::Bury {
        reason: Reason::Exhausted,
        failure: true,
    }
}

/// A dedup key with a window.
fn window(key: &str, window_ms: i64) -> NewDedup {
    NewDedup {
        key: key.into(),
        window_ms: Some(window_ms),
        coalesce: None,
    }
}

pub(in crate::store) fn new_run(job: &str, now_ms: i64) -> NewRun {
    NewRun {
        due_ms: now_ms,
        idempotency_key: crate::clock::random_bytes(),
        ..samples::new_run(job)
    }
}
