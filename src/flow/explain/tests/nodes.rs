//! Job, limits, tenant and queue.

use super::*;

#[test]
fn its_job() {
    check(&[
        (
            "unknown",
            |facts| facts.job_known = Some(false),
            &[
                "closed job mail: no loaded catalogue has it any more, so no worker takes it -> add a section `[job.mail]` and send the workers SIGHUP, or `jobctl runs cancel 100`",
            ],
        ),
        (
            "no catalogue at all",
            |facts| facts.job_known = None,
            &["open job mail: 0 running; no catalogue was loaded yet"],
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
                "closed job mail: its breaker is open for 12s, after 10 failures within 1m; then one run may start @288000 -> fix what fails; `jobctl runs list --job mail --state retrying,dead`",
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
                "closed job mail: its breaker is half open, after 10 failures within 1m: one run has started, and its end decides (1 running: 81) -> it opens when one of them ends",
            ],
        ),
        (
            "breaker half open, nobody tries",
            |facts| {
                mail(facts, |mail| mail.breaker = Some(breaker_rules()));
                opened(facts, Subject::Job("mail".into()), 0, NOW_MS);
            },
            &["open job mail: 0 running; its breaker is half open: one run may start"],
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
                "closed limit smtp: its rate of 60/min allows the next start later @400 -> it opens without an operator",
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
                "closed limit smtp: a rate-limited attempt asked for a wait @7000 -> it opens without an operator; `jobctl runs list --state retrying,dead`",
            ],
        ),
        (
            "a limit that is paused",
            |facts| {
                smtp(facts, |smtp| {
                    smtp.paused = Some(pause("ada", Some("mail is down"), Some(NOW_MS + 9)));
                });
            },
            &["closed limit smtp: paused by ada: mail is down @9 -> `jobctl limits resume smtp`"],
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
                "closed limit smtp: its breaker is open for 0s, after 10 failures within 1m; then one run may start @300000",
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
                        ..Quota::default()
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
            &["closed queue default: paused by the catalogue -> `jobctl queues resume default`"],
        ),
        (
            "queue paused by somebody for a time",
            |facts| {
                let paused = pause("ada", Some("night"), Some(NOW_MS + 60_000));
                queue(facts, "default", |queue| queue.paused = Some(paused));
            },
            &[
                "closed queue default: paused by ada: night @60000 -> `jobctl queues resume default`",
            ],
        ),
        (
            "queue unknown",
            |facts| facts.place.queue = "old".into(),
            &[
                "closed queue old: no loaded catalogue has it any more, so no worker takes it -> add a section `[queue.old]`",
            ],
        ),
        (
            "no rules were ever read",
            |facts| facts.rules = Arc::default(),
            &["open queue default: 0 running"],
        ),
    ]);
}
