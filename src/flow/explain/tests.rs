//! Each gate, open and closed: what it says, until when, and what to do about it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::flow::{
    Breaker, BreakerRules, JobRules, LimitRules, Overridden, Paused, QueueRules, Quota, Rate,
    Rules, Subject, TenantRules,
};
use crate::run::RunId;

const NOW_MS: i64 = 1_000_000;

/// Rules of a shop: a limit, a job with a cap, three queues.
fn rules() -> Rules {
    let mut rules = Rules::default();
    for (name, rank) in [("high", 10), ("default", 50), ("low", 90)] {
        let queue = QueueRules {
            rank,
            ..QueueRules::default()
        };
        rules.queues.insert(name.into(), queue);
    }
    rules.limits.insert("smtp".into(), LimitRules::default());
    let job = JobRules {
        limits: vec!["smtp".into()],
        ..JobRules::default()
    };
    rules.jobs.insert("mail".into(), job);
    rules
}

/// Run 100 of job `mail`, due for a second, before an idle worker: everything is open.
fn facts() -> Facts {
    Facts {
        now_ms: NOW_MS,
        place: place("default", "", "mail"),
        run: Some(run()),
        job_known: Some(true),
        rules: in_force(rules()),
        workers: vec![worker(1, "", 4)],
        heads: vec![head("default", "", "mail", 100, false)],
        ahead: vec![ahead("mail", 0)],
        ..Facts::default()
    }
}

fn in_force(rules: Rules) -> Arc<Overridden> {
    Arc::new(Overridden {
        rules,
        until_ms: None,
    })
}

fn place(queue: &str, tenant: &str, job: &str) -> Place {
    Place {
        queue: queue.into(),
        tenant: tenant.into(),
        job: job.into(),
    }
}

fn run() -> RunFacts {
    RunFacts {
        run: RunId(100),
        state: State::Waiting,
        due_ms: NOW_MS - 1_000,
        deadline_ms: None,
        attempts: 0,
        failures: 0,
        max_attempts: 3,
        crashes: 0,
        alone: false,
        limited: false,
        worker: None,
        attempt: None,
        ended_ms: None,
        cancel: None,
        reason: None,
        last_error: None,
        gates: 0,
        after: Vec::new(),
    }
}

fn worker(id: i64, queues: &str, slots: i64) -> Worker {
    Worker {
        worker: WorkerId(id),
        queues: queues.into(),
        slots,
        stopping: false,
    }
}

fn head(queue: &str, tenant: &str, job: &str, run: i64, alone: bool) -> Head {
    Head {
        place: place(queue, tenant, job),
        run: RunId(run),
        order_key: run,
        alone,
    }
}

fn ahead(job: &str, runs: i64) -> Ahead {
    Ahead {
        job: job.into(),
        runs,
    }
}

/// Worker `worker` holds runs of a lane.
fn hold(facts: &mut Facts, worker: i64, lane: [&str; 3], runs: impl IntoIterator<Item = i64>) {
    for run in runs {
        facts.holders.push(HeldRun {
            run: RunId(run),
            worker: WorkerId(worker),
            place: place(lane[0], lane[1], lane[2]),
            alone: false,
        });
    }
}

fn pause(by: &str, reason: Option<&str>, until_ms: Option<i64>) -> Paused {
    Paused {
        by: by.into(),
        reason: reason.map(Into::into),
        until_ms,
    }
}

fn breaker_rules() -> BreakerRules {
    BreakerRules {
        failures: 10,
        within_ms: 60_000,
        cooldown_ms: 300_000,
    }
}

fn opened(facts: &mut Facts, subject: Subject, since_ms: i64, until_ms: i64) {
    let throttle = facts.throttles.entry(subject).or_default();
    throttle.breaker = Breaker {
        failures_ms: Vec::new(),
        open: Some((since_ms, until_ms)),
    };
}

fn own(facts: &mut Facts) -> &mut RunFacts {
    facts.run.as_mut().expect("a run")
}

fn in_rules(facts: &mut Facts, change: impl FnOnce(&mut Rules)) {
    let mut rules = facts.rules.rules.clone();
    change(&mut rules);
    facts.rules = in_force(rules);
}

fn smtp(facts: &mut Facts, change: impl FnOnce(&mut LimitRules)) {
    in_rules(facts, |rules| {
        change(rules.limits.get_mut("smtp").expect("the limit"));
    });
}

