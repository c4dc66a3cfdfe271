//! Removes the logs and checkpoints of pruned runs.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use crate::process::contract::remove_checkpoint;
use crate::run::RunId;

/// Removes all logs and checkpoints of these runs; how many files and bytes. What cannot be removed is left for the next time.
pub fn remove_logs(state_dir: &Path, runs: &[RunId]) -> (u64, u64) {
    let mut by_dir: BTreeMap<i64, HashSet<i64>> = BTreeMap::new();
    for run in runs {
        by_dir.entry(run.0 / 1000).or_default().insert(run.0);
    }
    let (mut files, mut bytes) = (0, 0);
    for (thousand, ids) in by_dir {
        let dir = state_dir.join("output").join(thousand.to_string());
        let Ok(entries) = fs::read_dir(&dir) else {
            continue;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let run = name
                .to_str()
                .and_then(|name| name.split_once('.')?.0.parse().ok());
            if run.is_some_and(|run: i64| ids.contains(&run)) {
                let size = entry.metadata().map_or(0, |meta| meta.len());
                if fs::remove_file(entry.path()).is_ok() {
                    files += 1;
                    bytes += size;
                }
            }
        }
        // Only an empty directory goes.
        drop(fs::remove_dir(&dir));
    }
    let ids: HashSet<i64> = runs.iter().map(|run| run.0).collect();
    for entry in fs::read_dir(state_dir.join("checkpoints"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name();
        let run = name
            .to_str()
            .and_then(|name| name.split_once('-')?.0.parse().ok());
        if run.is_some_and(|run: i64| ids.contains(&run)) {
            let size = entry.metadata().map_or(0, |meta| meta.len());
            if remove_checkpoint(&entry.path()).is_ok() {
                files += 1;
                bytes += size;
            }
        }
    }
    (files, bytes)
}
