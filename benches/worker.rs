//! Working runs: throughput against `xargs -P` and bare starts, the engine alone, claims under backlog, start latency, idle.
//!
//! `cargo bench --bench worker [throughput|engine|claim|latency|idle]`; `BENCH_RUNS` (4000) and `BENCH_WAITING` (1000000)
//! change the size. Needs a quiet machine.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a program that measures processes and prints"
)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::load::{Background, claims_in_turn, fill, new_run, request, started_after, store};
use common::{Program, Times, World, installed, line, setting};
use jobctl::attempt::{Ending, Report, Said};
use jobctl::policy::{Judged, Verdict};
use jobctl::run::WorkerId;
use jobctl::store::{Holder, Store, Turns};

const CATALOGUE: &str = "
[job.true]
command = [\"/bin/true\"]
[job.stamp]
command = [\"/bin/sh\", \"-c\", \"date +%s%N >> stamps\"]
cwd = \".\"
";

fn main() {
    common::run_wanted(&[
        ("throughput", &throughput),
        ("engine", &engine),
        ("claim", &claim),
        ("latency", &latency),
        ("idle", &idle),
    ]);
}

/// All runs of `/bin/true`, durable and with captured output, in turn with `xargs -P` and with bare starts.
fn throughput() {
    let runs = setting("BENCH_RUNS", 4000);
    let xargs = installed("xargs");
    for slots in [2, 4, 8] {
        let (mut ours, mut theirs, mut bare) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..5 {
            let world = World::fresh(CATALOGUE);
            fill(&mut store(&world), runs, |_, now_ms| {
                new_run("true", "", now_ms)
            });
            let slots_text = slots.to_string();
            ours.push(
                world
                    .jobctl(&["run-worker", "--drain", "-q", "--slots", &slots_text])
                    .time(),
            );
            if let Some(xargs) = &xargs {
                theirs.push(run_xargs(xargs, runs, slots));
            }
            bare.push(run_bare(runs, slots));
        }
        let (ours, bare) = (Times::new(ours), Times::new(bare));
        let rate = |times: &Times| runs as f64 / times.median().as_secs_f64();
        println!("{runs} x /bin/true, {slots} slots");
        println!("  jobctl run-worker --drain   {:>6.0}/s", rate(&ours));
        if !theirs.is_empty() {
            let theirs = Times::new(theirs);
            let ratio = rate(&ours) / rate(&theirs);
            println!(
                "  xargs -P                    {:>6.0}/s  jobctl is {ratio:.2} x",
                rate(&theirs)
            );
        }
        let ratio = rate(&ours) / rate(&bare);
        println!(
            "  bare starts                 {:>6.0}/s  jobctl is {ratio:.2} x",
            rate(&bare)
        );
    }
}

fn run_xargs(xargs: &Path, runs: u64, slots: u64) -> Duration {
    let numbers = vec!["x"; runs as usize].join("\n");
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), numbers).expect("written");
    let start = Instant::now();
    let status = Command::new(xargs)
        .args(["-P", &slots.to_string(), "-n", "1", "/bin/true"])
        .stdin(fs::File::open(file.path()).expect("opened"))
        .status();
    assert!(status.expect("xargs starts").success());
    start.elapsed()
}

fn run_bare(runs: u64, slots: u64) -> Duration {
    let next = AtomicU64::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..slots {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < runs {
                    let status = Command::new("/bin/true").status();
                    assert!(status.expect("it starts").success());
                }
            });
        }
    });
    start.elapsed()
}

/// Claims and finishes without processes: what the store alone can do, 64 runs per transaction.
fn engine() {
    let runs = setting("BENCH_RUNS", 4000) * 10;
    let world = World::fresh(CATALOGUE);
    let mut store = store(&world);
    fill(&mut store, runs, |_, now_ms| new_run("true", "", now_ms));
    let mut turns = Turns::default();
    let start = Instant::now();
    let mut done = 0;
    let mut held = Vec::new();
    while done < runs {
        let now_ms = jobctl::clock::wall_ms();
        let claims = store.write(|tx| {
            for holder in held.drain(..) {
                tx.finish(
                    holder,
                    &report(now_ms),
                    &judged(),
                    Verdict::Succeed,
                    false,
                    now_ms,
                )?;
            }
            tx.promote(now_ms)?;
            tx.expire(now_ms)?;
            tx.claim(&request(64), &mut turns, now_ms)
        });
        let claims = claims.expect("claimed");
        done += claims.runs.len() as u64;
        held.extend(claims.runs.iter().map(|claimed| Holder {
            run: claimed.run,
            fence: claimed.fence,
            worker: WorkerId(1),
            attempt: claimed.attempt,
        }));
        if store.wal_bytes() > 4 << 20 {
            store.checkpoint(false).expect("a checkpoint");
        }
    }
    let rate = runs as f64 / start.elapsed().as_secs_f64();
    println!("the engine without processes: {rate:.0} runs/s (target 30,000)");
}

