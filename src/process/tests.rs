//! Hostile commands under real supervision.
//!
//! Rule: conditions with deadlines, no bare sleeps; every process started here is gone when its test ends.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use super::capture::{Capture, LogTarget, TAIL_BYTES, Tee};
use super::command::CommandPlan;
use super::contract::said_in;
use super::control::Control;
use super::environment::{BaseEnvironment, RunFacts};
use super::leftovers::{end_tree, run_mark};
use super::proc_fs;
use super::spawn;
use super::{Launch, Limits, Outcome, supervise};
use crate::attempt::{Class, Ending, Mark, NotStarted, Shortage, Spawned, StopCommand};
use crate::catalogue::{self, Job, Leftovers};
use crate::clock;
use crate::local::{Local, SlotDir};
use crate::records::Labels;
use crate::run::{Fence, RunId, Trigger, WorkerId};

fn subreaper() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        spawn::become_subreaper().unwrap();
        spawn::seal_descriptors().unwrap();
    });
}

fn job(command: catalogue::Command) -> Job {
    Job {
        description: None,
        name: "test".into(),
        intake: catalogue::Intake {
            queue: "default".into(),
            priority: 100,
            params: BTreeMap::new(),
            payload_max: 1 << 18,
            dedup: None,
            sequence: None,
            attempts: 3,
            max_crashes: 3,
            deadline_ms: None,
            guarantee: crate::run::Guarantee::AtLeastOnce,
            argument_params: Vec::new(),
        },
        command,
        timeout_ms: None,
        grace_ms: 10_000,
        backoff: catalogue::Backoff {
            kind: catalogue::BackoffKind::Fixed(1),
            max_ms: 1,
            jitter: catalogue::Jitter::None,
        },
        rate_limited_for_ms: 1,
        exit: catalogue::ExitRules::default(),
        on_dead: None,
        cwd: None,
        umask: None,
        rlimits: Vec::new(),
        env: BTreeMap::new(),
        pass_env: Vec::new(),
        secrets: BTreeMap::new(),
        output_max: 10 << 20,
        schedule: None,
        leftovers: Leftovers::Kill,
        flow: crate::flow::JobRules::default(),
    }
}

fn shell(script: &str) -> Job {
    job(catalogue::Command::Shell {
        script: script.into(),
        shell: vec!["/bin/sh".into(), "-c".into()],
    })
}

fn argv(words: &[&str]) -> Job {
    let words = words
        .iter()
        .map(|word| catalogue::Template(vec![catalogue::Segment::Text((*word).into())]))
        .collect();
    job(catalogue::Command::Argv(words))
}

/// A closed world for one slot.
struct World {
    state: tempfile::TempDir,
    slot: SlotDir,
    capture: Capture,
    control: Control,
    mark: String,
    params: BTreeMap<String, String>,
    timeout: Option<Duration>,
    grace: Duration,
    payload: Option<Vec<u8>>,
    output_max: u64,
    worker_env: BTreeMap<String, OsString>,
}

impl World {
    fn new() -> Self {
        subreaper();
        let state = tempfile::tempdir().unwrap();
        let slot = SlotDir::open(&Local::unchecked(state.path()), WorkerId(1), 0).unwrap();
        let unique = u64::from_le_bytes(clock::random_bytes());
        Self {
            slot,
            state,
            capture: Capture::new(),
            control: Control::new().unwrap(),
            mark: format!("{unique:x}.1.1"),
            params: BTreeMap::new(),
            timeout: Some(Duration::from_mins(1)),
            grace: Duration::from_secs(30),
            payload: None,
            output_max: 1 << 20,
            worker_env: [
                ("PATH", "/usr/bin:/bin"),
                ("LD_PRELOAD", "x.so"),
                ("OTHER", "1"),
            ]
            .map(|(name, value)| (name.to_owned(), value.into()))
            .into(),
        }
    }

    fn run(&mut self, job: &Job) -> Outcome {
        self.run_with(job, |_, _| {})
    }

    /// A run that the host may lack something for.
    fn try_run(&mut self, job: &Job) -> Result<Outcome, Shortage> {
        self.try_run_with(job, Path::new("/proc/self/exe"), |_, _| {})
    }

    /// `during` runs on another thread beside the command, with a way to command it.
    fn run_with(
        &mut self,
        job: &Job,
        during: impl FnOnce(i32, &dyn Fn(StopCommand)) + Send,
    ) -> Outcome {
        let own = Path::new("/proc/self/exe");
        let outcome = self.try_run_with(job, own, during);
        outcome.expect("the host lacks nothing")
    }

    /// `own` stands in for jobctl's own binary.
    fn try_run_with(
        &mut self,
        job: &Job,
        own: &Path,
        during: impl FnOnce(i32, &dyn Fn(StopCommand)) + Send,
    ) -> Result<Outcome, Shortage> {
        let inherited = |name: &str| self.worker_env.get(name).cloned();
        let plan = CommandPlan::new(job, own).unwrap();
        let base =
            BaseEnvironment::new(job, inherited, self.state.path(), Path::new("/c.toml")).unwrap();
        let stdin = self.slot.prepare(self.payload.as_deref()).unwrap();
        let checkpoint = self.state.path().join("checkpoint");
        let cwd = job.cwd.clone().unwrap_or(self.slot.dir().into());
        let facts = RunFacts {
            run: RunId(1),
            mark: &self.mark,
            job: "test",
            queue: "default",
            tenant: None,
            attempt: 1,
            max_attempts: 3,
            failures: 0,
            idempotency_key: "00112233445566778899aabbccddeeff",
            fence: Fence(1),
            trigger: Trigger::Manual,
            deadline_ms: Some(0),
            period: None,
            previous_success_ms: None,
            labels: &Labels::default(),
            parent: None,
            dir: self.slot.dir(),
            output: self.slot.output(),
            checkpoint: &checkpoint,
            payload_file: self.payload.is_some().then(|| self.slot.payload()),
            cwd: &cwd,
            last_exit_code: None,
            last_error: None,
            params: &self.params,
        };
        let (environment, redactor) = base.build(&facts, inherited).unwrap();
        let argv = plan.argv(&self.params).unwrap();
        let cwd = CString::new(cwd.to_str().unwrap()).unwrap();
        let launch = Launch {
            argv: &argv,
            environment: &environment,
            cwd: &cwd,
            stdin: stdin.as_ref().map(AsFd::as_fd),
            mark: &self.mark,
        };
        let limits = Limits {
            deadline_ms: None,
            timeout: self.timeout,
            grace: self.grace,
            leftovers: job.leftovers,
        };
        let log = LogTarget {
            local: self.local(),
            run: RunId(1),
            attempt: 1,
            output_max: self.output_max,
        };
        self.capture.begin(Some(log), redactor);
        let ticket = self.control.arm();
        let (control, capture) = (&self.control, &mut self.capture);
        let begun = clock::monotonic();
        let outcome = std::thread::scope(|scope| {
            supervise(&launch, &limits, control, capture, |spawned| {
                let pid = spawned.pid;
                scope.spawn(move || {
                    during(pid, &|command| {
                        control.send(ticket, command);
                    });
                });
            })
        });
        assert!(
            begun.elapsed() < Duration::from_secs(25),
            "too slow: {outcome:?}"
        );
        outcome
    }

