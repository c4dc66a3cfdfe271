//! Acts of operators without a front end: a real store, a catalogue's file, and answers as plain values.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::catalogue::Catalogue;
use crate::clock;
use crate::error::{Kind, Result};
use crate::flow::{OverrideKey, Setting};
use crate::intake::Request;
use crate::local::{Local, pid_namespace, start_ticks};
use crate::records::{Settings, Start, WorkerRow};
use crate::run::{RunId, State, WorkerId};
use crate::scheduler::{PeriodRequest, PeriodRunAnswer};
use crate::store::{
    Act, ClaimRequest, Create, DeadFilter, OpenOptions, Opened, Reset, ServedQueue, Store, Turns,
    Tx,
};

const CATALOGUE_TEXT: &str = r#"
[queue.mail]
rank = 20
paused = true
[limit.smtp]
concurrency = 3
[job.report]
command = ["true"]
[job.letter]
command = ["true"]
queue = "mail"
"#;

/// A store and the catalogue's file, which no process has loaded yet.
struct TestStore {
    store: Store,
    local: Local,
    now_ms: i64,
    dir: tempfile::TempDir,
}

impl TestStore {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("jobs.toml");
        std::fs::write(&file, CATALOGUE_TEXT).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
        let Opened { store, local, .. } = open(&dir, Duration::from_secs(20));
        Self {
            store,
            local,
            now_ms: 1_000_000,
            dir,
        }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("jobs.toml")
    }

    fn catalogue(&self) -> Catalogue {
        Catalogue::load(&self.file()).unwrap()
    }

    /// Reads the catalogue's file.
    fn read(&self) -> impl Fn() -> Option<Catalogue> + use<> {
        let file = self.file();
        move || Catalogue::load(&file).ok()
    }

    fn write<T>(&mut self, body: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> T {
        self.store.write(body).unwrap()
    }

    /// Stores runs that are ready.
    fn enqueue(&mut self, job: &str, count: usize) -> Vec<RunId> {
        self.enqueue_until(job, count, None)
    }

    fn enqueue_until(&mut self, job: &str, count: usize, deadline: Option<&str>) -> Vec<RunId> {
        let (catalogue, now_ms) = (self.catalogue(), self.now_ms);
        let (intake, settings) = (&catalogue.jobs[job].intake, Settings::of(&catalogue));
        let new = || {
            let request = Request {
                job,
                deadline,
                ..Request::default()
            };
            let key = clock::random_bytes();
            request.prepare(intake, &settings, now_ms, key).unwrap()
        };
        let new: Vec<_> = (0..count).map(|_| new()).collect();
        self.write(|tx| {
            let all = new.iter().map(|new| Ok(tx.enqueue(new, now_ms)?.run));
            all.collect()
        })
    }

    /// Stores runs and lets them die by their deadline.
    fn dead(&mut self, job: &str, count: usize) -> Vec<RunId> {
        let runs = self.enqueue_until(job, count, Some("1s"));
        self.now_ms += 1_000;
        let now_ms = self.now_ms;
        self.write(|tx| tx.expire(now_ms));
        runs
    }

    /// Stores a run and starts it.
    fn running(&mut self) -> RunId {
        let run = self.enqueue("report", 1)[0];
        let (now_ms, worker) = (self.now_ms, WorkerId(1));
        let queues = [ServedQueue::from("default")];
        let claims = self.write(|tx| {
            tx.promote(now_ms)?;
            let request = ClaimRequest {
                is_short: &|_| true,
                ..crate::records::samples::claim_request(worker, &queues, 1)
            };
            tx.claim(&request, &mut Turns::default(), now_ms)
        });
        let start = Start {
            run,
            fence: claims.runs[0].fence,
            attempt: 1,
            started_ms: now_ms,
        };
        self.write(|tx| tx.note_start(worker, &start));
        run
    }

    fn act_on(&mut self, act: RunAct, runs: &[RunId]) -> Vec<RunAnswer> {
        let now_ms = self.now_ms;
        let mut work = OnRuns::new(act, runs, "ann");
        let mut answers = Vec::new();
        while work.is_left() {
            answers.extend(work.next_slice(&mut self.store, now_ms).unwrap());
        }
        answers
    }

    /// The answer about one run.
    fn on_one(&mut self, act: RunAct, run: RunId) -> Result<RunDone, RunRefusal> {
        self.act_on(act, &[run])[0].1
    }

    fn state(&self, run: RunId) -> State {
        let detail = self.store.show_run(run, self.now_ms).unwrap();
        detail.unwrap().row.state
    }
}

