//! The files by which workers are known to be alive or dead, and the start of a process, which proves who it is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::owned::Dir;
use crate::run::WorkerId;
use crate::store::WorkerRow;

/// Directory of the workers' lock files.
pub fn workers_dir(state: &Path) -> PathBuf {
    state.join("workers")
}

pub(super) fn lock_name(worker: WorkerId) -> String {
    format!("{worker}.lock")
}

pub(super) fn marks_name(worker: WorkerId) -> String {
    format!("{worker}.started")
}

/// Path of a worker's lock.
pub fn lock_path(state: &Path, worker: WorkerId) -> PathBuf {
    workers_dir(state).join(lock_name(worker))
}

/// Path of a worker's start marks.
pub fn marks_path(state: &Path, worker: WorkerId) -> PathBuf {
    workers_dir(state).join(marks_name(worker))
}

/// Opens a worker's lock to look whether it is held. Not for writing: the close would wake all who watch the directory.
pub fn open_lock(state: &Path, worker: WorkerId) -> std::io::Result<File> {
    let workers = Dir::open(state)?.dir("workers")?;
    workers.open_read(lock_name(worker))
}

/// Start of a process in clock ticks since boot.
pub fn start_ticks(pid: u32) -> Result<i64> {
    state_and_start(pid).map(|(_, start)| start)
}

/// Whether the process that registered still exists, be it as a zombie: its number, its start and this boot.
pub fn same_process(row: &WorkerRow) -> bool {
    process(row).is_some()
}

/// Whether the process that registered has ended, on this host; perhaps nobody has waited for it yet.
pub fn has_ended(row: &WorkerRow) -> bool {
    let host = rustix::system::uname();
    host.nodename().to_bytes() == row.host.as_bytes()
        && process(row).is_none_or(|state| matches!(state, 'Z' | 'X'))
}

/// The state of the process that registered.
fn process(row: &WorkerRow) -> Option<char> {
    let (state, start) = state_and_start(u32::try_from(row.pid).ok()?).ok()?;
    (row.boot_id == clock::boot_id() && start == row.pid_start).then_some(state)
}

/// Fields 3 and 22 of `/proc/PID/stat`, counted behind the last `)`.
fn state_and_start(pid: u32) -> Result<(char, i64)> {
    let path = PathBuf::from(format!("/proc/{pid}/stat"));
    let text = fs::read(&path).map_err(|error| Error::io("read", &path, &error))?;
    let text = String::from_utf8_lossy(&text);
    text.rsplit_once(')')
        .and_then(|(_, fields)| {
            let mut fields = fields.split_whitespace();
            let state = fields.next()?.chars().next()?;
            Some((state, fields.nth(18)?.parse().ok()?))
        })
        .ok_or_else(|| Error::new(Kind::Bug, format!("cannot read `{}`", path.display())))
}
