//! What a worker tells systemd: when it is ready, what it does, that it lives, and that it is ending.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use fs2::FileExt;
use jobctl::run::State;

use super::Manager;
use crate::world::{PATIENCE, Running, World, until};

/// `long` runs until there is a file `go` in its home; `deaf` takes no SIGTERM.
const JOBS: &str = r#"
[defaults]
grace = "100ms"
[worker]
slots = 2
stop_after = "1h"
[job.long]
command = "env -0 > $HOME/env; touch $HOME/started; until [ -e $HOME/go ]; do sleep 0.01; done"
pass_env = ["PASSED"]
[job.deaf]
command = "trap '' TERM; touch $HOME/started; sleep 60 & sleep 60"
"#;

/// Twice the time between two signs of life.
const WATCHDOG: Duration = Duration::from_millis(300);

fn world() -> World {
    let world = World::with_catalogue(JOBS);
    drop(world.store());
    world
}

fn impatient(stop_after: &str) -> World {
    let world = World::with_catalogue(&JOBS.replace("1h", stop_after));
    drop(world.store());
    world
}

/// A worker that has said that it is ready.
#[track_caller]
fn start(manager: &Manager, world: &World) -> Running {
    let worker = manager.start(world, "run-worker");
    manager.until("READY");
    worker
}

/// Has the worker run this job, and waits until its command has begun.
#[track_caller]
fn begin(world: &World, job: &str) {
    world.enqueue(job);
    until("the command begins", || {
        world.home().join("started").exists()
    });
}

fn let_go(world: &World) {
    fs::write(world.home().join("go"), "").expect("a file");
}

#[track_caller]
fn stop(manager: &Manager, mut worker: Running) {
    worker.signal("TERM");
    let (code, _) = manager.until_end(&mut worker, PATIENCE);
    assert_eq!(code, Some(0));
}

#[test]
fn a_worker_is_ready_when_it_is_registered_and_says_how_busy_it_is() {
    let world = world();
    let manager = Manager::new(&world);
    let worker = manager.start(&world, "run-worker --queue low,default");
    let idle = manager.until("STATUS");
    assert_eq!(idle, "0 of 2 slots busy; queues default,low");
    assert_eq!(manager.until("READY"), "1");
    let workers = world.run("workers list --json").json(0);
    assert_eq!(workers["items"][0]["alive"], true, "{workers}");
    begin(&world, "long");
    let busy = manager.until_status("1 of 2");
    assert_eq!(busy, "1 of 2 slots busy; queues default,low");
    let_go(&world);
    manager.until_status("0 of 2");
    stop(&manager, worker);
}

#[test]
fn an_abstract_socket_is_as_good() {
    let world = world();
    let manager = Manager::abstract_name();
    let worker = start(&manager, &world);
    stop(&manager, worker);
}

#[test]
fn the_socket_does_not_reach_commands() {
    let mut world = world();
    world.set("PASSED", "1");
    let manager = Manager::new(&world).with_watchdog(PATIENCE);
    let worker = start(&manager, &world);
    begin(&world, "long");
    let seen = fs::read_to_string(world.home().join("env")).expect("its environment");
    assert!(!seen.contains("NOTIFY_SOCKET"), "{seen}");
    assert!(!seen.contains("WATCHDOG_USEC"), "{seen}");
    assert!(seen.contains("\0PASSED=1\0"), "{seen}");
    let_go(&world);
    stop(&manager, worker);
}

/// Proves: as `a_worker_whose_main_thread_hangs_gives_no_sign_of_life`.
#[test]
fn signs_of_life_go_on_while_an_attempt_takes_long() {
    let world = world();
    let manager = Manager::new(&world).with_watchdog(WATCHDOG);
    let worker = start(&manager, &world);
    begin(&world, "long");
    manager.forget();
    let begun = Instant::now();
    for _ in 0..10 {
        manager.until("WATCHDOG");
    }
    // Ten need nine intervals, and more often than it must it does not.
    assert!(begun.elapsed() > WATCHDOG * 4, "{:?}", begun.elapsed());
    let_go(&world);
    stop(&manager, worker);
}

