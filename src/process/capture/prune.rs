//! Removes the logs and checkpoints of pruned runs.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use crate::owned::Dir;
use crate::run::RunId;

/// Removes all logs and checkpoints of these runs; how many files and bytes. What cannot be removed is left for the next time.
pub fn remove_logs(state_dir: &Path, runs: &[RunId]) -> (u64, u64) {
    let mut removed = (0, 0);
    let Ok(state) = Dir::open(state_dir) else {
        return removed;
    };
    let mut by_dir: BTreeMap<i64, HashSet<i64>> = BTreeMap::new();
    for run in runs {
        by_dir.entry(run.0 / 1000).or_default().insert(run.0);
    }
    if let Ok(output) = state.dir("output") {
        for (thousand, ids) in by_dir {
            let name = thousand.to_string();
            if let Ok(dir) = output.dir(&name) {
                remove_of(&dir, '.', &ids, &mut removed);
                // Only an empty directory goes.
                drop(output.remove_dir(&name));
            }
        }
    }
    if let Ok(checkpoints) = state.dir("checkpoints") {
        let ids: HashSet<i64> = runs.iter().map(|run| run.0).collect();
        remove_of(&checkpoints, '-', &ids, &mut removed);
    }
    removed
}

/// Removes the entries whose name begins with one of these numbers and `end`. A command may have made a directory of one.
fn remove_of(dir: &Dir, end: char, ids: &HashSet<i64>, removed: &mut (u64, u64)) {
    for name in dir.names().unwrap_or_default() {
        let run = name
            .to_str()
            .and_then(|name| name.split_once(end)?.0.parse().ok());
        if run.is_some_and(|run: i64| ids.contains(&run)) {
            let size = dir.size(&name).unwrap_or(0);
            if dir.remove_tree(&name).is_ok() {
                removed.0 += 1;
                removed.1 += size;
            }
        }
    }
}
