//! Files that runs leave behind: the logs of their attempts, `output/<thousand>/<run>.<attempt>.log`, and their checkpoints,
//! `checkpoints/<run>-<key>`.
//!
//! Rule: a command may have put anything in their place. What is removed is never what a link points to, and what cannot be
//! removed is left for the next time.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::{CHECKPOINTS, Local, OUTPUT};
use crate::error::{Error, Result};
use crate::owned::{self, Dir};
use crate::run::RunId;
use crate::units::hex;

impl Local {
    /// Path of an attempt's log, for messages; it is opened by [`Local::open_log`].
    pub fn log_path(&self, run: RunId, attempt: i64) -> PathBuf {
        let (thousand, name) = log_place(run, attempt);
        self.dir().join(OUTPUT).join(thousand).join(name)
    }

    /// Opens an attempt's log for reading.
    ///
    /// # Errors
    /// Also if there is none, or it is not a regular file.
    pub fn open_log(&self, run: RunId, attempt: i64) -> io::Result<File> {
        let (thousand, name) = log_place(run, attempt);
        self.open()?.dir(OUTPUT)?.dir(thousand)?.open_read(name)
    }

    /// The directory of an attempt's log, created if it is missing, and the name of the log in it.
    pub(crate) fn make_log_place(&self, run: RunId, attempt: i64) -> io::Result<(Dir, String)> {
        let (thousand, name) = log_place(run, attempt);
        let dir = self.open()?.make_dir(OUTPUT)?.make_dir(thousand)?;
        Ok((dir, name))
    }

    /// Path of a run's checkpoint. Its directory is created again if a command has removed it.
    pub fn checkpoint_path(&self, run: RunId, idempotency_key: &str) -> PathBuf {
        let dir = self.dir().join(CHECKPOINTS);
        drop(owned::make_dir(&dir));
        dir.join(checkpoint_name(run, idempotency_key))
    }

    /// Removes all logs of these runs, and their checkpoints, whose names contain the idempotency keys. Returns the number of
    /// files and bytes.
    pub fn remove_output(&self, runs: &[RunId], keys: &[[u8; 16]]) -> (u64, u64) {
        let mut removed = (0, 0);
        let Ok(state) = self.open() else {
            return removed;
        };
        remove_logs(&state, runs, &mut removed);
        if runs.is_empty() {
            return removed;
        }
        if let Ok(checkpoints) = state.dir(CHECKPOINTS) {
            for (run, key) in runs.iter().zip(keys) {
                let name = checkpoint_name(*run, &hex(key));
                remove_entry(&checkpoints, &name, &mut removed);
            }
        }
        removed
    }

    /// As [`Local::remove_output`], of runs whose keys are no longer in the store: reads the names of all checkpoints.
    pub fn remove_orphans(&self, runs: &[RunId]) -> (u64, u64) {
        let mut removed = (0, 0);
        let Ok(state) = self.open() else {
            return removed;
        };
        remove_logs(&state, runs, &mut removed);
        if let Ok(checkpoints) = state.dir(CHECKPOINTS) {
            let ids: HashSet<i64> = runs.iter().map(|run| run.0).collect();
            remove_of(&checkpoints, '-', &ids, &mut removed);
        }
        removed
    }

    /// Passes the runs that have logs or checkpoints to `look`, a thousand ids at a time, with the number of the thousand.
    ///
    /// # Errors
    /// Those of `look`, and of the file system.
    pub fn each_thousand(&self, mut look: impl FnMut(i64, &[i64]) -> Result<()>) -> Result<()> {
        if let Some(output) = self.directory(OUTPUT)? {
            for thousand in numbers(&output, '.') {
                let logs = output.dir(thousand.to_string());
                let logs = logs.map(|dir| numbers(&dir, '.')).unwrap_or_default();
                look(thousand, &logs)?;
            }
        }
        if let Some(checkpoints) = self.directory(CHECKPOINTS)? {
            let runs = numbers(&checkpoints, '-');
            for runs in runs.chunk_by(|one, next| one / 1000 == next / 1000) {
                look(runs[0] / 1000, runs)?;
            }
        }
        Ok(())
    }

    /// A directory in it; `None` if it does not exist.
    fn directory(&self, name: &str) -> Result<Option<Dir>> {
        match self.open().and_then(|state| state.dir(name)) {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("look at", &self.dir().join(name), &error)),
        }
    }
}

/// Removes a checkpoint, if there is one; a command may have replaced it with a directory.
///
/// # Errors
/// Those of the file system.
pub fn remove_checkpoint(path: &Path) -> io::Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    match Dir::open(dir) {
        Ok(dir) => dir.remove_tree(name),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The directory below `output` and the name of an attempt's log: a thousand runs to a directory.
fn log_place(run: RunId, attempt: i64) -> (String, String) {
    ((run.0 / 1000).to_string(), format!("{run}.{attempt}.log"))
}

/// Name of a run's checkpoint. With the key, a run of a restored store does not find the checkpoint of another run with its id.
fn checkpoint_name(run: RunId, idempotency_key: &str) -> String {
    let key = idempotency_key.chars().filter(char::is_ascii_hexdigit);
    format!("{run}-{}", key.take(8).collect::<String>())
}

/// The numbers with which the names in a directory begin.
fn numbers(dir: &Dir, end: char) -> Vec<i64> {
    let names = dir.names().unwrap_or_default().into_iter();
    let mut numbers: Vec<i64> = names
        .filter_map(|name| name.to_str()?.split(end).next()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn remove_logs(state: &Dir, runs: &[RunId], removed: &mut (u64, u64)) {
    let mut by_dir: BTreeMap<i64, HashSet<i64>> = BTreeMap::new();
    for run in runs {
        by_dir.entry(run.0 / 1000).or_default().insert(run.0);
    }
    let Ok(output) = state.dir(OUTPUT) else {
        return;
    };
    for (thousand, ids) in by_dir {
        let name = thousand.to_string();
        if let Ok(dir) = output.dir(&name) {
            remove_of(&dir, '.', &ids, removed);
            // Removes the directory only if it is empty.
            drop(output.remove_dir(&name));
        }
    }
}

/// Removes the entries whose name begins with one of these numbers and `end`.
fn remove_of(dir: &Dir, end: char, ids: &HashSet<i64>, removed: &mut (u64, u64)) {
    for name in dir.names().unwrap_or_default() {
        let Some(name) = name.to_str() else {
            continue;
        };
        let run = name.split_once(end).and_then(|(run, _)| run.parse().ok());
        if run.is_some_and(|run: i64| ids.contains(&run)) {
            remove_entry(dir, name, removed);
        }
    }
}

/// Removes an entry, if it exists; a command may have replaced it with a directory.
fn remove_entry(dir: &Dir, name: &str, removed: &mut (u64, u64)) {
    if let Ok(size) = dir.size(name)
        && dir.remove_tree(name).is_ok()
    {
        removed.0 += 1;
        removed.1 += size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fault: as `parameters_arrive_byte_for_byte_and_nothing_is_executed_from_them`.
    #[test]
    fn a_checkpoint_path_has_no_text_of_users() {
        let name = checkpoint_name(RunId(7), "../../etc/0123456789abcdef");
        assert_eq!(name, "7-ec012345");
    }
}
