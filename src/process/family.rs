//! The leftover processes of an attempt: finds them among the processes that this process adopted, ends and reaps them.
//!
//! Rule: a process belongs to the attempt by its session, its `JOBCTL_RUN_MARK`, its copy of the attempt's pipe, or as a descendant of
//! such a process; never by its pid alone. A process that leaves the session, clears its environment, closes the pipe and outlives its
//! parent cannot be recognised and escapes.

use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::proc_fs::{self, Sent, Stat};
use crate::clock;

/// The kernel needs microseconds to end a process, unless the process is in an uninterruptible wait.
const KILL_WITHIN: Duration = Duration::from_secs(2);

/// Time from a fork until the child has its own signal handlers, on a busy machine.
const FORK_WITHIN_MS: i64 = 50;

/// Most processes that one search collects; bounds its time.
const PASS_MAX: usize = 10_000;

/// The processes of one attempt, and how to recognise them.
pub(super) struct ProcessTree<'a> {
    /// Pid, group and session of the command. It is not reaped while this is in use, so that its pid is not reused.
    pub(super) leader: Pid,
    pub(super) leader_start_ticks: u64,
    /// Value of `JOBCTL_RUN_MARK`.
    pub(super) mark: &'a str,
    /// Inode of the output pipe.
    pub(super) pipe_inode: u64,
    /// Processes outside the session that were descendants of the command while it lived.
    pub(super) known: Vec<Stat>,
}

/// The result of [`ProcessTree::end`].
#[derive(Debug, Default)]
pub(super) struct KillResult {
    /// The number of processes that were found alive.
    pub(super) count: u32,
    /// Processes that could not be ended.
    pub(super) stuck: Vec<Stat>,
}