    fn local(&self) -> Local {
        Local::unchecked(self.state.path())
    }

    fn log(&self) -> Vec<u8> {
        std::fs::read(self.local().log_path(RunId(1), 1)).unwrap_or_default()
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.state.path().join(name)
    }

    fn dir_file(&self, name: &str) -> std::path::PathBuf {
        self.slot.dir().join(name)
    }
}

fn lack(of_run: Result<Outcome, Shortage>) -> NotStarted {
    NotStarted::Shortage(of_run.expect_err("a shortage"))
}

fn tail(outcome: &Outcome) -> String {
    String::from_utf8_lossy(&outcome.output_tail).into_owned()
}

/// Waits until `condition` gives something, at most ten seconds.
fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = clock::monotonic() + Duration::from_secs(10);
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(
            clock::monotonic() < deadline,
            "timed out waiting for {what}"
        );
        clock::pause(Duration::from_millis(2));
    }
}

/// The pid that a command wrote into a file.
fn pid_in(path: &Path) -> i32 {
    wait_for("a pid file", || {
        let text = std::fs::read_to_string(path).ok()?;
        text.strip_suffix('\n')?.trim().parse().ok()
    })
}

fn is_alive(pid: i32) -> bool {
    proc_fs::stat(pid).is_some_and(|stat| !stat.is_dead())
}

#[track_caller]
fn assert_gone(pid: i32) {
    wait_for("the end of a process", || (!is_alive(pid)).then_some(()));
}

#[test]
fn exit_codes_and_signals_are_distinguished() {
    let mut world = World::new();
    for code in [0, 1, 75, 127, 255] {
        let outcome = world.run(&shell(&format!("exit {code}")));
        assert_eq!(outcome.ending, Ending::Exited(code));
        assert_eq!((outcome.leaked, outcome.stuck.is_none()), (0, true));
    }
    assert_eq!(world.run(&shell("kill -9 $$")).ending, Ending::Signalled(9));
    assert_eq!(
        world.run(&shell("kill -TERM $$")).ending,
        Ending::Signalled(15)
    );
    assert_eq!(
        world.run(&shell("kill -TERM 0")).ending,
        Ending::Signalled(15)
    );
}

#[test]
fn both_streams_are_kept_in_order_and_no_file_is_made_without_output() {
    let mut world = World::new();
    world.run(&shell("exit 0"));
    assert!(!world.file("output").exists());
    let outcome = world.run(&shell("echo one; echo two >&2; echo three"));
    assert_eq!(tail(&outcome), "one\ntwo\nthree\n");
    assert_eq!(outcome.output_bytes, 14);
    assert_eq!(world.log(), b"one\ntwo\nthree\n");
}

#[test]
fn a_grandchild_that_holds_the_pipe_is_ended_and_counted() {
    let mut world = World::new();
    let begun = clock::monotonic();
    let outcome = world.run(&shell("sleep 300 & echo $! > pid; echo hi"));
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(outcome.ending, Ending::Exited(0));
    assert_eq!(outcome.leaked, 1);
    assert_eq!(tail(&outcome), "hi\n");
    assert_gone(pid_in(&world.dir_file("pid")));
}

#[test]
fn late_output_of_a_grandchild_is_captured() {
    let mut world = World::new();
    let job = job(catalogue::Command::Shell {
        script: "exec > >(sleep 0.02; cat; echo last) 2>&1; echo first".into(),
        shell: vec!["/bin/bash".into(), "-c".into()],
    });
    let outcome = world.run(&job);
    assert_eq!(tail(&outcome), "first\nlast\n");
    assert_eq!(outcome.leaked, 0);
}

#[test]
fn allowed_leftovers_are_counted_and_left_alone() {
    let mut world = World::new();
    let mut job = shell("sleep 300 >/dev/null 2>&1 & echo $! > pid; echo hi");
    job.leftovers = Leftovers::Allow;
    let outcome = world.run(&job);
    assert_eq!((outcome.ending, outcome.leaked), (Ending::Exited(0), 1));
    let pid = pid_in(&world.dir_file("pid"));
    let stat = proc_fs::stat(pid).unwrap();
    assert!(!stat.is_dead());
    proc_fs::signal(pid, stat.start_ticks, &[rustix::process::Signal::KILL]);
    assert_gone(pid);
}

/// Proves (leftovers): an attempt ends with all of its processes.
#[test]
fn a_daemon_in_its_own_session_is_found_by_its_mark() {
    let mut world = World::new();
    let outcome = world.run(&shell(
        "setsid sh -c 'echo $$ > pid; exec sleep 300' </dev/null >/dev/null 2>&1 & \
         while ! test -s pid; do :; done",
    ));
    assert_eq!((outcome.ending, outcome.leaked), (Ending::Exited(0), 1));
    assert_gone(pid_in(&world.dir_file("pid")));
}

#[test]
fn a_daemon_without_environment_is_found_by_the_pipe_that_it_holds() {
    let mut world = World::new();
    let outcome = world.run(&shell(
        "setsid env -i /bin/sh -c '(echo $$ > pid; exec sleep 300) & ' & while ! test -s pid; do :; done",
    ));
    assert_eq!(outcome.ending, Ending::Exited(0));
    assert!(outcome.leaked >= 1);
    wait_for("no sleeper with our pipe", || {
        proc_fs::adopted_except(0)
            .iter()
            .all(|&pid| {
                proc_fs::stat(pid).is_none_or(|stat| stat.is_dead() || !in_dir(pid, &world))
            })
            .then_some(())
    });
}

fn in_dir(pid: i32, world: &World) -> bool {
    std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == world.slot.dir())
}

#[test]
fn a_process_that_made_itself_a_sibling_is_ended() {
    let mut world = World::new();
    // clone(CLONE_PARENT): its parent is the slot, not the command.
    let outcome = world.run(&argv(&[
        "perl",
        "-e",
        "if (syscall(56, 0x8000, 0, 0, 0, 0) == 0) { exec 'setsid', 'sh', '-c', \
         'echo $$ > pid; exec sleep 300 >/dev/null 2>&1' } select(undef, undef, undef, 0.01) until -s 'pid'",
    ]));
    assert_eq!(
        (&outcome.ending, outcome.leaked),
        (&Ending::Exited(0), 1),
        "{}",
        tail(&outcome)
    );
    assert_gone(pid_in(&world.dir_file("pid")));
}

#[test]
fn a_daemon_gets_its_grace_too() {
    let mut world = World::new();
    world.timeout = Some(Duration::from_millis(500));
    let outcome = world.run(&shell(
        "setsid sh -c 'trap \"sleep 0.2; echo tidy > done; exit\" TERM; while :; do sleep 0.01; done' & wait",
    ));
    assert!(matches!(outcome.ending, Ending::TimedOut { .. }));
    assert_eq!(
        std::fs::read_to_string(world.dir_file("done")).unwrap(),
        "tidy\n"
    );
}