fn report(now_ms: i64) -> Report {
    Report {
        started_ms: now_ms,
        ran_ms: 0,
        ending: Ending::Exited(0),
        output_tail: Vec::new(),
        output_bytes: 0,
        leaked: 0,
        said: Said::default(),
    }
}

fn judged() -> Judged {
    Judged {
        class: jobctl::attempt::Class::Success,
        retry_after: None,
        error: None,
    }
}

/// Claims of 16 runs that are given back, in turn over stores that differ in what waits.
fn claim() {
    let many = setting("BENCH_WAITING", 1_000_000);
    let plain = |_, now_ms| new_run("true", "", now_ms);
    let tenants = |i: u64, now_ms| new_run("true", &format!("t{}", i % 1000), now_ms);
    let blocked = |i: u64, now_ms: i64| {
        // Those in front are of a job that nobody knows.
        let job = if i.is_multiple_of(1000) {
            "true"
        } else {
            "unknown"
        };
        new_run(
            job,
            "",
            if job == "true" {
                now_ms
            } else {
                now_ms - 60_000
            },
        )
    };
    let (mut names, mut worlds, mut stores) = (Vec::new(), Vec::new(), Vec::new());
    let mut add = |name: &str, prepare: &dyn Fn(&mut Store)| {
        let world = World::fresh(CATALOGUE);
        let mut store = store(&world);
        prepare(&mut store);
        names.push(name.to_owned());
        worlds.push(world);
        stores.push(store);
    };
    add("1,000 waiting", &|store| fill(store, 1000, plain));
    add("all waiting", &|store| fill(store, many, plain));
    add("all waiting, as many delayed", &|store| {
        fill(store, many, plain);
        fill(store, many, |_, now_ms| {
            new_run("true", "", now_ms + 86_400_000)
        });
    });
    add("1,000 tenants", &|store| fill(store, many, tenants));
    add("all but one in 1,000 blocked", &|store| {
        fill(store, many, blocked);
    });
    let times = claims_in_turn(&mut stores, 200);
    println!("claim of 16 runs; \"all\" is {many}");
    for (name, its) in names.iter().zip(&times) {
        line(
            &format!("  {name}"),
            its,
            Some(("1,000 waiting", &times[0])),
        );
    }
}

/// From the return of `jobctl enqueue` to the first instruction of the command, on an idle worker. The command writes the
/// time itself; what `date` takes to start is in the figure.
fn latency() {
    let world = World::fresh(CATALOGUE);
    drop(store(&world));
    let worker = Background::start(&world, "2");
    let enqueue: Program = world.jobctl(&["enqueue", "stamp"]);
    let mut times = Vec::new();
    for n in 0..200 {
        times.push(started_after(&world, &enqueue, n));
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(worker);
    line(
        "enqueue returned -> command started (with sh, date)",
        &Times::new(times),
        None,
    );
}

/// CPU time and memory of a worker that has nothing to do for ten seconds.
fn idle() {
    let world = World::fresh(CATALOGUE);
    drop(store(&world));
    let worker = Background::start(&world, "4");
    let cpu = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", worker.pid())).expect("a worker");
        let fields: Vec<u64> = stat
            .rsplit_once(')')
            .expect("a name")
            .1
            .split_whitespace()
            .filter_map(|field| field.parse().ok())
            .collect();
        // utime and stime, fields 14 and 15, behind the name and the state.
        Duration::from_millis((fields[10] + fields[11]) * 10)
    };
    let before = cpu();
    std::thread::sleep(Duration::from_secs(10));
    let used = cpu().saturating_sub(before);
    let status = fs::read_to_string(format!("/proc/{}/status", worker.pid())).expect("a worker");
    let rss = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap_or_default();
    println!("idle for 10 s: {used:?} of CPU, {}", rss.replace('\t', " "));
}
