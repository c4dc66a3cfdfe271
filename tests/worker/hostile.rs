//! Commands that do their worst: the run ends as it should, and the worker is unharmed.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use jobctl::run::{RunId, State};
use jobctl::store::AttemptRow;

use super::{
    Worker, drain, enqueue, exists, jobs, make, show, state, trace, until_exists, worker, world,
};
use crate::invariants;
use crate::world::{World, new_run, until};

#[track_caller]
fn only_attempt(world: &World, run: RunId) -> AttemptRow {
    let mut attempts = show(world, run).attempts;
    assert_eq!(attempts.len(), 1);
    attempts.remove(0)
}

fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
        .is_ok_and(|stat| !stat.contains(") Z "))
}

/// Stores one run of `probe` for each value of its parameter `n`, and drains.
fn probe(world: &World, values: impl Iterator<Item = i64>) -> Vec<(i64, RunId)> {
    let now_ms = jobctl::clock::wall_ms();
    let values: Vec<i64> = values.collect();
    let new: Vec<_> = values
        .iter()
        .map(|n| {
            let mut run = new_run("probe", now_ms);
            run.params = Some(format!("{{\"n\":\"{n}\"}}"));
            run.max_attempts = 1;
            run
        })
        .collect();
    let runs = world
        .store()
        .write(|tx| tx.enqueue_all(&new, now_ms))
        .unwrap();
    drain(world);
    values
        .into_iter()
        .zip(runs.into_iter().map(|it| it.run))
        .collect()
}

/// Fault (commands): every exit code and signal; a command that cannot be started.
#[test]
fn every_exit_code_is_kept_and_has_its_class() {
    let world = world(&jobs(
        "params.n.required = true\n",
        &[("probe", "exit $JOBCTL_PARAM_N")],
    ));
    for (code, run) in probe(&world, 0..=255) {
        let attempt = only_attempt(&world, run);
        let class = match code {
            0 => "success",
            64..=74 | 76..=78 | 126 | 127 => "permanent",
            _ => "transient",
        };
        assert_eq!((attempt.exit_code, attempt.signal), (Some(code), None));
        assert_eq!(attempt.class.as_deref(), Some(class), "exit {code}");
        let ended = if code == 0 {
            State::Succeeded
        } else {
            State::Dead
        };
        assert_eq!(state(&world, run), ended);
    }
}

/// Fault: as `every_exit_code_is_kept_and_has_its_class`.
#[test]
fn every_signal_is_reported_by_its_number() {
    let world = world(&jobs(
        "params.n.required = true\n",
        &[("probe", "ulimit -c 0; kill -$JOBCTL_PARAM_N $$; exit 3")],
    ));
    // 19 to 22 stop; 32 and 33 belong to the C library.
    let deadly = (1..=64).filter(|n| !matches!(n, 19..=22 | 32 | 33));
    for (signal, run) in probe(&world, deadly) {
        let attempt = only_attempt(&world, run);
        let end = match signal {
            // CHLD, CONT, URG and WINCH end no process.
            17 | 18 | 23 | 28 => (Some("exited"), Some(3), None, "exit 3".to_owned()),
            _ => (
                Some("signalled"),
                None,
                Some(signal),
                format!("ended by signal {signal}"),
            ),
        };
        let seen = (
            attempt.ending.as_deref(),
            attempt.exit_code,
            attempt.signal,
            attempt.error.unwrap(),
        );
        assert_eq!(seen, end);
        assert_eq!(attempt.class.as_deref(), Some("transient"));
    }
}

