//! The state of a run after each way in which its command can end.

use std::fs;

use jobctl::run::{Reason, RunId, State, Trigger};
use jobctl::store::{DeadLetter, RunDetail};

use super::{drain, enqueue, exists, jobs, make, show, state, trace, until_exists, worker, world};
use crate::invariants;
use crate::world::{World, new_run, until};

fn letter(world: &World, run: RunId) -> DeadLetter {
    let mut letters = show(world, run).dead_letters;
    assert_eq!(letters.len(), 1);
    letters.remove(0)
}

/// `(state, reason, class of the last attempt)`
fn end_of(detail: &RunDetail) -> (State, &str, &str) {
    let class = detail.attempts.last().and_then(|it| it.class.as_deref());
    let reason = detail.row.reason.as_deref();
    (detail.row.state, reason.unwrap_or(""), class.unwrap_or(""))
}

#[test]
fn the_first_rule_that_matches_decides_the_class_of_an_ending() {
    const GOOD: (State, &str, &str) = (State::Succeeded, "", "success");
    const FOR_GOOD: (State, &str, &str) = (State::Dead, "permanent", "permanent");
    const USED_UP: (State, &str, &str) = (State::Dead, "exhausted", "transient");
    let cases = [
        ("command = 'exit 0'", GOOD),
        ("command = 'exit 1'", USED_UP),
        ("command = 'exit 64'", FOR_GOOD),
        ("command = 'exit 74'", FOR_GOOD),
        ("command = 'exit 75'", USED_UP),
        ("command = 'exit 78'", FOR_GOOD),
        ("command = 'exit 79'", USED_UP),
        ("command = 'exit 126'", FOR_GOOD),
        ("command = 'nonexistent-program'", FOR_GOOD),
        ("command = 'kill -SEGV $$'", USED_UP),
        ("command = 'exit 24'\nexit.success = [0, 24]", GOOD),
        ("command = 'exit 0'\nexit.success = [24]", USED_UP),
        ("command = 'exit 3'\nexit.permanent = [3]", FOR_GOOD),
        ("command = 'exit 65'\nexit.transient = [65]", USED_UP),
        (
            "command = 'echo HTTP 403; exit 1'\nexit.patterns = [{ match = '40[13]', class = 'permanent' }]",
            FOR_GOOD,
        ),
        (
            "command = 'echo HTTP 403 >&2; exit 1'\nexit.patterns = [{ match = 'HTTP', class = 'transient' }, \
             { match = '403', class = 'permanent' }]",
            USED_UP,
        ),
        (
            "command = 'echo HTTP 403'\nexit.patterns = [{ match = '403', class = 'permanent' }]",
            GOOD,
        ),
        (
            "command = 'echo HTTP 403; exit 9'\nexit.transient = [9]\n\
             exit.patterns = [{ match = '403', class = 'permanent' }]",
            USED_UP,
        ),
        (
            "command = 'echo error_class=permanent > $JOBCTL_RUN_OUTPUT; exit 75'\nexit.transient = [75]",
            FOR_GOOD,
        ),
        (
            "command = 'echo error_class=permanent > $JOBCTL_RUN_OUTPUT; exit 0'",
            FOR_GOOD,
        ),
        (
            "command = 'echo error_class=success > $JOBCTL_RUN_OUTPUT; exit 1'",
            USED_UP,
        ),
        (
            "command = 'echo error_class=transient > $JOBCTL_RUN_OUTPUT; exit 65'",
            USED_UP,
        ),
        // A signal is no exit: what it says does not count, nor do patterns.
        (
            "command = 'echo error_class=permanent > $JOBCTL_RUN_OUTPUT; kill -KILL $$'",
            USED_UP,
        ),
    ];
    let texts = cases.iter().enumerate();
    let text: Vec<String> = texts
        .map(|(n, (text, _))| format!("[job.case-{n}]\nretry.attempts = 1\n{text}\n"))
        .collect();
    let world = world(&text.concat());
    let runs: Vec<RunId> = (0..cases.len())
        .map(|n| {
            let job = format!("case-{n}");
            world
                .enqueue_as(|run| {
                    run.job = job;
                    run.max_attempts = 1;
                })
                .run
        })
        .collect();
    drain(&world);
    for (run, (text, expected)) in runs.into_iter().zip(cases) {
        let detail = show(&world, run);
        assert_eq!(end_of(&detail), expected, "{text}");
        assert_eq!(detail.row.attempts, 1, "{text}");
    }
}

