//! Stops of workers, and cancelled runs.

use std::fs::{self, File};

use fs2::FileExt;
use jobctl::run::{RunId, State};
use jobctl::store::RunDetail;

use super::{
    Worker, drain, enqueue, exists, jobs, make, show, state, trace, until_exists, worker, world,
};
use crate::invariants;
use crate::world::{World, until};

/// Runs until there is a file `go`.
const PATIENT: &str = "touch $HOME/started; until [ -e $HOME/go ]; do sleep 0.01; done";

/// Takes no SIGTERM, with a child that does not either.
const DEAF: &str = "trap '' TERM; touch $HOME/started; sleep 60 & sleep 60";

pub(super) fn set_stop_after(world: &World, value: &str) {
    let text = fs::read_to_string(world.catalogue()).unwrap();
    world.write_catalogue(&text.replace(
        "stop_after = \"100ms\"",
        &format!("stop_after = \"{value}\""),
    ));
}

/// The run went back as if it had not run: only `releases` counts.
#[track_caller]
pub(super) fn was_released(detail: &RunDetail, attempts: i64) {
    assert_eq!(detail.row.state, State::Waiting);
    let row = &detail.row;
    assert_eq!(
        (row.attempts, row.failures, row.crashes, row.releases),
        (attempts, 0, 0, attempts)
    );
    let last = detail.attempts.last().unwrap();
    assert_eq!(
        (last.number, last.ending.as_deref()),
        (attempts, Some("released"))
    );
}