fn open(dir: &tempfile::TempDir, busy_wait: Duration) -> Opened {
    let options = OpenOptions {
        dir: dir.path().join("state"),
        create: Create::IfMissing,
        busy_wait,
        now_ms: 0,
    };
    options.open().unwrap()
}

/// An act by `ann`, with a reason.
fn ann(now_ms: i64) -> Act<'static> {
    Act {
        by: "ann",
        reason: Some("maintenance"),
        now_ms,
        until_ms: None,
    }
}

fn unknown<T: std::fmt::Debug>(result: Result<T, ActError>) -> (String, Vec<String>) {
    match result.unwrap_err() {
        ActError::Unknown { subject, known } => (subject.to_string(), known),
        ActError::Failed(error) => panic!("{error:?}"),
    }
}

#[test]
fn each_act_on_a_run_returns_its_effect() {
    let mut lab = TestStore::new();
    let running = lab.running();
    let waiting = lab.enqueue("report", 1)[0];
    let dead = lab.dead("report", 3);
    let moved = |state| Ok(RunDone::Moved(state));
    for (act, run, answer) in [
        (RunAct::Cancel, waiting, moved(State::Cancelled)),
        (RunAct::Cancel, running, Ok(RunDone::Requested)),
        (RunAct::Retry, waiting, moved(State::Waiting)),
        (RunAct::Retry, dead[0], moved(State::Waiting)),
        (RunAct::RetryDead, dead[1], moved(State::Waiting)),
        (RunAct::Discard, dead[2], Ok(RunDone::Discarded)),
    ] {
        assert_eq!(lab.on_one(act, run), answer, "{act:?}");
    }
    let states = [waiting, dead[0], dead[1], dead[2]].map(|run| lab.state(run));
    let (waiting, dead) = (State::Waiting, State::Dead);
    assert_eq!(states, [waiting, waiting, waiting, dead]);
}

#[test]
fn a_refusal_has_the_state_of_the_run_and_when_it_began() {
    let mut lab = TestStore::new();
    let running = lab.running();
    let started_ms = lab.now_ms;
    let waiting = lab.enqueue("report", 1)[0];
    let cancelled = lab.enqueue("report", 1)[0];
    lab.act_on(RunAct::Cancel, &[cancelled]);
    let cancelled_ms = lab.now_ms;
    let dead = lab.dead("report", 1)[0];
    lab.act_on(RunAct::Discard, &[dead]);
    let now = |state, attempt, since_ms| CurrentState {
        state,
        attempt,
        since_ms,
    };
    let runs = now(State::Running, Some(1), Some(started_ms));
    let waits = now(State::Waiting, None, None);
    let died = now(State::Dead, None, Some(lab.now_ms));
    let ended = now(State::Cancelled, None, Some(cancelled_ms));
    for (act, run, refusal) in [
        (RunAct::Retry, RunId(99), RunRefusal::Unknown),
        (RunAct::Discard, RunId(99), RunRefusal::Unknown),
        (RunAct::Cancel, cancelled, RunRefusal::Forbidden(ended)),
        (RunAct::Cancel, dead, RunRefusal::Forbidden(died)),
        (RunAct::Retry, running, RunRefusal::Forbidden(runs)),
        (RunAct::Retry, waiting, RunRefusal::Forbidden(waits)),
        (RunAct::RetryDead, running, RunRefusal::NoDeadLetter(runs)),
        (RunAct::RetryDead, dead, RunRefusal::NoDeadLetter(died)),
        (RunAct::Discard, waiting, RunRefusal::NoDeadLetter(waits)),
    ] {
        let before = lab.state(dead);
        assert_eq!(lab.on_one(act, run), Err(refusal), "{act:?} {run}");
        assert_eq!(lab.state(dead), before);
    }
}