#[test]
fn a_slow_reader_of_the_tee_does_not_stop_the_timeout() {
    let mut world = World::new();
    let (reader, writer) = std::io::pipe().unwrap();
    world
        .capture
        .set_tee(Tee::start(std::os::fd::OwnedFd::from(writer).into()).unwrap());
    world.timeout = Some(Duration::from_millis(300));
    let outcome = world.run(&shell("exec yes"));
    assert!(matches!(outcome.ending, Ending::TimedOut { .. }));
    let tee = world.capture.take_tee().unwrap();
    let all = std::thread::scope(|scope| {
        scope.spawn(|| tee.finish());
        // The writing end is closed with the thread, so that this ends.
        std::io::read_to_string(reader).unwrap()
    });
    assert_eq!(all.len() as u64, outcome.output_bytes);
    // It was held back meanwhile, as it would be without jobctl.
    assert!(outcome.output_bytes < 4 << 20, "{}", outcome.output_bytes);
}

#[test]
fn a_tee_whose_reader_is_gone_is_dropped() {
    let mut world = World::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    world
        .capture
        .set_tee(Tee::start(std::os::fd::OwnedFd::from(writer).into()).unwrap());
    let outcome = world.run(&shell("seq 1 200000; echo end"));
    assert_eq!(outcome.ending, Ending::Exited(0));
    assert!(outcome.output_tail.ends_with(b"end\n"));
    world.capture.take_tee().unwrap().finish();
}

#[test]
fn a_timeout_ends_processes_that_left_session_and_environment_while_parents_live() {
    let mut world = World::new();
    world.timeout = Some(Duration::from_millis(400));
    world.grace = Duration::ZERO;
    let outcome = world.run(&shell(
        "setsid env -i /bin/sh -c 'echo $$ > pid; exec /bin/sleep 300' </dev/null >/dev/null 2>&1 & \
         trap '' TERM; while :; do /bin/sleep 1; done",
    ));
    assert!(matches!(
        outcome.ending,
        Ending::TimedOut {
            signal: Some(9),
            ..
        }
    ));
    assert_gone(pid_in(&world.dir_file("pid")));
}

#[test]
fn a_timeout_sends_sigterm_and_after_the_grace_sigkill() {
    let mut world = World::new();
    // Long enough for the shell to set its trap on a busy machine.
    world.timeout = Some(Duration::from_secs(2));
    world.grace = Duration::from_millis(200);
    let outcome = world.run(&shell("trap '' TERM; while :; do sleep 0.01; done"));
    assert_eq!(
        outcome.ending,
        Ending::TimedOut {
            exit_code: None,
            signal: Some(9)
        }
    );
    assert!(outcome.ran_ms >= 2_190);
    world.grace = Duration::from_secs(20);
    // Any ending after the timeout is a timeout, also a good one.
    let outcome = world.run(&shell("trap 'exit 0' TERM; while :; do sleep 0.01; done"));
    assert_eq!(
        outcome.ending,
        Ending::TimedOut {
            exit_code: Some(0),
            signal: None
        }
    );
    let outcome = world.run(&shell("sleep 300"));
    assert_eq!(
        outcome.ending,
        Ending::TimedOut {
            exit_code: None,
            signal: Some(15)
        }
    );
}

#[test]
fn the_grace_is_for_the_whole_tree() {
    let mut world = World::new();
    world.timeout = Some(Duration::from_millis(300));
    // The shell dies of SIGTERM at once; its child needs a moment to tidy up.
    let outcome = world.run(&shell(
        "sh -c 'trap \"sleep 0.3; echo tidy > done; exit\" TERM; while :; do sleep 0.01; done'; :",
    ));
    assert_eq!(
        outcome.ending,
        Ending::TimedOut {
            exit_code: None,
            signal: Some(15)
        }
    );
    assert_eq!(
        std::fs::read_to_string(world.dir_file("done")).unwrap(),
        "tidy\n"
    );
    assert_eq!(outcome.leaked, 0);
}

#[test]
fn a_timeout_ends_a_stopped_command() {
    let mut world = World::new();
    world.timeout = Some(Duration::from_millis(200));
    let outcome = world.run(&shell("kill -STOP $$; echo never"));
    assert_eq!(
        outcome.ending,
        Ending::TimedOut {
            exit_code: None,
            signal: Some(15)
        }
    );
}

#[test]
fn a_cancelled_command_is_cancelled_unless_it_succeeds() {
    let mut world = World::new();
    let ready = world.dir_file("ready");
    let cancel = |_: i32, send: &dyn Fn(StopCommand)| {
        wait_for("the command", || ready.exists().then_some(()));
        send(StopCommand::Cancel);
    };
    let outcome = world.run_with(&shell("touch ready; sleep 300"), cancel);
    assert_eq!(
        outcome.ending,
        Ending::Cancelled {
            exit_code: None,
            signal: Some(15)
        }
    );
    let script = "trap 'exit 0' TERM; touch ready; while :; do sleep 0.01; done";
    let outcome = world.run_with(&shell(script), cancel);
    assert_eq!(outcome.ending, Ending::Exited(0));
    let script = "trap 'exit 3' TERM; touch ready; while :; do sleep 0.01; done";
    let outcome = world.run_with(&shell(script), cancel);
    assert_eq!(
        outcome.ending,
        Ending::Cancelled {
            exit_code: Some(3),
            signal: None
        }
    );
}

#[test]
fn a_kill_shortens_a_release_and_a_cancel_overrides_it() {
    let mut world = World::new();
    let ready = world.dir_file("ready");
    let stubborn = shell("trap '' TERM; touch ready; while :; do sleep 0.01; done");
    let killed = |why: Ending, outcome: &Outcome| assert_eq!(outcome.ending, why);
    let outcome = world.run_with(&stubborn, |_, send| {
        wait_for("the command", || ready.exists().then_some(()));
        send(StopCommand::Release);
        send(StopCommand::Kill);
    });
    killed(
        Ending::Released {
            exit_code: None,
            signal: Some(9),
        },
        &outcome,
    );
    let outcome = world.run_with(&stubborn, |_, send| {
        wait_for("the command", || ready.exists().then_some(()));
        send(StopCommand::Kill);
    });
    killed(
        Ending::Released {
            exit_code: None,
            signal: Some(9),
        },
        &outcome,
    );
    let outcome = world.run_with(&stubborn, |_, send| {
        wait_for("the command", || ready.exists().then_some(()));
        send(StopCommand::Release);
        send(StopCommand::Cancel);
        send(StopCommand::Kill);
    });
    killed(
        Ending::Cancelled {
            exit_code: None,
            signal: Some(9),
        },
        &outcome,
    );
}