#[test]
fn signs_of_life_for_another_process_are_not_ours() {
    let world = world();
    let manager = Manager::new(&world).with_watchdog(WATCHDOG);
    let mut command = manager.command(&world, "run-worker");
    let worker = World::start_command({
        command.env("WATCHDOG_PID", "1");
        command
    });
    manager.until("READY");
    manager.expect_silence(WATCHDOG * 4);
    stop(&manager, worker);
}

#[test]
fn a_stopped_worker_gives_no_sign_of_life() {
    let world = world();
    let manager = Manager::new(&world).with_watchdog(WATCHDOG);
    let worker = start(&manager, &world);
    manager.until("WATCHDOG");
    worker.signal("STOP");
    let stat = format!("/proc/{}/stat", worker.pid());
    until("it is stopped", || {
        fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T "))
    });
    manager.forget();
    manager.expect_silence(WATCHDOG * 4);
    worker.signal("CONT");
    manager.until("WATCHDOG");
    stop(&manager, worker);
}

/// A pipe as standard error, with an end that never blocks.
fn standard_error(path: &Path) -> (File, File) {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o600.into()).expect("a fifo");
    let ours = File::options()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path)
        .expect("our end");
    let theirs = File::options().write(true).open(path).expect("their end");
    (ours, theirs)
}

/// Proves (service): a worker whose main thread hangs sends systemd no sign of life, and a long attempt does not stop
/// the signs.
#[test]
fn a_worker_whose_main_thread_hangs_gives_no_sign_of_life() {
    let world = world();
    let manager = Manager::new(&world).with_watchdog(WATCHDOG);
    let (mut ours, theirs) = standard_error(&world.root().join("log"));
    let mut command = manager.command(&world, "run-worker");
    command.stderr(theirs);
    let worker = World::start_command(command);
    manager.until("READY");
    begin(&world, "long");
    // The main thread logs what it does, and nobody reads.
    while ours.write(&[b'x'; 512]).is_ok() {}
    while ours.write(b"x").is_ok() {}
    worker.signal("HUP");
    manager.until("RELOADING");
    manager.expect_silence(WATCHDOG * 4);
    // The other threads live: the command is watched to its end.
    let_go(&world);
    let mut log = [0; 4096];
    while ours.read(&mut log).is_ok() {}
    manager.until("READY");
    manager.until("WATCHDOG");
    stop(&manager, worker);
}

#[test]
fn a_hangup_is_a_reload_that_ends_also_when_the_catalogue_is_refused() {
    let world = world();
    let manager = Manager::new(&world);
    let worker = start(&manager, &world);
    for (text, words) in [
        (
            JOBS.replace("command", "comand"),
            "the newest catalogue was refused: ",
        ),
        (
            JOBS.to_owned(),
            "0 of 2 slots busy; queues default,high,low",
        ),
    ] {
        world.write_catalogue(&text);
        let before = jobctl::clock::monotonic_usec();
        worker.signal("HUP");
        let usec = manager.until("MONOTONIC_USEC");
        assert!(
            usec.parse::<i64>().is_ok_and(|usec| usec >= before),
            "{usec}"
        );
        let status = manager.until_status(words);
        assert_eq!(status.contains("refused"), words.contains("refused"));
        assert!(!status.contains('\u{fffd}'), "{status}");
        manager.until("READY");
    }
    stop(&manager, worker);
}

#[test]
fn a_stop_is_announced_and_asks_for_time_until_the_last_attempt_has_ended() {
    let world = world();
    let manager = Manager::new(&world).with_watchdog(WATCHDOG);
    let mut worker = start(&manager, &world);
    begin(&world, "long");
    worker.signal("TERM");
    manager.until("STOPPING");
    manager.until_status("stopping: 1 attempt goes on until 2");
    for _ in 0..3 {
        let more = manager.until("EXTEND_TIMEOUT_USEC");
        // Little and often: until then a worker that hangs would not be noticed.
        assert_eq!(more, "60000000");
        manager.until("WATCHDOG");
    }
    let_go(&world);
    let (code, _) = manager.until_end(&mut worker, PATIENCE);
    assert_eq!(code, Some(0));
}

