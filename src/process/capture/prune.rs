//! Removes the logs and checkpoints of pruned runs.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use crate::owned::Dir;
use crate::process::contract::checkpoint_name;
use crate::run::RunId;
use crate::units::hex;

/// Removes all logs of these runs, and their checkpoints, whose names contain their idempotency keys. Returns the number of files and
/// bytes. Files that cannot be removed are left.
pub fn remove_output(store_dir: &Path, runs: &[RunId], keys: &[[u8; 16]]) -> (u64, u64) {
    let mut removed = (0, 0);
    let Ok(state) = Dir::open(store_dir) else {
        return removed;
    };
    remove_logs(&state, runs, &mut removed);
    if runs.is_empty() {
        return removed;
    }
    if let Ok(checkpoints) = state.dir("checkpoints") {
        for (run, key) in runs.iter().zip(keys) {
            remove_entry(
                &checkpoints,
                &checkpoint_name(*run, &hex(key)),
                &mut removed,
            );
        }
    }
    removed
}

/// As [`remove_output`], for runs whose keys are unknown: reads the names of all checkpoints.
pub fn remove_orphans(store_dir: &Path, runs: &[RunId]) -> (u64, u64) {
    let mut removed = (0, 0);
    let Ok(state) = Dir::open(store_dir) else {
        return removed;
    };
    remove_logs(&state, runs, &mut removed);
    if let Ok(checkpoints) = state.dir("checkpoints") {
        let ids: HashSet<i64> = runs.iter().map(|run| run.0).collect();
        remove_of(&checkpoints, '-', &ids, &mut removed);
    }
    removed
}

fn remove_logs(state: &Dir, runs: &[RunId], removed: &mut (u64, u64)) {
    let mut by_dir: BTreeMap<i64, HashSet<i64>> = BTreeMap::new();
    for run in runs {
        by_dir.entry(run.0 / 1000).or_default().insert(run.0);
    }
    let Ok(output) = state.dir("output") else {
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

/// Removes an entry, if it exists; a command may have made it a directory.
fn remove_entry(dir: &Dir, name: &str, removed: &mut (u64, u64)) {
    if let Ok(size) = dir.size(name)
        && dir.remove_tree(name).is_ok()
    {
        removed.0 += 1;
        removed.1 += size;
    }
}