fn queue(facts: &mut Facts, name: &str, change: impl FnOnce(&mut QueueRules)) {
    in_rules(facts, |rules| {
        change(rules.queues.get_mut(name).expect("the queue"));
    });
}

fn mail(facts: &mut Facts, change: impl FnOnce(&mut JobRules)) {
    in_rules(facts, |rules| {
        change(rules.jobs.get_mut("mail").expect("the job"));
    });
}

/// `closed due: not due yet @5000 -> it becomes ...`; the hint of a closed gate in full.
fn line(gate: &Gate) -> String {
    let word = if gate.open { "open" } else { "closed" };
    let until = gate
        .until_ms
        .map_or_else(String::new, |ms| format!(" @{}", ms - NOW_MS));
    let hint = gate.hint.as_ref();
    let hint = hint.map_or_else(String::new, |hint| format!(" -> {hint}"));
    format!("{word} {}: {}{until}{hint}", gate.name, gate.detail)
}

type Change = fn(&mut Facts);

/// Gates that must be among the answer, by how their line begins.
#[track_caller]
fn check(cases: &[(&str, Change, &[&str])]) {
    for (what, change, expected) in cases {
        let mut facts = facts();
        change(&mut facts);
        let answer = explain(&facts, &BTreeSet::from([WorkerId(9)]));
        let lines: Vec<String> = answer.gates.iter().map(line).collect();
        for expected in *expected {
            assert!(
                lines.iter().any(|line| line.starts_with(expected)),
                "{what}: {expected}\n{lines:#?}"
            );
        }
        hints_are_commands(&answer);
    }
}

/// Every closed gate says what to do, and every command that an answer names is one.
#[track_caller]
fn hints_are_commands(answer: &Answer) {
    for gate in answer.gates.iter().filter(|gate| !gate.open) {
        assert!(
            gate.hint.as_ref().is_some_and(|hint| !hint.is_empty()),
            "{gate:?}"
        );
    }
    let hints = answer.gates.iter().filter_map(|gate| gate.hint.as_ref());
    for hint in hints.chain(&answer.hint) {
        for command in hint.split('`').skip(1).step_by(2) {
            let words: Vec<&str> = command.split(' ').collect();
            if words[0] == "jobctl" && command != "jobctl run" {
                let parsed = crate::cli::command().try_get_matches_from(&words);
                assert!(parsed.is_ok(), "`{command}`: {:?}", parsed.err());
            }
        }
    }
}

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
            "open order: nothing is ahead of it",
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
    assert_eq!(answer.hint.unwrap(), "the next claim takes it");
    own(&mut facts).due_ms = NOW_MS - 60_000;
    let answer = explain(&facts, &BTreeSet::new());
    let hint = answer.hint.clone().unwrap();
    assert!(
        hint.starts_with("it is due for 1m and should have started: "),
        "{hint}"
    );
    hints_are_commands(&answer);
}

#[test]
fn its_own_time() {
    check(&[
        (
            "delayed",
            |facts| own(facts).due_ms = NOW_MS + 5_000,
            &[
                "closed due: not due yet @5000 -> it becomes ready by itself; `jobctl runs cancel 100`",
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
                "closed due: retried after failure 2 of 3: exit 75 @5000 -> it starts again by itself; `jobctl runs logs 100`",
            ],
        ),
        (
            "rate limited",
            |facts| {
                let run = own(facts);
                (run.due_ms, run.limited, run.attempts) = (NOW_MS + 5_000, true, 4);
            },
            &["closed due: it was rate limited in attempt 4, which is no failure @5000"],
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
                "closed deadline: it comes 1m before the run may start: the run becomes a dead letter unstarted",
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
fn a_run_that_somebody_keeps_is_stopped_by_what_is_shared_alone() {
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
                "open jobctl run: kept by a `jobctl run` (worker 3), which alone starts it",
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
                "closed jobctl run: kept by a `jobctl run` that is gone (worker 9) -> any worker or scheduler gives it back",
            ],
        ),
    ]);
}

