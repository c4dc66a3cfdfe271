//! Crash safety, proved: processes are killed before each system call that changes something, and the power is cut between
//! any two writes. After each fault the store must hold what was acknowledged, and everything must come to its end.

mod disk;
mod kill;
mod power;
mod trace;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::Connection;

use crate::invariants;
use crate::world::{PATH, Running, World, until};

/// `strace` on a thread, or with `-f` on a process, once it watches.
fn attach(tid: u32, log: &Path, options: &[&str]) -> Running {
    let mut command = Command::new("strace");
    command.env("PATH", PATH).args(options).arg("-o").arg(log);
    command.args(["-qq", "-p", &tid.to_string()]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let tracer = World::start_command(command);
    let all = options.contains(&"-f");
    let threads = format!("/proc/{tid}/task");
    let is_traced = |task: &Path| {
        let status = fs::read_to_string(task.join("status")).unwrap_or_default();
        !status.contains("TracerPid:\t0\n")
    };
    until("it is traced", || {
        // A thread that has ended meanwhile needs no tracer.
        let Ok(tasks) = fs::read_dir(&threads) else {
            return true;
        };
        let mut tasks = tasks.flatten();
        let this = tid.to_string();
        tasks.all(|task| (!all && task.file_name() != *this) || is_traced(&task.path()))
    });
    tracer
}

/// A small generator with a seed (xorshift64*).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct RunRecord {
    pub(crate) id: i64,
    job: String,
    pub(crate) state: String,
    pub(crate) attempts: i64,
    crashes: i64,
}

pub(crate) fn runs_of(conn: &Connection) -> Vec<RunRecord> {
    let mut statement = conn
        .prepare("SELECT id, job, state, attempts, crashes FROM run ORDER BY id")
        .expect("runs");
    let rows = statement.query_map([], |row| {
        Ok(RunRecord {
            id: row.get(0)?,
            job: row.get(1)?,
            state: row.get(2)?,
            attempts: row.get(3)?,
            crashes: row.get(4)?,
        })
    });
    rows.expect("runs").map(|row| row.expect("a run")).collect()
}

/// How often each run had its effect.
fn effects(world: &World) -> HashMap<i64, i64> {
    let mut effects = HashMap::new();
    let text = std::fs::read_to_string(world.root().join("effects")).unwrap_or_default();
    for line in text.lines() {
        *effects.entry(line.parse().expect("a run id")).or_default() += 1;
    }
    effects
}

/// No faults any more: workers end everything, and then everything that state can show must hold.
fn settle(world: &World) {
    let conn = invariants::open(world);
    // One may not be enough: a child between its birth and its command keeps the lock of its dead worker for a moment.
    until("everything has ended", || {
        let said = world.run("run-worker --drain --slots 2");
        assert_eq!(said.code, Some(0), "{}", said.err);
        let left = "SELECT (SELECT count(*) FROM run WHERE state IN ('waiting', 'running'))
            + (SELECT count(*) FROM worker)";
        invariants::number(&conn, left) == 0
    });
    assert_eq!(invariants::marked_processes(world), [0u32; 0]);
    invariants::hold(world);
    let effects = effects(world);
    let runs = runs_of(&conn);
    for run in &runs {
        let times = effects.get(&run.id).copied().unwrap_or(0);
        let fits = match run.state.as_str() {
            // Exactly once, unless a worker died on it.
            "succeeded" => times >= 1 && times <= run.attempts && run.attempts == run.crashes + 1,
            // At most once.
            "dead" => times <= 1,
            _ => times == 0,
        };
        assert!(fits, "{run:?} had {times} effects");
    }
    for run in effects.keys() {
        assert!(
            runs.iter().any(|it| it.id == *run),
            "run {run} had an effect and is not there"
        );
    }
}
