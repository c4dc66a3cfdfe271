//! Flow control: claims beside limits and tenants, important runs behind a long queue, a reserved slot under load, slots that
//! stand empty, lists of queues with many tenants.
//!
//! `cargo bench --bench flow [claim|behind|reserve|idle|lanes]`; `BENCH_WAITING` (1000000), `BENCH_LOW` (100000) and `BENCH_LANES`
//! (6000) change the size. Needs a quiet machine.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a program that measures processes and prints"
)]

mod common;

use std::fmt::Write;
use std::time::Duration;

use common::gaps::{events, gaps, logged};
use common::load::{Background, claims_in_turn, fill, new_run, started_after, store};
use common::{Times, World, gap_line, in_turn, line, setting};
use jobctl::catalogue::Catalogue;
use jobctl::run::WorkerId;
use jobctl::store::{NewRun, Store};

fn main() {
    common::run_wanted(&[
        ("claim", &claim),
        ("behind", &behind),
        ("reserve", &reserve),
        ("idle", &idle),
        ("lanes", &lanes),
    ]);
}

/// A hundred jobs, each under a limit of its own; the first `full` let one run through, the others a hundred.
fn hundred_limits(full: usize) -> String {
    let mut text = String::new();
    for n in 0..100 {
        let cap = if n < full { 1 } else { 100 };
        write!(
            text,
            "[limit.l{n:02}]\nconcurrency = {cap}\n[job.j{n:02}]\ncommand = [\"/bin/true\"]\nlimits = [\"l{n:02}\"]\n"
        )
        .expect("text");
    }
    text
}

fn with_rules(world: &World) -> Store {
    let mut store = store(world);
    let catalogue = Catalogue::load(&world.catalogue()).expect("a catalogue");
    store
        .write(|tx| tx.apply_catalogue(&catalogue, jobctl::clock::wall_ms()))
        .expect("kept");
    store
}

/// Claims of 16 runs that are given back, in turn over stores that differ in what stands in the way.
fn claim() {
    const PLAIN: &str = "[job.true]\ncommand = [\"/bin/true\"]\n";
    let (mut names, mut worlds, mut stores) = (Vec::new(), Vec::new(), Vec::new());
    let mut add = |name: &str, catalogue: &str, make: &dyn Fn(u64, i64) -> NewRun, full: usize| {
        let world = World::fresh(catalogue);
        let mut store = with_rules(&world);
        for n in 0..full {
            // What makes its limit full.
            let now_ms = jobctl::clock::wall_ms();
            let run = new_run(&format!("j{n:02}"), "", now_ms);
            let held = store.write(|tx| {
                let run = tx.enqueue(&run, now_ms)?.run;
                tx.reserve_for(run, WorkerId(9))?;
                let request = common::load::request_of(WorkerId(9), 1);
                Ok(tx.claim_reserved(run, &request, now_ms)?.runs.len())
            });
            assert_eq!(held.expect("claimed"), 1);
        }
        fill(&mut store, 10_000, make);
        names.push(name.to_owned());
        worlds.push(world);
        stores.push(store);
    };
    let plain = |_, now_ms| new_run("true", "", now_ms);
    let tenants = |i: u64, now_ms| new_run("true", &format!("t{}", i % 1000), now_ms);
    let jobs = |i: u64, now_ms| new_run(&format!("j{:02}", i % 100), "", now_ms);
    add("one job, no limit", PLAIN, &plain, 0);
    add("1,000 tenants", PLAIN, &tenants, 0);
    add("100 limits, all open", &hundred_limits(0), &jobs, 0);
    add(
        "100 limits, 99 of them full",
        &hundred_limits(99),
        &jobs,
        99,
    );
    let times = claims_in_turn(&mut stores, 200);
    println!("claim of 16 of 10,000 waiting runs");
    for (name, its) in names.iter().zip(&times) {
        line(
            &format!("  {name}"),
            its,
            Some(("one job, no limit", &times[0])),
        );
    }
}

