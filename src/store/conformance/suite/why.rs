//! The facts about a waiting run for `runs why`, in a store with other runs that must not appear.

use std::collections::BTreeSet;

use super::{Lab, WORKER};
use crate::flow::explain::{AHEAD_MAX, Ahead, Facts, Place, explain};
use crate::flow::{JobRules, LimitRules, QueueRules, Rate, Rules};
use crate::policy::Verdict;
use crate::run::{RunId, State};
use crate::store::Asked;

fn facts(lab: &Lab, asked: Asked<'_>) -> Facts {
    let facts = lab.store.why(asked, lab.now_ms).unwrap();
    facts.expect("it exists")
}

fn ahead(facts: &Facts) -> Vec<(&str, i64)> {
    let ahead = facts.ahead.iter();
    ahead
        .map(|Ahead { job, runs }| (job.as_str(), *runs))
        .collect()
}

#[test]
fn a_run_is_read_with_its_lane_and_the_runs_ahead_of_it() {
    let mut lab = Lab::new();
    let other = lab.enqueue(|new| new.job = "other".into());
    lab.enqueue(|new| new.priority = 0);
    lab.enqueue(|_| ());
    let run = lab.enqueue(|_| ());
    lab.enqueue(|_| ());
    lab.enqueue(|new| new.tenant = "acme".into());
    lab.enqueue(|new| new.queue = "low".into());
    lab.enqueue(|new| (new.job, new.priority) = ("third".into(), 101));
    let read = facts(&lab, Asked::Run(run));
    let place = Place {
        queue: "default".into(),
        tenant: String::new(),
        job: "job".into(),
    };
    assert_eq!(read.place, place);
    let own = read.run.as_ref().unwrap();
    assert_eq!(
        (own.run, own.state, own.due_ms),
        (run, State::Waiting, lab.now_ms)
    );
    assert_eq!(ahead(&read), [("job", 2), ("other", 1), ("third", 0)]);
    assert_eq!(read.job_known, None);
    // No rules are loaded: all queues have the same rank and are ordered by name.
    let heads: Vec<(&str, &str)> = read
        .heads
        .iter()
        .map(|head| (head.place.tenant.as_str(), head.place.job.as_str()))
        .collect();
    assert_eq!(
        heads,
        [("", "job"), ("", "other"), ("", "third"), ("acme", "job")]
    );
    assert_eq!(read.heads[1].run, other);
    let unknown = lab.store.why(Asked::Run(RunId(99)), lab.now_ms).unwrap();
    assert!(unknown.is_none());
}

#[test]
fn running_runs_and_predecessors_are_named() {
    let mut lab = Lab::new();
    let (one, two) = (lab.enqueue(|_| ()), lab.enqueue(|_| ()));
    let claimed = lab.claim_one();
    assert_eq!(claimed.run, one);
    let run = lab.enqueue(|new| new.after = vec![one, two]);
    let other = lab.enqueue(|new| new.after = vec![two]);
    let read = facts(&lab, Asked::Run(run));
    let own = read.run.unwrap();
    assert_eq!(own.gates, 2);
    assert_eq!(own.after, [(one, State::Running), (two, State::Waiting)]);
    assert_eq!(
        facts(&lab, Asked::Run(other)).run.unwrap().after,
        [(two, State::Waiting)]
    );
    let held: Vec<_> = read
        .holders
        .iter()
        .map(|held| (held.run, held.worker))
        .collect();
    assert_eq!(held, [(one, WORKER)]);
    lab.end(&claimed, Verdict::Succeed);
    let read = facts(&lab, Asked::Run(run));
    assert_eq!(read.run.unwrap().after, [(two, State::Waiting)]);
    assert!(read.holders.is_empty());
    assert_eq!(
        facts(&lab, Asked::Run(one)).run.unwrap().state,
        State::Succeeded
    );
}

#[test]
fn a_question_about_a_job_or_a_queue_is_about_its_next_run() {
    let mut lab = Lab::new();
    let later = lab.enqueue(|new| (new.job, new.due_ms) = ("b".into(), new.due_ms + 9_000));
    let sooner = lab.enqueue(|new| (new.job, new.due_ms) = ("b".into(), new.due_ms + 5_000));
    let run = |lab: &Lab, asked| facts(lab, asked).run.map(|run| run.run);
    assert_eq!(run(&lab, Asked::Job("b", "low")), Some(sooner));
    assert_eq!(run(&lab, Asked::Queue("default")), Some(sooner));
    let ready = lab.enqueue(|new| (new.job, new.priority) = ("b".into(), 500));
    let other = lab.enqueue(|new| new.job = "c".into());
    assert_eq!(run(&lab, Asked::Job("b", "low")), Some(ready));
    assert_eq!(run(&lab, Asked::Queue("default")), Some(other));
    assert_eq!(run(&lab, Asked::Queue("low")), None);
    let nothing = facts(&lab, Asked::Job("a", "low"));
    assert_eq!(
        (nothing.run.is_none(), nothing.place.queue.as_str()),
        (true, "low")
    );
    assert!(later < sooner);
}

