//! The wall clock steps while a command runs: durations and waits are those of a clock that does not.

use std::sync::Arc;

use jobctl::attempt::{Class, Ending, Report, RetryAfter, Said};
use jobctl::catalogue::Catalogue;
use jobctl::run::{RunId, State, WorkerId};
use jobctl::store::{Answer, Claimed, EndedAttempt, Order, Start, Store, Turns, Tx, WorkerRow};

use crate::shifted;
use crate::world::{World, new_run, until};

const DAY_MS: i64 = 86_400_000;
const RAN_MS: i64 = 3_000;
const WORKER: WorkerId = WorkerId(1);

const JOBS: &str = r#"
[defaults]
timezone = "UTC"
retry = { attempts = 3, backoff = "fixed", base = "10s", jitter = "none" }
[limit.bank]
concurrency = 5
[job.call]
command = ["/bin/true"]
limits = ["bank"]
"#;

struct Lab {
    world: World,
    store: Store,
    catalogue: Catalogue,
}

impl Lab {
    fn new(now_ms: i64) -> Self {
        let world = World::with_catalogue(JOBS);
        let mut store = world.store();
        let catalogue =
            Catalogue::load(&world.catalogue()).unwrap_or_else(|_| panic!("a catalogue"));
        let row = WorkerRow {
            worker: WORKER,
            pid: 1,
            pid_start: 1,
            boot_id: "boot".into(),
            pid_ns: None,
            host: "host".into(),
            uid: 0,
            queues: String::new(),
            slots: 1,
            started_ms: now_ms,
            stop_ms: None,
            parent: None,
        };
        let begun = store.write(|tx| {
            tx.apply_catalogue(&catalogue, now_ms)?;
            tx.add_worker(&row)
        });
        begun.expect("a worker");
        Self {
            world,
            store,
            catalogue,
        }
    }

    fn enqueue(&mut self, now_ms: i64) -> RunId {
        let run = new_run("call", now_ms);
        let stored = self.store.write(|tx| tx.enqueue(&run, now_ms));
        stored.expect("it is stored").run
    }

    fn claim(&mut self, now_ms: i64) -> Vec<Claimed> {
        let queues = ["default".into()];
        let request = jobctl::records::samples::claim_request(WORKER, &queues, 1);
        let claims = self.store.write(|tx| {
            tx.promote(now_ms)?;
            tx.claim(&request, &mut Turns::default(), now_ms)
        });
        claims.expect("a claim").runs
    }

    /// An attempt of three seconds that is written when the wall clock says `now_ms`; the error that it left.
    fn end(&mut self, claimed: &Claimed, started_ms: i64, ending: Ending, said: Said, now_ms: i64) {
        let report = Report {
            started_ms,
            ran_ms: RAN_MS,
            ending,
            output_tail: Vec::new(),
            output_bytes: 0,
            leaked: 0,
            said,
        };
        let ended = EndedAttempt {
            claimed: claimed.clone(),
            job: Arc::clone(&self.catalogue.jobs["call"]),
            report,
            started: true,
            shortage: None,
            unit: 0.5,
        };
        let order = Order::Finish {
            ended: Arc::new(ended),
            worker: WORKER,
            reserve: false,
        };
        let (mut turns, clock) = (Turns::default(), || now_ms);
        let then = &mut |_: &mut Tx<'_>, _, _: &Answer, _| Ok(());
        let answers = self.store.perform(vec![order], &mut turns, &clock, then);
        assert!(answers[0].is_ok(), "{answers:?}");
    }

    /// No run and no attempt ended before it started; how long the only attempt took.
    fn took_ms(&self, run: RunId, now_ms: i64) -> i64 {
        assert_eq!(self.store.verify().expect("an answer"), []);
        let seen = self.store.show_run(run, now_ms).expect("an answer");
        let attempt = &seen.expect("a run").attempts[0];
        attempt.ended_ms.expect("it ended") - attempt.started_ms
    }

    fn due_ms(&self, run: RunId, now_ms: i64) -> i64 {
        let seen = self.store.show_run(run, now_ms).expect("an answer");
        seen.expect("a run").row.due_ms
    }
}

