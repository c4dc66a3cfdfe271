//! `jobctl run JOB`: one run in the foreground.
#![expect(clippy::disallowed_methods, reason = "processor time is measured")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, Instant};

use jobctl::run::{RunId, State};
use jobctl::store::RunFilter;

use super::{drain, enqueue, jobs, logged, make, show, state, trace, until_exists, worker, world};
use crate::invariants;
use crate::world::{World, until};

/// The newest run.
#[track_caller]
fn newest(world: &World) -> RunId {
    let filter = RunFilter {
        limit: 1,
        ..RunFilter::default()
    };
    world.store().list_runs(&filter, 0).unwrap()[0].run
}

#[track_caller]
fn nothing_is_left(world: &World) {
    invariants::hold(world);
    assert_eq!(invariants::marked_processes(world), [0u32; 0]);
    assert_eq!(
        invariants::number(&invariants::open(world), "SELECT count(*) FROM worker"),
        0
    );
}

#[test]
fn output_goes_to_standard_output_and_the_exit_code_says_how_it_ended() {
    let world = world(&jobs(
        "retry.attempts = 1\nparams.who.default = 'you'",
        &[
            ("good", "echo hello $JOBCTL_PARAM_WHO; echo oops >&2"),
            ("bad", "echo bad; exit 65"),
            ("weak", "exit 75"),
        ],
    ));
    let said = world.run("run good --param who=me");
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), "hello me\noops\n"),
        "{}",
        said.err
    );
    let said = world.run("run bad");
    assert_eq!((said.code, said.out.as_str()), (Some(101), "bad\n"));
    assert!(said.err.contains("run_dead"), "{}", said.err);
    assert_eq!(world.run("run weak").code, Some(101));
    assert_eq!(world.run("run nonexistent").code, Some(3));
    nothing_is_left(&world);
    // With --json only the document.
    let document = world.run("run good --json").json(0);
    assert_eq!(document["state"], "succeeded");
}

#[test]
fn output_streams_while_the_command_runs() {
    let world = world(&jobs(
        "",
        &[(
            "talks",
            "echo one; until [ -e $HOME/go ]; do sleep 0.01; done; echo two",
        )],
    ));
    let mut running = world.start("run talks");
    let mut out = BufReader::new(running.child().stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "one\n");
    make(&world, "go");
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "two\n");
    assert_eq!(running.end().code, Some(0));
}

#[test]
fn retries_happen_in_place() {
    let world = world(&jobs(
        "",
        &[(
            "third",
            "echo attempt $JOBCTL_RUN_ATTEMPT; [ $JOBCTL_RUN_ATTEMPT = 3 ]",
        )],
    ));
    let said = world.run("run third");
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), "attempt 1\nattempt 2\nattempt 3\n"),
        "{}",
        said.err
    );
    nothing_is_left(&world);
}

#[test]
fn no_other_worker_takes_the_run_between_its_retries() {
    let world = world(&jobs(
        "retry.base = '100ms'\n",
        &[("third", "[ $JOBCTL_RUN_ATTEMPT = 3 ]"), ("other", "true")],
    ));
    let worker = worker(&world, "");
    let said = world.run("run third");
    assert_eq!(said.code, Some(0), "{}", said.err);
    let detail = show(&world, newest(&world));
    let workers: Vec<_> = detail.attempts.iter().map(|it| it.worker).collect();
    assert_eq!(workers.len(), 3);
    assert!(workers.iter().all(|it| *it == workers[0]));
    // The other one was there all the time.
    let other = enqueue(&world, "other");
    until("it runs", || state(&world, other) == State::Succeeded);
    assert_ne!(show(&world, other).attempts[0].worker, workers[0]);
    worker.stop();
}

