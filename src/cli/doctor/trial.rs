//! A temporary store, real processes that use it, and kill -9 at random moments.
#![expect(
    clippy::disallowed_methods,
    reason = "the processes are jobctl itself, not commands of jobs"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::run::{RunId, State};
use crate::store::{Create, OpenOptions, Store, Violation};

/// The job appends its run id to a file and takes a moment, so that workers die while it runs.
const CATALOGUE: &str = "[worker]\nslots = 4\n[job.trial]\ncommand = [\"/bin/sh\", \"-c\", \"echo $JOBCTL_RUN_ID >> ran; sleep 0.02\"]\ncwd = \".\"\nretry.max_crashes = 100\n";

/// How long to wait for a process that should end by itself.
const PATIENCE: Duration = Duration::from_mins(1);

/// The temporary store and the program under test.
pub(super) struct Trial {
    dir: PathBuf,
    jobctl: PathBuf,
}

impl Trial {
    /// Makes the catalogue and the store.
    pub(super) fn new(dir: &Path) -> Result<Self> {
        let path = dir.join("jobs.toml");
        fs::write(&path, CATALOGUE)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)))
            .map_err(|error| Error::io("write", &path, &error))?;
        let trial = Self {
            dir: dir.to_owned(),
            jobctl: PathBuf::from("/proc/self/exe"),
        };
        drop(trial.store(Create::IfMissing)?);
        Ok(trial)
    }

    fn store(&self, create: Create) -> Result<Store> {
        let options = OpenOptions {
            dir: self.dir.join("state"),
            create,
            busy_wait: PATIENCE,
            now_ms: clock::wall_ms(),
        };
        Ok(options.open()?.store)
    }

    fn start(&self, words: &[&str]) -> Result<Child> {
        let mut command = Command::new(&self.jobctl);
        command
            .args(["-q", "--store"])
            .arg(self.dir.join("state"))
            .arg("--catalogue")
            .arg(self.dir.join("jobs.toml"))
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
            .spawn()
            .map_err(|error| Error::new(Kind::Failed, format!("cannot start jobctl: {error}")))
    }

    /// Enqueues `times` runs, and kills each command after a random time. Returns the acknowledged runs.
    pub(super) fn enqueue_and_kill(&self, times: usize) -> Result<Vec<RunId>> {
        let mut acknowledged = Vec::new();
        let begun = clock::monotonic();
        let mut first = self.start(&["enqueue", "trial"])?;
        drop(first.wait());
        // A few commands end before their kill.
        let longest = begun.elapsed().as_secs_f64() * 1.5;
        for _ in 0..times {
            let mut child = self.start(&["enqueue", "trial"])?;
            clock::pause(Duration::from_secs_f64(longest * clock::random_unit()));
            let said = end(&mut child)?;
            // A line is an acknowledgement only with its end.
            if let Some((id, _)) = said.split_once('\n') {
                let id = id
                    .parse()
                    .map_err(|_| Error::new(Kind::Failed, format!("an enqueue answered `{id}`")))?;
                acknowledged.push(RunId(id));
            }
        }
        Ok(acknowledged)
    }

    /// Starts `times` workers one after another, and kills each while it executes runs.
    pub(super) fn work_and_kill(&self, times: usize) -> Result<usize> {
        for _ in 0..times {
            let mut child = self.start(&["run-worker"])?;
            clock::pause(Duration::from_secs_f64(0.05 + 0.2 * clock::random_unit()));
            end(&mut child)?;
        }
        Ok(times)
    }

    /// Executes the remaining runs.
    pub(super) fn drain(&self) -> Result<()> {
        let mut child = self.start(&["run-worker", "--drain=all"])?;
        let begun = clock::monotonic();
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(None) if begun.elapsed() < PATIENCE => clock::pause(Duration::from_millis(5)),
                Ok(other) => {
                    drop(end(&mut child));
                    let how = other.map_or_else(|| "never".to_owned(), |status| status.to_string());
                    let message =
                        format!("the worker that drains the queue ended unexpectedly: {how}");
                    return Err(Error::new(Kind::Failed, message));
                }
                Err(error) => {
                    return Err(Error::new(Kind::Failed, format!("cannot wait: {error}")));
                }
            }
        }
    }

    /// Which of these runs are not stored.
    pub(super) fn missing(&self, runs: &[RunId]) -> Result<Vec<RunId>> {
        let store = self.store(Create::Never)?;
        let last = runs.iter().max().copied().unwrap_or(RunId(0));
        let there: BTreeSet<RunId> = store.existing(RunId(0), last)?.into_iter().collect();
        Ok(runs
            .iter()
            .filter(|run| !there.contains(run))
            .copied()
            .collect())
    }

    /// Runs that did not succeed, or whose command left no trace.
    pub(super) fn undone(&self) -> Result<Vec<RunId>> {
        let store = self.store(Create::Never)?;
        let path = self.dir.join("ran");
        let ran = fs::read_to_string(&path).map_err(|error| Error::io("read", &path, &error))?;
        let ran: BTreeSet<i64> = ran.lines().filter_map(|line| line.parse().ok()).collect();
        let mut undone = Vec::new();
        for run in store.existing(RunId(0), RunId(i64::MAX))? {
            let state = store.run_location(run)?.map(|(state, ..)| state);
            if state != Some(State::Succeeded) || !ran.contains(&run.0) {
                undone.push(run);
            }
        }
        Ok(undone)
    }

    /// The invariants that its rows violate.
    pub(super) fn violations(&self) -> Result<Vec<Violation>> {
        self.store(Create::Never)?.verify()
    }
}

/// Kills a process and returns what it printed.
fn end(child: &mut Child) -> Result<String> {
    let failed = |error: std::io::Error| Error::new(Kind::Failed, format!("cannot wait: {error}"));
    child.kill().map_err(failed)?;
    child.wait().map_err(failed)?;
    let mut said = String::new();
    if let Some(mut out) = child.stdout.take() {
        out.read_to_string(&mut said).map_err(failed)?;
    }
    Ok(said)
}

/// Median of the time that 4 KiB need to be written and synced, microseconds.
pub(super) fn sync_us(path: &Path, times: usize) -> Result<u128> {
    let failed = |error: std::io::Error| Error::io("write", path, &error);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        let begun = clock::monotonic();
        file.write_all(&[7; 4096])
            .and_then(|()| file.sync_data())
            .map_err(failed)?;
        took.push(begun.elapsed().as_micros());
    }
    took.sort_unstable();
    Ok(took[took.len() / 2])
}