#[test]
fn setting_the_clock_back_during_an_attempt_does_not_change_waits() {
    let begun_ms = jobctl::clock::wall_ms();
    for (noted, step_ms) in [(false, -DAY_MS), (true, -DAY_MS), (true, DAY_MS), (true, 0)] {
        let now_ms = begun_ms + RAN_MS + step_ms;
        let mut lab = Lab::new(begun_ms);
        for (ending, error) in [
            (Ending::Exited(1), "exit 1"),
            (
                Ending::TimedOut {
                    exit_code: None,
                    signal: Some(15),
                },
                "timed out after 3s",
            ),
        ] {
            let run = lab.enqueue(begun_ms);
            let claimed = lab.claim(begun_ms).remove(0);
            if noted {
                let start = Start {
                    run,
                    fence: claimed.fence,
                    attempt: 1,
                    started_ms: begun_ms,
                };
                let stored = lab.store.write(|tx| tx.note_start(WORKER, &start));
                stored.expect("it is stored");
            }
            lab.end(&claimed, begun_ms, ending, Said::default(), now_ms);
            assert_eq!(lab.due_ms(run, now_ms), now_ms + 10_000, "{step_ms}");
            assert_eq!(lab.took_ms(run, now_ms), RAN_MS, "{step_ms}");
            let seen = lab.store.show_run(run, now_ms).unwrap().unwrap();
            assert_eq!(seen.row.last_error.as_deref(), Some(error));
            assert!(lab.claim(now_ms + 9_999).is_empty());
            let again = lab.claim(now_ms + 10_000).remove(0);
            // The end of the run is not before its first start either, however far the clock went back.
            lab.end(
                &again,
                now_ms + 10_000,
                Ending::Exited(0),
                Said::default(),
                now_ms + 13_000,
            );
            assert_eq!(lab.took_ms(run, now_ms), RAN_MS);
            assert_eq!(lab.store.state_of(run).unwrap(), Some(State::Succeeded));
        }
        drop(lab.world);
    }
}

#[test]
fn setting_the_clock_during_attempts_changes_neither_stored_durations_nor_waits() {
    for shift_s in [-86_400, 86_400] {
        let keys = "retry = { attempts = 3, backoff = 'fixed', base = '1h', jitter = 'none' }";
        let mut world = super::world(&format!(
            "[job.hangs]\ncommand = 'touch $HOME/hangs; sleep 60'\ntimeout = '1s'\n{keys}\n\
             [job.fails]\ncommand = 'touch $HOME/fails; until [ -e $HOME/go ]; do sleep 0.01; done; exit 1'\n{keys}\n"
        ));
        shifted::begin(&mut world);
        let runs = ["hangs", "fails"].map(|job| super::enqueue(&world, job));
        let began = jobctl::clock::monotonic();
        let worker = super::worker(&world, "--slots 2");
        for file in ["hangs", "fails"] {
            super::until_exists(&world, file);
        }
        shifted::by(&world, shift_s);
        for run in runs {
            until("its end is stored", || {
                super::state(&world, run) == State::Waiting
            });
            super::make(&world, "go");
        }
        let lasted_ms = began.elapsed().as_millis() as i64;
        let now_ms = jobctl::clock::wall_ms() + shift_s * 1000;
        worker.signal("TERM");
        let (_, log) = worker.end();
        for run in runs {
            let seen = super::show(&world, run);
            let attempt = &seen.attempts[0];
            let took_ms = attempt.ended_ms.expect("it ended") - attempt.started_ms;
            assert!((900..=lasted_ms).contains(&took_ms), "{took_ms}, {log}");
            let wait_ms = seen.row.due_ms - now_ms;
            let hour_ms = 3_600_000;
            assert!(
                (hour_ms - lasted_ms..=hour_ms).contains(&wait_ms),
                "{wait_ms}, {log}"
            );
        }
        let seen = super::show(&world, runs[0]);
        let error = seen.row.last_error.expect("an error");
        assert!(error.starts_with("timed out after 1"), "{error}");
    }
}

#[test]
fn setting_the_clock_back_during_an_attempt_does_not_block_limits() {
    let begun_ms = jobctl::clock::wall_ms();
    let now_ms = begun_ms + RAN_MS - DAY_MS;
    let mut lab = Lab::new(begun_ms);
    lab.enqueue(begun_ms);
    let claimed = lab.claim(begun_ms).remove(0);
    let said = Said {
        class: Some(Class::RateLimited),
        retry_after: Some(RetryAfter::In(60_000)),
        ..Said::default()
    };
    lab.end(&claimed, begun_ms, Ending::Exited(75), said, now_ms);
    let other = lab.enqueue(now_ms);
    assert!(lab.claim(now_ms + 59_000).is_empty());
    assert_eq!(lab.due_ms(claimed.run, now_ms), now_ms + 60_000);
    let next = lab.claim(now_ms + 61_000);
    assert!(next[0].run == other || next[0].run == claimed.run);
}
