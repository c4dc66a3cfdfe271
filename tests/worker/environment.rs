//! What a command sees: arguments, variables, standard input, descriptors, signals, limits.
#![expect(
    clippy::disallowed_methods,
    reason = "a careless shell starts a worker"
)]

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use jobctl::run::{RunId, State};

use super::{Worker, drain, enqueue, exists, id, jobs, show, state, trace, world};
use crate::world::{World, until};

/// Text that some shell, program or format would understand.
fn corpus() -> Vec<String> {
    let mut values: Vec<String> = [
        "plain",
        "two words",
        " leading and trailing ",
        "'single' \"double\" `tick`",
        "$(touch $HOME/canary)",
        "`touch $HOME/canary`",
        "; touch $HOME/canary",
        "&& touch $HOME/canary #",
        "| tee $HOME/canary",
        "> $HOME/canary",
        "\"; touch $HOME/canary; \"",
        "'; touch $HOME/canary; '",
        "$HOME ${HOME} $1 $@ $$ $? ~ !! ^a^b",
        "${IFS}touch${IFS}$HOME/canary",
        "line one\nline two\n",
        "\n\ntouch $HOME/canary\n",
        "\r\n\t\u{b}\u{c}\u{7}\u{1b}[31m",
        "* ? [a-z] {a,b} **/*",
        "-rf",
        "--help",
        "-",
        "--",
        "-c 'touch $HOME/canary'",
        "\\ \\\\ \\n \\x41 \\",
        "%s %n %d %%",
        "{v} {{v}} {other}",
        "a=b",
        "=",
        "() { :; }; touch $HOME/canary",
        "../../../etc/passwd",
        "%2e%2e%2f",
        "\u{e4}\u{f6}\u{fc} \u{4f60}\u{597d} \u{1f600} \u{202e}rtl\u{202c} e\u{301}",
        "\u{feff}bom",
        "<script>alert(1)</script>",
        "1; DROP TABLE run; --",
        "{\"json\": [1, null]}",
    ]
    .map(str::to_owned)
    .to_vec();
    values.push("x".repeat(100 << 10));
    values.push("'\"$`\\\n".repeat(2000));
    values
}

/// Fault (input): text that a shell would act on; paths that lead out of a directory.
#[test]
fn parameters_arrive_byte_for_byte_and_nothing_is_executed_from_them() {
    let world = world(
        r#"
        [job.argv]
        command = ["/bin/sh", "-c", '''
            printf '%s\0' "$@" > $HOME/$JOBCTL_RUN_ID.args
            printf %s "$JOBCTL_PARAM_V" > $HOME/$JOBCTL_RUN_ID.env''', "sh", "pre{v}post", "--", "{v}"]
        params.v.required = true
        [job.direct]
        command = ["/usr/bin/printf", '%s\0', "--", "{v}"]
        params.v.required = true
        [job.shell]
        command = 'printf %s "$JOBCTL_PARAM_V" > $HOME/$JOBCTL_RUN_ID.env'
        params.v.required = true
        "#,
    );
    let mut runs: Vec<(RunId, &str, String)> = Vec::new();
    for value in corpus() {
        for job in ["argv", "shell", "direct"] {
            let run = if runs.len().is_multiple_of(3) || value.len() > 1000 {
                // Through the command line as well.
                let param = format!("v={value}");
                id(&world.run_args(["enqueue", job, "--param", &param]).ok())
            } else {
                let params = serde_json::json!({ "v": value }).to_string();
                world
                    .enqueue_as(|run| {
                        job.clone_into(&mut run.job);
                        run.params = Some(params);
                    })
                    .run
            };
            runs.push((run, job, value.clone()));
        }
    }
    drain(&world);
    for (run, job, value) in runs {
        let seen = show(&world, run);
        assert_eq!(
            seen.row.state,
            State::Succeeded,
            "{value:?}: {:?}",
            seen.row.last_error
        );
        match job {
            "argv" => {
                let args = format!("pre{value}post\0--\0{value}\0");
                assert_eq!(trace(&world, &format!("{run}.args")), args, "{value:?}");
                assert_eq!(trace(&world, &format!("{run}.env")), value);
            }
            "shell" => assert_eq!(trace(&world, &format!("{run}.env")), value),
            _ => {
                let tail = seen.attempts[0].output_tail.clone().unwrap_or_default();
                let expected = format!("--\0{value}\0").into_bytes();
                assert!(expected.ends_with(&tail) && !tail.is_empty(), "{value:?}");
            }
        }
    }
    assert!(!exists(&world, "canary"));
    assert!(!world.root().join("canary").exists());
}

