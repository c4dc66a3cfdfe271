//! The processes that an attempt left behind: found among those that this process adopted, ended, reaped.
//!
//! Rule: a process belongs to the attempt by its session, its `JOBCTL_RUN_MARK`, its hold on the attempt's pipe, or as a
//! descendant of such a one; never by its number alone. What leaves the session, clears its environment, lets go of
//! the pipe and outlives its parent cannot be told from a stranger and escapes.

use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::proc_fs::{self, Sent, Stat};
use crate::clock;

/// The kernel needs microseconds to end a process, unless the process is in an uninterruptible wait.
const KILL_WITHIN: Duration = Duration::from_secs(2);

/// From a fork to the child's own handlers, on a busy machine.
const FORK_WITHIN_MS: i64 = 50;

/// More processes than any sane job leaves; bounds the time of one pass.
const PASS_MAX: usize = 10_000;

/// How to recognise the processes of one attempt.
pub(super) struct Family<'a> {
    /// Pid, group and session of the command itself; a zombie while this is in use, so that the number stays its own.
    pub(super) leader: Pid,
    pub(super) leader_start_ticks: u64,
    /// Value of `JOBCTL_RUN_MARK`.
    pub(super) mark: &'a str,
    /// Inode of the output pipe.
    pub(super) pipe_inode: u64,
    /// Processes outside the session that were descendants of the command while it lived.
    pub(super) known: Vec<Stat>,
}

/// What [`Family::end`] did.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// How many processes were found alive.
    pub(super) count: u32,
    /// Those that are still there.
    pub(super) stuck: Vec<Stat>,
}

impl Family<'_> {
    /// Processes of the attempt that are alive without the command. Cheap if nothing was ever adopted.
    pub(super) fn survivors(&self) -> Vec<Stat> {
        let adopted = self.adopted();
        if adopted.is_empty() && self.known.is_empty() {
            return Vec::new();
        }
        let mut found = self.pass(adopted);
        if found.is_empty() {
            // The list of children may skip one while another is reaped.
            found = self.pass(self.adopted());
        }
        found
    }

    fn adopted(&self) -> Vec<i32> {
        proc_fs::adopted_except(self.leader.as_raw_pid())
    }

    fn pass(&self, adopted: Vec<i32>) -> Vec<Stat> {
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
            // Older than the command: of another attempt whose job may leave processes alone.
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
            for child in descend(found[next].pid) {
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

    /// Sends SIGTERM to the group and to each process of the attempt outside of it. Remembers those that left the session,
    /// because they can no longer be recognised once their parents are gone.
    pub(super) fn terminate(&mut self) {
        // A stopped process takes its SIGTERM only when it goes on.
        let signals = [Signal::TERM, Signal::CONT];
        for stat in self.outside() {
            proc_fs::signal(stat.pid, stat.start_ticks, &signals);
        }
        for signal in signals {
            let _ = rustix::process::kill_process_group(self.leader, signal);
        }
    }

    /// Sends SIGTERM to orphans that may have missed it: one that a shell forked as the signal came was not there yet, or
    /// still had the shell's handler. Older ones had theirs, and a child of a survivor may be at its cleaning up.
    pub(super) fn remind(survivors: &[Stat], termed_ms: i64) {
        let since = proc_fs::ticks_at(termed_ms - FORK_WITHIN_MS);
        for stat in survivors {
            if stat.start_ticks >= since && stat.parent == std::process::id() as i32 {
                proc_fs::signal(stat.pid, stat.start_ticks, &[Signal::TERM, Signal::CONT]);
            }
        }
    }

    /// Sends SIGKILL to the group; the rest is for [`Family::end`], which needs to know who left the session.
    pub(super) fn kill(&mut self) {
        self.outside();
        let _ = rustix::process::kill_process_group(self.leader, Signal::KILL);
    }

    fn outside(&mut self) -> Vec<Stat> {
        let mut found = descend(self.leader.as_raw_pid());
        let mut next = 0;
        while next < found.len() && found.len() < PASS_MAX {
            for child in descend(found[next].pid) {
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

    /// Processes anywhere that carry the mark: for one that some other process has adopted.
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

    /// Kills the group and `found`, and again whatever appears meanwhile, until two looks find nothing.
    pub(super) fn end(&self, mut found: Vec<Stat>) -> Ended {
        let _ = rustix::process::kill_process_group(self.leader, Signal::KILL);
        let mut seen: Vec<Stat> = Vec::new();
        let mut refused: Vec<Stat> = Vec::new();
        let deadline = clock::monotonic() + KILL_WITHIN;
        let mut pause = Duration::from_micros(100);
        let mut empty_passes = 0;
        while !found.is_empty() || (!seen.is_empty() && empty_passes < 2) {
            empty_passes = if found.is_empty() {
                empty_passes + 1
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
        Ended {
            count: seen.len() as u32,
            stuck: found,
        }
    }
}

fn descend(pid: i32) -> Vec<Stat> {
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