#[test]
fn runs_are_acted_on_once_each_and_slice_by_slice() {
    let mut lab = TestStore::new();
    let runs = lab.enqueue("report", SLICE + 1);
    let now_ms = lab.now_ms;
    let twice = [&runs[..], &runs[..]].concat();
    let mut work = OnRuns::new(RunAct::Cancel, &twice, "ann");
    assert_eq!(work.count(), SLICE + 1);
    let first = work.next_slice(&mut lab.store, now_ms).unwrap();
    assert_eq!(first.len(), SLICE);
    // If the caller stops here, exactly the answered runs have changed.
    let last = runs[SLICE];
    assert_eq!(lab.state(runs[SLICE - 1]), State::Cancelled);
    assert_eq!(lab.state(last), State::Waiting);
    assert!(work.is_left());
    let rest = work.next_slice(&mut lab.store, now_ms).unwrap();
    assert_eq!(rest, [(last, Ok(RunDone::Moved(State::Cancelled)))]);
    assert!(!work.is_left());
    assert_eq!(work.next_slice(&mut lab.store, now_ms).unwrap(), []);
}

#[test]
fn a_slice_that_fails_changes_nothing_and_can_be_tried_again() {
    let mut lab = TestStore::new();
    let runs = lab.enqueue("report", SLICE + 1);
    let now_ms = lab.now_ms;
    let mut impatient = open(&lab.dir, Duration::from_millis(1)).store;
    let mut work = OnRuns::new(RunAct::Cancel, &runs, "ann");
    let first = work.next_slice(&mut impatient, now_ms).unwrap();
    assert_eq!(first.len(), SLICE);
    let busy = lab.write(|_| Ok(work.next_slice(&mut impatient, now_ms)));
    assert_eq!(busy.unwrap_err().kind, Kind::TryAgain);
    assert_eq!(lab.state(runs[SLICE]), State::Waiting);
    let rest = work.next_slice(&mut impatient, now_ms).unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(lab.state(runs[SLICE]), State::Cancelled);
}

#[test]
fn dead_runs_are_selected_by_a_filter_whose_job_must_exist() {
    let mut lab = TestStore::new();
    let dead = lab.dead("report", 2);
    let read = lab.read();
    let of = |job: &str| DeadFilter {
        job: Some(job.to_owned()),
        ..DeadFilter::default()
    };
    let found = |filter: &DeadFilter| dead_runs(&lab.store, filter, &read).unwrap();
    assert_eq!(found(&DeadFilter::default()), dead);
    assert_eq!(found(&of("report")), dead);
    assert_eq!(found(&of("letter")), []);
    let (subject, known) = unknown(dead_runs(&lab.store, &of("reprot"), &read));
    assert_eq!(subject, "job reprot");
    assert_eq!(known, ["letter", "report"]);
}

#[test]
fn a_job_is_paused_and_resumed_once() {
    let mut lab = TestStore::new();
    let (read, act) = (lab.read(), ann(lab.now_ms));
    let store = &mut lab.store;
    assert!(pause_job(store, "report", &act, &read).unwrap());
    assert!(!pause_job(store, "report", &act, &read).unwrap());
    for was_paused in [true, false] {
        let resumed = ResumedJob {
            was_paused,
            breaker_closed: false,
        };
        assert_eq!(resume_job(store, "report", &act, &read).unwrap(), resumed);
    }
    // Without the file only jobs in the store exist.
    let none = || None;
    let (subject, known) = unknown(pause_job(store, "report", &act, &none));
    assert_eq!((subject.as_str(), known.len()), ("job report", 0));
    unknown(resume_job(store, "nothing", &act, &read));
    assert_eq!(store.pauses(act.now_ms).unwrap(), []);
}