#[test]
fn transient_endings_are_retried_after_their_backoff_until_one_succeeds() {
    let world = world(
        "[job.third]\ncommand = '[ $JOBCTL_RUN_ATTEMPT = 3 ] || exit 75'\n\
         retry = { backoff = ['40ms', '80ms'], jitter = 'none' }\n",
    );
    let run = enqueue(&world, "third");
    drain(&world);
    let detail = show(&world, run);
    assert_eq!(end_of(&detail), (State::Succeeded, "", "success"));
    assert_eq!((detail.row.attempts, detail.row.failures), (3, 2));
    assert_eq!(detail.row.last_error.as_deref(), Some("exit 75"));
    let numbers: Vec<i64> = detail.attempts.iter().map(|it| it.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    for (pair, wait) in detail.attempts.windows(2).zip([40, 80]) {
        assert!(pair[1].started_ms >= pair[0].ended_ms.unwrap() + wait);
    }
}

#[test]
fn failures_that_never_stop_make_the_run_dead_as_exhausted() {
    let world = world("[job.never]\ncommand = 'echo attempt $JOBCTL_RUN_ATTEMPT; exit 75'\n");
    let run = enqueue(&world, "never");
    drain(&world);
    let detail = show(&world, run);
    assert_eq!(end_of(&detail), (State::Dead, "exhausted", "transient"));
    assert_eq!((detail.row.attempts, detail.row.failures), (3, 3));
    let letter = letter(&world, run);
    assert_eq!(letter.error.as_deref(), Some("exit 75: attempt 3"));
    assert_eq!(letter.output_tail.as_deref(), Some(&b"attempt 3\n"[..]));
}

#[test]
fn a_permanent_ending_is_a_dead_letter_at_once_with_all_that_is_known() {
    let world = world(
        "[job.bad]\ncommand = 'echo looking for $JOBCTL_RUN_ID; echo no customer 50000$JOBCTL_RUN_ID >&2; exit 65'\n\
         [job.told]\ncommand = 'echo message=the customer is gone > $JOBCTL_RUN_OUTPUT; echo noise; exit 65'\n",
    );
    let runs = [enqueue(&world, "bad"), enqueue(&world, "bad")];
    let told = enqueue(&world, "told");
    drain(&world);
    let letters = runs.map(|run| letter(&world, run));
    for (run, letter) in runs.into_iter().zip(&letters) {
        assert_eq!((letter.reason, letter.attempts), (Reason::Permanent, 1));
        let error = format!("exit 65: no customer 50000{run}");
        assert_eq!(letter.error.as_deref(), Some(&*error));
        let tail = format!("looking for {run}\nno customer 50000{run}\n");
        assert_eq!(letter.output_tail.as_deref(), Some(tail.as_bytes()));
        assert!(letter.closed.is_none());
    }
    let told = letter(&world, told);
    assert_eq!(told.error.as_deref(), Some("exit 65: the customer is gone"));
    assert_ne!(told.fingerprint, letters[0].fingerprint);
    assert_eq!(letters[0].fingerprint, letters[1].fingerprint);
}

#[test]
fn a_rate_limited_ending_waits_and_is_no_failure() {
    let world = world(
        r#"
        [job.seconds]
        command = '[ $JOBCTL_RUN_ATTEMPT -gt 1 ] || { echo retry_after=1 > $JOBCTL_RUN_OUTPUT; exit 1; }'
        [job.date]
        command = '''[ $JOBCTL_RUN_ATTEMPT -gt 1 ] || {
            date -u -d "+2 seconds" "+retry_after=%a, %d %b %Y %H:%M:%S GMT" > $JOBCTL_RUN_OUTPUT; exit 1; }'''
        [job.pattern]
        command = '[ $JOBCTL_RUN_ATTEMPT -gt 2 ] || { echo 429 Too Many; exit 1; }'
        exit.patterns = [{ match = "429|Too Many", class = "rate_limited", wait = "30ms" }]
        [job.forever]
        command = 'echo 429 Too Many; exit 1'
        exit.patterns = [{ match = "429|Too Many", class = "rate_limited", wait = "60ms" }]
        retry.rate_limited_for = "1500ms"
        [job.hasty]
        command = '[ $JOBCTL_RUN_ATTEMPT -gt 1 ] || { printf "error_class=transient\nretry_after=0\n" > $JOBCTL_RUN_OUTPUT; exit 1; }'
        retry.base = "1h"
        "#,
    );
    let [seconds, date, pattern, forever, hasty] =
        ["seconds", "date", "pattern", "forever", "hasty"].map(|job| enqueue(&world, job));
    drain(&world);
    for (run, wait) in [(seconds, 1000), (date, 1)] {
        let detail = show(&world, run);
        assert_eq!(end_of(&detail), (State::Succeeded, "", "success"));
        assert_eq!((detail.row.attempts, detail.row.failures), (2, 0));
        assert_eq!(detail.attempts[0].class.as_deref(), Some("rate_limited"));
        assert!(detail.attempts[1].started_ms >= detail.attempts[0].ended_ms.unwrap() + wait);
    }
    let dated = show(&world, date);
    // A date has whole seconds: it is met exactly or later.
    assert!(dated.attempts[1].started_ms / 1000 > dated.attempts[0].started_ms / 1000);
    let detail = show(&world, pattern);
    assert_eq!(end_of(&detail), (State::Succeeded, "", "success"));
    assert_eq!((detail.row.attempts, detail.row.failures), (3, 0));
    // Short waits are a second at least: services count in seconds.
    assert!(detail.attempts[1].started_ms >= detail.attempts[0].ended_ms.unwrap() + 1_000);
    let detail = show(&world, forever);
    assert_eq!(end_of(&detail), (State::Dead, "exhausted", "rate_limited"));
    assert_eq!(detail.row.failures, 0);
    assert_eq!(detail.row.attempts, 2);
    let detail = show(&world, hasty);
    assert_eq!(end_of(&detail), (State::Succeeded, "", "success"));
    assert_eq!((detail.row.attempts, detail.row.failures), (2, 1));
}

/// Proves: as `no_attempt_starts_at_or_after_the_deadline`.
#[test]
fn of_three_thousand_runs_that_expire_together_none_starts_late() {
    let world = world(
        "[job.late]\ncommand = 'touch $HOME/late'\n[job.good]\ncommand = 'touch $HOME/good'\n",
    );
    let now_ms = jobctl::clock::wall_ms();
    let deadline_ms = now_ms + 1_000;
    let mut runs = vec![new_run("late", now_ms); 3_000];
    for run in &mut runs {
        run.deadline_ms = Some(deadline_ms);
        run.idempotency_key = jobctl::clock::random_bytes();
    }
    runs.push(new_run("good", now_ms));
    let mut store = world.store();
    let stored = store.write(|tx| tx.enqueue_all(&runs, now_ms)).unwrap();
    until("the deadline", || jobctl::clock::wall_ms() > deadline_ms);
    drain(&world);
    assert!(!exists(&world, "late"));
    assert!(exists(&world, "good"));
    let (good, late) = stored.split_last().unwrap();
    assert_eq!(state(&world, good.run), State::Succeeded);
    for run in late {
        assert_eq!(store.state_of(run.run).unwrap(), Some(State::Dead));
    }
}

/// Proves: as `no_attempt_starts_at_or_after_the_deadline`.
#[test]
fn a_run_claimed_before_its_deadline_does_not_start_after_it() {
    // Short work is claimed ahead of a free slot; its deadlines pass in the midst of that.
    let world = world("[job.short]\ncommand = ['/bin/true']\n");
    let now_ms = jobctl::clock::wall_ms();
    // Ten runs a millisecond: more than any host starts, so that some are late on a fast one too.
    let mut runs = vec![new_run("short", now_ms); 3_000];
    for (n, run) in (0..).zip(&mut runs) {
        run.idempotency_key = jobctl::clock::random_bytes();
        run.deadline_ms = Some(now_ms + 600 + n / 10);
    }
    let mut store = world.store();
    store.write(|tx| tx.enqueue_all(&runs, now_ms)).unwrap();
    drain(&world);
    let late = "SELECT count(*) FROM attempt JOIN run ON run.id = attempt.run WHERE attempt.started_ms >= run.deadline_ms";
    let conn = invariants::open(&world);
    assert_eq!(invariants::number(&conn, late), 0);
    let dead = "SELECT count(*) FROM run WHERE state = 'dead' AND attempts = 0";
    assert!(invariants::number(&conn, dead) > 0, "some were too late");
}

#[test]
fn nothing_starts_at_or_after_its_deadline() {
    let world = world(
        "[job.late]\ncommand = 'touch $HOME/late'\ndeadline = '20ms'\n\
         [job.slow]\ncommand = 'exit 75'\ndeadline = '10s'\nretry.base = '1h'\n\
         [job.long]\ncommand = 'sleep 0.3'\ndeadline = '250ms'\n\
         [job.kept]\ncommand = 'touch $HOME/kept'\n",
    );
    let late = enqueue(&world, "late");
    let slow = enqueue(&world, "slow");
    let deadline_ms = show(&world, late).row.deadline_ms.unwrap();
    until("the deadline", || jobctl::clock::wall_ms() > deadline_ms);
    drain(&world);
    let detail = show(&world, late);
    assert_eq!(end_of(&detail), (State::Dead, "deadline", ""));
    assert_eq!(detail.row.attempts, 0);
    assert!(!exists(&world, "late"));
    let unstarted = letter(&world, late);
    assert_eq!(
        (unstarted.reason, unstarted.attempts),
        (Reason::Deadline, 0)
    );
    // No retry is possible before the deadline: that is said at once, not an hour later.
    let detail = show(&world, slow);
    assert_eq!(end_of(&detail), (State::Dead, "deadline", "transient"));
    assert_eq!(letter(&world, slow).error.as_deref(), Some("exit 75"));
    // A running attempt is not ended by it.
    let worker = worker(&world, "");
    let long = enqueue(&world, "long");
    world.run("jobs pause kept");
    let kept = enqueue(&world, "kept --deadline 50ms");
    until("the end", || state(&world, long) == State::Succeeded);
    // A run that cannot be claimed dies at its deadline too.
    until("the death", || state(&world, kept) == State::Dead);
    assert!(!exists(&world, "kept"));
    worker.stop();
}

#[test]
fn at_most_once_is_never_started_a_second_time() {
    let world = world(&jobs(
        "guarantee = 'at-most-once'\nretry.attempts = 1\ntimeout = '200ms'\n",
        &[
            ("bad", "echo x >> $HOME/bad; exit 75"),
            ("slow", "echo x >> $HOME/slow; exec sleep 60"),
            (
                "limited",
                "echo x >> $HOME/limited; echo retry_after=0 > $JOBCTL_RUN_OUTPUT; exit 1",
            ),
            ("killed", "echo x >> $HOME/killed; kill -KILL $$"),
        ],
    ));
    let names = ["bad", "slow", "limited", "killed"];
    let runs = names.map(|job| enqueue(&world, job));
    drain(&world);
    for (run, name) in runs.into_iter().zip(names) {
        let detail = show(&world, run);
        assert_eq!(
            (detail.row.state, letter(&world, run).reason),
            (State::Dead, Reason::Exhausted),
            "{name}"
        );
        assert_eq!(
            (trace(&world, name).as_str(), detail.row.attempts),
            ("x\n", 1)
        );
    }
}

/// Fault (commands): a command ignores SIGTERM, or stops itself.
#[test]
fn a_timeout_sends_sigterm_and_then_sigkill_to_the_whole_group() {
    let world = world(&jobs(
        "timeout = '60ms'\ngrace = '2s'\nretry.attempts = 1",
        &[
            ("polite", "sleep 60 & exec sleep 60"),
            ("deaf", "trap '' TERM; sleep 60 & sleep 60"),
            ("trapping", "trap 'exit 0' TERM; sleep 60 & wait"),
            ("late", "trap 'exit 3' TERM; sleep 60 & wait"),
        ],
    ));
    let runs = ["polite", "deaf", "trapping", "late"].map(|job| enqueue(&world, job));
    drain(&world);
    let ends = runs.map(|run| {
        let detail = show(&world, run);
        assert_eq!(end_of(&detail), (State::Dead, "exhausted", "transient"));
        let attempt = &detail.attempts[0];
        assert_eq!(attempt.ending.as_deref(), Some("timed_out"));
        assert!(
            detail
                .row
                .last_error
                .unwrap()
                .starts_with("timed out after ")
        );
        (attempt.exit_code, attempt.signal)
    });
    // What a command answers to its timeout does not make it a success.
    let expected = [
        (None, Some(15)),
        (None, Some(9)),
        (Some(0), None),
        (Some(3), None),
    ];
    assert_eq!(ends, expected);
}

#[test]
fn a_dead_run_enqueues_its_on_dead_job_with_its_document_as_payload() {
    let world = world(
        "[job.bill]\ncommand = 'echo broken; exit 65'\non_dead = 'page'\n\
         [job.late]\ncommand = 'true'\ndeadline = '1ms'\non_dead = 'page'\n\
         [job.page]\ncommand = 'cat > $HOME/payload-$JOBCTL_RUN_PARENT_ID; echo $JOBCTL_RUN_TRIGGER > $HOME/trigger; exit 65'\n\
         on_dead = 'page'\n",
    );
    let dead = enqueue(&world, "bill --correlation-id order-7");
    let late = enqueue(&world, "late");
    let deadline_ms = show(&world, late).row.deadline_ms.unwrap();
    until("the deadline", || jobctl::clock::wall_ms() > deadline_ms);
    drain(&world);
    assert_eq!(trace(&world, "trigger"), "on_dead\n");
    let facts: serde_json::Value =
        serde_json::from_str(&trace(&world, &format!("payload-{dead}"))).unwrap();
    assert_eq!(facts["schema"], "jobctl.runs.show/1");
    assert_eq!(facts["run"], dead.0);
    assert_eq!(
        (facts["state"].as_str(), facts["reason"].as_str()),
        (Some("dead"), Some("permanent"))
    );
    assert_eq!(facts["last_error"], "exit 65: broken");
    assert_eq!(facts["attempt_list"][0]["exit_code"], 65);
    let facts: serde_json::Value =
        serde_json::from_str(&trace(&world, &format!("payload-{late}"))).unwrap();
    assert_eq!(facts["reason"], "deadline");
    // The pages died too, and called for nothing.
    let runs = world.store().list_runs(
        &jobctl::store::RunFilter {
            limit: 10,
            ..Default::default()
        },
        0,
    );
    let pages: Vec<_> = runs
        .unwrap()
        .into_iter()
        .filter(|run| run.job == "page")
        .collect();
    assert_eq!(pages.len(), 2);
    for page in &pages {
        let detail = show(&world, page.run);
        assert_eq!(
            (detail.row.state, detail.trigger),
            (State::Dead, Trigger::OnDead)
        );
    }
    assert!(
        pages
            .iter()
            .any(|page| page.labels.correlation_id.as_deref() == Some("order-7"))
    );
}

#[test]
fn a_checkpoint_comes_back_until_the_run_has_succeeded() {
    let step = "cat $JOBCTL_RUN_CHECKPOINT >> $HOME/seen-$JOBCTL_RUN_JOB 2>/dev/null; echo step $JOBCTL_RUN_ATTEMPT >> $JOBCTL_RUN_CHECKPOINT";
    let world = world(&format!(
        "[job.fails]\ncommand = '{step}; [ $JOBCTL_RUN_ATTEMPT = 3 ] || exit 75'\n\
         [job.says]\ncommand = '{step}; [ $JOBCTL_RUN_ATTEMPT = 3 ] || echo error_class=transient > $JOBCTL_RUN_OUTPUT'\n\
         [job.other]\ncommand = '{step}; [ $JOBCTL_RUN_ATTEMPT = 3 ] || exit 75; exit 24'\nexit.success = [24]\n\
         [job.dies]\ncommand = '{step}; [ -e $HOME/repaired ] || exit 65'\n"
    ));
    for job in ["fails", "says", "other"] {
        let run = enqueue(&world, job);
        drain(&world);
        assert_eq!(state(&world, run), State::Succeeded);
        assert_eq!(
            trace(&world, &format!("seen-{job}")),
            "step 1\nstep 1\nstep 2\n",
            "{job}"
        );
    }
    let left = || {
        fs::read_dir(world.state().join("checkpoints"))
            .unwrap()
            .count()
    };
    assert_eq!(left(), 0);
    let run = enqueue(&world, "dies");
    drain(&world);
    assert_eq!((state(&world, run), left()), (State::Dead, 1));
    make(&world, "repaired");
    assert_eq!(world.run(&format!("dlq retry {run}")).code, Some(0));
    drain(&world);
    assert_eq!((state(&world, run), left()), (State::Succeeded, 0));
    assert_eq!(trace(&world, "seen-dies"), "step 1\n");
}

#[test]
fn a_command_continues_the_trace_of_the_caller() {
    let mut world = world("[job.trace]\ncommand = 'echo $TRACEPARENT > $HOME/trace'\n");
    let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    world.set("TRACEPARENT", given);
    enqueue(&world, "trace");
    drain(&world);
    let seen = trace(&world, "trace");
    let parts: Vec<&str> = seen.trim().split('-').collect();
    assert_eq!(
        (parts[0], parts[1], parts[3]),
        ("00", "0af7651916cd43dd8448eb211c80319c", "01")
    );
    assert_eq!(parts[2].len(), 16);
    assert_ne!(parts[2], "b7ad6b7169203331");
}

#[test]
fn results_are_kept_as_json() {
    let world = world(
        r#"[job.count]
        command = '''printf 'result={"sent": 3}\nresult={broken\nresult=[1, "x"]\n' > $JOBCTL_RUN_OUTPUT'''
        "#,
    );
    let run = enqueue(&world, "count");
    drain(&world);
    let results = show(&world, run).results.unwrap();
    let results: serde_json::Value = serde_json::from_str(&results).unwrap();
    assert_eq!(results, serde_json::json!([{ "sent": 3 }, [1, "x"]]));
}

#[test]
fn head_and_tail_of_long_output_are_kept() {
    let world = world("[job.seq]\ncommand = 'seq 100000'\noutput_max = '8K'\n");
    let run = enqueue(&world, "seq");
    drain(&world);
    let log = fs::read_to_string(world.local().log_path(run, 1)).unwrap();
    assert!(log.len() <= 8192 + 64, "{} bytes", log.len());
    assert!(log.starts_with("1\n2\n3\n"));
    assert!(log.ends_with("\n99999\n100000\n"));
    assert!(log.contains(" bytes dropped]\n"));
    let attempt = show(&world, run).attempts.remove(0);
    assert_eq!(attempt.output_bytes, 588_895);
    assert!(attempt.output_tail.unwrap().ends_with(b"100000\n"));
}

#[test]
fn a_secret_is_seen_by_the_command_and_by_nothing_else() {
    const CANARY: &str = "c4n4ry-7f3a91";
    let mut world = world(
        r#"
        [job.leaky]
        command = '''
            case "$(tr "\0" " " < /proc/$$/cmdline)" in *"$FILE_SECRET"*) exit 65;; esac
            [ "$FILE_SECRET" = "$ENV_SECRET" ] || exit 65
            echo "connecting with $FILE_SECRET"
            printf %s "${ENV_SECRET%??????}" >&2; sleep 0.05; echo "${ENV_SECRET#???????}" >&2
            printf "message=denied for $FILE_SECRET\nresult=\"$ENV_SECRET\"\n" > $JOBCTL_RUN_OUTPUT
            touch $HOME/done
            exit 75
        '''
        secrets = { FILE_SECRET = { file = "secret" }, ENV_SECRET = { env = "TOKEN" } }
        [job.broken]
        command = "true"
        secrets.MISSING = { file = "nowhere" }
        "#,
    );
    fs::write(world.root().join("secret"), format!("{CANARY}\n")).unwrap();
    world.set("TOKEN", CANARY);
    let run = enqueue(&world, "leaky");
    let broken = enqueue(&world, "broken");
    let stderr = drain(&world);
    until_exists(&world, "done");
    assert_eq!(
        show(&world, run).row.last_error.as_deref(),
        Some("exit 75: denied for [redacted]")
    );
    let log = fs::read_to_string(world.local().log_path(run, 3)).unwrap();
    assert_eq!(log, "connecting with [redacted]\n[redacted]\n");
    assert_eq!(state(&world, broken), State::Waiting);
    assert!(stderr.contains("secret `MISSING`: "), "{stderr}");
    let shown = world.run(&format!("runs show {run} --json"));
    let mut places = vec![
        ("stderr".to_owned(), stderr.into_bytes()),
        ("show".to_owned(), shown.out.into_bytes()),
    ];
    let mut dirs = vec![world.state()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            } else if entry.file_name() != "reserve" {
                places.push((
                    entry.path().display().to_string(),
                    fs::read(entry.path()).unwrap(),
                ));
            }
        }
    }
    assert!(places.len() > 5);
    for (place, bytes) in places {
        let found = bytes
            .windows(CANARY.len())
            .any(|window| window == CANARY.as_bytes());
        assert!(!found, "the secret is in {place}");
    }
}
