//! Caps and rates hold at every instant, over all workers, also when some are killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Instant;

use jobctl::run::{RunId, State};

use crate::invariants;
use crate::world::{Running, World, until};

/// Each command writes a line when it begins and one when it ends; a worker's death ends it with SIGTERM.
const CATALOGUE: &str = r#"
    [queue.default]
    max_running = 12
    [limit.shared]
    concurrency = 5
    [tenants]
    concurrency = 6
    [tenants.small]
    concurrency = 2
    [defaults]
    cwd = "."
    grace = "1s"
    retry.max_crashes = 1000
    [job.a]
    command = "sh work.sh"
    limits = ["shared"]
    [job.b]
    command = "sh work.sh"
    limits = ["shared"]
    concurrency = 3
    [job.c]
    command = "sh work.sh"
"#;

const WORK: &str = r#"
    me="$JOBCTL_RUN_ID.$JOBCTL_RUN_ATTEMPT $JOBCTL_RUN_JOB $JOBCTL_RUN_TENANT"
    trap 'echo "- $me" >> lines; exit 1' TERM
    echo "+ $me" >> lines
    sleep 0.03
    echo "- $me" >> lines
"#;

/// What runs, by what is capped, as the lines tell it.
#[derive(Default)]
struct Seen {
    /// Run by run, the attempt that is under way and what it counts for.
    running: BTreeMap<String, (String, Vec<&'static str>)>,
    most: BTreeMap<&'static str, usize>,
    /// Attempts that were killed before they could say so.
    unknown: usize,
}

fn counts_for(job: &str, tenant: &str) -> Vec<&'static str> {
    let mut all = vec!["queue"];
    match job {
        "a" => all.push("shared"),
        "b" => all.extend(["shared", "job b"]),
        _ => {}
    }
    match tenant {
        "small" => all.push("tenant small"),
        "large" => all.push("tenant large"),
        _ => {}
    }
    all
}

impl Seen {
    fn read(lines: &str) -> Self {
        let mut seen = Self::default();
        let ended: BTreeSet<&str> = lines
            .lines()
            .filter_map(|line| line.strip_prefix("- ")?.split(' ').next())
            .collect();
        for line in lines.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let (sign, attempt, job) = (words[0], words[1], words[2]);
            let tenant = words.get(3).copied().unwrap_or_default();
            let run = attempt.split_once('.').expect("run and attempt").0;
            if sign == "-" {
                let ended = seen.running.remove(run);
                assert!(
                    ended.is_some_and(|(known, _)| known == attempt),
                    "{line}: not the one that ran"
                );
                continue;
            }
            let counts = (attempt.to_owned(), counts_for(job, tenant));
            let before = seen.running.insert(run.to_owned(), counts);
            assert!(before.is_none(), "{line}: {before:?} runs");
            let mut now: BTreeMap<&'static str, usize> = BTreeMap::new();
            for what in seen.running.values().flat_map(|(_, what)| what) {
                *now.entry(what).or_default() += 1;
            }
            for (what, n) in now {
                let most = seen.most.entry(what).or_default();
                *most = n.max(*most);
            }
            // On a busy machine SIGKILL may come before the line: nobody knows then how long it went on.
            if !ended.contains(attempt) {
                seen.running.remove(run);
                seen.unknown += 1;
            }
        }
        seen
    }
}

/// A job under a limit of one, by this name, and one that waits for nothing.
fn one_at_a_time(name: &str) -> String {
    format!(
        r#"
        [defaults]
        cwd = "."
        [limit.one]
        concurrency = 1
        [job.{name}]
        command = 'echo "+ $JOBCTL_RUN_JOB" >> lines; until [ -e go ]; do sleep 0.01; done; echo "- $JOBCTL_RUN_JOB" >> lines'
        limits = ["one"]
        [job.beside-{name}]
        command = "touch beside-{name}"
        "#
    )
}

/// Proves: as `caps_hold_at_every_instant_while_workers_are_killed`.
#[test]
fn a_job_that_is_renamed_under_a_reload_while_it_runs_exceeds_no_limit() {
    let world = World::with_catalogue(&one_at_a_time("old"));
    drop(world.store());
    let worker = world.start("-q run-worker --slots 4");
    let lines = || fs::read_to_string(world.root().join("lines")).unwrap_or_default();
    world.run("enqueue old").ok();
    until("it runs", || lines() == "+ old\n");
    world.write_catalogue(&one_at_a_time("new"));
    worker.signal("HUP");
    world.run("enqueue new").ok();
    world.run("enqueue beside-new").ok();
    // A worker that claims this has loaded the new catalogue, and passed over the other.
    until("the reload", || world.root().join("beside-new").exists());
    assert_eq!(lines(), "+ old\n", "the limit was exceeded");
    fs::write(world.root().join("go"), "").unwrap();
    until("both ended", || lines() == "+ old\n- old\n+ new\n- new\n");
    worker.signal("TERM");
    assert_eq!(worker.end().code, Some(0));
    invariants::hold(&world);
}