/// Fault: as `parameters_arrive_byte_for_byte_and_nothing_is_executed_from_them`.
#[test]
fn a_value_that_would_begin_an_option_is_refused() {
    let world = world(
        "[job.open]\ncommand = ['/bin/echo', '{v}']\nparams.v.required = true\n\
         [job.inner]\ncommand = ['/bin/echo', 'v={v}']\nparams.v.required = true\n",
    );
    let error = world.run("enqueue open --param v=-rf").fails(2);
    assert!(error.contains("`v`"), "{error}");
    enqueue(&world, "open --param v=rf-");
    enqueue(&world, "inner --param v=-rf");
    drain(&world);
}

/// The variables that a run of `dump` saw at an attempt.
fn dumped(world: &World, run: RunId, attempt: i64) -> BTreeMap<String, String> {
    trace(world, &format!("env-{run}.{attempt}"))
        .split_terminator('\0')
        .map(|entry| {
            let (name, value) = entry.split_once('=').expect("NAME=value");
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

const DUMP: &str = "[job.dump]\n\
    command = ['/bin/sh', '-c', '''env -0 > \"$HOME/env-$JOBCTL_RUN_ID.$JOBCTL_RUN_ATTEMPT\"; if [ $JOBCTL_RUN_ATTEMPT != 3 ]; then echo no luck; exit 75; fi''']\n\
    params.name.default = 'x'\n";

#[test]
fn the_environment_is_an_allow_list() {
    let mut world = world(&format!(
        "{DUMP}env = {{ OWN = 'o', JAVA_HOME = '/j' }}\npass_env = ['PASSED', 'ABSENT']\nretry.attempts = 1\n"
    ));
    let foreign = [
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "BASH_ENV",
        "ENV",
        "NOTIFY_SOCKET",
        "LISTEN_FDS",
        "LISTEN_PID",
        "JOURNAL_STREAM",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "RANDOM_VAR",
        "AWS_SECRET_ACCESS_KEY",
        "JOBCTL_RUN_ID",
        "JOBCTL_PARAM_NAME",
        "JOBCTL_RUN_SCHEDULED_FOR",
        "PYTHONPATH",
        "IFS",
        "TRACESTATE",
    ];
    for name in foreign {
        // An empty library name is ignored by the loader.
        world.set(name, if name.starts_with("LD_") { "" } else { "evil" });
    }
    for name in ["USER", "LOGNAME", "SHELL", "LANG", "PASSED"] {
        world.set(name, "worker");
    }
    let run = enqueue(&world, "dump");
    drain(&world);
    let seen = dumped(&world, run, 1);
    for name in foreign.iter().filter(|name| !name.starts_with("JOBCTL_")) {
        assert!(!seen.contains_key(*name), "{name}");
    }
    assert!(seen.values().all(|value| value != "evil"), "{seen:?}");
    let plain: Vec<&str> = seen
        .keys()
        .map(String::as_str)
        .filter(|name| !name.starts_with("JOBCTL_"))
        .collect();
    assert_eq!(
        plain,
        [
            "HOME",
            "JAVA_HOME",
            "LANG",
            "LOGNAME",
            "OWN",
            "PASSED",
            "PATH",
            "PWD",
            "SHELL",
            "TRACEPARENT",
            "TZ",
            "USER"
        ]
    );
    assert_eq!(seen["JOBCTL_STORE"], world.state().display().to_string());
    assert_eq!(
        seen["JOBCTL_CATALOGUE"],
        world.catalogue().display().to_string()
    );
}

#[test]
fn the_run_is_described_completely_at_each_attempt() {
    let world = world(DUMP);
    let run = enqueue(
        &world,
        "dump --tenant acme --correlation-id c-1 --initiator ann --business-key b-2 --deadline 1h --queue high \
         --payload {\"a\":1} --param name=v",
    );
    drain(&world);
    let detail = show(&world, run);
    let key = u128::from_be_bytes(detail.idempotency_key);
    let key = format!("{key:032x}");
    let mut fences = Vec::new();
    for attempt in 1..=3 {
        let seen = dumped(&world, run, attempt);
        let mut seen: BTreeMap<&str, &str> = seen
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix("JOBCTL_RUN_")?, value.as_str())))
            .collect();
        let fence = seen.remove("FENCE").unwrap().to_owned();
        let mark = seen.remove("MARK").unwrap();
        assert!(mark.ends_with(&format!(".{run}.{fence}")), "{mark}");
        fences.push(fence);
        let state = world.state().display().to_string();
        for (name, place) in [
            ("DIR", "/work/"),
            ("OUTPUT", "/work/"),
            ("PAYLOAD_FILE", "/work/"),
            ("CHECKPOINT", "/checkpoints/"),
        ] {
            let path = seen.remove(name).unwrap();
            assert!(
                path.starts_with(&format!("{state}{place}")),
                "{name}={path}"
            );
        }
        let deadline = jobctl::units::format_utc(detail.row.deadline_ms.unwrap());
        let (number, failures) = (attempt.to_string(), (attempt - 1).to_string());
        let id = run.to_string();
        let mut expected = BTreeMap::from([
            ("ID", &*id),
            ("JOB", "dump"),
            ("QUEUE", "high"),
            ("TENANT", "acme"),
            ("ATTEMPT", &number),
            ("MAX_ATTEMPTS", "3"),
            ("FAILURES", &failures),
            ("IDEMPOTENCY_KEY", &key),
            ("TRIGGER", "manual"),
            ("DEADLINE", &deadline),
            ("CORRELATION_ID", "c-1"),
            ("INITIATOR", "ann"),
            ("BUSINESS_KEY", "b-2"),
        ]);
        if attempt > 1 {
            expected.extend([("LAST_EXIT_CODE", "75"), ("LAST_ERROR", "exit 75: no luck")]);
        }
        assert_eq!(seen, expected);
    }
    fences.dedup();
    assert_eq!(fences.len(), 3);
    // What does not apply is not set.
    let bare = enqueue(&world, "dump --initiator x");
    drain(&world);
    let seen = dumped(&world, bare, 1);
    for name in [
        "TENANT",
        "DEADLINE",
        "CORRELATION_ID",
        "BUSINESS_KEY",
        "PARENT_ID",
        "PAYLOAD_FILE",
        "LAST_EXIT_CODE",
        "LAST_ERROR",
        "SCHEDULED_FOR",
        "PERIOD",
    ] {
        assert!(!seen.contains_key(&format!("JOBCTL_RUN_{name}")), "{name}");
    }
    assert_eq!(seen["JOBCTL_PARAM_NAME"], "x");
    assert_ne!(seen["JOBCTL_RUN_IDEMPOTENCY_KEY"], key);
}

