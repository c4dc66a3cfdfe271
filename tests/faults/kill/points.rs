//! Where a process can be killed: its calls that change something, found in a trace of a run without faults.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::super::trace::Call;

/// The calls that change what other processes, or the next one, see.
pub(super) const CALLS: &[&str] = &[
    "pwrite64",
    "pwritev",
    "write",
    "writev",
    "fdatasync",
    "fsync",
    "ftruncate",
    "fallocate",
    "openat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "mkdir",
    "mkdirat",
    "flock",
    "fchmod",
];

/// Where a process is killed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    /// The thread, where only one is watched.
    pub(super) thread: Option<String>,
    pub(super) call: String,
    /// Counted in each thread.
    pub(super) nth: u64,
}

/// The points of a trace below a directory; a thread has a name where only some count.
pub(super) fn points(
    calls: &[Call],
    root: &Path,
    thread: impl Fn(u32) -> Option<String>,
) -> Vec<Point> {
    let mut seen: HashMap<(u32, &str), u64> = HashMap::new();
    let mut points = BTreeSet::new();
    for call in calls {
        let nth = seen.entry((call.tid, &call.name)).or_default();
        *nth += 1;
        if changed(call).is_some_and(|path| path.starts_with(root)) {
            points.insert(Point {
                thread: thread(call.tid),
                call: call.name.clone(),
                nth: *nth,
            });
        }
    }
    points.into_iter().collect()
}

/// The file that a call changes, if it does.
fn changed(call: &Call) -> Option<PathBuf> {
    match call.name.as_str() {
        "openat" => call.args.contains("O_CREAT").then(|| call.path(1))?,
        "mkdirat" | "unlinkat" | "linkat" | "renameat" | "renameat2" => call.path(1),
        "mkdir" | "rmdir" | "unlink" | "rename" | "link" => call.path(0),
        _ => call.file(),
    }
}

/// So many of them, of each kind of call in turn: from the middle, the beginning, the end, then the rest. Always the same.
pub(super) fn some(points: &[Point], n: usize) -> Vec<Point> {
    let mut kinds: Vec<Vec<&Point>> = Vec::new();
    for point in points {
        let is_like = |other: &&Point| other.thread == point.thread && other.call == point.call;
        match kinds
            .iter_mut()
            .find(|kind| kind.first().is_some_and(is_like))
        {
            Some(kind) => kind.push(point),
            None => kinds.push(vec![point]),
        }
    }
    for kind in &mut kinds {
        let middle = kind.remove(kind.len() / 2);
        if let Some(last) = kind.pop() {
            kind.insert(usize::from(!kind.is_empty()), last);
        }
        kind.insert(0, middle);
    }
    let longest = kinds.iter().map(Vec::len).max().unwrap_or_default();
    let turns = (0..longest).flat_map(|turn| kinds.iter().filter_map(move |kind| kind.get(turn)));
    turns.take(n).map(|point| (*point).clone()).collect()
}
