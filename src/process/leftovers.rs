//! Ends the leftover processes of a dead worker's runs, before those runs can be claimed again.
//!
//! Rule: only processes that are proven to be ours are signalled: by our mark in their environment, or as members of a session whose
//! living leader has it. A pid alone proves nothing. Two consecutive searches must find no process.

use std::collections::HashMap;
use std::time::Duration;

use rustix::process::Signal;

use super::proc_fs::{self, Sent, Stat};
use crate::attempt::Mark;
use crate::clock;
use crate::run::{Fence, RunId};

/// Longest time from SIGTERM to SIGKILL; the run waits meanwhile.
const GRACE_MAX: Duration = Duration::from_secs(1);

/// Time from SIGKILL to giving up. Then only processes are left that hang in the kernel or that we may not signal.
const KILL_WITHIN: Duration = Duration::from_secs(5);

/// The result of [`end_tree`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndedTree {
    /// Processes that were ended.
    pub ended: Vec<i32>,
    /// Processes that could not be ended, with their run, which stays blocked: we may not signal them, they hang, or they match a start
    /// mark without proof.
    pub remaining: Vec<(RunId, i32)>,
}

/// The value of `JOBCTL_RUN_MARK` of a claim.
pub fn run_mark(store_uuid: &str, run: RunId, fence: Fence) -> String {
    format!("{store_uuid}.{run}.{fence}")
}

/// Ends all processes of these claims: SIGTERM, then SIGKILL after the grace (at most a second), until none is left.
pub fn end_tree(marks: &[Mark], store_uuid: &str, grace: Duration) -> EndedTree {
    let mut search = ClaimSearch::new(marks, store_uuid);
    let begun = clock::monotonic();
    let kill_at = begun + grace.min(GRACE_MAX);
    let give_up = kill_at + KILL_WITHIN;
    let mut report = EndedTree::default();
    let mut asked: Vec<Stat> = Vec::new();
    let mut refused: Vec<Stat> = Vec::new();
    let mut empty_searches = 0;
    let mut pause = Duration::from_millis(1);
    loop {
        let found = search.run();
        let now = clock::monotonic();
        let endable = found
            .iter()
            .filter(|it| it.proven && !refused.iter().any(|other| same(other, &it.stat)))
            .count();
        if endable == 0 || now >= give_up {
            empty_searches += 1;
            if empty_searches == 2 || now >= give_up {
                report.remaining = found.iter().map(|it| (it.run, it.stat.pid)).collect();
                report.ended = asked
                    .iter()
                    .map(|stat| stat.pid)
                    .filter(|pid| !report.remaining.iter().any(|(_, left)| left == pid))
                    .collect();
                return report;
            }
            continue;
        }
        empty_searches = 0;
        for Found { stat, .. } in found.into_iter().filter(|it| it.proven) {
            let first = !asked.iter().any(|known| same(known, &stat));
            let sent = if now >= kill_at {
                proc_fs::signal(stat.pid, stat.start_ticks, &[Signal::KILL])
            } else if first {
                // A stopped process handles SIGTERM only after SIGCONT.
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

/// A living process of a claim.
struct Found {
    run: RunId,
    stat: Stat,
    /// Whether it is proven to be ours. A process that only matches a start mark is waited for and never signalled: it may be our
    /// command, which overwrote its environment.
    proven: bool,
}

struct ClaimSearch<'a> {
    marks: &'a [Mark],
    by_marker: HashMap<Vec<u8>, RunId>,
    /// Processes proven by an earlier search; the leader that proved them may be gone now.
    known: Vec<(RunId, Stat)>,
    own: i32,
}

impl<'a> ClaimSearch<'a> {
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
            known: Vec::new(),
            own: std::process::id() as i32,
        }
    }

    fn run(&mut self) -> Vec<Found> {
        let all: HashMap<i32, Stat> = proc_fs::all_pids()
            .into_iter()
            .filter_map(|pid| Some((pid, proc_fs::stat(pid)?)))
            .collect();
        let leaders = self.leaders(&all);
        let found: Vec<Found> = all
            .values()
            .filter(|stat| !stat.is_dead() && stat.pid != self.own && stat.pid != 1)
            .filter_map(|stat| self.classify(stat, &leaders))
            .collect();
        for it in found.iter().filter(|it| it.proven) {
            if !self.known.iter().any(|(_, known)| same(known, &it.stat)) {
                self.known.push((it.run, it.stat));
            }
        }
        found
    }

    /// Sessions whose leader is the process of a start mark and has the run mark. A session id is not reused while the session has
    /// members. Without the leader the session could also be that of a daemon whose session leader has ended.
    fn leaders(&self, all: &HashMap<i32, Stat>) -> HashMap<i32, (RunId, u64)> {
        let started = self.marks.iter().filter_map(|mark| mark.process);
        let present = started.filter(|process| {
            let stat = all.get(&process.pid);
            process.session == process.pid
                && stat.is_some_and(|stat| stat.start_ticks == process.start_ticks)
        });
        present
            .filter_map(|it| Some((it.pid, (self.marked(it.pid)?, it.start_ticks))))
            .collect()
    }

    /// The run whose mark a process has in its environment.
    fn marked(&self, pid: i32) -> Option<RunId> {
        self.by_marker.get(&proc_fs::run_mark(pid)?).copied()
    }

    fn classify(&self, stat: &Stat, leaders: &HashMap<i32, (RunId, u64)>) -> Option<Found> {
        let found = |run, proven| Found {
            run,
            stat: *stat,
            proven,
        };
        if let Some((run, _)) = self.known.iter().find(|(_, known)| same(known, stat)) {
            return Some(found(*run, true));
        }
        if let Some((run, start_ticks)) = leaders.get(&stat.session)
            && stat.start_ticks >= *start_ticks
        {
            return Some(found(*run, true));
        }
        let carried = proc_fs::run_mark(stat.pid);
        if let Some(run) = carried.as_ref().and_then(|mark| self.by_marker.get(mark)) {
            return Some(found(*run, true));
        }
        let is_named = |mark: &&Mark| {
            mark.process
                .is_some_and(|it| it.pid == stat.pid && it.start_ticks == stat.start_ticks)
        };
        // A process with the mark of another run belongs to that run.
        let named = self.marks.iter().find(is_named)?;
        carried.is_none().then(|| found(named.run, false))
    }
}

fn same(a: &Stat, b: &Stat) -> bool {
    a.pid == b.pid && a.start_ticks == b.start_ticks
}