#[test]
fn lanes_of_queues_of_smaller_rank_are_read_and_of_no_others() {
    let mut lab = Lab::new();
    let mut rules = Rules::default();
    for (name, rank) in [("high", 10), ("default", 50), ("low", 90)] {
        let queue = QueueRules {
            rank,
            ..QueueRules::default()
        };
        rules.queues.insert(name.into(), queue);
    }
    lab.store.write(|tx| tx.save_rules(&rules)).unwrap();
    for queue in ["low", "default", "high"] {
        lab.enqueue(|new| new.queue = queue.into());
    }
    let read = facts(&lab, Asked::Run(RunId(2)));
    let queues: Vec<&str> = read
        .heads
        .iter()
        .map(|head| head.place.queue.as_str())
        .collect();
    assert_eq!(queues, ["high", "default"]);
    let known = |queue: &str| lab.store.knows_queue(queue, lab.now_ms).unwrap().0;
    assert!(known("low") && !known("lowe"));
}

/// Proves: as `the_start_is_expected_when_every_closed_gate_opens_by_time`.
#[test]
fn runs_ahead_are_counted_only_up_to_a_maximum() {
    let mut lab = Lab::new();
    let now_ms = lab.now_ms;
    let new = super::new_run("job", now_ms);
    lab.store
        .write(|tx| {
            for _ in 0..AHEAD_MAX + 5 {
                let mut new = new.clone();
                new.idempotency_key = crate::clock::random_bytes();
                tx.enqueue(&new, now_ms)?;
            }
            Ok(())
        })
        .unwrap();
    let last = facts(&lab, Asked::Run(RunId(AHEAD_MAX + 5)));
    assert_eq!(ahead(&last), [("job", AHEAD_MAX)]);
    let early = facts(&lab, Asked::Run(RunId(3)));
    assert_eq!(ahead(&early), [("job", 2)]);
}

/// Whether the answer names no obstacle but workers and the order of runs.
fn may_start(lab: &Lab, run: RunId) -> bool {
    let answer = explain(&facts(lab, Asked::Run(run)), &BTreeSet::new());
    let others = |name: &str| name == "workers" || name == "order";
    let mut gates = answer.gates.iter();
    gates.all(|gate| gate.open || others(&gate.name))
}

/// Proves (operators): `runs why` judges each gate, open or closed, as the claim does, and advises only commands that
/// exist.
#[test]
fn the_answer_and_the_claim_agree() {
    let mut lab = Lab::new();
    let mut rules = Rules::default();
    for (name, max_running) in [("high", Some(3)), ("default", None), ("low", Some(1))] {
        let queue = QueueRules {
            max_running,
            ..QueueRules::default()
        };
        rules.queues.insert(name.into(), queue);
    }
    let smtp = LimitRules {
        concurrency: Some(2),
        rate: Rate::parse("1/s").ok(),
        ..LimitRules::default()
    };
    rules.limits.insert("smtp".into(), smtp);
    let jobs: [(&str, &[&str], Option<i64>); 3] = [
        ("a", &["smtp"], None),
        ("b", &["smtp"], Some(1)),
        ("c", &[], Some(2)),
    ];
    for (job, limits, concurrency) in jobs {
        let job_rules = JobRules {
            limits: limits.iter().map(ToString::to_string).collect(),
            concurrency,
            breaker: None,
        };
        rules.jobs.insert(job.into(), job_rules);
    }
    rules.tenants.each.concurrency = Some(3);
    lab.store.write(|tx| tx.save_rules(&rules)).unwrap();
    let mut waiting = Vec::new();
    for n in 0..48_usize {
        waiting.push(lab.enqueue(|new| {
            new.job = ["a", "b", "c", "d"][n % 4].into();
            new.queue = ["high", "default", "low"][n % 3].into();
            new.tenant = ["", "acme"][n / 24].into();
            new.due_ms += (n as i64 % 5) * 400;
        }));
    }
    let (mut started, mut stops) = (Vec::new(), 0);
    for turn in 0..400 {
        let open: Vec<RunId> = waiting
            .iter()
            .copied()
            .filter(|run| may_start(&lab, *run))
            .collect();
        if let Some(claimed) = lab.claim(1).pop() {
            assert!(open.contains(&claimed.run), "turn {turn}: {claimed:?}");
            waiting.retain(|run| *run != claimed.run);
            started.push(claimed);
        } else {
            assert_eq!(open, [], "turn {turn}: nothing was claimed");
            stops += 1;
            lab.now_ms += 500;
            if !started.is_empty() {
                let ended = started.remove(turn % started.len());
                lab.end(&ended, Verdict::Succeed);
            }
        }
    }
    assert_eq!(waiting, []);
    assert!(stops > 10, "{stops}");
}
