//! Ends what a dead worker's runs left behind, before those runs are handed out again.
//!
//! Rule: only processes of our own store's marks are touched: by pid with its start time, by a session that is provably
//! still the same one, or by the marker in their environment. Two looks in a row must find nothing.

use std::collections::HashMap;
use std::time::Duration;

use rustix::process::Signal;

use super::marks::Mark;
use super::proc_fs::{self, Sent, Stat};
use crate::clock;
use crate::run::{Fence, RunId};

/// From SIGTERM to SIGKILL at most: the run waits for it.
const GRACE_MAX: Duration = Duration::from_secs(1);

/// From SIGKILL to giving up; only what hangs in the kernel, or what we may not signal, is left then.
const KILL_WITHIN: Duration = Duration::from_secs(5);

/// What [`end_tree`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOver {
    /// Processes that were ended.
    pub ended: Vec<i32>,
    /// Processes that are still there, with their run: it stays blocked. We may not signal them, or they hang.
    pub remaining: Vec<(RunId, i32)>,
}

/// The value of `JOBCTL_RUN_MARK` of a claim.
pub fn run_mark(store_uuid: &str, run: RunId, fence: Fence) -> String {
    format!("{store_uuid}.{run}.{fence}")
}

/// Ends all processes of these claims: SIGTERM, then SIGKILL after the grace (at most a second), until none is left.
pub fn end_tree(marks: &[Mark], store_uuid: &str, grace: Duration) -> LeftOver {
    let wanted = Wanted::new(marks, store_uuid);
    let begun = clock::monotonic();
    let kill_at = begun + grace.min(GRACE_MAX);
    let give_up = kill_at + KILL_WITHIN;
    let mut report = LeftOver::default();
    let mut asked: Vec<Stat> = Vec::new();
    let mut refused: Vec<Stat> = Vec::new();
    let mut empty_looks = 0;
    let mut pause = Duration::from_millis(1);
    loop {
        let found = wanted.look();
        let now = clock::monotonic();
        let can = found
            .iter()
            .filter(|(_, stat)| !refused.iter().any(|other| same(other, stat)))
            .count();
        if can == 0 || now >= give_up {
            empty_looks += 1;
            if empty_looks == 2 || now >= give_up {
                report.remaining = found
                    .into_iter()
                    .map(|(run, stat)| (run, stat.pid))
                    .collect();
                report.ended = asked
                    .iter()
                    .map(|stat| stat.pid)
                    .filter(|pid| !report.remaining.iter().any(|(_, left)| left == pid))
                    .collect();
                return report;
            }
            continue;
        }
        empty_looks = 0;
        for (_, stat) in found {
            let first = !asked.iter().any(|known| same(known, &stat));
            let sent = if now >= kill_at {
                proc_fs::signal(stat.pid, stat.start_ticks, &[Signal::KILL])
            } else if first {
                // A stopped process takes its SIGTERM only when it goes on.
                proc_fs::signal(stat.pid, stat.start_ticks, &[Signal::TERM, Signal::CONT])
            } else {
                Sent::Delivered
            };
            if sent == Sent::Refused {
                refused.push(stat);
            } else if first {
                asked.push(stat);
            }
        }
        clock::pause(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

struct Wanted<'a> {
    marks: &'a [Mark],
    by_marker: HashMap<Vec<u8>, RunId>,
    own: i32,
}

impl<'a> Wanted<'a> {
    fn new(marks: &'a [Mark], store_uuid: &str) -> Self {
        let by_marker = marks
            .iter()
            .map(|mark| {
                (
                    run_mark(store_uuid, mark.run, mark.fence).into_bytes(),
                    mark.run,
                )
            })
            .collect();
        Self {
            marks,
            by_marker,
            own: std::process::id() as i32,
        }
    }

    fn look(&self) -> Vec<(RunId, Stat)> {
        let all: HashMap<i32, Stat> = proc_fs::all_pids()
            .into_iter()
            .filter_map(|pid| Some((pid, proc_fs::stat(pid)?)))
            .collect();
        all.values()
            .filter(|stat| !stat.is_dead() && stat.pid != self.own && stat.pid != 1)
            .filter_map(|stat| Some((self.run_of(stat, &all)?, *stat)))
            .collect()
    }

    fn run_of(&self, stat: &Stat, all: &HashMap<i32, Stat>) -> Option<RunId> {
        for mark in self.marks {
            let Some(process) = mark.process else {
                continue;
            };
            if stat.pid == process.pid && stat.start_ticks == process.start_ticks {
                return Some(mark.run);
            }
            if stat.session != process.session || stat.start_ticks < process.start_ticks {
                continue;
            }
            match all.get(&process.session) {
                // The number of a session is not given away while it has members, so its leader tells whose it is.
                Some(leader) if leader.start_ticks == process.start_ticks => return Some(mark.run),
                Some(_) => {}
                None => {
                    let other = proc_fs::run_mark(stat.pid)
                        .is_some_and(|marker| !self.by_marker.contains_key(&marker));
                    if !other {
                        return Some(mark.run);
                    }
                }
            }
        }
        self.by_marker.get(&proc_fs::run_mark(stat.pid)?).copied()
    }
}

fn same(a: &Stat, b: &Stat) -> bool {
    a.pid == b.pid && a.start_ticks == b.start_ticks
}
