//! The run itself: its time, its deadline, what it waits for, who keeps it.

use super::*;

#[test]
fn its_own_time() {
    check(&[
        (
            "delayed",
            |facts| own(facts).due_ms = NOW_MS + 5_000,
            &[
                "closed due: not due yet @5000 -> it becomes ready at that time; `jobctl runs cancel 100`",
            ],
        ),
        (
            "retrying",
            |facts| {
                let run = own(facts);
                (run.due_ms, run.failures, run.attempts) = (NOW_MS + 5_000, 2, 2);
                run.last_error = Some("exit 75".into());
            },
            &[
                "closed due: retried after failure 2 of 3: exit 75 @5000 -> it is retried automatically; `jobctl runs logs 100`",
            ],
        ),
        (
            "rate limited",
            |facts| {
                let run = own(facts);
                (run.due_ms, run.limited, run.attempts) = (NOW_MS + 5_000, true, 4);
            },
            &["closed due: rate limited in attempt 4, which does not count as a failure @5000"],
        ),
        (
            "a deadline ahead",
            |facts| own(facts).deadline_ms = Some(NOW_MS + 90_000),
            &["open deadline: no attempt starts after it @90000"],
        ),
        (
            "a deadline that passed",
            |facts| own(facts).deadline_ms = Some(NOW_MS),
            &[
                "closed deadline: passed 0s ago: the next claim of a worker makes it a dead letter -> once it is dead, `jobctl runs retry 100`",
            ],
        ),
        (
            "a deadline before the due time",
            |facts| {
                let run = own(facts);
                (run.due_ms, run.deadline_ms) = (NOW_MS + 90_000, Some(NOW_MS + 30_000));
            },
            &[
                "closed deadline: it is 1m before the earliest start: the run will become a dead letter without a start",
            ],
        ),
        (
            "runs before it",
            |facts| {
                let run = own(facts);
                run.gates = 2;
                run.after = vec![(RunId(5), State::Running), (RunId(6), State::Waiting)];
            },
            &[
                "closed runs before it: 2 runs must end first: 5 (running), 6 (waiting) -> `jobctl runs why 5`, or `jobctl runs cancel 5`",
            ],
        ),
        (
            "a dead run before it",
            |facts| {
                let run = own(facts);
                run.gates = 1;
                run.after = vec![(RunId(5), State::Dead)];
            },
            &[
                "closed runs before it: 1 run must end first: 5 (dead) -> `jobctl dlq retry 5`, or `jobctl dlq discard 5`",
            ],
        ),
        (
            "runs before it that are too many to name",
            |facts| own(facts).gates = 1,
            &[
                "closed runs before it: 1 run must end first -> `jobctl runs list --state waiting,running`",
            ],
        ),
    ]);
}

#[test]
fn a_run_that_is_not_due_is_in_no_order_yet() {
    let mut facts = facts();
    facts.ahead = vec![ahead("mail", 7)];
    own(&mut facts).due_ms = NOW_MS + 5_000;
    let answer = explain(&facts, &BTreeSet::new());
    assert!(answer.gates.iter().all(|gate| gate.name != "order"));
    assert_eq!(answer.expected_start_ms, Some(NOW_MS + 5_000));
}

#[test]
fn a_reserved_run_is_only_stopped_by_shared_limits() {
    check(&[
        (
            "kept",
            |facts| {
                own(facts).worker = Some(WorkerId(3));
                facts.workers.clear();
                facts
                    .paused_jobs
                    .insert("mail".into(), pause("ada", None, None));
                queue(facts, "default", |queue| {
                    queue.paused = Some(pause("catalogue", None, None));
                });
            },
            &[
                "open jobctl run: reserved for a `jobctl run` (worker 3); no other worker starts it",
                "open job mail: 0 running; paused by ada, which does not stop `jobctl run`",
                "open queue default: 0 running; paused by the catalogue, which does not stop `jobctl run`",
            ],
        ),
        (
            "kept, and its limit is full",
            |facts| {
                own(facts).worker = Some(WorkerId(3));
                smtp(facts, |smtp| smtp.concurrency = Some(1));
                hold(facts, 1, ["low", "", "mail"], [7]);
            },
            &["closed limit smtp: 1 of 1 running: 7"],
        ),
        (
            "kept by who is gone",
            |facts| own(facts).worker = Some(WorkerId(9)),
            &[
                "closed jobctl run: reserved for a `jobctl run` that is gone (worker 9) -> any worker or scheduler releases it",
            ],
        ),
    ]);
}