/// Proves (service): systemd does not kill a worker that stops as it should.
#[test]
fn systemd_does_not_kill_a_worker_that_is_stopping() {
    let world = impatient("3s");
    let manager = Manager::new(&world);
    let mut worker = start(&manager, &world);
    let run = world.enqueue("deaf");
    begin(&world, "long");
    worker.signal("TERM");
    let (code, asked) = manager.until_end(&mut worker, Duration::from_secs(2));
    assert_eq!(code, Some(0));
    assert!(asked.len() > 2, "{asked:?}");
    assert_eq!(world.store().state_of(run).unwrap(), Some(State::Waiting));
}

#[test]
fn a_stop_that_comes_to_no_end_asks_for_no_more_than_it_may_need() {
    let world = impatient("100ms");
    let manager = Manager::new(&world);
    let worker = start(&manager, &world);
    begin(&world, "long");
    let path = world.state().join("write.lock");
    let lock = File::options().write(true).open(path).expect("the lock");
    lock.lock_exclusive().expect("ours");
    worker.signal("TERM");
    let asked = || -> u64 { manager.until("EXTEND_TIMEOUT_USEC").parse().expect("usec") };
    let first = asked();
    let fourth = [asked(), asked(), asked()][2];
    assert!(first <= 60_000_000, "{first}");
    // Two seconds later at least; it is the end that stays.
    assert!(fourth + 1_000_000 < first, "{first} {fourth}");
    drop(lock);
    stop(&manager, worker);
}

#[test]
fn an_operator_who_stops_a_worker_stops_its_unit() {
    let world = world();
    let manager = Manager::new(&world);
    let mut worker = start(&manager, &world);
    begin(&world, "long");
    assert_eq!(world.run("workers stop --all").code, Some(0));
    manager.until("STOPPING");
    manager.until("EXTEND_TIMEOUT_USEC");
    let_go(&world);
    let (code, _) = manager.until_end(&mut worker, PATIENCE);
    assert_eq!(code, Some(0));
}

#[test]
fn a_worker_that_fails_says_why_before_it_ends() {
    let world = world();
    let manager = Manager::new(&world);
    let mut worker = start(&manager, &world);
    fs::remove_file(world.state().join("jobctl.db")).expect("removed");
    manager.until("STOPPING");
    manager.until_status("stopping: ");
    let (code, _) = manager.until_end(&mut worker, PATIENCE);
    assert_eq!(code, Some(74));
}

#[test]
fn a_manager_that_does_not_listen_hurts_nobody() {
    let world = world();
    let manager = Manager::new(&world);
    manager.fill();
    let worker = manager.start(&world, "run-worker");
    begin(&world, "long");
    let_go(&world);
    // Late, but it comes.
    manager.until("READY");
    stop(&manager, worker);
}

#[test]
fn a_socket_that_is_none_is_said_and_hurts_nobody() {
    for (socket, warns) in [("/nowhere/notify", false), ("nonsense", true), ("", false)] {
        let mut world = world();
        world.set("NOTIFY_SOCKET", socket);
        world.set("WATCHDOG_USEC", "1000");
        let said = world.run("run-worker --drain");
        assert_eq!(said.code, Some(0), "{}", said.err);
        let warned = said.err.contains("event=service_manager_unreachable");
        assert_eq!(warned, warns, "{socket}: {}", said.err);
    }
}

#[test]
fn a_run_in_the_foreground_does_not_speak_for_the_service_that_it_is_part_of() {
    let world = world();
    let_go(&world);
    let manager = Manager::new(&world).with_watchdog(WATCHDOG);
    let said = manager.start(&world, "run long").end();
    assert_eq!(said.code, Some(0), "{}", said.err);
    manager.expect_silence(Duration::from_millis(1));
}