/// Proves (commands): output costs constant memory and never blocks a command.
#[test]
fn a_hundred_megabytes_change_neither_memory_nor_speed() {
    let mut world = World::new();
    // Once to have touched everything.
    world.run(&shell("head -c 1000000 /dev/zero"));
    let before = resident_kib();
    let outcome = world.run(&shell("head -c 100000000 /dev/zero; echo end"));
    let after = resident_kib();
    assert_eq!(outcome.ending, Ending::Exited(0));
    assert_eq!(outcome.output_bytes, 100_000_004);
    let log = world.log();
    assert!(log.len() as u64 <= world.output_max + 100);
    assert!(log.ends_with(b"end\n"));
    // `split` is at the line that stands for what was dropped.
    let (words, end) = (b"\n[jobctl: ", b" bytes dropped]\n");
    let split = log.windows(words.len()).position(|part| part == words);
    let number = &log[split.unwrap() + words.len()..];
    let digits = number.iter().take_while(|byte| byte.is_ascii_digit());
    let digits = String::from_utf8(digits.copied().collect()).unwrap();
    assert!(number[digits.len()..].starts_with(end));
    let line = words.len() + digits.len() + end.len();
    assert_eq!(
        log.len() - line + digits.parse::<usize>().unwrap(),
        100_000_004
    );
    // Other tests run beside; alone it is below 1 MiB.
    assert!(
        after.saturating_sub(before) < 32 << 10,
        "{before} -> {after} KiB"
    );
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn binary_output_and_a_closed_standard_output_are_handled() {
    let mut world = World::new();
    let outcome = world.run(&shell("printf '\\000\\377\\033[31m\\200'"));
    assert_eq!(outcome.output_tail, b"\0\xff\x1b[31m\x80");
    let outcome = world.run(&shell("exec >&- 2>&-; sleep 0.1; exit 7"));
    assert_eq!(outcome.ending, Ending::Exited(7));
    let long = world.run(&shell("seq 1 100000"));
    assert_eq!(long.output_tail.len(), TAIL_BYTES);
    assert!(long.output_tail.ends_with(b"\n99999\n100000\n"));
}

#[test]
fn an_error_of_the_start_names_its_cause_and_whether_a_retry_may_help() {
    let mut world = World::new();
    let plain = world.file("plain");
    std::fs::write(&plain, "no program").unwrap();
    let script = executable(&mut world, "script", "#!/nonexistent/interpreter\n");
    let garbage = executable(&mut world, "garbage", "garbage");
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let cases = [
        ("/nonexistent/tool".to_owned(), "no such file or directory"),
        ("nonexistent-tool".to_owned(), "no such file or directory"),
        (text(&plain), "permission denied"),
        (text(&script), "no such file or directory (its interpreter)"),
        (text(&garbage), "exec format error"),
    ];
    for (program, expected) in cases {
        let outcome = world.run(&argv(&[&program]));
        assert_eq!(
            outcome.ending,
            Ending::CannotStart {
                error: expected.into(),
            },
            "{program}"
        );
        assert_eq!(outcome.spawned, None);
    }
    let mut lost = argv(&["/bin/true"]);
    lost.cwd = Some("/nonexistent".into());
    assert_eq!(
        world.run(&lost).ending,
        Ending::CannotStart {
            error: "no such file or directory (working directory `/nonexistent`)".into(),
        }
    );
}

/// Makes an executable file by a process of its own: a descriptor open for writing in this one would be copied into
/// commands of other tests until their exec, and "text file busy" is what they would see.
fn executable(world: &mut World, name: &str, content: &str) -> std::path::PathBuf {
    let path = world.file(name);
    world.payload = Some(content.into());
    let script = format!("cat > {0}; chmod 755 {0}", path.display());
    assert_eq!(world.run(&shell(&script)).ending, Ending::Exited(0));
    world.payload = None;
    path
}

#[test]
fn a_program_that_is_open_for_writing_costs_no_attempt() {
    let mut world = World::new();
    let busy = executable(&mut world, "busy", "#!/bin/sh\n");
    let writer = std::fs::OpenOptions::new().write(true).open(&busy).unwrap();
    let busy = busy.to_str().unwrap();
    let expected = NotStarted::job_lacks("cannot start its command: text file busy");
    assert_eq!(lack(world.try_run(&argv(&[busy]))), expected);
    // Of a plain word of a shell command the shell would make exit code 126.
    assert_eq!(lack(world.try_run(&shell(busy))), expected);
    let mut wrapped = argv(&[busy]);
    wrapped.umask = Some(0o022);
    let own = stand_in(&mut world);
    let tried = world.try_run_with(&wrapped, &own, |_, _| {});
    assert_eq!(lack(tried), expected, "by the wrapper");
    drop(writer);
    wait_for("a start", || {
        let outcome = world.try_run(&argv(&[busy])).ok()?;
        (outcome.ending == Ending::Exited(0)).then_some(())
    });
}

#[test]
fn too_long_values_are_named() {
    let mut world = World::new();
    world.params.insert("big".into(), "x".repeat(200_000));
    let outcome = world.run(&argv(&["/bin/true"]));
    let error = "argument list too long (variable `JOBCTL_PARAM_BIG` is over 128 KiB)";
    assert_eq!(
        outcome.ending,
        Ending::CannotStart {
            error: error.into(),
        }
    );
    world.params.clear();
    let outcome = world.run(&argv(&["/bin/true", &"x".repeat(200_000)]));
    let error = "argument list too long (argument 1 is over 128 KiB)";
    assert_eq!(
        outcome.ending,
        Ending::CannotStart {
            error: error.into(),
        }
    );
}

/// Everything that a shell could trip over.
const METACHARACTERS: &[&str] = &[
    "",
    " ",
    "$(touch pwned)",
    "`touch pwned`",
    "'",
    "\"",
    "\\",
    "a\nb",
    "\r\n",
    "*",
    "?[a]",
    "~",
    "-rf",
    "--",
    "; ls",
    "| ls",
    "& ls",
    "> f",
    "< f",
    "!",
    "#",
    "$HOME",
    "${IFS}",
    "%s",
    "\u{1b}[31m",
    "\u{7f}",
    "\u{e9}\u{202e}",
    "a=b",
    "\t",
    "{a,b}",
    "(ls)",
    "\\0",
];

/// Proves (commands): arguments and variables arrive byte for byte, and nothing is executed from them.
#[test]
fn arguments_and_variables_arrive_byte_for_byte() {
    let mut world = World::new();
    for &value in METACHARACTERS {
        world.params.insert("value".into(), value.into());
        let template =
            |text: &str| catalogue::Template(vec![catalogue::Segment::Text(text.into())]);
        let job = job(catalogue::Command::Argv(vec![
            template("printf"),
            template("<%s>\\n"),
            catalogue::Template(vec![catalogue::Segment::Param("value".into())]),
            catalogue::Template(vec![
                catalogue::Segment::Text("--x=".into()),
                catalogue::Segment::Param("value".into()),
            ]),
        ]));
        let outcome = world.run(&job);
        assert_eq!(tail(&outcome), format!("<{value}>\n<--x={value}>\n"));
        let outcome = world.run(&shell("printf '<%s>' \"$JOBCTL_PARAM_VALUE\""));
        assert_eq!(tail(&outcome), format!("<{value}>"));
        assert!(!world.dir_file("pwned").exists());
    }
}

#[test]
fn a_command_sees_three_descriptors_and_clean_signals() {
    let mut world = World::new();
    let leak = std::fs::File::open("/dev/null").unwrap();
    let outcome = world.run(&argv(&["ls", "/proc/self/fd"]));
    drop(leak);
    // The fourth is the directory that `ls` reads.
    assert_eq!(tail(&outcome), "0\n1\n2\n3\n");
    // `grep` has a handler of its own; blocked and ignored signals are what a command inherits.
    let outcome = world.run(&argv(&[
        "grep",
        "-E",
        "^Sig(Blk|Ign):",
        "/proc/self/status",
    ]));
    let none = "0000000000000000";
    assert_eq!(
        tail(&outcome),
        format!("SigBlk:\t{none}\nSigIgn:\t{none}\n")
    );
    // Session, group and pid are one number, which the worker gets as it is in /proc.
    let outcome = world.run_with(&argv(&["sleep", "0.2"]), |pid, _| {
        assert_eq!(proc_fs::stat(pid).unwrap().session, pid);
    });
    assert_eq!(outcome.ending, Ending::Exited(0));
}

#[test]
fn the_start_time_is_that_of_proc() {
    let mut world = World::new();
    for _ in 0..40 {
        let outcome = world.run(&shell("cat /proc/$$/stat"));
        let stat = proc_fs::parse_stat(&outcome.output_tail).unwrap();
        let spawned = Spawned {
            pid: stat.pid,
            start_ticks: stat.start_ticks,
            session: stat.session,
        };
        assert_eq!(outcome.spawned, Some(spawned));
    }
}

/// Proves (commands): the environment of a command is built, not inherited.
#[test]
fn the_environment_is_built_not_inherited() {
    let mut world = World::new();
    let mut job = argv(&["env"]);
    job.pass_env = vec!["LD_PRELOAD".into(), "OTHER".into(), "MISSING".into()];
    job.env = [("GREETING", "hello world"), ("JOBCTL_RUN_ID", "999")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    world.params.insert("to".into(), "x@y".into());
    let outcome = world.run(&job);
    let text = tail(&outcome);
    let mut names: Vec<&str> = text
        .lines()
        .map(|line| line.split('=').next().unwrap())
        .collect();
    names.sort_unstable();
    let mut expected = vec![
        "GREETING",
        "JOBCTL_CATALOGUE",
        "JOBCTL_PARAM_TO",
        "JOBCTL_RUN_ATTEMPT",
        "JOBCTL_RUN_CHECKPOINT",
        "JOBCTL_RUN_DEADLINE",
        "JOBCTL_RUN_DIR",
        "JOBCTL_RUN_FAILURES",
        "JOBCTL_RUN_FENCE",
        "JOBCTL_RUN_ID",
        "JOBCTL_RUN_IDEMPOTENCY_KEY",
        "JOBCTL_RUN_JOB",
        "JOBCTL_RUN_MARK",
        "JOBCTL_RUN_MAX_ATTEMPTS",
        "JOBCTL_RUN_OUTPUT",
        "JOBCTL_RUN_QUEUE",
        "JOBCTL_RUN_TRIGGER",
        "JOBCTL_STORE",
        "OTHER",
        "PATH",
        "PWD",
        "TRACEPARENT",
    ];
    expected.sort_unstable();
    assert_eq!(names, expected);
    for line in [
        "JOBCTL_RUN_ID=1".to_owned(),
        "GREETING=hello world".into(),
        "JOBCTL_RUN_DEADLINE=1970-01-01T00:00:00.000Z".into(),
        format!("JOBCTL_RUN_DIR={}", world.slot.dir().display()),
        "JOBCTL_PARAM_TO=x@y".into(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}

#[test]
fn a_direct_command_and_one_of_the_shell_see_the_same() {
    let mut world = World::new();
    let see = |world: &mut World, script: &str| {
        let outcome = world.run(&shell(script));
        let mut lines: Vec<String> = tail(&outcome).lines().map(str::to_owned).collect();
        lines.retain(|line| !line.starts_with("TRACEPARENT"));
        lines.sort();
        (outcome.ending, lines)
    };
    assert_eq!(see(&mut world, "env"), see(&mut world, "env;"));
    assert_eq!(
        see(&mut world, "/nonexistent/x"),
        see(&mut world, "/nonexistent/x;")
    );
    assert_eq!(
        see(&mut world, "nonexistent-x a"),
        see(&mut world, "nonexistent-x a;")
    );
    // A script without `#!` is run by the shell.
    let script = executable(&mut world, "script", "echo from the script\n");
    let path = script.to_str().unwrap().to_owned();
    let direct = see(&mut world, &path);
    assert_eq!(
        direct,
        (Ending::Exited(0), vec!["from the script".to_owned()])
    );
}

/// Proves (commands): a secret is in no output and in no file of jobctl.
#[test]
fn secrets_reach_the_command_and_nothing_else() {
    let mut world = World::new();
    let file = world.file("secret");
    std::fs::write(&file, "hunter2 is long\n").unwrap();
    let mut job = shell(
        "printf '%s' \"$DB_PASS\" | cut -c1-7 | tr -d '\\n'; sleep 0.05; printf '%s' ' is long'; echo \" $TOKEN\"; \
         echo message=pw=$TOKEN > $JOBCTL_RUN_OUTPUT",
    );
    job.secrets = [
        ("DB_PASS".to_owned(), catalogue::Secret::File(file.clone())),
        (
            "TOKEN".to_owned(),
            catalogue::Secret::Env("WORKER_TOKEN".into()),
        ),
    ]
    .into();
    world
        .worker_env
        .insert("WORKER_TOKEN".into(), "tok-123".into());
    let outcome = world.run(&job);
    assert_eq!(tail(&outcome), "[redacted] [redacted]\n");
    assert_eq!(world.log(), b"[redacted] [redacted]\n");
    let said = said_in(&world.slot, world.capture.redactor());
    assert_eq!(said.message.unwrap(), "pw=[redacted]");
    std::fs::remove_file(&file).unwrap();
    let base = BaseEnvironment::new(&job, |_| None, Path::new("/s"), Path::new("/c")).unwrap();
    assert!(!format!("{base:?}").contains("hunter2"));
}

#[test]
fn the_payload_is_on_standard_input_and_in_its_file() {
    let mut world = World::new();
    let outcome = world.run(&shell("wc -c; test -z \"$JOBCTL_RUN_PAYLOAD_FILE\""));
    assert_eq!(
        (tail(&outcome).trim(), outcome.ending),
        ("0", Ending::Exited(0))
    );
    world.payload = Some(b"{\"a\":1}\n\0\xff".to_vec());
    let outcome = world.run(&shell("cat; cmp $JOBCTL_RUN_PAYLOAD_FILE -"));
    assert_eq!(outcome.output_tail[..10], *b"{\"a\":1}\n\0\xff");
    let outcome = world.run(&shell("cmp $JOBCTL_RUN_PAYLOAD_FILE - && echo same"));
    assert_eq!(tail(&outcome), "same\n");
    world.payload = Some(Vec::new());
    assert_eq!(
        world.run(&shell("test -e $JOBCTL_RUN_PAYLOAD_FILE")).ending,
        Ending::Exited(0)
    );
}

#[test]
fn the_slot_directory_is_emptied_of_everything_that_a_command_left() {
    let mut world = World::new();
    let victim = world.file("victim");
    std::fs::write(&victim, "mine").unwrap();
    let hostile = [
        "mkdir -p a/b/c; touch a/b/c/d .hidden; chmod 000 a/b; chmod 500 a",
        "ln -s $JOBCTL_STORE/victim link; ln -s / root; ln -s $JOBCTL_STORE/victim $JOBCTL_RUN_OUTPUT",
        "rm -f $JOBCTL_RUN_OUTPUT; mkfifo $JOBCTL_RUN_OUTPUT fifo",
        "mkdir $JOBCTL_RUN_OUTPUT ../payload; touch ../payload/x ../other",
        "cd ..; rm -rf dir; touch dir",
        "cd ..; rm -rf dir; ln -s / dir",
        "cd ..; mv dir ../moved; mkdir dir; chmod 000 dir",
        "rm -rf $JOBCTL_STORE/work",
        "rm -rf $JOBCTL_STORE/work; touch $JOBCTL_STORE/work",
        "cd ../..; rm -rf *; touch 1.0",
        "i=0; while [ $i -lt 300 ]; do mkdir d; cd -P d; i=$((i+1)); done",
        "mkdir .jobctl-1 .jobctl-2 x x/y x/z",
    ];
    world.payload = Some(b"x".to_vec());
    for script in hostile {
        world.run(&shell(script));
        assert_eq!(said_in(&world.slot, None).class, None);
        if script.ends_with("work") {
            // A file in the place of `work` is for the operator, not for us to remove.
            let _ = std::fs::remove_file(world.file("work"));
        }
        let outcome = world.run(&shell("ls -A . ..; pwd"));
        let expected = format!(".:\n\n..:\ndir\npayload\n{}\n", world.slot.dir().display());
        assert_eq!(tail(&outcome), expected, "after {script}");
    }
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
    assert!(Path::new("/bin").exists());
}

#[test]
fn the_report_of_a_command_is_read() {
    let mut world = World::new();
    world.run(&shell("echo error_class=permanent > $JOBCTL_RUN_OUTPUT; echo 'result={\"n\":1}' >> $JOBCTL_RUN_OUTPUT"));
    let said = said_in(&world.slot, None);
    assert_eq!(
        (said.class, said.results),
        (Some(Class::Permanent), vec!["{\"n\":1}".to_owned()])
    );
    world.run(&shell(":"));
    assert_eq!(said_in(&world.slot, None).class, None);
    world.run(&shell("head -c 5000000 /dev/zero > $JOBCTL_RUN_OUTPUT"));
    assert_eq!(said_in(&world.slot, None).message, None);
}

/// Proves: as `a_daemon_in_its_own_session_is_found_by_its_mark`.
/// Fault (commands): a fork bomb; hundreds of children.
#[test]
fn a_fork_bomb_in_its_session_is_ended() {
    let mut world = World::new();
    world.timeout = Some(Duration::from_millis(300));
    world.grace = Duration::from_millis(50);
    // Bounded, so that a failing test does not take the machine with it.
    let outcome = world.run(&shell(
        "trap '' TERM; f() { if [ $1 -gt 0 ]; then f $(($1-1)) & f $(($1-1)) & fi; sleep 300; }; f 5",
    ));
    assert!(matches!(outcome.ending, Ending::TimedOut { .. }));
    assert!(outcome.stuck.is_none());
    assert!(!proc_fs::all_pids().into_iter().any(|pid| {
        is_alive(pid) && proc_fs::run_mark(pid).is_some_and(|mark| mark == world.mark.as_bytes())
    }));
}

/// Proves: as `a_wrong_start_time_is_never_signalled`.
#[test]
fn leftovers_of_a_dead_worker_are_ended_and_other_processes_are_not() {
    subreaper();
    let mut world = World::new();
    let uuid = format!("uuid-{:x}", u64::from_le_bytes(clock::random_bytes()));
    let (run, fence) = (RunId(4), Fence(9));
    world.mark = run_mark(&uuid, run, fence);
    let mut job = shell(
        "sleep 300 & echo $! > same; setsid sleep 300 & \
         setsid sh -c 'echo $$ > other; trap \"\" TERM; while :; do sleep 0.05; done' & \
         while ! test -s other; do :; done",
    );
    job.command = match job.command {
        catalogue::Command::Shell { script, shell } => catalogue::Command::Shell {
            script: format!("exec >/dev/null 2>&1; {script}"),
            shell,
        },
        argv @ catalogue::Command::Argv(_) => argv,
    };
    job.leftovers = Leftovers::Allow;
    let outcome = world.run(&job);
    assert!(outcome.leaked >= 3);
    let (same, other) = (
        pid_in(&world.dir_file("same")),
        pid_in(&world.dir_file("other")),
    );
    // Another store with the same run and fence has nothing here.
    let mark = Mark {
        run,
        fence,
        process: None,
    };
    let none = end_tree(&[mark], "uuid-of-another-store", Duration::ZERO);
    assert_eq!((none.ended, none.remaining), (Vec::new(), Vec::new()));
    let stranger = Mark {
        process: Some(Spawned {
            pid: same,
            start_ticks: 1,
            session: same,
        }),
        ..mark
    };
    end_tree(&[stranger], "uuid-of-another-store", Duration::ZERO);
    assert!(is_alive(same) && is_alive(other));
    let mark = Mark {
        process: outcome.spawned,
        ..mark
    };
    let report = end_tree(&[mark], &uuid, Duration::from_millis(200));
    assert!(
        report.ended.contains(&same) && report.ended.contains(&other),
        "{report:?}"
    );
    assert_eq!(report.remaining, Vec::new());
    assert!(!is_alive(same) && !is_alive(other));
}

/// A process without a mark; it ends with the test.
struct Innocent(std::process::Child);

impl Innocent {
    #[expect(clippy::disallowed_methods, reason = "it is no command of ours")]
    fn start(script: &str) -> Self {
        let mut command = std::process::Command::new("setsid");
        command.args(["sh", "-c", script]);
        Self(command.spawn().unwrap())
    }

    fn stat(&self) -> proc_fs::Stat {
        proc_fs::stat(self.0.id() as i32).unwrap()
    }
}

impl Drop for Innocent {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Proves (leftovers): recovery never signals a process without proof that it belongs to the dead worker.
#[test]
fn a_daemon_whose_session_has_the_number_of_a_dead_command_is_not_ended() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    // A session leader that goes away and leaves a daemon in its session.
    let script = format!(
        "exec >/dev/null 2>&1; sleep 60 & echo $! > {}",
        file.display()
    );
    let mut leader = Innocent::start(&script);
    let daemon = pid_in(&file);
    leader.0.wait().unwrap();
    let session = proc_fs::stat(daemon).unwrap().session;
    let mark = Mark {
        run: RunId(4),
        fence: Fence(9),
        process: Some(Spawned {
            pid: session,
            start_ticks: 1,
            session,
        }),
    };
    let report = end_tree(&[mark], "uuid", Duration::ZERO);
    assert_eq!((report.ended, report.remaining), (Vec::new(), Vec::new()));
    assert!(is_alive(daemon));
    let start_ticks = proc_fs::stat(daemon).unwrap().start_ticks;
    proc_fs::signal(daemon, start_ticks, &[rustix::process::Signal::KILL]);
}

/// Proves: as `a_daemon_whose_session_has_the_number_of_a_dead_command_is_not_ended`.
#[test]
fn a_process_that_only_has_the_numbers_of_a_mark_blocks_the_run_and_is_not_ended() {
    let innocent = Innocent::start("sleep 60 & wait");
    let stat = wait_for("a session of its own", || {
        let stat = innocent.stat();
        (stat.session == stat.pid).then_some(stat)
    });
    let mark = Mark {
        run: RunId(4),
        fence: Fence(9),
        process: Some(Spawned {
            pid: stat.pid,
            start_ticks: stat.start_ticks,
            session: stat.pid,
        }),
    };
    let report = end_tree(&[mark], "uuid", Duration::ZERO);
    assert_eq!(
        (report.ended, report.remaining),
        (Vec::new(), vec![(RunId(4), stat.pid)])
    );
    assert!(is_alive(stat.pid));
}

/// Proves: as `a_daemon_whose_session_has_the_number_of_a_dead_command_is_not_ended`.
#[test]
fn members_of_a_marked_leaders_session_are_ended_without_a_mark() {
    let mut world = World::new();
    let uuid = format!("uuid-{:x}", u64::from_le_bytes(clock::random_bytes()));
    let (run, fence) = (RunId(4), Fence(9));
    world.mark = run_mark(&uuid, run, fence);
    let file = world.dir_file("pid");
    let script = "env -i sh -c 'trap \"\" TERM; while :; do sleep 0.05; done' & echo $! > pid; exec sleep 60";
    let (mut left, path) = (None, &file);
    world.run_with(&shell(script), |pid, _| {
        let member = pid_in(path);
        let stat = proc_fs::stat(pid).unwrap();
        let process = Some(Spawned {
            pid,
            start_ticks: stat.start_ticks,
            session: pid,
        });
        let mark = Mark {
            run,
            fence,
            process,
        };
        // The leader goes at the first signal; its member is remembered.
        let report = end_tree(&[mark], &uuid, Duration::from_millis(200));
        left = Some((member, report));
    });
    let (member, report) = left.unwrap();
    assert!(report.ended.contains(&member), "{report:?}");
    assert_eq!(report.remaining, Vec::new());
}

#[test]
fn umask_and_rlimits_are_set_by_the_wrapper() {
    let mut world = World::new();
    let mut job = argv(&[
        "sh",
        "-c",
        "umask; ulimit -n; grep SigIgn /proc/self/status; echo \"$0\" \"$@\"",
        "a b",
        "$c",
    ]);
    job.umask = Some(0o027);
    job.rlimits = vec![catalogue::Rlimit {
        resource: catalogue::Resource::Nofile,
        limit: Some(123),
    }];
    // The test binary stands in for jobctl: see `acts_as_the_wrapper`.
    let plan = CommandPlan::new(&job, Path::new("/proc/self/exe")).unwrap();
    let CommandPlan::Fixed(argv) = plan else {
        panic!("no placeholders")
    };
    let words: Vec<_> = argv
        .words
        .iter()
        .map(|word| word.to_str().unwrap())
        .collect();
    assert_eq!(
        words[..7],
        [
            "/proc/self/exe",
            "internal-exec",
            "--umask",
            "027",
            "--rlimit",
            "nofile=123",
            "--"
        ]
    );
    let exe = std::env::current_exe().unwrap();
    let run = |world: &mut World, words: &[&str]| {
        let mut all = vec![
            exe.to_str().unwrap(),
            "--exact",
            "--ignored",
            "--nocapture",
            "process::tests::acts_as_the_wrapper",
            "--",
        ];
        all.extend(words);
        world.run(&super::tests::argv(&all))
    };
    let outcome = run(&mut world, &words[2..]);
    let text = tail(&outcome);
    let expected = "0027\n123\nSigIgn:\t0000000000000000\na b $c\n";
    assert!(text.ends_with(expected), "{text}");
    assert_eq!(outcome.ending, Ending::Exited(0));
    // By hand, without a slot that takes a report.
    for (words, code) in [
        (&["--", "/nonexistent"][..], 127),
        (&["--", "nonexistent-tool"], 127),
        (&["--", "/etc/passwd"], 126),
        (&["--umask", "9", "--", "true"], 2),
        (&["--rlimit", "nofile", "--", "true"], 2),
    ] {
        let outcome = run(&mut world, words);
        assert_eq!(
            outcome.ending,
            Ending::Exited(code),
            "{words:?}: {}",
            tail(&outcome)
        );
    }
}

#[test]
#[ignore = "not a test: stands in for `jobctl internal-exec`"]
#[expect(clippy::disallowed_methods, reason = "ends as `main` would")]
fn acts_as_the_wrapper() {
    let arguments = std::env::args_os().skip_while(|word| word != "--").skip(1);
    let failed = super::wrapper::exec_wrapper(arguments);
    std::process::exit(failed.map_or(99, |failed| i32::from(failed.exit_code())));
}

/// A program that the test binary makes a wrapper of, see `acts_as_the_wrapper`.
fn stand_in(world: &mut World) -> std::path::PathBuf {
    let exe = std::env::current_exe().unwrap();
    let script = format!(
        "#!/bin/sh\nshift\nexec {} --exact --ignored --nocapture process::tests::acts_as_the_wrapper -- \"$@\"\n",
        exe.display()
    );
    executable(world, "wrapper", &script)
}

/// Fault: as `tests/worker/shortage.rs`.
#[test]
fn an_error_of_the_wrapper_is_no_exit_code_of_the_job() {
    let mut world = World::new();
    let own = stand_in(&mut world);
    let garbage = executable(&mut world, "garbage", "garbage");
    let lost = executable(&mut world, "script", "#!/nonexistent/interpreter\n");
    for (program, error) in [
        ("/nonexistent", "no such file or directory"),
        ("/etc/passwd", "permission denied"),
        (garbage.to_str().unwrap(), "exec format error"),
        (
            lost.to_str().unwrap(),
            "no such file or directory (its interpreter)",
        ),
    ] {
        let mut job = argv(&[program]);
        job.umask = Some(0o027);
        // The lists of the job judge its command and not us.
        job.exit.success = Some(vec![126, 127, 99]);
        let outcome = world.try_run_with(&job, &own, |_, _| {}).unwrap();
        let error = error.to_owned();
        assert_eq!(outcome.ending, Ending::CannotStart { error }, "{program}");
    }
    // The report's descriptor is not the command's, and its own exit codes are.
    let mut job = shell("ls /proc/self/fd; exit 126");
    job.umask = Some(0o027);
    let outcome = world.try_run_with(&job, &own, |_, _| {}).unwrap();
    assert_eq!(outcome.ending, Ending::Exited(126));
    let text = tail(&outcome);
    assert!(
        text.ends_with("0\n1\n2\n3\n"),
        "`ls` itself opens 3: {text}"
    );
}

#[test]
fn a_cancel_or_release_before_the_start_prevents_it() {
    let world = World::new();
    let control = Control::new().unwrap();
    let ticket = control.arm();
    control.send(ticket, StopCommand::Cancel);
    let plan = CommandPlan::new(&argv(&["/bin/true"]), Path::new("/x")).unwrap();
    let base =
        BaseEnvironment::new(&argv(&["x"]), |_| None, Path::new("/s"), Path::new("/c")).unwrap();
    let environment = base.bare();
    let argv = plan.argv(&world.params).unwrap();
    let launch = Launch {
        argv: &argv,
        environment: &environment,
        cwd: c"/",
        stdin: None,
        mark: "m",
    };
    let limits = Limits {
        deadline_ms: None,
        timeout: None,
        grace: Duration::ZERO,
        leftovers: Leftovers::Kill,
    };
    let outcome = supervise(&launch, &limits, &control, &mut Capture::new(), |_| {
        panic!("started")
    })
    .unwrap();
    assert_eq!(
        outcome.ending,
        Ending::Cancelled {
            exit_code: None,
            signal: None
        }
    );
    assert_eq!(outcome.spawned, None);
}

#[test]
#[ignore = "a measurement: cargo test --release --lib process::tests::throughput -- --ignored --nocapture"]
fn throughput() {
    subreaper();
    let slice = Duration::from_millis(400);
    for threads in [1, 2, 4] {
        // Short alternating slices, so that other load on the machine affects both equally.
        let (mut bare, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let mut cpu = [(0.0, 0.0); 2];
        for _ in 0..25 {
            for (n, work) in [bare_loop, supervised_loop as fn(_, _) -> _]
                .into_iter()
                .enumerate()
            {
                let before = cpu_seconds();
                let rate = rate(threads, slice, work);
                if n == 0 { &mut bare } else { &mut ours }.push(rate);
                cpu[n].0 += cpu_seconds() - before;
                cpu[n].1 += rate * slice.as_secs_f64();
            }
            ratios.push(ours.last().unwrap() / bare.last().unwrap());
        }
        let median = |all: &mut Vec<f64>| {
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        let micros = cpu.map(|(seconds, count)| seconds / count * 1e6);
        eprintln_for_measurement(&format!(
            "{threads} threads: bare {:.0}/s, supervised {:.0}/s, median ratio {:.3}; CPU per attempt, child included: \
             bare {:.0} us, supervised {:.0} us, ratio {:.3}",
            median(&mut bare),
            median(&mut ours),
            median(&mut ratios),
            micros[0],
            micros[1],
            micros[0] / micros[1]
        ));
    }
}

/// User and system time of this process and of its ended children.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = text.rsplit_once(')').unwrap().1.split_ascii_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(4)
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    ticks as f64 / 100.0
}

fn eprintln_for_measurement(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn rate(threads: usize, time: Duration, work: fn(usize, std::time::Instant) -> u64) -> f64 {
    let begun = clock::monotonic();
    let until = begun + time;
    let total: u64 = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads)
            .map(|n| scope.spawn(move || work(n, until)))
            .collect();
        all.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    total as f64 / begun.elapsed().as_secs_f64()
}

#[expect(clippy::disallowed_methods, reason = "the baseline is std's own spawn")]
fn bare_loop(_: usize, until: std::time::Instant) -> u64 {
    let mut count = 0;
    while clock::monotonic() < until {
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        assert!(child.wait().unwrap().success());
        count += 1;
    }
    count
}

/// Everything that a worker does for an attempt except the store.
fn supervised_loop(number: usize, until: std::time::Instant) -> u64 {
    let mut world = World::new();
    let job = argv(&["/bin/true"]);
    let plan = CommandPlan::new(&job, Path::new("/proc/self/exe")).unwrap();
    let inherited = |name: &str| std::env::var_os(name);
    let base =
        BaseEnvironment::new(&job, inherited, world.state.path(), Path::new("/c.toml")).unwrap();
    let marks =
        crate::local::marks::StartMarks::create(world.file(&format!("{number}.started"))).unwrap();
    let checkpoint = world.file("checkpoint");
    let local = world.local();
    let mut count = 0;
    while clock::monotonic() < until {
        count += 1;
        let (run, fence) = (RunId(count), Fence(count));
        let stdin = world.slot.prepare(None).unwrap();
        let mark = run_mark("0123456789abcdef0123456789abcdef", run, fence);
        let facts = RunFacts {
            run,
            mark: &mark,
            job: "test",
            queue: "default",
            tenant: None,
            attempt: 1,
            max_attempts: 3,
            failures: 0,
            idempotency_key: "00112233445566778899aabbccddeeff",
            fence,
            trigger: Trigger::Manual,
            deadline_ms: None,
            period: None,
            previous_success_ms: None,
            labels: &Labels::default(),
            parent: None,
            dir: world.slot.dir(),
            output: world.slot.output(),
            checkpoint: &checkpoint,
            payload_file: None,
            cwd: world.slot.dir(),
            last_exit_code: None,
            last_error: None,
            params: &world.params,
        };
        let (environment, redactor) = base.build(&facts, inherited).unwrap();
        let argv = plan.argv(&world.params).unwrap();
        let cwd = CString::new(world.slot.dir().as_os_str().as_bytes()).unwrap();
        let launch = Launch {
            argv: &argv,
            environment: &environment,
            cwd: &cwd,
            stdin: stdin.as_ref().map(AsFd::as_fd),
            mark: &mark,
        };
        let limits = Limits {
            deadline_ms: None,
            timeout: Some(Duration::from_mins(1)),
            grace: Duration::from_secs(1),
            leftovers: Leftovers::Kill,
        };
        let log = LogTarget {
            local: local.clone(),
            run,
            attempt: 1,
            output_max: 1 << 20,
        };
        world.capture.begin(Some(log), redactor);
        world.control.arm();
        marks.begin(run, fence).unwrap();
        let outcome = supervise(
            &launch,
            &limits,
            &world.control,
            &mut world.capture,
            |spawned| {
                marks.spawned(run, fence, *spawned).unwrap();
            },
        )
        .unwrap();
        assert_eq!(outcome.ending, Ending::Exited(0));
        let said = said_in(&world.slot, None);
        assert_eq!(said.message, None);
        marks.done(fence);
    }
    count as u64
}
