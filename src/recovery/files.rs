//! The files by which workers are known to be alive or dead, and the start of a process, which proves who it is.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::run::WorkerId;

/// Directory of the workers' lock files.
pub fn workers_dir(state: &Path) -> PathBuf {
    state.join("workers")
}

/// Path of a worker's lock.
pub fn lock_path(state: &Path, worker: WorkerId) -> PathBuf {
    workers_dir(state).join(format!("{worker}.lock"))
}

/// Path of a worker's start marks.
pub fn marks_path(state: &Path, worker: WorkerId) -> PathBuf {
    workers_dir(state).join(format!("{worker}.started"))
}

/// Start of a process in clock ticks since boot: field 22 of `/proc/PID/stat`, counted behind the last `)`.
pub fn start_ticks(pid: u32) -> Result<i64> {
    let path = PathBuf::from(format!("/proc/{pid}/stat"));
    let text = fs::read(&path).map_err(|error| Error::io("read", &path, &error))?;
    let text = String::from_utf8_lossy(&text);
    text.rsplit_once(')')
        .and_then(|(_, fields)| fields.split_whitespace().nth(19)?.parse().ok())
        .ok_or_else(|| Error::new(Kind::Bug, format!("cannot read `{}`", path.display())))
}