#[test]
fn an_interrupt_ends_the_attempt_and_leaves_the_run_waiting() {
    let world = world(
        &jobs(
            "",
            &[
                (
                    "slow",
                    "touch $HOME/started; [ $JOBCTL_RUN_ATTEMPT -gt 1 ] || exec sleep 60",
                ),
                (
                    "deaf",
                    "trap '' TERM; touch $HOME/deaf; sleep 60 & sleep 60",
                ),
                ("bad", "touch $HOME/failed; exit 75"),
            ],
        )
        .replace("[job.deaf]", "[job.deaf]\ngrace = '1h'")
        .replace("[job.bad]", "[job.bad]\nretry.base = '1h'"),
    );
    let running = world.start("run slow");
    until_exists(&world, "started");
    running.signal("INT");
    let said = running.end();
    let run = newest(&world);
    assert_eq!(said.code, Some(130), "{}", said.err);
    assert!(
        said.err.contains(&format!("run {run} stays in the queue")),
        "{}",
        said.err
    );
    let detail = show(&world, run);
    let row = &detail.row;
    assert_eq!(
        (row.state, row.attempts, row.failures, row.releases),
        (State::Waiting, 1, 0, 1)
    );
    assert_eq!(row.worker, None);
    nothing_is_left(&world);
    drain(&world);
    assert_eq!(
        (state(&world, run), show(&world, run).row.attempts),
        (State::Succeeded, 2)
    );
    // Twice, for a command that does not listen.
    let running = world.start("run deaf");
    until_exists(&world, "deaf");
    running.signal("INT");
    let run = newest(&world);
    running.signal("INT");
    until("it ends", || {
        running.signal("INT");
        show(&world, run).row.releases == 1
    });
    assert_eq!(running.end().code, Some(130));
    world.run(&format!("runs cancel {run}"));
    nothing_is_left(&world);
    // Between two attempts it is the waiting that ends.
    let running = world.start("run bad");
    until_exists(&world, "failed");
    let run = newest(&world);
    until("the failure", || show(&world, run).row.failures == 1);
    running.signal("INT");
    assert_eq!(running.end().code, Some(130));
    let row = show(&world, run).row;
    assert_eq!(
        (row.state, row.failures, row.releases, row.worker),
        (State::Waiting, 1, 0, None)
    );
    nothing_is_left(&world);
}

#[test]
fn jobctl_run_exits_102_after_a_cancel_by_another_process() {
    let world = world(&jobs(
        "retry.base = '1h'",
        &[
            ("slow", "touch $HOME/slow; exec sleep 60"),
            ("bad", "touch $HOME/bad; exit 75"),
        ],
    ));
    for job in ["slow", "bad"] {
        let running = world.start(&format!("run {job}"));
        until_exists(&world, job);
        let run = newest(&world);
        until("the failure", || {
            job == "slow" || show(&world, run).row.failures == 1
        });
        assert_eq!(world.run(&format!("runs cancel {run}")).code, Some(0));
        let said = running.end();
        assert_eq!(said.code, Some(102), "{job}: {}", said.err);
    }
    nothing_is_left(&world);
}

/// Processor time used so far, in ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    fields
        .skip(11)
        .take(2)
        .map(|it| it.parse::<u64>().unwrap())
        .sum()
}

const ONCE: &str = "echo x >> $HOME/effects; until [ -e $HOME/go ]; do sleep 0.01; done";

#[test]
fn a_duplicate_that_no_worker_has_is_taken_over() {
    let world = world(&jobs(
        "dedup = { key = 'one', window = '1h' }\nretry.base = '1s'\nretry.jitter = 'none'",
        &[("once", "echo x; [ $JOBCTL_RUN_ATTEMPT = 2 ] || exit 75")],
    ));
    let run = enqueue(&world, "once");
    let said = world.run("run once");
    assert_eq!((said.code, said.out.as_str()), (Some(0), "x\nx\n"));
    let line = format!("event=duplicate_is_worked_here run={run}");
    assert_eq!(said.err.matches(&line).count(), 1, "{}", said.err);
    assert_eq!(newest(&world), run);
    // It has ended: there is nothing to do.
    assert_eq!(world.run("run once").code, Some(0));
    assert_eq!(newest(&world), run);
    nothing_is_left(&world);
}

