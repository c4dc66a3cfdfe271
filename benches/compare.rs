//! This build against another binary of jobctl, in turn within one run: enqueue, worker, claims behind a backlog, start latency, and system calls.
//!
//! `BENCH_OTHER=/path/to/jobctl cargo bench --bench compare [enqueue|worker|claim|latency|calls]`; `BENCH_PAIRS` (21), `BENCH_RUNS` (2000) and
//! `BENCH_WAITING` (200000) change the size. Each line gives the median of the ratios of the pairs, this build to the other, and the interval in which the
//! true median lies with 95 % confidence (order statistics). Needs a quiet machine.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a program that measures processes and prints"
)]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::load::started_after;
use common::{Program, World, installed, setting};

const CATALOGUE: &str = "
[job.true]
command = [\"/bin/true\"]
[job.stamp]
command = [\"/bin/sh\", \"-c\", \"date +%s%N >> stamps\"]
cwd = \".\"
";

fn main() {
    common::run_wanted(&[
        ("enqueue", &enqueue),
        ("worker", &worker),
        ("claim", &claim),
        ("latency", &latency),
        ("calls", &calls),
    ]);
}

/// One of the two binaries, with a store of its own.
struct Side {
    binary: PathBuf,
    world: World,
}

impl Side {
    fn program(&self, args: &[&str]) -> Program {
        Program::new(&self.binary, args)
            .env("JOBCTL_STORE", self.world.state())
            // Its name in binaries before `--store`.
            .env("JOBCTL_STATE", self.world.state())
            .env("JOBCTL_CATALOGUE", self.world.catalogue())
    }

    /// Stores so many runs of `/bin/true`.
    fn fill(&self, runs: u64) {
        let path = self.world.root().join("lines");
        let mut lines = String::new();
        for _ in 0..runs {
            writeln!(lines, "{{\"job\":\"true\"}}").expect("a line");
        }
        fs::write(&path, lines).expect("lines");
        let path = path.to_string_lossy().into_owned();
        self.program(&["enqueue", "--from", &path, "-q"]).time();
    }

    fn drain(&self, slots: &str, more: &[&str]) -> Duration {
        let args = [&["run-worker", "-q", "--slots", slots], more].concat();
        self.program(&args).time()
    }

    fn worker(&self) -> Worker {
        let mut command = self
            .program(&["run-worker", "-q", "--slots", "2"])
            .command();
        let child = command.stderr(Stdio::null()).spawn().expect("it starts");
        let workers = self.world.state().join("workers");
        let registered = || {
            let files = fs::read_dir(&workers).into_iter().flatten().flatten();
            files
                .filter(|file| file.path().extension().is_some_and(|it| it == "lock"))
                .count()
                > 0
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !registered() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(300));
        Worker(child)
    }
}

/// A worker that ends with its value.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        drop(self.0.wait());
    }
}

/// This build and the other one.
fn sides() -> Option<[Side; 2]> {
    let Some(other) = std::env::var_os("BENCH_OTHER") else {
        println!("BENCH_OTHER names no binary to compare with");
        return None;
    };
    let ours = PathBuf::from(env!("CARGO_BIN_EXE_jobctl"));
    Some([ours, PathBuf::from(other)].map(|binary| Side {
        binary,
        world: World::new(CATALOGUE),
    }))
}

fn pairs() -> usize {
    setting("BENCH_PAIRS", 21) as usize
}

/// Measures both in turn, so often; who begins alternates.
fn in_pairs(name: &str, sides: &[Side; 2], measure: impl Fn(&Side) -> Duration) {
    let mut times = [Vec::new(), Vec::new()];
    for pair in 0..pairs() {
        for half in 0..2 {
            let side = (pair + half) % 2;
            times[side].push(measure(&sides[side]));
        }
    }
    report(name, &times);
}

/// Medians of both, the median ratio and its interval.
fn report(name: &str, times: &[Vec<Duration>; 2]) {
    let ms = |time: &Duration| time.as_secs_f64() * 1000.0;
    let sorted = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values
    };
    let [ours, other] = [0, 1].map(|side: usize| sorted(times[side].iter().map(ms).collect()));
    let ratios = times[0].iter().zip(&times[1]);
    let ratios = sorted(ratios.map(|(a, b)| ms(a) / ms(b)).collect());
    let n = ratios.len();
    let (low, high) = interval(n);
    println!(
        "{name:<44} {:>9.2} ms, the other {:>9.2} ms; ratio {:.3} [{:.3}, {:.3}] of {n} pairs",
        ours[n / 2],
        other[n / 2],
        ratios[n / 2],
        ratios[low],
        ratios[high],
    );
}