#[test]
fn its_job() {
    check(&[
        (
            "unknown",
            |facts| facts.job_known = Some(false),
            &[
                "closed job mail: no catalogue that was read has it any more, so no worker takes it -> add a section `[job.mail]` and send the workers SIGHUP, or `jobctl runs cancel 100`",
            ],
        ),
        (
            "no catalogue at all",
            |facts| facts.job_known = None,
            &["open job mail: 0 running; no catalogue was read yet"],
        ),
        (
            "paused",
            |facts| {
                let why = Some("server moves");
                facts
                    .paused_jobs
                    .insert("mail".into(), pause("ada", why, None));
                facts
                    .paused_jobs
                    .insert("other".into(), pause("bob", None, None));
            },
            &["closed job mail: paused by ada: server moves -> `jobctl jobs resume mail`"],
        ),
        (
            "another is paused",
            |facts| {
                facts
                    .paused_jobs
                    .insert("other".into(), pause("bob", None, None));
            },
            &["open job mail: 0 running"],
        ),
        (
            "one below its cap",
            |facts| {
                mail(facts, |mail| mail.concurrency = Some(3));
                hold(facts, 1, ["low", "", "mail"], [81, 82]);
            },
            &["open job mail: 2 of 3 running"],
        ),
        (
            "at its cap, with more than are named",
            |facts| {
                mail(facts, |mail| mail.concurrency = Some(7));
                hold(facts, 1, ["low", "", "mail"], 81..88);
                hold(facts, 1, ["low", "", "other"], [99]);
            },
            &[
                "closed job mail: 7 of 7 running: 81, 82, 83, 84, 85 and 2 more -> it opens when one of them ends; `jobctl runs logs -f 81`",
            ],
        ),
        (
            "breaker open",
            |facts| {
                mail(facts, |mail| mail.breaker = Some(breaker_rules()));
                opened(
                    facts,
                    Subject::Job("mail".into()),
                    NOW_MS - 12_000,
                    NOW_MS + 288_000,
                );
            },
            &[
                "closed job mail: its breaker is open for 12s, after 10 failures within 1m; then one run may try @288000 -> mend what fails; `jobctl runs list --job mail --state retrying,dead`",
            ],
        ),
        (
            "breaker half open, one tries",
            |facts| {
                mail(facts, |mail| mail.breaker = Some(breaker_rules()));
                opened(facts, Subject::Job("mail".into()), 0, NOW_MS);
                hold(facts, 1, ["low", "", "mail"], [81]);
            },
            &[
                "closed job mail: its breaker is half open, after 10 failures within 1m: one run tries, and its end decides (1 running: 81) -> it opens when one of them ends",
            ],
        ),
        (
            "breaker half open, nobody tries",
            |facts| {
                mail(facts, |mail| mail.breaker = Some(breaker_rules()));
                opened(facts, Subject::Job("mail".into()), 0, NOW_MS);
            },
            &["open job mail: 0 running; its breaker is half open: one run may try"],
        ),
    ]);
}

#[test]
fn its_limits() {
    check(&[
        (
            "full",
            |facts| {
                smtp(facts, |smtp| smtp.concurrency = Some(3));
                hold(facts, 1, ["low", "", "mail"], [81, 82, 90]);
            },
            &[
                "closed limit smtp: 3 of 3 running: 81, 82, 90 -> it opens when one of them ends; `jobctl runs logs -f 81`",
            ],
        ),
        (
            "full with what a dead worker held",
            |facts| {
                smtp(facts, |smtp| smtp.concurrency = Some(2));
                hold(facts, 1, ["low", "", "mail"], [81]);
                hold(facts, 9, ["low", "", "mail"], [82]);
            },
            &[
                "closed limit smtp: 2 of 2 running: 81, 82; held by worker 9, which is gone: 82 -> a worker or a scheduler of the same user gives back",
            ],
        ),
        (
            "below its cap and within its rate",
            |facts| {
                smtp(facts, |smtp| {
                    (smtp.concurrency, smtp.rate) = (Some(3), Rate::parse("60/min").ok());
                });
                hold(facts, 1, ["low", "", "mail"], [81, 82]);
            },
            &["open limit smtp: 2 of 3 running; rate 60/min"],
        ),
        (
            "its rate",
            |facts| {
                smtp(facts, |smtp| smtp.rate = Rate::parse("60/min").ok());
                let throttle = facts
                    .throttles
                    .entry(Subject::Limit("smtp".into()))
                    .or_default();
                throttle.arrival_us = (NOW_MS + 400) * 1_000;
            },
            &[
                "closed limit smtp: its rate of 60/min allows the next start later @400 -> it opens by itself",
            ],
        ),
        (
            "a wait that a service asked for",
            |facts| {
                let throttle = facts
                    .throttles
                    .entry(Subject::Limit("smtp".into()))
                    .or_default();
                throttle.wait_until(NOW_MS + 7_000, NOW_MS);
            },
            &[
                "closed limit smtp: a rate-limited attempt asked for a wait @7000 -> it opens by itself; `jobctl runs list --state retrying,dead`",
            ],
        ),
        (
            "opened by hand",
            |facts| {
                smtp(facts, |smtp| {
                    smtp.opened = Some(pause("ada", Some("mail is down"), Some(NOW_MS + 9)));
                });
            },
            &[
                "closed limit smtp: its breaker was opened by ada: mail is down @9 -> ada takes it back, or whoever may act on the limit smtp",
            ],
        ),
        (
            "its breaker and its cap",
            |facts| {
                smtp(facts, |smtp| {
                    (smtp.breaker, smtp.concurrency) = (Some(breaker_rules()), Some(1));
                });
                opened(
                    facts,
                    Subject::Limit("smtp".into()),
                    NOW_MS,
                    NOW_MS + 300_000,
                );
                hold(facts, 1, ["low", "", "mail"], [81]);
            },
            &[
                "closed limit smtp: its breaker is open for 0s, after 10 failures within 1m; then one run may try @300000",
                "closed limit smtp: 1 of 1 running: 81",
            ],
        ),
    ]);
}