#[test]
fn a_payload_reaches_standard_input_and_its_file_byte_for_byte() {
    let world = world(&jobs(
        "",
        &[(
            "read",
            "cat > $HOME/in-$JOBCTL_RUN_ID; cat ${JOBCTL_RUN_PAYLOAD_FILE:-/dev/null} > $HOME/file-$JOBCTL_RUN_ID",
        )],
    ));
    let big = format!("{{\"text\": \"{}\"}}", "y".repeat(200_000));
    for payload in [
        "{\"a\" :  1 ,\n\t\"b\":\"\\u00e9\u{e9}\"}\n",
        "null",
        " [ ] ",
        &big,
    ] {
        let run = id(&world
            .run_with_input("enqueue read --payload -", payload.as_bytes())
            .ok());
        drain(&world);
        assert_eq!(trace(&world, &format!("in-{run}")), payload);
        assert_eq!(trace(&world, &format!("file-{run}")), payload);
    }
    let run = enqueue(&world, "read");
    drain(&world);
    assert_eq!(trace(&world, &format!("in-{run}")), "");
    // One that reads nothing of it is not disturbed.
    let run = id(&world
        .run_with_input("enqueue read --payload -", big.as_bytes())
        .ok());
    drain(&world);
    assert_eq!(state(&world, run), State::Succeeded);
}

