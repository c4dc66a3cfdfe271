//! Workers and the order.

use super::*;

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
                "closed workers: 2 workers alive, but none serves queue `default`; served: high, low -> `jobctl run-worker --queue default` starts one",
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
                "closed workers: stopping, without further claims: worker 1 -> `jobctl run-worker --queue default` starts one",
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
                "closed workers: worker 1: 2 free slots reserved for queue high -> lower `reserve` of the other queues",
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
            "a run that must be alone takes a slot of the worker that started its own",
            |facts| {
                facts.workers = vec![worker(1, "", 2), worker(5, NO_QUEUES, 1)];
                facts.workers[1].parent = Some(WorkerId(1));
                hold(facts, 1, ["low", "", "other"], [7]);
                hold(facts, 5, ["low", "", "other"], [8]);
            },
            &["closed workers: 2 of 2 slots busy over 1 worker -> `jobctl workers list`"],
        ),
        (
            "and of a reserve",
            |facts| {
                queue(facts, "high", |high| high.reserve = 2);
                facts.workers.push(worker(5, NO_QUEUES, 1));
                facts.workers[1].parent = Some(WorkerId(1));
                hold(facts, 5, ["high", "", "other"], [8]);
            },
            &["open workers: 2 of 4 slots are free over 1 worker"],
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
            "a closed lane does not count",
            |facts| {
                facts.ahead = vec![ahead("mail", 0), ahead("news", 2)];
                facts
                    .paused_jobs
                    .insert("news".into(), pause("ada", None, None));
            },
            &["open order: no run is ahead of it"],
        ),
        (
            "tenants take turns",
            |facts| {
                facts.heads.push(head("default", "acme", "mail", 7));
                facts.heads.push(head("default", "bolt", "mail", 8));
            },
            &["open order: no run is ahead of it; 3 tenants take turns in queue `default`"],
        ),
        (
            "a queue of smaller rank",
            |facts| facts.heads.push(head("high", "", "other", 7)),
            &[
                "closed order: served first, with runs that may start: queue high -> `jobctl run-worker --queue default`",
            ],
        ),
        (
            "which is paused",
            |facts| {
                facts.heads.push(head("high", "", "other", 7));
                queue(facts, "high", |high| {
                    high.paused = Some(pause("ada", None, None));
                });
            },
            &["open order: no run is ahead of it"],
        ),
        (
            "which a worker with weights serves",
            |facts| {
                facts.heads.push(head("high", "", "other", 7));
                facts.workers = vec![worker(1, "high*4,default", 4)];
            },
            &["open order: no run is ahead of it"],
        ),
        (
            "which not every worker serves",
            |facts| {
                facts.heads.push(head("high", "", "other", 7));
                facts.workers.push(worker(2, "default", 4));
            },
            &["open order: no run is ahead of it"],
        ),
    ]);
}