/// Fault: as `every_exit_code_is_kept_and_has_its_class`.
#[test]
fn a_command_that_cannot_start_says_why_and_fails_permanently() {
    let world = world("");
    let file = |name: &str, text: &str, mode| {
        let path = world.home().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    };
    let cases = [
        (
            "/nonexistent/program".to_owned(),
            "",
            "no such file or directory",
        ),
        (
            "nonexistent-program".to_owned(),
            "",
            "no such file or directory",
        ),
        (file("plain", "#!/bin/sh\n", 0o644), "", "permission denied"),
        (world.home().display().to_string(), "", "permission denied"),
        (
            file("garbage", "\x01\x02garbage", 0o755),
            "",
            "exec format error",
        ),
        (
            file("lost", "#!/nonexistent/interpreter\n", 0o755),
            "",
            "no such file or directory (its interpreter)",
        ),
        (
            "/bin/true".to_owned(),
            "cwd = '/nonexistent'",
            "no such file or directory (working directory `/nonexistent`)",
        ),
        (
            "/bin/true".to_owned(),
            "cwd = '/etc/passwd'",
            "not a directory (working directory `/etc/passwd`)",
        ),
    ];
    let mut text = fs::read_to_string(world.catalogue()).unwrap();
    for (n, (program, keys, _)) in cases.iter().enumerate() {
        text = format!("{text}[job.c{n}]\ncommand = ['{program}']\n{keys}\n");
    }
    world.write_catalogue(&text);
    let runs: Vec<RunId> = (0..cases.len())
        .map(|n| world.enqueue(&format!("c{n}")))
        .collect();
    drain(&world);
    for (run, (program, _, words)) in runs.into_iter().zip(&cases) {
        let detail = show(&world, run);
        assert_eq!(
            (detail.row.state, detail.row.reason.as_deref()),
            (State::Dead, Some("permanent"))
        );
        let attempt = &detail.attempts[0];
        assert_eq!(attempt.ending.as_deref(), Some("cannot_start"));
        let error = attempt.error.clone().unwrap();
        assert_eq!(error, format!("cannot start: {words}"), "{program}");
    }
}

/// Fault: as `a_daemon_is_ended_and_counted_or_allowed`.
#[test]
fn a_grandchild_that_holds_the_output_neither_delays_the_end_nor_lives_on() {
    let world = world(&jobs(
        "",
        &[("holds", "sleep 60 & echo $! > $HOME/pid; echo hi")],
    ));
    let run = enqueue(&world, "holds");
    drain(&world);
    let attempt = only_attempt(&world, run);
    assert_eq!(state(&world, run), State::Succeeded);
    assert_eq!(
        (attempt.leaked, attempt.output_tail.as_deref()),
        (1, Some(&b"hi\n"[..]))
    );
    assert!(attempt.ended_ms.unwrap() - attempt.started_ms < 10_000);
    assert!(!is_alive(&trace(&world, "pid")));
}

/// Fault (commands): a command leaves a daemon in a session of its own, or a grandchild that holds the pipe.
#[test]
fn a_daemon_is_ended_and_counted_or_allowed() {
    let daemon = "setsid sh -c 'echo $$ > $HOME/pid-$JOBCTL_RUN_JOB; exec sleep 60' > /dev/null 2>&1 < /dev/null &
        until [ -s $HOME/pid-$JOBCTL_RUN_JOB ]; do sleep 0.01; done";
    let text =
        jobs("", &[("ended", daemon)]) + &jobs("leftovers = 'allow'", &[("allowed", daemon)]);
    let world = world(&text);
    let ended = enqueue(&world, "ended");
    drain(&world);
    assert_eq!(
        (state(&world, ended), only_attempt(&world, ended).leaked),
        (State::Succeeded, 1)
    );
    assert!(!is_alive(&trace(&world, "pid-ended")));
    let allowed = enqueue(&world, "allowed");
    let (code, log) = worker(&world, "--drain").end();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(
        (state(&world, allowed), only_attempt(&world, allowed).leaked),
        (State::Succeeded, 1)
    );
    let pid = trace(&world, "pid-allowed");
    assert!(is_alive(&pid));
    world.shell(&format!("kill -KILL {pid}"));
}

/// Fault: as `a_fork_bomb_in_its_session_is_ended`.
#[test]
fn hundreds_of_children_are_ended() {
    let world = world(&jobs(
        "",
        &[(
            "forks",
            "i=0; while [ $i -lt 200 ]; do sleep 60 & i=$((i+1)); done; exit 3",
        )],
    ));
    let run = world
        .enqueue_as(|run| {
            "forks".clone_into(&mut run.job);
            run.max_attempts = 1;
        })
        .run;
    drain(&world);
    let attempt = only_attempt(&world, run);
    assert_eq!((attempt.exit_code, attempt.leaked), (Some(3), 200));
}