#[test]
fn a_command_runs_in_its_own_empty_directory_or_in_cwd_of_its_job() {
    let world = world(
        "[job.own]\ncommand = 'pwd > $HOME/own; ls -A >> $HOME/own; stat -c %a . >> $HOME/own; touch left'\n\
         [job.home]\ncommand = 'pwd > said'\ncwd = 'home'\n",
    );
    for _ in 0..2 {
        let run = enqueue(&world, "own");
        drain(&world);
        assert_eq!(state(&world, run), State::Succeeded);
        let seen = trace(&world, "own");
        assert!(
            seen.starts_with(&format!("{}/work/", world.state().display())),
            "{seen}"
        );
        assert_eq!(seen.lines().collect::<Vec<_>>()[1..], ["700"], "{seen}");
    }
    enqueue(&world, "home");
    drain(&world);
    assert_eq!(
        trace(&world, "said").trim(),
        world.home().display().to_string()
    );
}

#[test]
fn umask_and_limits_hold() {
    let world = world(&jobs(
        "umask = '027'\nrlimits = { nofile = 77, core = 0, fsize = '64K' }\nretry.attempts = 1",
        &[
            (
                "shows",
                "umask > $HOME/shows; ulimit -n >> $HOME/shows; ulimit -c >> $HOME/shows; ulimit -f >> $HOME/shows; touch $HOME/file",
            ),
            ("exceeds", "head -c 100000 /dev/zero > $HOME/large"),
        ],
    ));
    enqueue(&world, "shows");
    let exceeds = enqueue(&world, "exceeds");
    drain(&world);
    assert_eq!(trace(&world, "shows"), "0027\n77\n0\n128\n");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(world.home().join("file"))
            .unwrap()
            .permissions(),
    );
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(
        fs::metadata(world.home().join("large")).unwrap().len(),
        65536
    );
    assert_eq!(state(&world, exceeds), State::Dead);
}

#[test]
fn signals_are_default_and_unblocked_and_only_three_descriptors_are_open() {
    let look = "grep -E '^Sig(Blk|Ign)' /proc/self/status; yes | head -1; ls -l /proc/self/fd";
    let text = jobs("retry.attempts = 1", &[("plain", look)])
        + &jobs("umask = '022'\nretry.attempts = 1", &[("wrapped", look)]);
    let world = world(&text);
    let runs = ["plain", "wrapped"].map(|job| enqueue(&world, job));
    // A worker that was started with ignored signals and an inherited descriptor.
    let log = world.root().join("log");
    let inner = world.command(["run-worker", "--drain"]);
    let mut careless = Command::new("/bin/bash");
    careless
        .args(["-c", "trap '' HUP PIPE USR1 INT QUIT CHLD; exec 7< /etc/passwd 9> \"$HOME/nine\"; exec \"$0\" \"$@\""])
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(world.root())
        .env_clear()
        .stderr(fs::File::create(&log).unwrap());
    for (name, value) in inner.get_envs() {
        careless.env(name, value.unwrap());
    }
    let worker = Worker {
        running: World::start_command(careless),
        log,
    };
    let (code, log) = worker.end();
    assert_eq!(code, Some(0), "{log}");
    for run in runs {
        // An ignored SIGCHLD would have thrown the exit code away.
        assert_eq!(state(&world, run), State::Succeeded);
        let seen = show(&world, run).attempts.remove(0).output_tail.unwrap();
        let seen = String::from_utf8(seen).unwrap();
        let signals = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\ny\n";
        assert!(seen.starts_with(signals), "{seen}");
        // `ls` itself opens the fourth.
        let open: Vec<&str> = seen
            .lines()
            .filter_map(|line| Some(line.split_once(" -> ")?.1))
            .filter(|target| !target.starts_with("/proc/"))
            .collect();
        assert_eq!((open.len(), open[0]), (3, "/dev/null"), "{seen}");
        assert!(open[1].starts_with("pipe:") && open[1] == open[2], "{seen}");
    }
}

#[test]
fn an_optional_parameter_without_a_value_is_empty() {
    let world = world(
        r#"
        [job.greets]
        command = ["/bin/sh", "-c", 'printf "%s|" "$@" > $HOME/words', "sh", "--to={to}", "--note={note}", "{note}"]
        params.to.default = "ann"
        params.note = {}
        "#,
    );
    let run = enqueue(&world, "greets");
    drain(&world);
    assert_eq!(state(&world, run), State::Succeeded);
    assert_eq!(trace(&world, "words"), "--to=ann|--note=||");
}

