//! Shared by all benches: a world in a temporary directory, programs run in turn, medians and ratios.
//!
//! Rule: only ratios of one run travel to another machine; so everything compared is run in turn, never one after the other.
#![allow(dead_code, reason = "each bench uses a part")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a program that measures processes and prints"
)]

pub(crate) mod gaps;
pub(crate) mod load;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A store directory and a catalogue of their own.
pub(crate) struct World {
    dir: tempfile::TempDir,
}

impl World {
    /// With this `jobs.toml`.
    pub(crate) fn fresh(catalogue: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let world = Self { dir };
        let path = world.catalogue();
        fs::write(&path, catalogue).expect("a catalogue");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
        world
    }

    /// With this `jobs.toml`, old enough to be kept in the store by the first enqueue.
    pub(crate) fn new(catalogue: &str) -> Self {
        let world = Self::fresh(catalogue);
        // A catalogue that was just written is not kept, because it could change within the clock's grain.
        std::thread::sleep(Duration::from_millis(2100));
        world
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn catalogue(&self) -> PathBuf {
        self.root().join("jobs.toml")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root().join("state")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.state().join("jobctl.db")
    }

    /// `jobctl` in this world.
    pub(crate) fn jobctl(&self, args: &[&str]) -> Program {
        Program::new(env!("CARGO_BIN_EXE_jobctl"), args)
            .env("JOBCTL_STORE", self.state())
            .env("JOBCTL_CATALOGUE", self.catalogue())
    }

    /// A connection that stays open, as a worker has one: without it each process would be the last to close.
    pub(crate) fn stay_open(&self) -> rusqlite::Connection {
        let conn = rusqlite::Connection::open(self.database()).expect("the store");
        conn.query_row("SELECT count(*) FROM store", [], |_| Ok(()))
            .expect("a read");
        conn
    }
}

/// A command to be run many times.
#[derive(Clone)]
pub(crate) struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

impl Program {
    pub(crate) fn new(path: impl Into<PathBuf>, args: &[&str]) -> Self {
        let args = args.iter().map(OsString::from).collect();
        Self {
            path: path.into(),
            args,
            env: Vec::new(),
        }
    }

    #[must_use]
    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn time(&self) -> Duration {
        let mut command = self.command();
        let start = Instant::now();
        let status = command.status().expect("it starts");
        let took = start.elapsed();
        assert!(
            status.success(),
            "{} {:?}: {status}",
            self.path.display(),
            self.args
        );
        took
    }
}

/// Runs all in turn, so many times; the times of each, sorted.
pub(crate) fn in_turn(rounds: usize, programs: &[&Program]) -> Vec<Times> {
    let mut times = vec![Vec::with_capacity(rounds); programs.len()];
    for _ in 0..rounds {
        for (program, times) in programs.iter().zip(&mut times) {
            times.push(program.time());
        }
    }
    times.into_iter().map(Times::new).collect()
}

/// Times of one program, sorted.
#[derive(Clone)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    pub(crate) fn median(&self) -> Duration {
        self.at(0.5)
    }

    pub(crate) fn at(&self, share: f64) -> Duration {
        self.0[((self.0.len() - 1) as f64 * share) as usize]
    }
}

/// One line of a table: median, tenth and 99th percentile, ratio to a baseline.
pub(crate) fn line(name: &str, times: &Times, baseline: Option<(&str, &Times)>) {
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let ratio = baseline.map_or_else(String::new, |(name, base)| {
        format!("  {:.2} x {name}", ms(times.median()) / ms(base.median()))
    });
    println!(
        "{name:<44} {:>8.2} ms  p10 {:>7.2}  p99 {:>7.2}{ratio}",
        ms(times.median()),
        ms(times.at(0.1)),
        ms(times.at(0.99)),
    );
}

/// One line about gaps: median, 99th percentile, the longest.
pub(crate) fn gap_line(name: &str, times: &Times) {
    let ms = |share| times.at(share).as_secs_f64() * 1000.0;
    println!(
        "{name:<56} p50 {:>6.1} ms  p99 {:>6.1}  max {:>6.1}",
        ms(0.5),
        ms(0.99),
        ms(1.0)
    );
}

/// The program in `benches/baseline.rs`, built as jobctl itself.
pub(crate) fn baseline() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--release", "--example", "baseline"]);
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    assert!(
        build.status().expect("cargo starts").success(),
        "the baseline builds"
    );
    let bench = std::env::current_exe().expect("our path");
    // target/release/deps/NAME
    let release = bench.ancestors().nth(2).expect("a target directory");
    release.join("examples/baseline")
}

/// A program of the machine, if it is there.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

/// A number of the environment.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given
        .and_then(|text| text.replace('_', "").parse().ok())
        .unwrap_or(default)
}

/// Runs the benches that the command line names by a part of their names, or all.
pub(crate) fn run_wanted(benches: &[(&str, &dyn Fn())]) {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    for (name, bench) in benches {
        if wanted.is_empty() || wanted.iter().any(|arg| name.contains(arg.as_str())) {
            bench();
            println!();
        }
    }
}