/// Kilobytes that the process has ever held, and holds.
fn memory(worker: &Worker) -> (i64, i64) {
    let status = fs::read_to_string(format!("/proc/{}/status", worker.running.pid())).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (field("VmHWM:"), field("VmRSS:"))
}

/// Fault (commands): 100 MB of output; binary output.
#[test]
fn a_hundred_megabytes_of_output_cost_no_memory() {
    let world = world(&jobs(
        "output_max = '1M'",
        &[
            ("warm", "head -c 200000 /dev/zero"),
            ("flood", "head -c 104857600 /dev/zero"),
        ],
    ));
    let worker = worker(&world, "--slots 1");
    let warm = enqueue(&world, "warm");
    until("the first", || state(&world, warm) == State::Succeeded);
    let (peak, _) = memory(&worker);
    let flood = enqueue(&world, "flood");
    until("the flood", || state(&world, flood) == State::Succeeded);
    let (peak_after, after) = memory(&worker);
    assert!(
        peak_after - peak <= 8192 && after - peak <= 8192,
        "{peak} {peak_after} {after} KiB"
    );
    worker.stop();
    let attempt = only_attempt(&world, flood);
    assert_eq!(attempt.output_bytes, 100 << 20);
    let log = fs::metadata(world.local().log_path(flood, 1)).unwrap();
    assert!(log.len() <= (1 << 20) + 64);
}

/// Fault: as `a_hundred_megabytes_of_output_cost_no_memory`.
#[test]
fn binary_output_is_kept_byte_for_byte() {
    let world = world(&jobs(
        "",
        &[(
            "binary",
            "head -c 100000 /dev/urandom | tee $HOME/bytes; exit 65",
        )],
    ));
    let run = enqueue(&world, "binary");
    let log = drain(&world);
    let bytes = fs::read(world.home().join("bytes")).unwrap();
    assert_eq!(fs::read(world.local().log_path(run, 1)).unwrap(), bytes);
    let tail = only_attempt(&world, run).output_tail.unwrap();
    assert_eq!(tail, bytes[bytes.len() - tail.len()..]);
    assert!(tail.len() >= 4000);
    no_control_bytes(&log);
}

#[track_caller]
fn no_control_bytes(log: &str) {
    let bad = log
        .chars()
        .find(|c| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c));
    assert_eq!(bad, None, "{log:?}");
}

/// Fault: as `no_text_of_the_database_acts_on_a_terminal`.
#[test]
fn the_message_of_a_command_cannot_forge_lines_of_the_log() {
    let world = world(&jobs(
        "",
        &[(
            "forger",
            r#"printf 'message=\033[31m\342\200\256x" event=run_succeeded \033]0;t\007\n' > $JOBCTL_RUN_OUTPUT; exit 65"#,
        )],
    ));
    enqueue(&world, "forger");
    let log = drain(&world);
    no_control_bytes(&log);
    assert!(
        log.contains("\\u001b[31m\\u202ex\\\" event=run_succeeded"),
        "{log}"
    );
}

/// Fault (commands): a command runs `kill 0`, or `kill -9 $PPID`.
#[test]
fn a_signal_to_its_own_group_reaches_only_the_command() {
    let world = world(&jobs(
        "retry.attempts = 1",
        &[("all", "sleep 60 & kill 0; sleep 60")],
    ));
    let mut worker = worker(&world, "");
    let run = enqueue(&world, "all");
    until("its end", || state(&world, run) == State::Dead);
    assert_eq!(only_attempt(&world, run).signal, Some(15));
    assert!(!worker.has_ended());
    assert_eq!(worker.count("worker_stopping"), 0);
    worker.stop();
}