#[test]
fn a_duplicate_at_another_worker_is_awaited_and_taken_over_when_that_worker_dies() {
    let world = world(&jobs(
        "dedup = { key = 'one', window = '1h' }",
        &[("once", ONCE)],
    ));
    let run = enqueue(&world, "once");
    let worker = worker(&world, "");
    until_exists(&world, "effects");
    let watcher = logged(&world, "run once");
    watcher.until_logged(&format!("event=duplicate_is_worked_elsewhere run={run}"));
    // Who watches sleeps.
    let (begun, before) = (Instant::now(), ticks(watcher.running.pid()));
    until("half a second", || {
        begun.elapsed() > Duration::from_millis(500)
    });
    let used = ticks(watcher.running.pid()) - before;
    assert!(used <= 15, "{used} ticks in {:?}", begun.elapsed());
    assert_eq!(state(&world, run), State::Running);
    worker.signal("KILL");
    drop(worker.end());
    watcher.until_logged(&format!("event=duplicate_is_worked_here run={run}"));
    make(&world, "go");
    assert_eq!(watcher.end().0, Some(0));
    assert_eq!(trace(&world, "effects"), "x\nx\n");
    assert_eq!(show(&world, run).row.crashes, 1);
    nothing_is_left(&world);
}

#[test]
fn a_killed_jobctl_run_leaves_its_run_to_the_workers() {
    let world = world(&jobs(
        "retry.base = '1h'",
        &[
            (
                "slow",
                "echo $JOBCTL_RUN_ATTEMPT >> $HOME/slow; [ $JOBCTL_RUN_ATTEMPT -gt 1 ] || exec sleep 60",
            ),
            ("bad", "touch $HOME/bad; exit 75"),
        ],
    ));
    let running = world.start("run slow");
    until_exists(&world, "slow");
    let slow = newest(&world);
    running.signal("KILL");
    drop(running.end());
    let running = world.start("run bad");
    until_exists(&world, "bad");
    let bad = newest(&world);
    until("the failure", || show(&world, bad).row.failures == 1);
    running.signal("KILL");
    drop(running.end());
    let worker = worker(&world, "");
    until("it runs elsewhere", || {
        state(&world, slow) == State::Succeeded
    });
    assert_eq!(show(&world, slow).row.crashes, 1);
    until("it is free", || show(&world, bad).row.worker.is_none());
    assert_eq!(show(&world, bad).row.state, State::Waiting);
    worker.stop();
    nothing_is_left(&world);
}

#[test]
fn a_reader_that_goes_away_does_not_disturb_the_run() {
    let world = world(&jobs("", &[("seq", "seq 1000000; touch $HOME/done")]));
    let said = world.shell("\"$jobctl\" run seq | head -1; exit ${PIPESTATUS[0]}");
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), "1\n"),
        "{}",
        said.err
    );
    until_exists(&world, "done");
    nothing_is_left(&world);
}

#[test]
fn signals_stop_a_jobctl_run_whose_output_is_not_read() {
    // Less than waits for a reader, and more than that: the command has ended, or cannot.
    for bytes in [500_000, 5_000_000] {
        let world = world(&jobs(
            "grace = '100ms'",
            &[(
                "flood",
                &format!("touch $HOME/started; head -c {bytes} /dev/zero"),
            )],
        ));
        let mut running = world.start("run flood");
        until_exists(&world, "started");
        if bytes < 1_000_000 {
            until("the run is over", || {
                state(&world, RunId(1)) == State::Succeeded
            });
        }
        running.signal("TERM");
        until("it ends", || {
            running.child().try_wait().expect("a child").is_some()
        });
    }
}
