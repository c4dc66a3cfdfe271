//! Processes that registered as workers, and their state now. The pid and the start time together identify a process.
//!
//! Rule: a boot or a namespace that is unknown proves nothing.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::clock;
use crate::error::{Error, Result};
use crate::records::WorkerRow;
use crate::run::WorkerId;

/// Start time of a process in clock ticks since boot.
pub fn start_ticks(pid: u32) -> Result<i64> {
    let found = state_and_start(pid);
    let found = found.map_err(|error| Error::io("read", &stat_path(pid), &error))?;
    Ok(found.1)
}

/// The pid namespace of this process, as an inode number; 0 if it cannot be read.
pub fn pid_namespace() -> i64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |meta| meta.ino().cast_signed())
}

/// The state of the process that registered a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessState {
    /// It exists, perhaps as a zombie; with its state in `/proc/PID/stat`.
    Exists(char),
    /// It is gone: the host has rebooted, or its pid is free or reused.
    Gone,
    /// Its pid belongs to another namespace, or `/proc` cannot be read.
    Unknown,
}

/// A worker and its process, as they registered.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// The worker.
    pub worker: WorkerId,
    /// Name of its host.
    pub host: &'a str,
    /// Boot of its host.
    pub boot_id: &'a str,
    /// Namespace of the process id; `None` for a worker of a version that did not store it.
    pub pid_ns: Option<i64>,
    /// Its process id.
    pub pid: i64,
    /// Start of its process in clock ticks since boot.
    pub pid_start: i64,
}

impl WorkerRow {
    /// The process that registered.
    pub fn registration(&self) -> Registration<'_> {
        Registration {
            worker: self.worker,
            host: &self.host,
            boot_id: &self.boot_id,
            pid_ns: self.pid_ns,
            pid: self.pid,
            pid_start: self.pid_start,
        }
    }
}

impl Registration<'_> {
    /// The state of the process that registered a worker. The process is identified by boot, namespace, pid and start time.
    pub fn process_state(&self) -> ProcessState {
        match self.is_of_this_boot() {
            Some(true) if self.is_in_our_namespace() => {}
            Some(false) => return ProcessState::Gone,
            Some(true) | None => return ProcessState::Unknown,
        }
        let Ok(pid) = u32::try_from(self.pid) else {
            return ProcessState::Gone;
        };
        match state_and_start(pid) {
            Ok((state, start)) if start == self.pid_start => ProcessState::Exists(state),
            Ok(_) => ProcessState::Gone,
            Err(error) if is_no_process(&error) => ProcessState::Gone,
            Err(_) => ProcessState::Unknown,
        }
    }

    /// Whether the process has certainly ended, on this host; it may be a zombie.
    pub fn has_ended(&self) -> bool {
        let host = rustix::system::uname();
        host.nodename().to_bytes() == self.host.as_bytes()
            && matches!(
                self.process_state(),
                ProcessState::Gone | ProcessState::Exists('Z' | 'X')
            )
    }

    /// Whether it registered in this boot; `None` if that is unknown.
    pub fn is_of_this_boot(&self) -> Option<bool> {
        clock::same_boot(self.boot_id, &clock::boot_id())
    }

    /// Whether the process id is a number of this process's namespace; `false` if that is unknown.
    fn is_in_our_namespace(&self) -> bool {
        self.pid_ns
            .is_none_or(|ns| ns != 0 && ns == pid_namespace())
    }

    /// Whether its numbers are valid in this namespace, or no longer used because the host was booted since.
    pub fn is_ours(&self) -> bool {
        self.is_of_this_boot() == Some(true) && self.is_in_our_namespace()
    }

    /// Whether processes of a dead worker may be alive in a namespace that this process cannot see. The end of the first process
    /// of a namespace ends all others in it, and so does a boot.
    pub fn may_leave_hidden_processes(&self) -> bool {
        match self.is_of_this_boot() {
            Some(true) => !self.is_in_our_namespace() && self.pid != 1,
            Some(false) => false,
            None => !(self.pid_ns == Some(pid_namespace()) && self.pid_ns != Some(0)),
        }
    }
}

fn is_no_process(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

fn stat_path(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/stat"))
}

/// Fields 3 and 22 of `/proc/PID/stat`, counted behind the last `)`.
fn state_and_start(pid: u32) -> io::Result<(char, i64)> {
    let text = fs::read(stat_path(pid))?;
    let text = String::from_utf8_lossy(&text);
    text.rsplit_once(')')
        .and_then(|(_, fields)| {
            let mut fields = fields.split_whitespace();
            let state = fields.next()?.chars().next()?;
            Some((state, fields.nth(18)?.parse().ok()?))
        })
        .ok_or_else(|| io::Error::other("not understood"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own<'a>(host: &'a str, boot_id: &'a str) -> Registration<'a> {
        let pid = std::process::id();
        Registration {
            worker: WorkerId(7),
            host,
            boot_id,
            pid_ns: Some(pid_namespace()),
            pid: i64::from(pid),
            pid_start: start_ticks(pid).unwrap(),
        }
    }

    /// Proves (leftovers): a boot, a namespace or a file of start marks that cannot be read proves nothing.
    #[test]
    fn a_process_that_cannot_be_checked_counts_as_unknown() {
        let host = rustix::system::uname();
        let (host, boot_id) = (host.nodename().to_string_lossy(), clock::boot_id());
        let row = own(&host, &boot_id);
        assert!(matches!(row.process_state(), ProcessState::Exists(_)));
        let gone = [
            Registration {
                pid_start: 1,
                ..row
            },
            Registration {
                pid: i64::from(i32::MAX),
                ..row
            },
            Registration { pid: -1, ..row },
            Registration {
                boot_id: "another",
                ..row
            },
        ];
        for row in gone {
            assert_eq!(row.process_state(), ProcessState::Gone, "{row:?}");
            assert!(row.has_ended());
            let elsewhere = Registration {
                host: "another",
                ..row
            };
            assert!(!elsewhere.has_ended());
        }
        let unknown = [
            Registration { boot_id: "", ..row },
            Registration {
                boot_id: "unknown-0123",
                ..row
            },
            Registration {
                pid_ns: Some(0),
                ..row
            },
            Registration {
                pid_ns: Some(1),
                ..row
            },
            // The pid is free in our namespace, which says nothing about the other.
            Registration {
                pid_ns: Some(1),
                pid: i64::from(i32::MAX),
                ..row
            },
        ];
        for row in unknown {
            assert_eq!(row.process_state(), ProcessState::Unknown, "{row:?}");
            assert!(!row.has_ended());
        }
    }
}