const QUEUES: &str = "
[queue.high]
reserve = 1
[job.stamp]
command = [\"/bin/sh\", \"-c\", \"date +%s%N >> stamps\"]
cwd = \".\"
queue = \"high\"
[job.low]
command = [\"/bin/true\"]
queue = \"low\"
";

fn low(_: u64, now_ms: i64) -> NewRun {
    NewRun {
        queue: "low".into(),
        ..new_run("low", "", now_ms)
    }
}

/// A run of the first queue: behind a million of the last one, which is paused, and on an empty store, in turn.
fn behind() {
    let paused = format!("{QUEUES}\n[queue.low]\npaused = true\n");
    let waiting = setting("BENCH_WAITING", 1_000_000);
    let worlds = [World::fresh(&paused), World::fresh(&paused)];
    fill(&mut with_rules(&worlds[1]), waiting, low);
    drop(with_rules(&worlds[0]));
    let workers: Vec<Background> = worlds
        .iter()
        .map(|world| Background::start(world, "2"))
        .collect();
    let mut times = [Vec::new(), Vec::new()];
    for n in 0..100 {
        for (world, times) in worlds.iter().zip(&mut times) {
            times.push(started_after(
                world,
                &world.jobctl(&["enqueue", "stamp"]),
                n,
            ));
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    drop(workers);
    let [empty, behind] = times.map(Times::new);
    println!("enqueue returned -> command of queue `high` started (with sh, date)");
    line("  empty store", &empty, None);
    line(
        &format!("  behind {waiting} of queue `low`"),
        &behind,
        Some(("empty store", &empty)),
    );
}

/// The password reset: one reserved slot, while a worker works through many runs of the last queue.
fn reserve() {
    let many = setting("BENCH_LOW", 100_000);
    let world = World::fresh(QUEUES);
    fill(&mut with_rules(&world), many, low);
    let worker = Background::start(&world, "2");
    let enqueue = world.jobctl(&["enqueue", "stamp"]);
    let mut times = Vec::new();
    for n in 0..200 {
        times.push(started_after(&world, &enqueue, n));
        std::thread::sleep(Duration::from_millis(20));
    }
    let left = store(&world)
        .queues(jobctl::clock::wall_ms())
        .expect("a look");
    let left = left
        .iter()
        .find(|queue| queue.queue == "low")
        .map_or(0, |queue| queue.ready);
    drop(worker);
    line(
        &format!("one reserved slot, {left} of {many} low runs left"),
        &Times::new(times),
        None,
    );
}

/// `queues list` where one queue has a lane for each of many tenants, beside one where nothing waits: the whole process.
fn lanes() {
    let tenants = setting("BENCH_LANES", 6_000);
    let worlds = [World::fresh(QUEUES), World::fresh(QUEUES)];
    fill(&mut with_rules(&worlds[1]), tenants, |i, now_ms| {
        new_run("true", &format!("t{i}"), now_ms)
    });
    drop(with_rules(&worlds[0]));
    let open = worlds.each_ref().map(World::stay_open);
    let lists = worlds
        .each_ref()
        .map(|world| world.jobctl(&["queues", "list"]));
    let times = in_turn(100, &[&lists[0], &lists[1]]);
    drop(open);
    line("queues list, nothing waits", &times[0], None);
    line(
        &format!("  {tenants} tenants with a run each"),
        &times[1],
        Some(("nothing", &times[0])),
    );
}

/// A job that writes the log.
fn logged_job(name: &str, takes: &str, more: &str) -> String {
    let body = logged(name, takes);
    format!("[job.{name}]\ncommand = [\"/bin/bash\", \"-c\", '{body}']\ncwd = \".\"\n{more}\n")
}

/// How long a slot stands empty: while all lanes but one are full, and when the end of a run of another worker opens a lane.
fn idle() {
    for (what, takes) in [
        ("runs of no length", "true"),
        ("runs of 20 ms", "sleep 0.02"),
        ("runs of 100 ms", "sleep 0.1"),
    ] {
        let mut catalogue = hundred_limits(0).replace("concurrency = 100", "rate = \"1/d\"");
        catalogue += &logged_job("true", takes, "");
        let world = World::fresh(&catalogue);
        let mut store = with_rules(&world);
        // One run of each of the others may start, and then none.
        fill(&mut store, 10_000, |i, now_ms| {
            new_run(&format!("j{:02}", i % 100), "", now_ms)
        });
        fill(&mut store, 400, |_, now_ms| new_run("true", "", now_ms));
        let worker = Background::start(&world, "4");
        let seen = wait_for(&world, 800);
        drop(worker);
        gap_line(&format!("one slot of four empty, {what}"), &gaps(&seen));
    }
    hand_over();
}

/// Waits until the log has so many lines.
fn wait_for(world: &World, lines: usize) -> Vec<common::gaps::Event> {
    loop {
        let seen = events(world.root());
        if seen.len() >= lines {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A run holds a limit in one worker, and one that waits for it is there for another.
fn hand_over() {
    let under = |queue: &str| format!("limits = [\"one\"]\nqueue = \"{queue}\"");
    let catalogue = ["[limit.one]\nconcurrency = 1\n".to_owned()]
        .into_iter()
        .chain([logged_job("first", "sleep 0.1", &under("high"))])
        .chain([logged_job("second", "true", &under("low"))])
        .collect::<String>();
    let world = World::fresh(&catalogue);
    drop(with_rules(&world));
    let workers =
        ["high", "low"].map(|queue| Background::start_for(&world, "2", &["--queue", queue]));
    let enqueue = ["first", "second"].map(|job| world.jobctl(&["enqueue", job]));
    let mut times = Vec::new();
    for round in 0..100 {
        enqueue[0].time();
        wait_for(&world, round * 4 + 1);
        enqueue[1].time();
        let seen = wait_for(&world, round * 4 + 4);
        let [.., ended, begun, _] = &seen[..] else {
            unreachable!("four lines were written");
        };
        assert_eq!(
            (ended.name.as_str(), begun.name.as_str()),
            ("first", "second")
        );
        times.push(ended.until(begun));
    }
    drop(workers);
    gap_line(
        "end in one worker -> start in another that waited",
        &Times::new(times),
    );
}
