//! Each gate, open and closed: its text, the end of the closure, and the hint.
//!
//! Proves: as `the_answer_and_the_claim_agree`.

mod answer;
mod nodes;
mod own;
mod workers;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::cli::advice::words;
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
        heads: vec![head("default", "", "mail", 100)],
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
        parent: None,
    }
}

fn head(queue: &str, tenant: &str, job: &str, run: i64) -> Head {
    Head {
        place: place(queue, tenant, job),
        run: RunId(run),
        order_key: run,
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
            limits: String::new(),
            fence: 1,
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
        fence: 0,
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
    let hint = hint.map_or_else(String::new, |hint| format!(" -> {}", words(hint)));
    let detail = words(&gate.detail);
    format!("{word} {}: {detail}{until}{hint}", gate.name)
}

type Change = fn(&mut Facts);

/// Gates that must be among the answer, by how their line begins; every closed gate says what to do.
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
        for gate in answer.gates {
            assert_eq!(gate.hint.is_none(), gate.open, "{what}: {gate:?}");
        }
    }
}
