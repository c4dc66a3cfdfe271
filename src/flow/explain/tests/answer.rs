//! The answer as a whole.

use super::*;

#[test]
fn everything_open_says_so_and_after_a_while_that_something_is_wrong() {
    let mut facts = facts();
    let answer = explain(&facts, &BTreeSet::new());
    let lines: Vec<String> = answer.gates.iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "open due: since 1s",
            "open job mail: 0 running",
            "open limit smtp: 0 running",
            "open queue default: 0 running",
            "open workers: 4 of 4 slots are free over 1 worker",
            "open order: no run is ahead of it",
        ]
    );
    assert_eq!(
        answer.sentence,
        "run 100 of job `mail` waits in queue `default`: every gate is open"
    );
    assert_eq!(
        (answer.expected_start_ms, answer.not_before_ms),
        (Some(NOW_MS), None)
    );
    assert_eq!(answer.hint, Some("the next claim takes it".into()));
    own(&mut facts).due_ms = NOW_MS - 60_000;
    let answer = explain(&facts, &BTreeSet::new());
    let hint = words(&answer.hint.unwrap());
    assert!(
        hint.starts_with("it is due for 1m and should have started: "),
        "{hint}"
    );
}

/// Proves (operators): `runs why` promises no start, and reads a bounded number of rows.
#[test]
fn the_start_is_expected_when_every_closed_gate_opens_by_time() {
    let mut facts = facts();
    own(&mut facts).due_ms = NOW_MS + 5_000;
    smtp(&mut facts, |smtp| {
        smtp.paused = Some(pause("ada", None, Some(NOW_MS + 9_000)));
    });
    let answer = explain(&facts, &BTreeSet::new());
    assert_eq!(answer.expected_start_ms, Some(NOW_MS + 9_000));
    assert_eq!(answer.hint, None);
    assert!(
        answer.sentence.ends_with(": 2 of 5 gates are closed"),
        "{}",
        answer.sentence
    );
    facts.workers.clear();
    let answer = explain(&facts, &BTreeSet::new());
    assert_eq!(
        (answer.expected_start_ms, answer.not_before_ms),
        (None, Some(NOW_MS + 9_000))
    );
    own(&mut facts).deadline_ms = Some(NOW_MS + 9_000);
    let answer = explain(&facts, &BTreeSet::new());
    assert_eq!(
        (answer.expected_start_ms, answer.not_before_ms),
        (None, None)
    );
}

#[test]
fn a_run_that_does_not_wait_says_what_became_of_it() {
    let cases: &[(&str, Change, &str, &str)] = &[
        (
            "running",
            |facts| {
                let run = own(facts);
                (run.state, run.worker) = (State::Running, Some(WorkerId(3)));
                run.attempt = Some((2, NOW_MS - 65_000));
            },
            "run 100 is running on worker 3 (attempt 2 since 1m5s)",
            "`jobctl runs logs -f 100` follows it",
        ),
        (
            "just claimed",
            |facts| {
                let run = own(facts);
                (run.state, run.worker) = (State::Running, Some(WorkerId(3)));
            },
            "run 100 is running on worker 3 (attempt 1 begins)",
            "`jobctl runs logs -f 100` follows it",
        ),
        (
            "running on a dead worker",
            |facts| {
                let run = own(facts);
                (run.state, run.worker) = (State::Running, Some(WorkerId(9)));
            },
            "run 100 was running on worker 9 (attempt 1 begins), which is gone; it will be queued again once its processes are gone",
            "a worker or a scheduler of the same user does that within a second: `jobctl run-worker`",
        ),
        (
            "cancel requested",
            |facts| {
                let run = own(facts);
                (run.state, run.worker) = (State::Running, Some(WorkerId(3)));
                run.cancel = Some((NOW_MS - 3_000, Some("ada".into())));
            },
            "run 100 is running on worker 3 (attempt 1 begins); ada requested a cancel 3s ago",
            "`jobctl runs wait 100` waits",
        ),
        (
            "succeeded",
            |facts| {
                let run = own(facts);
                (run.state, run.attempts) = (State::Succeeded, 2);
                run.ended_ms = Some(NOW_MS - 7_000);
            },
            "run 100 succeeded 7s ago in attempt 2",
            "`jobctl runs retry 100` queues it again",
        ),
        (
            "dead",
            |facts| {
                let run = own(facts);
                (run.state, run.attempts) = (State::Dead, 3);
                run.ended_ms = Some(NOW_MS - 7_000);
                (run.reason, run.last_error) = (Some("exhausted".into()), Some("exit 1".into()));
            },
            "run 100 died 7s ago: exhausted after attempt 3: exit 1",
            "`jobctl dlq show 100`; `jobctl dlq retry 100` queues it again",
        ),
        (
            "cancelled",
            |facts| {
                let run = own(facts);
                (run.state, run.ended_ms) = (State::Cancelled, Some(NOW_MS - 7_000));
                run.cancel = Some((NOW_MS - 7_000, Some("ada".into())));
            },
            "run 100 was cancelled 7s ago by ada",
            "`jobctl runs retry 100` queues it again",
        ),
    ];
    for (what, change, sentence, hint) in cases {
        let mut facts = facts();
        change(&mut facts);
        let answer = explain(&facts, &BTreeSet::from([WorkerId(9)]));
        assert_eq!(answer.sentence, *sentence, "{what}");
        let given = words(&answer.hint.unwrap());
        assert!(given.starts_with(hint), "{what}: {given}");
        assert!(answer.gates.is_empty(), "{what}");
    }
}

#[test]
fn a_job_or_queue_without_a_run_shows_what_one_would_pass() {
    let mut facts = facts();
    facts.run = None;
    let answer = explain(&facts, &BTreeSet::new());
    assert_eq!(
        answer.sentence,
        "no run of job `mail` waits; one in queue `default` would pass: every gate is open"
    );
    assert_eq!(answer.hint, None);
    facts.place.job.clear();
    facts.workers.clear();
    let answer = explain(&facts, &BTreeSet::new());
    assert_eq!(
        answer.sentence,
        "no run waits in queue `default`; one would pass: 1 of 2 gates is closed"
    );
}

#[test]
fn the_first_of_a_queue_is_in_an_open_lane_if_there_is_one() {
    let mut facts = facts();
    facts.heads = vec![
        head("default", "", "a", 3),
        head("default", "", "b", 5),
        head("high", "", "b", 1),
    ];
    assert_eq!(facts.first("default"), Some(RunId(3)));
    facts
        .paused_jobs
        .insert("a".into(), pause("ada", None, None));
    assert_eq!(facts.first("default"), Some(RunId(5)));
    facts
        .paused_jobs
        .insert("b".into(), pause("ada", None, None));
    assert_eq!(facts.first("default"), Some(RunId(3)));
    assert_eq!(facts.first("low"), None);
}