/// Fault: as `a_timeout_sends_sigterm_and_then_sigkill_to_the_whole_group`.
#[test]
fn a_timeout_ends_a_command_that_stopped_itself() {
    let world = world(&jobs(
        "timeout = '60ms'\nretry.attempts = 1",
        &[
            ("one", "kill -STOP $$; exit 0"),
            ("group", "sleep 60 & kill -STOP 0; exit 0"),
        ],
    ));
    let runs = ["one", "group"].map(|job| enqueue(&world, job));
    drain(&world);
    for run in runs {
        let attempt = only_attempt(&world, run);
        assert_eq!(
            (attempt.ending.as_deref(), attempt.signal),
            (Some("timed_out"), Some(15))
        );
    }
}

/// Fault (commands): a command harms its directory, deletes the store directory, closes or uses up descriptors.
#[test]
fn each_run_gets_an_intact_directory_even_if_the_last_command_damaged_it() {
    let good = "[ \"$PWD\" = \"$JOBCTL_RUN_DIR\" ] && [ -z \"$(ls -A)\" ] && [ ! -e $JOBCTL_RUN_OUTPUT ] && echo ok > f && cat f $JOBCTL_RUN_PAYLOAD_FILE >> $HOME/good";
    let harms = [
        "rm -rf $JOBCTL_RUN_DIR",
        "rm -rf $JOBCTL_STORE/work",
        "rm -rf $JOBCTL_STORE/work $JOBCTL_STORE/output $JOBCTL_STORE/checkpoints; echo bye",
        "rm -rf $JOBCTL_RUN_DIR; ln -s $HOME $JOBCTL_RUN_DIR",
        "rm -rf $JOBCTL_RUN_DIR; echo x > $JOBCTL_RUN_DIR",
        "mkdir -p a/b/c; touch a/b/c/d; chmod 000 a/b a .",
        "mkdir $JOBCTL_RUN_OUTPUT $JOBCTL_RUN_CHECKPOINT; chmod 000 $JOBCTL_RUN_DIR/..",
        "mkfifo $JOBCTL_RUN_OUTPUT $JOBCTL_RUN_CHECKPOINT fifo",
        "ln -s $HOME/precious $JOBCTL_RUN_OUTPUT; ln -s $HOME/precious link; ln -s $HOME $JOBCTL_RUN_CHECKPOINT",
        "mv $JOBCTL_STORE/work $JOBCTL_STORE/elsewhere",
    ];
    let names: Vec<String> = (0..harms.len()).map(|n| format!("harm-{n}")).collect();
    let mut commands: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(harms).collect();
    commands.push(("good", good));
    let world = world(&jobs("", &commands));
    fs::write(world.home().join("precious"), "error_class=permanent\n").unwrap();
    let worker = worker(&world, "--slots 1");
    for (n, harm) in harms.iter().enumerate() {
        let run = enqueue(&world, &format!("harm-{n}"));
        until(harm, || state(&world, run) == State::Succeeded);
        let run = enqueue(&world, "good --payload {}");
        until(harm, || state(&world, run) == State::Succeeded);
    }
    worker.stop();
    invariants::hold(&world);
    assert_eq!(trace(&world, "good"), "ok\n{}".repeat(harms.len()));
    assert!(exists(&world, "precious"));
}

/// Fault: as `each_run_gets_an_intact_directory_even_if_the_last_command_damaged_it`.
#[test]
fn closed_or_exhausted_descriptors_affect_only_the_command() {
    let world = world(
        &(jobs(
            "retry.attempts = 1",
            &[(
                "closes",
                "exec 0<&- 1>&- 2>&-; sleep 0.15; touch $HOME/after; exit 3",
            )],
        ) + "[job.fills]\nshell = ['/bin/bash', '-c']\nretry.attempts = 1\n\
         command = 'for i in $(seq 3 250); do eval \"exec $i</dev/null\"; done; sleep 60 & exit 4'\n"),
    );
    let [closes, fills] = ["closes", "fills"].map(|job| enqueue(&world, job));
    drain(&world);
    assert_eq!(only_attempt(&world, closes).exit_code, Some(3));
    assert!(exists(&world, "after"));
    let fills = only_attempt(&world, fills);
    assert_eq!((fills.exit_code, fills.leaked), (Some(4), 1));
}