#[track_caller]
pub(super) fn nothing_is_left(world: &World) {
    invariants::hold(world);
    assert_eq!(invariants::marked_processes(world), [0u32; 0]);
    assert_eq!(
        invariants::number(&invariants::open(world), "SELECT count(*) FROM worker"),
        0
    );
    for dir in ["workers", "work"] {
        let left: Vec<_> = fs::read_dir(world.state().join(dir))
            .unwrap()
            .flatten()
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_stopping_worker_lets_its_run_finish_and_claims_no_other() {
    let world = world(&jobs("", &[("patient", PATIENT), ("next", "true")]));
    set_stop_after(&world, "1h");
    let run = enqueue(&world, "patient");
    let worker = worker(&world, "--slots 1");
    until_exists(&world, "started");
    let next = enqueue(&world, "next");
    worker.signal("TERM");
    worker.until_logged("event=worker_stopping how=drain");
    make(&world, "go");
    let (code, log) = worker.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("event=worker_stopped"));
    assert_eq!(state(&world, run), State::Succeeded);
    let next = show(&world, next);
    assert_eq!(
        (next.row.state, next.row.attempts, next.row.releases),
        (State::Waiting, 0, 0)
    );
    nothing_is_left(&world);
}

#[test]
fn attempts_that_exceed_stop_after_are_ended_and_released() {
    let world = world(&jobs(
        "",
        &[(
            "deaf",
            &format!("[ $JOBCTL_RUN_ATTEMPT -lt 3 ] || exit 0; {DEAF}"),
        )],
    ));
    let run = enqueue(&world, "deaf");
    for attempt in 1..=2 {
        let worker = worker(&world, "");
        until_exists(&world, "started");
        fs::remove_file(world.home().join("started")).unwrap();
        worker.stop();
        let detail = show(&world, run);
        was_released(&detail, attempt);
        assert_eq!(detail.attempts.last().unwrap().signal, Some(9));
        nothing_is_left(&world);
    }
    drain(&world);
    let detail = show(&world, run);
    assert_eq!(
        (detail.row.state, detail.row.attempts, detail.row.failures),
        (State::Succeeded, 3, 0)
    );
}

#[test]
fn a_second_signal_sends_sigterm_at_once_and_a_third_sigkill() {
    let world = world(&jobs(
        "grace = '1h'",
        &[
            (
                "polite",
                "trap 'touch $HOME/asked; exit 7' TERM; touch $HOME/started; sleep 60 & wait",
            ),
            ("deaf", DEAF),
        ],
    ));
    set_stop_after(&world, "1h");
    for (job, signals) in [("polite", 2), ("deaf", 3)] {
        let run = enqueue(&world, job);
        let worker = worker(&world, "");
        until_exists(&world, "started");
        for stage in ["how=drain", "how=terminate", "how=kill"]
            .iter()
            .take(signals)
        {
            worker.signal(if *stage == "how=drain" { "TERM" } else { "INT" });
            worker.until_logged(stage);
        }
        let (code, log) = worker.end();
        assert_eq!(code, Some(0), "{log}");
        was_released(&show(&world, run), 1);
        fs::remove_file(world.home().join("started")).unwrap();
        assert_eq!(world.run(&format!("runs cancel {run}")).code, Some(0));
        nothing_is_left(&world);
    }
    assert!(exists(&world, "asked"));
}

#[test]
fn processes_forked_after_sigterm_do_not_use_up_the_grace() {
    let world = world(&jobs(
        "grace = '1h'",
        &[(
            "forks",
            "trap 'sleep 60 & exit 7' TERM; touch $HOME/started; while :; do sleep 0.01; done",
        )],
    ));
    let run = enqueue(&world, "forks");
    let worker = worker(&world, "");
    until_exists(&world, "started");
    worker.stop();
    was_released(&show(&world, run), 1);
    nothing_is_left(&world);
}

#[test]
fn a_command_that_succeeds_after_its_sigterm_has_succeeded() {
    let world = world(&jobs(
        "grace = '1h'",
        &[(
            "polite",
            "trap 'exit 0' TERM; touch $HOME/started; sleep 60 & wait",
        )],
    ));
    let run = enqueue(&world, "polite");
    let worker = worker(&world, "");
    until_exists(&world, "started");
    worker.stop();
    let detail = show(&world, run);
    assert_eq!(
        (detail.row.state, detail.row.releases),
        (State::Succeeded, 0)
    );
    nothing_is_left(&world);
}

#[test]
fn an_at_most_once_run_that_is_stopped_is_dead() {
    let world = world(&jobs(
        "guarantee = 'at-most-once'\nretry.attempts = 1",
        &[(
            "once",
            "echo x >> $HOME/effects; touch $HOME/started; exec sleep 60",
        )],
    ));
    let run = enqueue(&world, "once");
    let worker = worker(&world, "");
    until_exists(&world, "started");
    worker.stop();
    let detail = show(&world, run);
    assert_eq!(
        (detail.row.state, detail.row.reason.as_deref()),
        (State::Dead, Some("exhausted"))
    );
    drain(&world);
    assert_eq!(trace(&world, "effects"), "x\n");
}

/// Holds the write lock, so that every write of the worker waits.
pub(super) fn hold_writers(world: &World) -> File {
    let lock = File::options()
        .write(true)
        .open(world.state().join("write.lock"))
        .unwrap();
    lock.lock_exclusive().unwrap();
    lock
}

/// Stores a run while the writers' lock is held: the worker sees the commit and claims behind us.
fn until_claim_is_under_way(world: &World, worker: &Worker, job: &str) -> (RunId, File) {
    let run = enqueue(world, job);
    until("the first run", || state(world, run) == State::Succeeded);
    // A delayed run: the worker knows when to claim it, and the claim then waits for our lock.
    let (run, due_ms, lock) = loop {
        let run = enqueue(world, &format!("{job} --delay 300ms"));
        let due_ms = show(world, run).row.due_ms;
        let lock = hold_writers(world);
        if state(world, run) == State::Waiting {
            break (run, due_ms, lock);
        }
        // A loaded machine: the worker was faster than we.
        drop(lock);
        until("that run", || state(world, run) == State::Succeeded);
    };
    until("the claim", || {
        jobctl::clock::wall_ms() > due_ms && waits_for_lock(worker.running.pid())
    });
    (run, lock)
}

/// Whether a thread of the process sits in flock.
fn waits_for_lock(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
        .any(|name| name.trim() == "lock")
}

#[test]
fn runs_claimed_while_a_stop_arrives_are_given_back_unstarted() {
    let world = world(&jobs("", &[("touch", "touch $HOME/ran-$JOBCTL_RUN_ID")]));
    let worker = worker(&world, "");
    let (run, lock) = until_claim_is_under_way(&world, &worker, "touch");
    worker.signal("TERM");
    worker.until_logged("event=worker_stopping how=drain");
    drop(lock);
    let (code, log) = worker.end();
    assert_eq!(code, Some(0), "{log}");
    let detail = show(&world, run);
    assert_eq!(
        (detail.row.state, detail.row.attempts, detail.row.releases),
        (State::Waiting, 0, 0)
    );
    assert!(!exists(&world, &format!("ran-{run}")));
    nothing_is_left(&world);
}

#[test]
fn a_run_whose_job_is_removed_during_its_claim_is_given_back() {
    let world = world(&jobs("", &[("touch", "touch $HOME/ran-$JOBCTL_RUN_ID")]));
    let text = fs::read_to_string(world.catalogue()).unwrap();
    let worker = worker(&world, "");
    let (run, lock) = until_claim_is_under_way(&world, &worker, "touch");
    world.write_catalogue(&text.replace("job.touch", "job.other"));
    worker.signal("HUP");
    worker.until_logged("event=catalogue_loaded");
    drop(lock);
    until("it is given back", || {
        state(&world, run) == State::Waiting
            && invariants::number(
                &invariants::open(&world),
                "SELECT count(*) FROM run WHERE worker IS NOT NULL",
            ) == 0
    });
    world.write_catalogue(&text);
    worker.signal("HUP");
    until("it runs", || state(&world, run) == State::Succeeded);
    worker.stop();
    nothing_is_left(&world);
}

#[test]
fn sighup_loads_a_valid_catalogue_and_retains_the_old_one_if_it_is_invalid() {
    let world = world(&jobs("", &[("say", "echo old >> $HOME/said")]));
    let old = fs::read_to_string(world.catalogue()).unwrap();
    let mut worker = worker(&world, "");
    let mut said = String::new();
    for (text, event, word) in [
        (
            old.replace("echo old", "echo new"),
            "catalogue_loaded",
            "new\n",
        ),
        (
            old.replace("command", "comand"),
            "catalogue_refused",
            "new\n",
        ),
        (
            old.replace("echo old", "echo newest"),
            "catalogue_loaded",
            "newest\n",
        ),
    ] {
        world.write_catalogue(&text);
        let before = worker.count(event);
        worker.signal("HUP");
        until(event, || worker.count(event) > before);
        // Stored by the test: an enqueue would read the bad catalogue itself.
        let run = world.enqueue("say");
        until("it ran", || state(&world, run) == State::Succeeded);
        said.push_str(word);
        assert_eq!(trace(&world, "said"), said);
    }
    assert!(worker.log().contains("jobs.toml:"), "{}", worker.log());
    assert!(!worker.has_ended());
    worker.stop();
}

#[test]
fn drain_ends_when_nothing_is_ready_and_drain_all_waits_for_what_is_due_later() {
    let world = world(&jobs(
        "retry = { base = '3s', jitter = 'none', attempts = 2 }",
        &[
            ("ok", "true"),
            ("again", "[ $JOBCTL_RUN_ATTEMPT = 2 ]"),
            ("paused", "true"),
        ],
    ));
    assert_eq!(world.run("jobs pause paused").code, Some(0));
    let [ok, again, paused] = ["ok", "again", "paused"].map(|job| enqueue(&world, job));
    let delayed = enqueue(&world, "ok --delay 10s");
    let far = world.enqueue("unknown-job");
    let (code, log) = worker(&world, "--drain").end();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(state(&world, ok), State::Succeeded);
    for run in [again, paused, delayed, far] {
        assert_eq!(state(&world, run), State::Waiting);
    }
    assert!(
        log.contains("left 1 of job `again` in queue `default`: the first is due "),
        "{log}"
    );
    assert!(log.contains("left 1 of job `paused`"), "{log}");
    drain(&world);
    for run in [again, delayed] {
        assert_eq!(state(&world, run), State::Succeeded);
    }
    for run in [paused, far] {
        assert_eq!(state(&world, run), State::Waiting);
    }
    nothing_is_left(&world);
}

#[test]
fn max_runs_counts_attempts() {
    let world = world(&jobs(
        "",
        &[
            ("ok", "echo x >> $HOME/effects"),
            ("bad", "echo x >> $HOME/effects; exit 75"),
        ],
    ));
    for _ in 0..4 {
        enqueue(&world, "ok");
        enqueue(&world, "bad");
    }
    for (max, effects) in [(1, 1), (2, 3), (4, 7)] {
        let (code, log) = worker(&world, &format!("--max-runs {max} --slots 2")).end();
        assert_eq!(code, Some(0), "{log}");
        assert_eq!(trace(&world, "effects").lines().count(), effects);
        nothing_is_left(&world);
    }
}

#[test]
fn a_cancel_ends_waiting_runs_at_once_and_running_ones_with_their_group() {
    let world = world(&jobs(
        "",
        &[
            ("waits", "touch $HOME/never"),
            ("polite", "touch $HOME/started-1; sleep 60 & sleep 60"),
            (
                "deaf",
                "trap '' TERM; touch $HOME/started-2; (trap '' TERM; sleep 60) & sleep 60",
            ),
            (
                "daemon",
                "setsid sh -c 'touch $HOME/started-3; sleep 60' & sleep 60",
            ),
            (
                "obeys",
                "trap 'exit 0' TERM; touch $HOME/started-4; sleep 60 & wait",
            ),
        ],
    ));
    let waiting = enqueue(&world, "waits --delay 1h");
    let worker = worker(&world, "");
    let runs = ["polite", "deaf", "daemon", "obeys"].map(|job| enqueue(&world, job));
    for n in 1..=4 {
        until_exists(&world, &format!("started-{n}"));
    }
    let [polite, deaf, daemon, obeys] = runs;
    let said = world.run(&format!(
        "runs cancel {waiting} {polite} {deaf} {daemon} {obeys}"
    ));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(state(&world, waiting), State::Cancelled);
    for run in [polite, deaf, daemon] {
        until("it is cancelled", || state(&world, run) == State::Cancelled);
        let detail = show(&world, run);
        assert_eq!((detail.row.attempts, detail.row.failures), (1, 0));
        assert_eq!(detail.attempts[0].ending.as_deref(), Some("cancelled"));
        assert!(detail.dead_letters.is_empty());
    }
    // It ended well before anyone could stop it.
    until("it ends", || state(&world, obeys) == State::Succeeded);
    assert_eq!(invariants::marked_processes(&world), [0u32; 0]);
    worker.stop();
    assert!(!exists(&world, "never"));
    nothing_is_left(&world);
}

#[test]
fn a_cancel_between_retries_is_at_once() {
    let world = world(&jobs("retry.base = '1h'", &[("bad", "exit 75")]));
    let run = enqueue(&world, "bad");
    let worker = worker(&world, "");
    until("the first failure", || show(&world, run).row.failures == 1);
    assert_eq!(world.run(&format!("runs cancel {run}")).code, Some(0));
    assert_eq!(state(&world, run), State::Cancelled);
    worker.stop();
    nothing_is_left(&world);
}

#[test]
fn an_operator_can_ask_a_worker_to_stop() {
    let world = world(&jobs("", &[("patient", PATIENT)]));
    set_stop_after(&world, "1h");
    let run = enqueue(&world, "patient");
    let worker = worker(&world, "");
    until_exists(&world, "started");
    assert_eq!(world.run("workers stop --all").code, Some(0));
    worker.until_logged("event=worker_stopping how=drain");
    make(&world, "go");
    let (code, log) = worker.end();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(state(&world, run), State::Succeeded);
    nothing_is_left(&world);
}