/// Ranks (from 0) between which the median lies with 95 % confidence: n/2 -+ 0.98 sqrt(n), of the binomial distribution.
fn interval(n: usize) -> (usize, usize) {
    let half = 0.98 * (n as f64).sqrt();
    let low = (n as f64 / 2.0 - half).floor().max(0.0) as usize;
    (low, n - 1 - low)
}

/// Twenty enqueues, each a process.
fn enqueue() {
    let Some(sides) = sides() else { return };
    let once = |side: &Side| side.program(&["enqueue", "true"]).time();
    let open: Vec<_> = sides
        .iter()
        .map(|side| {
            once(side);
            side.world.stay_open()
        })
        .collect();
    in_pairs("20 x enqueue", &sides, |side| {
        (0..20).map(|_| once(side)).sum()
    });
    drop(open);
}

/// A drain of runs of `/bin/true`.
fn worker() {
    let runs = setting("BENCH_RUNS", 2000);
    for slots in ["2", "4", "8"] {
        let Some(sides) = sides() else { return };
        in_pairs(
            &format!("{runs} x /bin/true, {slots} slots"),
            &sides,
            |side| {
                side.fill(runs);
                side.drain(slots, &["--drain"])
            },
        );
    }
}

/// Some runs of many, so that claims are made behind a backlog.
fn claim() {
    let Some(sides) = sides() else { return };
    let waiting = setting("BENCH_WAITING", 200_000);
    for side in &sides {
        side.fill(waiting);
    }
    in_pairs(&format!("500 runs of {waiting} waiting"), &sides, |side| {
        side.drain("4", &["--max-runs", "500"])
    });
}

/// From the return of `enqueue` to the command, twenty times.
fn latency() {
    let Some(sides) = sides() else { return };
    let workers = [0, 1].map(|side: usize| {
        sides[side].program(&["enqueue", "true"]).time();
        sides[side].worker()
    });
    in_pairs("20 x enqueue returned -> command started", &sides, |side| {
        let stamps = side.world.root().join("stamps");
        let enqueue = side.program(&["enqueue", "stamp"]);
        let one = |_| {
            let stamped = fs::read_to_string(&stamps)
                .unwrap_or_default()
                .lines()
                .count();
            let took = started_after(&side.world, &enqueue, stamped);
            std::thread::sleep(Duration::from_millis(10));
            took
        };
        (0..20).map(one).sum()
    });
    drop(workers);
}

/// System calls and syncs of an enqueue and of a drain, by `strace -c`.
fn calls() {
    let Some(strace) = installed("strace") else {
        println!("system calls are not counted: strace is not installed");
        return;
    };
    let Some(sides) = sides() else { return };
    let runs = setting("BENCH_RUNS", 2000);
    for side in &sides {
        side.program(&["enqueue", "true"]).time();
        let open = side.world.stay_open();
        let enqueue = counted(&strace, side, &["enqueue", "true"]);
        side.fill(runs);
        let drain = counted(
            &strace,
            side,
            &["run-worker", "-q", "--slots", "4", "--drain"],
        );
        drop(open);
        let syncs = |calls: &BTreeMap<String, u64>| -> u64 {
            ["fsync", "fdatasync"]
                .iter()
                .filter_map(|it| calls.get(*it))
                .sum()
        };
        let total = |calls: &BTreeMap<String, u64>| -> u64 { calls.values().sum() };
        println!("{}", side.binary.display());
        println!(
            "  enqueue: {} system calls, {} syncs",
            total(&enqueue),
            syncs(&enqueue)
        );
        println!(
            "  {runs} runs on 4 slots: {:.1} system calls and {:.3} syncs a run, commands not counted",
            total(&drain) as f64 / runs as f64,
            syncs(&drain) as f64 / runs as f64,
        );
    }
}

/// Number of calls by name, of all threads and of no other process.
fn counted(strace: &PathBuf, side: &Side, args: &[&str]) -> BTreeMap<String, u64> {
    let trace = side.world.root().join("trace");
    // Each process has a file of its own: those of the commands are left out.
    let program = side.program(args).command();
    let mut command = Command::new(strace);
    command.args(["-f", "-ff", "-q", "-o"]).arg(&trace);
    command.arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    assert!(command.status().expect("strace starts").success());
    let mut calls = BTreeMap::new();
    let files = fs::read_dir(side.world.root()).expect("a directory");
    for file in files.flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if !name.starts_with("trace.") {
            continue;
        }
        let text = fs::read(file.path()).expect("a trace");
        let text = String::from_utf8_lossy(&text);
        fs::remove_file(file.path()).expect("removed");
        if text.contains("execve(\"/bin/true\"") {
            continue;
        }
        for line in text.lines() {
            if let Some((call, _)) = line.split_once('(')
                && call
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            {
                *calls.entry(call.to_owned()).or_insert(0) += 1;
            }
        }
    }
    calls
}