#[test]
fn its_tenant_and_its_queue() {
    check(&[
        (
            "quota used",
            |facts| {
                facts.place.tenant = "acme".into();
                in_rules(facts, |rules| {
                    let quota = Quota {
                        concurrency: Some(2),
                        max_waiting: None,
                    };
                    rules.tenants.named.insert(
                        "acme".into(),
                        TenantRules {
                            weight: None,
                            quota,
                        },
                    );
                });
                hold(facts, 1, ["low", "acme", "other"], [1, 2]);
                hold(facts, 1, ["low", "bolt", "other"], [3]);
            },
            &["closed tenant acme: 2 of 2 running: 1, 2 -> it opens when one of them ends"],
        ),
        (
            "quota left",
            |facts| {
                facts.place.tenant = "acme".into();
                in_rules(facts, |rules| rules.tenants.each.concurrency = Some(2));
                hold(facts, 1, ["low", "acme", "other"], [1]);
            },
            &["open tenant acme: 1 of 2 running"],
        ),
        (
            "queue full",
            |facts| {
                queue(facts, "default", |queue| queue.max_running = Some(1));
                hold(facts, 1, ["default", "", "other"], [1]);
                hold(facts, 1, ["low", "", "other"], [2]);
            },
            &["closed queue default: 1 of 1 running: 1 -> it opens when one of them ends"],
        ),
        (
            "queue paused by the catalogue",
            |facts| {
                queue(facts, "default", |queue| {
                    queue.paused = Some(pause("catalogue", None, None));
                });
            },
            &[
                "closed queue default: paused by the catalogue -> remove `paused` from `[queue.default]` and send the workers SIGHUP",
            ],
        ),
        (
            "queue paused by somebody for a time",
            |facts| {
                let paused = pause("ada", Some("night"), Some(NOW_MS + 60_000));
                queue(facts, "default", |queue| queue.paused = Some(paused));
            },
            &["closed queue default: paused by ada: night @60000 -> ada takes it back"],
        ),
        (
            "queue unknown",
            |facts| facts.place.queue = "old".into(),
            &[
                "closed queue old: no catalogue that was read has it any more, so no worker takes it -> add a section `[queue.old]`",
            ],
        ),
        (
            "no rules were ever read",
            |facts| facts.rules = Arc::default(),
            &["open queue default: 0 running"],
        ),
    ]);
}