/// Proves (commands): an attempt is checked against the worker's catalogue, and the stricter terms count.
#[test]
fn each_attempt_is_checked_against_the_catalogue_of_its_worker() {
    let text = |word: &str, keys: &str| {
        let base = super::BASE;
        format!(
            "{base}[job.a]\ncommand = [\"/bin/echo\", \"{word}\"]\nparams.x.required = true\n{keys}\n"
        )
    };
    let world = World::with_catalogue(&text("--x={x}", ""));
    drop(world.store());
    let runs: Vec<RunId> = (0..4).map(|_| enqueue(&world, "a --param x=-rf")).collect();
    let large = id(&world
        .run_with_input("enqueue a --param x=y --payload -", &[b'1'; 3000])
        .ok());
    // Edited since: now the value would be read as an option, and the payload is too large.
    world.write_catalogue(&text("{x}", "payload_max = '2K'"));
    drain(&world);
    for run in runs.into_iter().chain([large]) {
        let detail = show(&world, run);
        let end = (detail.row.state, detail.row.reason.as_deref());
        assert_eq!(end, (State::Dead, Some("permanent")));
        let error = detail.row.last_error.unwrap();
        let expected = if run == large {
            "cannot start: the payload is too large: "
        } else {
            "cannot start: parameter `x` of job `a` is `-rf`: its argument would be read as an option"
        };
        assert!(error.starts_with(expected), "{error}");
    }
}

/// Proves: as `each_attempt_is_checked_against_the_catalogue_of_its_worker`.
#[test]
fn a_job_that_became_at_most_once_is_not_started_again() {
    let text = |keys: &str| {
        let base = super::BASE;
        format!("{base}[job.a]\ncommand = 'echo x >> $HOME/starts; exit 1'\n{keys}\n")
    };
    let world = World::with_catalogue(&text("retry.base = '1h'"));
    drop(world.store());
    let runs = [0, 1].map(|_| enqueue(&world, "a"));
    let (code, log) = super::worker(&world, "--drain --max-runs 1 --slots 1").end();
    assert_eq!(code, Some(0), "{log}");
    world.write_catalogue(&text("guarantee = 'at-most-once'"));
    let retry = crate::invariants::open(&world).execute("UPDATE run SET due_ms = 1", []);
    assert_eq!(retry.unwrap(), 2);
    drain(&world);
    for run in runs {
        assert_eq!(state(&world, run), State::Dead);
    }
    assert_eq!(trace(&world, "starts"), "x\nx\n", "one start each");
}

/// Proves: as `each_attempt_is_checked_against_the_catalogue_of_its_worker`.
#[test]
fn a_released_run_is_not_restarted_if_its_job_became_at_most_once() {
    let text = |keys: &str| {
        let base = super::BASE;
        format!("{base}[job.a]\ncommand = 'echo x >> $HOME/starts; sleep 60'\n{keys}\n")
    };
    let world = World::with_catalogue(&text(""));
    drop(world.store());
    let run = enqueue(&world, "a");
    let worker = super::worker(&world, "--slots 1");
    super::until_exists(&world, "starts");
    worker.signal("TERM");
    worker.signal("TERM");
    worker.end();
    super::stopping::was_released(&show(&world, run), 1);
    world.write_catalogue(&text("guarantee = 'at-most-once'\ntimeout = '1s'"));
    drain(&world);
    assert_eq!(state(&world, run), State::Dead);
    assert_eq!(trace(&world, "starts"), "x\n");
    // An operator may let it start again.
    world.run(&format!("dlq retry {run}")).ok();
    drain(&world);
    assert_eq!(trace(&world, "starts"), "x\nx\n");
}

#[test]
fn a_parameter_that_is_too_long_for_the_kernel_is_named() {
    let world = world("[job.long]\ncommand = 'true'\nparams.v.required = true\n");
    let params = serde_json::json!({ "v": "x".repeat(140_000) }).to_string();
    let run = world
        .enqueue_as(|run| {
            "long".clone_into(&mut run.job);
            run.params = Some(params);
        })
        .run;
    drain(&world);
    until("dead", || state(&world, run) == State::Dead);
    let error = show(&world, run).row.last_error.unwrap();
    assert_eq!(
        error,
        "cannot start: parameter `v` is too large: 140000 bytes, the maximum is 131040"
    );
}