impl ProcessTree<'_> {
    /// Living processes of the attempt, without the command. Cheap if this process has adopted none.
    pub(super) fn survivors(&self) -> Vec<Stat> {
        let adopted = self.adopted();
        if adopted.is_empty() && self.known.is_empty() {
            return Vec::new();
        }
        let mut found = self.search(adopted);
        if found.is_empty() {
            // The list of children may skip one while another is reaped.
            found = self.search(self.adopted());
        }
        found
    }

    fn adopted(&self) -> Vec<i32> {
        proc_fs::adopted_except(self.leader.as_raw_pid())
    }

    fn search(&self, adopted: Vec<i32>) -> Vec<Stat> {
        let mut found: Vec<Stat> = self
            .known
            .iter()
            .filter(|known| {
                proc_fs::stat(known.pid)
                    .is_some_and(|now| now.start_ticks == known.start_ticks && !now.is_dead())
            })
            .copied()
            .collect();
        for pid in adopted {
            let Some(stat) = proc_fs::stat(pid) else {
                continue;
            };
            // Older than the command: a process of another attempt, whose job may allow leftovers.
            if stat.start_ticks < self.leader_start_ticks {
                continue;
            }
            if stat.is_dead() {
                if stat.session == self.leader.as_raw_pid() {
                    proc_fs::reap(pid);
                }
            } else if self.owns(&stat) {
                add(&mut found, stat);
            }
        }
        let mut next = 0;
        while next < found.len() && found.len() < PASS_MAX {
            for child in living_children(found[next].pid) {
                add(&mut found, child);
            }
            next += 1;
        }
        found
    }

    fn owns(&self, stat: &Stat) -> bool {
        stat.session == self.leader.as_raw_pid()
            || proc_fs::run_mark(stat.pid).is_some_and(|mark| mark == self.mark.as_bytes())
            || proc_fs::writes_to_pipe(stat.pid, self.pipe_inode)
    }

    /// Sends SIGTERM to the group and to each process of the attempt outside of it. Records those that left the session, because they
    /// cannot be recognised any more once their parents are gone.
    pub(super) fn terminate(&mut self) {
        // A stopped process handles SIGTERM only after SIGCONT.
        let signals = [Signal::TERM, Signal::CONT];
        for stat in self.outside_group() {
            proc_fs::signal(stat.pid, stat.start_ticks, &signals);
        }
        for signal in signals {
            let _ = rustix::process::kill_process_group(self.leader, signal);
        }
    }

    /// Sends SIGTERM to orphans that may have missed it: a process that a shell forked while the signal arrived did not exist yet, or
    /// still had the shell's handler. Older processes got the signal, and a child of a survivor may be cleaning up.
    pub(super) fn resend_term(survivors: &[Stat], termed_ms: i64) {
        let since = proc_fs::ticks_at(termed_ms - FORK_WITHIN_MS);
        for stat in survivors {
            if stat.start_ticks >= since && stat.parent == std::process::id() as i32 {
                proc_fs::signal(stat.pid, stat.start_ticks, &[Signal::TERM, Signal::CONT]);
            }
        }
    }

    /// Sends SIGKILL to the group and records the processes outside of it for [`ProcessTree::end`].
    pub(super) fn kill(&mut self) {
        self.outside_group();
        let _ = rustix::process::kill_process_group(self.leader, Signal::KILL);
    }

    fn outside_group(&mut self) -> Vec<Stat> {
        let mut found = living_children(self.leader.as_raw_pid());
        let mut next = 0;
        while next < found.len() && found.len() < PASS_MAX {
            for child in living_children(found[next].pid) {
                add(&mut found, child);
            }
            next += 1;
        }
        for stat in self.survivors() {
            add(&mut found, stat);
        }
        found.retain(|stat| stat.group != self.leader.as_raw_pid());
        for stat in &found {
            if stat.session != self.leader.as_raw_pid() {
                add(&mut self.known, *stat);
            }
        }
        found
    }

    /// All processes of the host that have the mark: some may have been adopted by another process.
    pub(super) fn marked(&self) -> Vec<Stat> {
        proc_fs::all_pids()
            .into_iter()
            .filter(|&pid| pid != self.leader.as_raw_pid())
            .filter_map(proc_fs::stat)
            .filter(|stat| !stat.is_dead() && stat.start_ticks >= self.leader_start_ticks)
            .filter(|stat| {
                proc_fs::run_mark(stat.pid).is_some_and(|mark| mark == self.mark.as_bytes())
            })
            .collect()
    }

    /// Kills the group and `found`, and repeats it for processes that appear meanwhile, until two searches find none.
    pub(super) fn end(&self, mut found: Vec<Stat>) -> KillResult {
        let _ = rustix::process::kill_process_group(self.leader, Signal::KILL);
        let mut seen: Vec<Stat> = Vec::new();
        let mut refused: Vec<Stat> = Vec::new();
        let deadline = clock::monotonic() + KILL_WITHIN;
        let mut pause = Duration::from_micros(100);
        let mut empty_searches = 0;
        while !found.is_empty() || (!seen.is_empty() && empty_searches < 2) {
            empty_searches = if found.is_empty() {
                empty_searches + 1
            } else {
                0
            };
            for stat in &found {
                add(&mut seen, *stat);
                if proc_fs::signal(stat.pid, stat.start_ticks, &[Signal::KILL]) == Sent::Refused {
                    add(&mut refused, *stat);
                }
            }
            if clock::monotonic() >= deadline {
                break;
            }
            if !found.is_empty() {
                clock::pause(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            let _ = rustix::process::kill_process_group(self.leader, Signal::KILL);
            found = self.survivors();
            found.retain(|stat| !refused.iter().any(|other| same(other, stat)));
        }
        found.extend(refused.iter().filter(|stat| {
            proc_fs::stat(stat.pid).is_some_and(|now| same(&now, stat) && !now.is_dead())
        }));
        KillResult {
            count: seen.len() as u32,
            stuck: found,
        }
    }
}

fn living_children(pid: i32) -> Vec<Stat> {
    proc_fs::children(pid)
        .into_iter()
        .filter_map(proc_fs::stat)
        .filter(|stat| !stat.is_dead())
        .collect()
}

fn same(a: &Stat, b: &Stat) -> bool {
    a.pid == b.pid && a.start_ticks == b.start_ticks
}

fn add(list: &mut Vec<Stat>, stat: Stat) {
    if !list.iter().any(|known| same(known, &stat)) {
        list.push(stat);
    }
}