#[test]
fn resuming_a_queue_overrides_a_pause_by_the_catalogue() {
    let mut lab = TestStore::new();
    let (read, act) = (lab.read(), ann(lab.now_ms));
    let store = &mut lab.store;
    for (queue, was_paused, catalogue_pauses) in [
        ("mail", true, true),
        ("mail", false, true),
        ("default", false, false),
    ] {
        let resumed = ResumedQueue {
            was_paused,
            catalogue_pauses,
        };
        assert_eq!(resume_queue(store, queue, &act, &read).unwrap(), resumed);
    }
    assert_eq!(pause_queue(store, "low", &act, &read).unwrap(), None);
    let before = pause_queue(store, "low", &act, &read).unwrap().unwrap();
    assert_eq!((before.by.as_str(), before.set_ms), ("ann", act.now_ms));
    let names = ["default", "high", "low", "mail"];
    assert_eq!(
        unknown(pause_queue(store, "male", &act, &read)),
        ("queue male".to_owned(), names.map(str::to_owned).to_vec())
    );
    unknown(resume_queue(store, "male", &act, &read));
}

#[test]
fn a_limit_is_paused_resumed_and_reset_by_its_name() {
    let mut lab = TestStore::new();
    let (read, act) = (lab.read(), ann(lab.now_ms));
    let store = &mut lab.store;
    assert_eq!(pause_limit(store, "smtp", &act, &read).unwrap(), None);
    assert!(pause_limit(store, "smtp", &act, &read).unwrap().is_some());
    let reset = reset_limit(store, "smtp", &act, &read).unwrap();
    assert_eq!(reset, Reset::default());
    let ended = resume_limit(store, "smtp", &act, &read).unwrap().unwrap();
    assert_eq!(ended.reason.as_deref(), Some("maintenance"));
    assert_eq!(resume_limit(store, "smtp", &act, &read).unwrap(), None);
    let (subject, known) = unknown(pause_limit(store, "smpt", &act, &read));
    assert_eq!(
        (subject.as_str(), known),
        ("limit smpt", vec!["smtp".to_owned()])
    );
    unknown(resume_limit(store, "smpt", &act, &read));
    unknown(reset_limit(store, "smpt", &act, &read));
}

#[test]
fn settings_are_read_before_any_is_changed_and_changed_together() {
    let mut lab = TestStore::new();
    let (read, act) = (lab.read(), ann(lab.now_ms));
    let store = &mut lab.store;
    let pairs = [("max_waiting", Some("07")), ("paused", Some(CATALOGUE))];
    let changes = Changes::of_queue("low", pairs).unwrap();
    let max_waiting = Setting {
        key: OverrideKey::MaxWaiting,
        value: Some("7".into()),
    };
    assert_eq!(changes.settings()[0], max_waiting);
    assert_eq!(changes.apply(store, &act, &read).unwrap(), [true, false]);
    let flow = flow(store, &read, act.now_ms).unwrap();
    assert_eq!(flow.rules.queues["low"].max_waiting, Some(7));
    let lower = Changes::of_limit("smtp", [("rate", Some("1/s"))]).unwrap();
    assert_eq!(lower.apply(store, &act, &read).unwrap(), [true]);
    let (subject, _) = unknown(
        Changes::of_queue("lwo", pairs)
            .unwrap()
            .apply(store, &act, &read),
    );
    assert_eq!(subject, "queue lwo");
    unknown(
        Changes::of_limit("x", [])
            .unwrap()
            .apply(store, &act, &read),
    );
}

