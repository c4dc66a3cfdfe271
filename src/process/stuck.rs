//! Processes of an attempt that survived SIGKILL: its run waits for them, its slot does not.
//!
//! Rule: the command is our child. It is gone once it has been waited for, and only then its ending is known; until then its pid cannot
//! be reused. Every other process is identified by pid and start time.

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions};

use super::exit::{Exit, StopReason};
use super::proc_fs::{self, Stat};
use crate::attempt::Report;
use crate::clock;

/// The surviving processes of an attempt.
#[derive(Debug)]
pub struct Stuck {
    /// The command, unless it was waited for, and why it was stopped.
    command: Option<(Pid, StopReason)>,
    others: Vec<Stat>,
    /// Start of the attempt by the boot clock, milliseconds.
    begun_ms: i64,
}

impl Stuck {
    /// `None` if no process is left.
    pub(super) fn new(
        command: Option<(Pid, StopReason)>,
        others: Vec<Stat>,
        begun_ms: i64,
    ) -> Option<Self> {
        (command.is_some() || !others.is_empty()).then_some(Self {
            command,
            others,
            begun_ms,
        })
    }

    /// Their process ids.
    pub fn pids(&self) -> Vec<i32> {
        let command = self.command.iter().map(|(pid, _)| pid.as_raw_pid());
        command
            .chain(self.others.iter().map(|stat| stat.pid))
            .collect()
    }

    /// Checks once, without waiting, whether all are gone. Corrects the ending of the command in the report.
    pub fn is_gone(&mut self, report: &mut Report) -> bool {
        if let Some((pid, why)) = self.command
            && let Some(exit) = wait_once(pid)
        {
            report.ending = why.ending(exit);
            self.command = None;
        }
        self.others.retain(|known| {
            proc_fs::stat(known.pid)
                .is_some_and(|now| now.start_ticks == known.start_ticks && !now.is_dead())
        });
        report.ran_ms = clock::boottime_ms() - self.begun_ms;
        self.command.is_none() && self.others.is_empty()
    }
}

/// How a child ended; `None` while it runs; `Some(None)` if it was waited for elsewhere.
#[expect(clippy::option_option, reason = "not ended, ended, and ended somehow")]
fn wait_once(pid: Pid) -> Option<Option<Exit>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    match rustix::process::waitid(WaitId::Pid(pid), options) {
        Ok(None) | Err(Errno::INTR) => None,
        Ok(Some(status)) => Some(Some(Exit::of(&status))),
        Err(_) => Some(None),
    }
}