#[test]
fn the_workers() {
    check(&[
        (
            "none at all",
            |facts| facts.workers.clear(),
            &["closed workers: no worker is alive -> `jobctl run-worker` starts one"],
        ),
        (
            "a dead one, and one that works in the foreground",
            |facts| facts.workers = vec![worker(9, "", 4), worker(3, NO_QUEUES, 1)],
            &[
                "closed workers: no worker is alive; 1 worker died -> `jobctl run-worker` starts one",
            ],
        ),
        (
            "none serves the queue",
            |facts| facts.workers = vec![worker(1, "high*2,low", 4), worker(2, "low", 4)],
            &[
                "closed workers: 2 workers alive, and none serves queue `default`; served: high, low -> `jobctl run-worker --queue default` starts one",
            ],
        ),
        (
            "one of them has a slot",
            |facts| {
                facts.workers = vec![worker(1, "default", 1), worker(2, "default*3,low", 2)];
                hold(facts, 1, ["default", "", "other"], [1]);
                hold(facts, 2, ["default", "", "other"], [2]);
            },
            &["open workers: 1 of 3 slots is free over 2 workers"],
        ),
        (
            "all busy, one with runs claimed ahead",
            |facts| {
                facts.workers = vec![worker(1, "default", 1), worker(2, "", 2)];
                hold(facts, 1, ["default", "", "other"], [1]);
                hold(facts, 2, ["low", "", "other"], 2..9);
            },
            &[
                "closed workers: 3 of 3 slots busy over 2 workers -> `jobctl workers list`; `jobctl run-worker --queue default` starts another",
            ],
        ),
        (
            "stopping",
            |facts| facts.workers[0].stopping = true,
            &[
                "closed workers: stopping, and claims nothing more: worker 1 -> `jobctl run-worker --queue default` starts one",
            ],
        ),
        (
            "stopping and busy",
            |facts| {
                facts.workers = vec![worker(1, "", 1), worker(2, "", 1)];
                facts.workers[0].stopping = true;
                hold(facts, 2, ["low", "", "other"], [2]);
            },
            &[
                "closed workers: worker 1: stopping; worker 2: 1 of 1 slots busy -> `jobctl workers list`",
            ],
        ),
    ]);
}

#[test]
fn slots_that_are_kept_free() {
    check(&[
        (
            "slots kept for another queue",
            |facts| {
                queue(facts, "high", |high| high.reserve = 2);
                hold(facts, 1, ["low", "", "other"], [1, 2]);
            },
            &[
                "closed workers: worker 1: 2 free slots kept for queue high -> lower `reserve` of the other queues",
            ],
        ),
        (
            "slots kept for another queue, which uses one",
            |facts| {
                queue(facts, "high", |high| high.reserve = 2);
                hold(facts, 1, ["high", "", "other"], [1]);
                hold(facts, 1, ["low", "", "other"], [2]);
            },
            &["open workers: 1 of 4 slots is free over 1 worker"],
        ),
        (
            "a reserve of its own is no obstacle",
            |facts| {
                queue(facts, "default", |own| own.reserve = 4);
                hold(facts, 1, ["low", "", "other"], [1, 2, 3]);
            },
            &["open workers: 1 of 4 slots is free over 1 worker"],
        ),
        (
            "a run is alone there",
            |facts| {
                hold(facts, 1, ["low", "", "other"], [7]);
                facts.holders[0].alone = true;
            },
            &["closed workers: worker 1: run 7 is alone there, as it ended its workers"],
        ),
        (
            "a worker keeps itself free for a run that must be alone",
            |facts| {
                facts.heads.push(head("high", "", "bad", 50, true));
                hold(facts, 1, ["low", "", "other"], [7]);
            },
            &["closed workers: worker 1: keeps itself free for run 50, which must be alone"],
        ),
        (
            "which is no matter while its lane is closed",
            |facts| {
                facts.heads.push(head("high", "", "bad", 50, true));
                facts
                    .paused_jobs
                    .insert("bad".into(), pause("ada", None, None));
                hold(facts, 1, ["low", "", "other"], [7]);
            },
            &["open workers: 3 of 4 slots are free over 1 worker"],
        ),
        (
            "the run itself must be alone",
            |facts| {
                (own(facts).alone, own(facts).crashes) = (true, 2);
                facts.heads[0].alone = true;
                hold(facts, 1, ["low", "", "other"], [7]);
            },
            &[
                "closed workers: worker 1: 1 running, and this run ended 2 workers: it starts alone or not at all",
            ],
        ),
        (
            "and may be",
            |facts| {
                (own(facts).alone, own(facts).crashes) = (true, 2);
                facts.heads[0].alone = true;
            },
            &["open workers: 4 of 4 slots are free over 1 worker"],
        ),
    ]);
}