#[test]
fn each_bad_setting_has_its_own_refusal() {
    let of_queue = |pairs: &[(&'static str, Option<&'static str>)]| {
        Changes::of_queue("low", pairs.iter().copied()).unwrap_err()
    };
    let none = of_queue(&[("max_running", None)]);
    assert!(matches!(none, BadSetting::NoValue { given, .. } if given == "max_running"));
    let key = of_queue(&[("rate", Some("1/s"))]);
    assert!(matches!(key, BadSetting::UnknownKey { keys, .. } if keys.len() == 3));
    let paused = of_queue(&[("paused", Some("yes"))]);
    assert!(matches!(paused, BadSetting::Switch(OverrideKey::Paused)));
    let count = of_queue(&[("max_waiting", Some("0"))]);
    assert!(
        matches!(count, BadSetting::NotACount { max: 1_000_000_000, given, .. } if given == "0")
    );
    let twice = of_queue(&[("max_running", Some("1")), ("max_running", Some("none"))]);
    assert!(matches!(twice, BadSetting::Twice(OverrideKey::MaxRunning)));
    let rate = Changes::of_limit("smtp", [("rate", Some("fast"))]).unwrap_err();
    assert!(matches!(rate, BadSetting::NotARate(_)));
}

#[test]
fn a_worker_is_asked_to_stop_unless_it_is_gone() {
    let mut lab = TestStore::new();
    let now_ms = lab.now_ms;
    let pid = std::process::id();
    let (alive, gone) = (WorkerId(1), WorkerId(2));
    let row = |worker: WorkerId, boot_id: String| WorkerRow {
        worker,
        pid: i64::from(pid),
        pid_start: start_ticks(pid).unwrap(),
        boot_id,
        pid_ns: Some(pid_namespace()),
        host: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        uid: 0,
        queues: String::new(),
        slots: 1,
        started_ms: now_ms,
        stop_ms: None,
        parent: None,
    };
    let lock = {
        let register = lab.local.register().unwrap();
        lab.store.write(|_| register.enter(alive)).unwrap()
    };
    let other_boot = "00000000-0000-0000-0000-000000000000".to_owned();
    lab.write(|tx| {
        tx.add_worker(&row(alive, clock::boot_id()))?;
        tx.add_worker(&row(gone, other_boot))
    });
    let TestStore { store, local, .. } = &mut lab;
    assert_eq!(living_workers(store, local).unwrap(), [alive]);
    for (worker, answer) in [
        (alive, StopAnswer::Asked),
        (gone, StopAnswer::Gone),
        (WorkerId(99), StopAnswer::Unknown),
    ] {
        assert_eq!(stop_worker(store, local, worker, now_ms).unwrap(), answer);
    }
    let stops = store.workers().unwrap().into_iter().map(|row| row.stop_ms);
    assert_eq!(stops.collect::<Vec<_>>(), [Some(now_ms), None]);
    drop(lock);
}

#[test]
fn a_period_is_not_run_while_the_disk_is_nearly_full() {
    let mut lab = TestStore::new();
    let (catalogue, now_ms) = (lab.catalogue(), lab.now_ms);
    for (min_free, refusal) in [(0, None), (u64::MAX, Some(Kind::TryAgain))] {
        let settings = Settings {
            min_free,
            ..Settings::of(&catalogue)
        };
        let request = PeriodRequest {
            job: "letter",
            key: "2031-01-01T00:00Z",
            intake: &catalogue.jobs["letter"].intake,
            schedule: None,
            settings: &settings,
            initiator: "ann",
        };
        let worked = run_period(&mut lab.store, request, now_ms);
        assert_eq!(worked.as_ref().err().map(|error| error.kind), refusal);
        assert!(
            matches!(worked, Ok(PeriodRunAnswer::Unknown) | Err(_)),
            "{worked:?}"
        );
    }
}
