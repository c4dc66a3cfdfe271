//! Schedules: computing next periods, lateness of opening, many due together, idle.
//!
//! `cargo bench --bench schedule [next|lateness|together|idle]`; `BENCH_SCHEDULES` (10000) changes the size. Needs a quiet
//! machine.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a program that measures processes and prints"
)]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{Times, World, setting};
use jobctl::catalogue::Catalogue;
use jobctl::clock::wall_ms;
use jobctl::store::{Create, OpenOptions, Store};

/// Jobs in one file of a catalogue.
const PER_FILE: usize = 1000;

fn main() {
    common::run_wanted(&[
        ("next", &next),
        ("lateness", &lateness),
        ("together", &together),
        ("idle", &idle),
    ]);
}

fn line(name: &str, time: Duration) {
    println!("{name:<60} {:>9.2} ms", time.as_secs_f64() * 1000.0);
}

fn schedules() -> usize {
    setting("BENCH_SCHEDULES", 10_000) as usize
}

/// A catalogue with schedules: `rule` gives the rule of the n-th.
fn world(count: usize, rule: impl Fn(usize) -> String) -> World {
    let world = World::fresh("[defaults]\ntimezone = \"UTC\"\n");
    let dir = world.root().join("jobs.d");
    fs::create_dir(&dir).expect("a directory");
    for file in 0..count.div_ceil(PER_FILE) {
        let mut text = String::new();
        for n in file * PER_FILE..((file + 1) * PER_FILE).min(count) {
            let _ = writeln!(
                text,
                "[job.job-{n:05}]\ncommand = [\"/bin/true\"]\nschedule = {{ {} }}",
                rule(n)
            );
        }
        let path = dir.join(format!("{file:03}.toml"));
        fs::write(&path, text).expect("a catalogue");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
    }
    world
}

/// Rules of every kind, none of which is due soon.
fn rare(n: usize) -> String {
    let zones = [
        "Asia/Almaty",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
    ];
    let zone = zones[n % zones.len()];
    match n % 4 {
        0 => format!("cron = '{} 6 1 1 *', timezone = '{zone}'", n % 60),
        1 => format!(
            "at = ['06:{:02}'], on = 'day 1 of year', timezone = '{zone}'",
            n % 60
        ),
        2 => format!(
            "cron = '{} 3 * * *', on = 'first business day of year', timezone = '{zone}'",
            n % 60
        ),
        _ => format!("cron = '{} {} 29 2 *', timezone = '{zone}'", n % 60, n % 24),
    }
}

fn store(world: &World) -> Store {
    let options = OpenOptions {
        dir: world.state(),
        create: Create::Never,
        busy_wait: Duration::from_secs(30),
        now_ms: wall_ms(),
    };
    options.open().expect("a store").store
}

/// A scheduler that ends with this.
struct Scheduler(Child);

impl Scheduler {
    /// Starts one and waits until it leads; how long that took.
    fn start(world: &World) -> (Self, Duration) {
        let start = Instant::now();
        let mut command = world.jobctl(&["-q", "schedule"]).command();
        let child = command.stderr(Stdio::null()).spawn().expect("it starts");
        let scheduler = Self(child);
        loop {
            std::thread::sleep(Duration::from_millis(5));
            if world.state().join("scheduler.lock").exists()
                && store(world).scheduler().expect("a row").pid == Some(i64::from(scheduler.0.id()))
            {
                return (scheduler, start.elapsed());
            }
        }
    }

    fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).expect("a process");
        let fields = stat.rsplit_once(')').expect("a name").1;
        let field = |n: usize| -> u64 {
            fields
                .split_whitespace()
                .nth(n)
                .and_then(|text| text.parse().ok())
                .expect("a number")
        };
        field(11) + field(12)
    }

    fn rss_mib(&self) -> f64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("a process");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib: f64 = line
            .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .expect("a number");
        kib / 1024.0
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn next() {
    let count = schedules();
    let world = world(count, rare);
    let start = Instant::now();
    let catalogue = Catalogue::load(&world.catalogue()).expect("a catalogue");
    let loaded = start.elapsed();
    let now = wall_ms();
    let mut times = Vec::new();
    for round in 0..11 {
        let start = Instant::now();
        for job in catalogue.jobs.values() {
            let rule = &job.schedule.as_ref().expect("a schedule").rule;
            let next = rule.next(now + round).expect("an answer");
            assert!(next.is_some());
        }
        times.push(start.elapsed());
    }
    println!("{count} schedules (target: next periods < 50 ms)");
    line("  the catalogue is read in", loaded);
    line("  all next periods", Times::new(times).median());
}

/// Instants of a job that is due each second among many that are not, and 100 that are due together.
fn lateness() {
    let count = schedules();
    let world = world(count, |n| {
        if n < 100 {
            "every = '2s', overlap = 'allow'".to_owned()
        } else {
            rare(n)
        }
    });
    let (_scheduler, _) = Scheduler::start(&world);
    let store = store(&world);
    let watch = store.watch().expect("a watch");
    let conn = rusqlite::Connection::open(world.database()).expect("the store");
    let mut seen = 0;
    let mut late = Vec::new();
    let end = Instant::now() + Duration::from_secs(30);
    while Instant::now() < end {
        watch.wait(Duration::from_secs(1)).expect("a wait");
        let now_ms = wall_ms();
        let mut statement = conn
            .prepare_cached("SELECT id, due_ms FROM period WHERE id > ?1 ORDER BY id")
            .expect("a statement");
        let rows = statement
            .query_map([seen], |row| Ok((row.get(0)?, row.get(1)?)))
            .expect("rows");
        for row in rows {
            let (id, due_ms): (i64, i64) = row.expect("a row");
            seen = id;
            late.push(Duration::from_millis((now_ms - due_ms).max(0) as u64));
        }
    }
    println!(
        "{count} schedules, 100 due together, {} periods in 30 s: from the instant until the run is there for everyone",
        late.len()
    );
    let late = Times::new(late);
    line("  median", late.median());
    line("  p99 (target < 50 ms)", late.at(0.99));
}

fn together() {
    let count = schedules();
    let world = world(count, |_| "cron = '*/20 * * * * *'".to_owned());
    let (scheduler, started) = Scheduler::start(&world);
    line(&format!("{count} schedules are in force after"), started);
    let conn = rusqlite::Connection::open(world.database()).expect("the store");
    let opened = || -> (i64, i64) {
        conn.query_row(
            "SELECT count(*), coalesce(min(due_ms), 0) FROM period WHERE result = 'opened'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .expect("a count")
    };
    let end = Instant::now() + Duration::from_mins(1);
    while opened().0 < count as i64 {
        assert!(Instant::now() < end, "{:?}", opened());
        std::thread::sleep(Duration::from_millis(10));
    }
    let late_ms = wall_ms() - opened().1;
    drop(scheduler);
    line(
        &format!("{count} due together are all opened after (target < 1 s)"),
        Duration::from_millis(late_ms.max(0) as u64),
    );
}

fn idle() {
    let count = schedules();
    let world = world(count, rare);
    let (scheduler, started) = Scheduler::start(&world);
    std::thread::sleep(Duration::from_secs(1));
    let before = scheduler.ticks();
    std::thread::sleep(Duration::from_secs(20));
    let used = scheduler.ticks() - before;
    line(&format!("{count} schedules are in force after"), started);
    println!("  idle for 20 s: {used} ticks of 10 ms (target < 2, 0.1 % of a core)");
    println!("  {:.1} MiB (target <= 12)", scheduler.rss_mib());
}