/// Proves (flow): the caps of a limit, a job, a tenant and a queue hold at every instant while workers are killed; so
/// do rates.
#[test]
fn caps_hold_at_every_instant_while_workers_are_killed() {
    let world = World::with_catalogue(CATALOGUE);
    fs::write(world.root().join("work.sh"), WORK).unwrap();
    world.store();
    let tenants = ["small", "large", ""];
    let mut runs = Vec::new();
    for n in 0..240 {
        let enqueued = world.enqueue_as(|run| {
            run.job = ["a", "b", "c"][n % 3].into();
            run.tenant = tenants[n / 3 % 3].into();
            run.max_crashes = 1_000;
        });
        runs.push(enqueued.run);
    }
    let start = || world.start("-q run-worker --slots 8");
    let mut workers: Vec<Running> = (0..4).map(|_| start()).collect();
    let lines = || fs::read_to_string(world.root().join("lines")).unwrap_or_default();
    // A worker dies whenever some more lines were written.
    for kill in 1..=8 {
        until("they work", || lines().lines().count() >= kill * 40);
        let victim = workers.remove(0);
        victim.signal("KILL");
        drop(victim);
        workers.push(start());
    }
    let store = world.store();
    until("all ended", || {
        runs.iter()
            .all(|&run| store.state_of(run).unwrap().unwrap() == State::Succeeded)
    });
    for worker in &workers {
        worker.signal("TERM");
    }
    for worker in workers {
        assert_eq!(worker.end().code, Some(0));
    }
    let seen = Seen::read(&lines());
    assert!(seen.running.is_empty(), "{:?}", seen.running);
    println!("{} attempts were killed before they said so", seen.unknown);
    let caps = [
        ("queue", 12),
        ("shared", 5),
        ("job b", 3),
        ("tenant small", 2),
        ("tenant large", 6),
    ];
    for (what, cap) in caps {
        let most = seen.most[what];
        assert!(most <= cap, "{what}: {most} of {cap}");
    }
    // They were reached, too: the queue and the limit are what stops most.
    assert_eq!(seen.most["shared"], 5);
    invariants::hold(&world);
}

/// Proves: as `caps_hold_at_every_instant_while_workers_are_killed`.
#[test]
fn a_rate_holds_over_all_workers() {
    let world = World::with_catalogue(
        r#"
        [limit.api]
        rate = "20/s"
        burst = 4
        [job.call]
        command = ["/bin/true"]
        limits = ["api"]
        "#,
    );
    world.store();
    let n = 24;
    for _ in 0..n {
        world.enqueue("call");
    }
    let begun_ms = jobctl::clock::wall_ms();
    let workers: Vec<Running> = (0..3)
        .map(|_| world.start("-q run-worker --slots 4 --drain=all"))
        .collect();
    for worker in workers {
        assert_eq!(worker.end().code, Some(0));
    }
    let conn = invariants::open(&world);
    let sql = "SELECT started_ms FROM attempt ORDER BY started_ms";
    let mut statement = conn.prepare(sql).unwrap();
    let starts: Vec<i64> = statement
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(starts.len(), n, "a drain of all waits for a rate");
    for (before, start_ms) in starts.iter().enumerate() {
        let after_ms = start_ms - begun_ms;
        let least_ms = (before as i64 - 3) * 50;
        assert!(
            after_ms >= least_ms,
            "start {before} after {after_ms} ms: {starts:?}"
        );
    }
    invariants::hold(&world);
}

#[test]
fn a_full_limit_is_used_again_at_once() {
    let world = World::with_catalogue(
        r#"
        [limit.one]
        concurrency = 1
        [job.step]
        command = ["/bin/true"]
        limits = ["one"]
        "#,
    );
    world.store();
    let n = 60;
    for _ in 0..n {
        world.enqueue("step");
    }
    let begun = Instant::now();
    let workers: Vec<Running> = (0..2)
        .map(|_| world.start("-q run-worker --slots 2 --drain=all"))
        .collect();
    for worker in workers {
        assert_eq!(worker.end().code, Some(0));
    }
    println!(
        "{n} runs one after another by two workers: {:?}",
        begun.elapsed()
    );
    let conn = invariants::open(&world);
    let ended = "SELECT count(*) FROM run WHERE state = 'succeeded'";
    assert_eq!(invariants::number(&conn, ended), n);
    let overlaps = "
        SELECT count(*) FROM attempt a JOIN attempt b ON b.run <> a.run
        WHERE b.started_ms > a.started_ms AND b.started_ms < a.ended_ms";
    assert_eq!(invariants::number(&conn, overlaps), 0);
    invariants::hold(&world);
}

#[test]
fn a_run_in_the_foreground_stands_under_the_limits_too() {
    let world = World::with_catalogue(
        r#"
        [limit.one]
        concurrency = 1
        [job.first]
        command = "until [ -e go ]; do sleep 0.01; done"
        cwd = "."
        timeout = "2m"
        limits = ["one"]
        [job.second]
        command = "[ -e go ]"
        cwd = "."
        limits = ["one"]
        "#,
    );
    let first = world.enqueue("first");
    let worker = world.start("-q run-worker --slots 1");
    let store = world.store();
    until("it runs", || {
        store.state_of(first).unwrap().unwrap() == State::Running
    });
    let second = world.start("-q run second");
    let conn = invariants::open(&world);
    let kept = "SELECT count(*) FROM run WHERE state = 'waiting' AND worker IS NOT NULL";
    until("the second waits", || invariants::number(&conn, kept) == 1);
    fs::write(world.root().join("go"), "").unwrap();
    // It fails if it started before the first had ended.
    assert_eq!(second.end().code, Some(0));
    worker.signal("TERM");
    assert_eq!(worker.end().code, Some(0));
    invariants::hold(&world);
}

#[test]
fn drain_all_leaves_paused_runs() {
    let world = World::with_catalogue(
        r#"
        [queue.low]
        paused = true
        [job.a]
        command = ["/bin/true"]
        queue = "low"
        "#,
    );
    world.enqueue_as(|run| {
        run.job = "a".into();
        run.queue = "low".into();
    });
    let said = world.run("-q run-worker --drain=all");
    assert_eq!(said.code, Some(0));
    let state = world.store().state_of(RunId(1)).unwrap();
    assert_eq!(state, Some(State::Waiting));
}
