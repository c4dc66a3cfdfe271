//! `jobctl doctor --selftest`: tests the guarantees on the file system of the store, with processes that are killed.
//!
//! Rule: everything happens in a temporary directory, which is removed at the end; the store itself is not touched.

use std::path::{Path, PathBuf};

use super::Finding;
use super::trial::Trial;
use crate::cli::Context;
use crate::error::{Error, Result};
use crate::units::counted;

/// Enqueues that are killed at some moment, or finish before it.
const ENQUEUES: usize = 150;

/// Workers that are killed while they work.
const WORKERS: usize = 8;

/// Syncs that are timed.
const SYNCS: usize = 50;

/// A faster sync did not wait for the medium, microseconds.
const SUSPICIOUS_US: u128 = 30;

/// Runs the test.
pub(super) fn run(context: &Context) -> Result<Vec<Finding>> {
    let dir = Directory::make(&context.store_dir()?)?;
    let mut findings = vec![sync(&dir.0)?];
    let trial = Trial::new(&dir.0)?;
    let acknowledged = trial.enqueue_and_kill(ENQUEUES)?;
    let killed = ENQUEUES - acknowledged.len();
    let lost = trial.missing(&acknowledged)?;
    findings.push(if lost.is_empty() {
        Finding::ok(
            "enqueue",
            format!(
                "{ENQUEUES} enqueues, {killed} of them killed with -9: every acknowledged run is there"
            ),
        )
    } else {
        broken("enqueue", format!("acknowledged and lost: {lost:?}"))
    });
    let deaths = trial.work_and_kill(WORKERS)?;
    trial.drain()?;
    let undone = trial.undone()?;
    findings.push(if undone.is_empty() {
        Finding::ok(
            "workers",
            format!(
                "{} killed with -9 while they worked: every run was recovered and succeeded",
                counted(deaths as i64, "worker")
            ),
        )
    } else {
        broken("workers", format!("not done after recovery: {undone:?}"))
    });
    let violations = trial.violations()?;
    findings.push(match violations.first() {
        None => Finding::ok("rows", "every invariant of `--verify` holds"),
        Some(violation) => broken(
            "rows",
            format!(
                "violated: {}: {}",
                violation.invariant,
                violation.rows.join(", ")
            ),
        ),
    });
    findings.push(Finding::ok(
        "promise",
        "acknowledged runs survive the death of any process here, and a power cut if the disk keeps what it reports as synced",
    ));
    Ok(findings)
}

fn broken(check: &'static str, message: String) -> Finding {
    Finding::error(
        check,
        message,
        "do not keep a store on this file system; report which one it is",
    )
}

/// Whether a sync takes as long as it must.
fn sync(dir: &Path) -> Result<Finding> {
    let us = super::trial::sync_us(&dir.join("sync"), SYNCS)?;
    Ok(if us < SUSPICIOUS_US {
        Finding::warning(
            "sync",
            format!(
                "{us} us for 4 KiB: nothing waits for a medium; a power cut loses what was acknowledged"
            ),
            "put the store on a disk; check for `nobarrier`, a cache that ignores flushes, or a file system in memory",
        )
    } else {
        Finding::ok("sync", format!("{us} us for 4 KiB"))
    })
}

/// A directory that is removed at the end of the test.
struct Directory(PathBuf);

impl Directory {
    fn make(store: &Path) -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let base = store
            .ancestors()
            .find(|dir| dir.is_dir())
            .unwrap_or(Path::new("/"));
        let dir = base.join(format!("selftest-{}", std::process::id()));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&dir)
            .map_err(|error| Error::io("create", &dir, &error))?;
        Ok(Self(dir))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