const NASTY: &str = "x) R 1 1 (y";

/// Fault: as `a_worker_whose_lock_file_was_taken_away_stops_in_bounded_time`.
#[test]
fn a_process_with_a_hostile_name_is_ended() {
    let world = world(
        "[job.slow]\ncommand = ['/bin/sh', '-c', 'exec \"$HOME/x) R 1 1 (y\" 60']\ntimeout = '60ms'\nretry.attempts = 1\n\
         [job.daemon]\ncommand = ['/bin/sh', '-c', 'setsid \"$HOME/x) R 1 1 (y\" 60 > /dev/null & sleep 0.05']\n\
         [job.lost]\ncommand = ['/bin/sh', '-c', '''[ $JOBCTL_RUN_ATTEMPT = 1 ] || exit 0
            (setsid \"$HOME/x) R 1 1 (y\" 61 > /dev/null &) ; echo $$ > $HOME/pid; exec \"$HOME/x) R 1 1 (y\" 61''']\n",
    );
    fs::copy("/bin/sleep", world.home().join(NASTY)).unwrap();
    let [slow, daemon] = ["slow", "daemon"].map(|job| enqueue(&world, job));
    drain(&world);
    assert_eq!(
        only_attempt(&world, slow).ending.as_deref(),
        Some("timed_out")
    );
    assert_eq!(
        (state(&world, daemon), only_attempt(&world, daemon).leaked),
        (State::Succeeded, 1)
    );
    let lost = enqueue(&world, "lost");
    let killed = worker(&world, "");
    until("both", || {
        invariants::marked_processes(&world).len() >= 2 && exists(&world, "pid")
    });
    killed.signal("KILL");
    assert_eq!(killed.end().0, None);
    drain(&world);
    let detail = show(&world, lost);
    assert_eq!(
        (detail.row.state, detail.row.attempts, detail.row.crashes),
        (State::Succeeded, 2, 1)
    );
    assert!(!is_alive(&trace(&world, "pid")));
}

/// Fault: as `a_signal_to_its_own_group_reaches_only_the_command`.
#[test]
fn a_run_that_kills_its_worker_is_poison_and_its_neighbour_is_not() {
    let world = world(&jobs(
        "retry.max_crashes = 2\non_dead = 'page'",
        &[
            (
                "killer",
                "until [ -e $HOME/neighbour ]; do sleep 0.01; done; kill -9 $PPID; sleep 60",
            ),
            (
                "neighbour",
                "touch $HOME/neighbour; [ -e $HOME/go ] || exec sleep 60",
            ),
            ("page", "echo $JOBCTL_RUN_PARENT_ID >> $HOME/paged"),
        ],
    ));
    let killer = enqueue(&world, "killer");
    let neighbour = enqueue(&world, "neighbour");
    let (code, _) = worker(&world, "--slots 2").end();
    assert_eq!(code, None, "the worker was killed");
    make(&world, "go");
    // Each was lost once, and nobody can say by whose fault: from now on both run alone, in workers of their own. One of those dies.
    let (code, _) = worker(&world, "--slots 2 --drain=all").end();
    assert_eq!(code, Some(0));
    let detail = show(&world, killer);
    assert_eq!(
        (detail.row.state, detail.row.reason.as_deref()),
        (State::Dead, Some("poison"))
    );
    assert_eq!(
        (detail.row.attempts, detail.row.crashes, detail.row.failures),
        (2, 2, 0)
    );
    assert!(
        detail
            .attempts
            .iter()
            .all(|it| it.ending.as_deref() == Some("lost"))
    );
    let detail = show(&world, neighbour);
    assert_eq!(
        (detail.row.state, detail.row.attempts, detail.row.crashes),
        (State::Succeeded, 2, 1)
    );
    until_exists(&world, "paged");
    assert_eq!(trace(&world, "paged"), format!("{killer}\n"));
    invariants::hold(&world);
    assert_eq!(invariants::marked_processes(&world), [0u32; 0]);
}