#[test]
fn the_order() {
    check(&[
        (
            "behind others of its lane",
            |facts| facts.ahead = vec![ahead("mail", 1)],
            &[
                "closed order: 1 run of job `mail` ahead of it -> it moves up as they start; `jobctl runs list --queue default --state ready`",
            ],
        ),
        (
            "behind more than are counted",
            |facts| facts.ahead = vec![ahead("mail", AHEAD_MAX), ahead("news", 2)],
            &[
                "closed order: at least 10000 runs of job `mail` ahead of it; 2 runs of other jobs ahead of it",
            ],
        ),
        (
            "a lane that is closed is in nobody's way",
            |facts| {
                facts.ahead = vec![ahead("mail", 0), ahead("news", 2)];
                facts
                    .paused_jobs
                    .insert("news".into(), pause("ada", None, None));
            },
            &["open order: nothing is ahead of it"],
        ),
        (
            "tenants take turns",
            |facts| {
                facts.heads.push(head("default", "acme", "mail", 7, false));
                facts.heads.push(head("default", "bolt", "mail", 8, false));
            },
            &["open order: nothing is ahead of it; 3 tenants take turns in queue `default`"],
        ),
        (
            "a queue of smaller rank",
            |facts| facts.heads.push(head("high", "", "other", 7, false)),
            &[
                "closed order: served first, with runs that may start: queue high -> `jobctl run-worker --queue default`",
            ],
        ),
        (
            "which is paused",
            |facts| {
                facts.heads.push(head("high", "", "other", 7, false));
                queue(facts, "high", |high| {
                    high.paused = Some(pause("ada", None, None));
                });
            },
            &["open order: nothing is ahead of it"],
        ),
        (
            "which a worker with weights serves",
            |facts| {
                facts.heads.push(head("high", "", "other", 7, false));
                facts.workers = vec![worker(1, "high*4,default", 4)];
            },
            &["open order: nothing is ahead of it"],
        ),
        (
            "which not every worker serves",
            |facts| {
                facts.heads.push(head("high", "", "other", 7, false));
                facts.workers.push(worker(2, "default", 4));
            },
            &["open order: nothing is ahead of it"],
        ),
    ]);
}

#[test]
fn the_start_is_expected_when_every_closed_gate_opens_by_time() {
    let mut facts = facts();
    own(&mut facts).due_ms = NOW_MS + 5_000;
    smtp(&mut facts, |smtp| {
        smtp.opened = Some(pause("ada", None, Some(NOW_MS + 9_000)));
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
            "run 100 was running on worker 9 (attempt 1 begins), which is gone; it is handed out again when nothing is left of it",
            "a worker or a scheduler of the same user does that within a second: `jobctl run-worker`",
        ),
        (
            "cancel requested",
            |facts| {
                let run = own(facts);
                (run.state, run.worker) = (State::Running, Some(WorkerId(3)));
                run.cancel = Some((NOW_MS - 3_000, Some("ada".into())));
            },
            "run 100 is running on worker 3 (attempt 1 begins); ada asked 3s ago to cancel it",
            "`jobctl runs wait 100` waits",
        ),
        (
            "succeeded",
            |facts| {
                let run = own(facts);
                (run.state, run.attempts) = (State::Succeeded, 2);
                run.ended_ms = Some(NOW_MS - 7_000);
            },
            "run 100 has succeeded 7s ago in attempt 2",
            "`jobctl runs retry 100` lets it run again",
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
            "`jobctl dlq show 100`; `jobctl dlq retry 100` lets it run again",
        ),
        (
            "cancelled",
            |facts| {
                let run = own(facts);
                (run.state, run.ended_ms) = (State::Cancelled, Some(NOW_MS - 7_000));
                run.cancel = Some((NOW_MS - 7_000, Some("ada".into())));
            },
            "run 100 was cancelled 7s ago by ada",
            "`jobctl runs retry 100` lets it run after all",
        ),
    ];
    for (what, change, sentence, hint) in cases {
        let mut facts = facts();
        change(&mut facts);
        let answer = explain(&facts, &BTreeSet::from([WorkerId(9)]));
        assert_eq!(answer.sentence, *sentence, "{what}");
        assert!(
            answer.hint.as_ref().unwrap().starts_with(hint),
            "{what}: {:?}",
            answer.hint
        );
        assert!(answer.gates.is_empty(), "{what}");
        hints_are_commands(&answer);
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
        head("default", "", "a", 3, false),
        head("default", "", "b", 5, false),
        head("high", "", "b", 1, false),
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
