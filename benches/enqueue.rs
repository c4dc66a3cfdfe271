//! Enqueueing: one whole process against the least that is possible, and imports of a million lines.
//!
//! `cargo bench --bench enqueue`; `BENCH_ROUNDS` (300), `BENCH_ROWS` (1000000), `BENCH_STORED` (1000000, the rows in the store
//! for the third table) and `BENCH_ALONE` (4000) change the size. Needs a quiet machine.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a program that measures processes and prints"
)]

mod common;

use std::fmt::Write as _;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Program, Times, World, in_turn, installed, line, setting};

const JOB: &str = "
[job.bench]
command = [\"/bin/true\", \"--to={to}\"]
params = { to = { required = true } }

[job.once]
command = [\"/bin/true\"]
params = { to = { required = true } }
dedup = { key = \"{to}\", window = \"1h\" }
";

const ONE: &[&str] = &["enqueue", "bench", "--param", "to=a"];

fn main() {
    let baseline = common::baseline();
    common::run_wanted(&[
        ("one", &|| one(&baseline)),
        ("jobs", &|| many_jobs(&baseline)),
        ("stored", &|| many_stored(&baseline)),
        ("bulk", &|| bulk(&baseline)),
        ("contention", &|| contention(&baseline)),
        ("alone", &|| alone(&baseline)),
    ]);
}

/// A world whose store exists and knows the catalogue.
fn world(catalogue: &str) -> World {
    let world = World::new(catalogue);
    world.jobctl(ONE).time();
    world
}

fn minimal(baseline: &Path, world: &World) -> Program {
    Program::new(baseline, &["one", &world.database().to_string_lossy()])
}

/// The same row by the sqlite3 command.
fn sqlite3(world: &World) -> Option<Program> {
    const SQL: &str = "PRAGMA synchronous = FULL; BEGIN IMMEDIATE;
        INSERT INTO run (job, queue, tenant, priority, state, ready, order_key, created_ms, due_ms, max_attempts,
            max_crashes, guarantee, params, has_payload, idempotency_key, trigger)
        VALUES ('bench', 'default', '', 100, 'waiting', 1, 1, 1, 1, 3, 3, 'at-least-once', '{\"to\":\"a\"}', 0,
            randomblob(16), 'manual');
        COMMIT; SELECT last_insert_rowid();";
    let path = installed("sqlite3")?;
    Some(Program::new(
        path,
        &[
            "-init",
            "/dev/null",
            &world.database().to_string_lossy(),
            SQL,
        ],
    ))
}

fn one(baseline: &Path) {
    println!("one durable enqueue, whole process, the store open elsewhere");
    let world = world(JOB);
    let _open = world.stay_open();
    let rounds = setting("BENCH_ROUNDS", 300) as usize;
    let (jobctl, minimal) = (world.jobctl(ONE), minimal(baseline, &world));
    let none = Program::new("/bin/true", &[]);
    let sqlite3 = sqlite3(&world);
    let mut programs = vec![&jobctl, &minimal, &none];
    programs.extend(sqlite3.as_ref());
    let times = in_turn(rounds, &programs);
    line("jobctl enqueue", &times[0], Some(("minimal", &times[1])));
    if let Some(sqlite3) = times.get(3) {
        line("", &times[0], Some(("sqlite3", sqlite3)));
        line("sqlite3", sqlite3, None);
    }
    line("minimal rusqlite program", &times[1], None);
    line("/bin/true", &times[2], None);
}

fn many_jobs(_: &Path) {
    println!("with 1,000 jobs in the catalogue");
    let mut catalogue = JOB.to_owned();
    for n in 0..998 {
        let _ = write!(
            catalogue,
            "[job.job-{n}]\ncommand = [\"/bin/echo\", \"{{to}}\"]\ntimeout = \"30s\"\nparams = {{ to = {{ required = true }} }}\n"
        );
    }
    compare("1,000 jobs", &world(&catalogue), "2 jobs", &world(JOB));
}

fn many_stored(_: &Path) {
    let rows = setting("BENCH_STORED", 1_000_000);
    println!("with {rows} runs in the store");
    let full = world(JOB);
    let file = lines(&full, "bench", rows);
    full.jobctl(&["enqueue", "--from", &file, "-q"]).time();
    compare("full", &full, "empty", &world(JOB));
}

fn compare(name: &str, candidate: &World, other: &str, base: &World) {
    let _open = (candidate.stay_open(), base.stay_open());
    let rounds = setting("BENCH_ROUNDS", 300) as usize;
    let times = in_turn(rounds, &[&candidate.jobctl(ONE), &base.jobctl(ONE)]);
    line(name, &times[0], Some((other, &times[1])));
    line(other, &times[1], None);
}

/// A file with this many lines of about 280 bytes.
fn lines(world: &World, job: &str, rows: u64) -> String {
    let path = world.root().join(format!("{job}.jsonl"));
    let mut file = BufWriter::new(std::fs::File::create(&path).expect("a file"));
    let text = "x".repeat(180);
    for row in 0..rows {
        writeln!(
            file,
            "{{\"job\":\"{job}\",\"params\":{{\"to\":\"user-{row}\"}},\"payload\":{{\"text\":\"{text}\"}}}}"
        )
        .expect("a line");
    }
    file.flush().expect("a file");
    path.to_string_lossy().into_owned()
}

fn bulk(baseline: &Path) {
    let rows = setting("BENCH_ROWS", 1_000_000);
    let rounds = setting("BENCH_BULK_ROUNDS", 3);
    for (job, kind) in [("bench", "plain"), ("once", "dedup")] {
        println!("import of {rows} lines, {kind}");
        let (mut ours, mut theirs, mut rss) = (Vec::new(), Vec::new(), 0);
        for _ in 0..rounds {
            let candidate = world(JOB);
            let file = lines(&candidate, job, rows);
            let import = candidate.jobctl(&["enqueue", "--from", &file, "-q"]);
            let (took, peak) = time_and_memory(&import);
            ours.push(took);
            rss = rss.max(peak);
            let base = world(JOB);
            let db = base.database().to_string_lossy().into_owned();
            let args = ["bulk", &db, &rows.to_string(), "4000", kind];
            theirs.push(Program::new(baseline, &args).time());
        }
        let (ours, theirs) = (Times::new(ours), Times::new(theirs));
        let rate = |times: &Times| rows as f64 / times.median().as_secs_f64();
        println!(
            "jobctl enqueue --from   {:>9.0} rows/s, at most {} KiB RSS",
            rate(&ours),
            rss
        );
        println!("rusqlite loop           {:>9.0} rows/s", rate(&theirs));
        println!(
            "ratio                   {:>9.2}",
            rate(&ours) / rate(&theirs)
        );
    }
}

/// Runs it and looks at its largest resident set, KiB.
fn time_and_memory(program: &Program) -> (Duration, u64) {
    let start = Instant::now();
    let mut child = program.command().spawn().expect("it starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let ended = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let rss = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let rss = rss.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(rss.unwrap_or(0));
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let took = start.elapsed();
    assert!(ended.success());
    (took, peak)
}

/// While nobody works nobody but these commands copies the log back, and each of them reads all of it.
fn alone(_: &Path) {
    let rounds = setting("BENCH_ALONE", 4_000) as usize;
    println!("{rounds} enqueues one after another, the store open nowhere else");
    let world = world(JOB);
    let jobctl = world.jobctl(ONE);
    let log = world.database().with_extension("db-wal");
    let mut longest = 0;
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let took = jobctl.time();
            longest = longest.max(std::fs::metadata(&log).map_or(0, |meta| meta.len()));
            took
        })
        .collect();
    let all = Times::new(times.clone());
    let last = Times::new(times.split_off(rounds - rounds / 10));
    times.truncate(rounds / 10);
    line(
        "the last tenth",
        &last,
        Some(("the first", &Times::new(times))),
    );
    line("all", &all, None);
    println!("longest log {} KiB", longest >> 10);
}

fn contention(_: &Path) {
    println!("8 enqueuers without pause");
    let world = world(JOB);
    let _open = world.stay_open();
    let rounds = setting("BENCH_ROUNDS", 300);
    let start = Instant::now();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let jobctl = world.jobctl(ONE);
            std::thread::spawn(move || (0..rounds).map(|_| jobctl.time()).collect::<Vec<_>>())
        })
        .collect();
    let times = threads
        .into_iter()
        .flat_map(|thread| thread.join().expect("no BUSY"))
        .collect();
    let took = start.elapsed();
    line("one of 8", &Times::new(times), None);
    println!(
        "together {:.0} per second",
        8.0 * rounds as f64 / took.as_secs_f64()
    );
}
