//! Reads `/proc` (the state of a process, its children, its environment), and signals exactly the intended process.
//!
//! Rule: a process is identified by pid *and start time*; a bare pid is never signalled. `stat` is parsed after the last `)`, because a
//! process may have the name `x) R 1 1 (y`.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};

use crate::clock;

/// The fields of `/proc/PID/stat` that jobctl uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) pid: i32,
    /// One letter; `Z` and `X` are dead.
    pub(super) state: u8,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    /// Clock ticks after boot; together with the pid it identifies a process within a boot.
    pub(super) start_ticks: u64,
}

impl Stat {
    pub(super) fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// Parses `/proc/PID/stat`.
pub(super) fn parse_stat(text: &[u8]) -> Option<Stat> {
    let open = text.iter().position(|&byte| byte == b'(')?;
    let close = text.iter().rposition(|&byte| byte == b')')?;
    let pid = std::str::from_utf8(&text[..open])
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
    // Field 3 of proc(5) is the first one here.
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let session = fields.next()?.parse().ok()?;
    let start_ticks = fields.nth(15)?.parse().ok()?;
    Some(Stat {
        pid,
        state,
        parent,
        group,
        session,
        start_ticks,
    })
}

/// The state of a process; `None` if it is gone.
pub(super) fn stat(pid: i32) -> Option<Stat> {
    let mut file = File::open(format!("/proc/{pid}/stat")).ok()?;
    // The longest line is below 500 bytes: a name of 64 and 51 numbers.
    let mut text = [0u8; 2048];
    let mut length = 0;
    while length < text.len() {
        match file.read(&mut text[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    parse_stat(&text[..length])
}

/// All process ids.
pub(super) fn all_pids() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// The name of the variable that every process of a run inherits.
pub(super) const MARK_VARIABLE: &str = "JOBCTL_RUN_MARK";

/// Retries, 1 ms apart: during an exec the environment is empty, until the program has been read from disk.
const EXEC_RETRIES: u32 = 50;

/// Value of `JOBCTL_RUN_MARK` in a process's environment, if it can be read and is there.
pub(super) fn run_mark(pid: i32) -> Option<Vec<u8>> {
    let mut environment = environment(pid)?;
    for _ in 0..EXEC_RETRIES {
        if !environment.is_empty() || !may_have_environment(pid) {
            break;
        }
        clock::pause(Duration::from_millis(1));
        environment = self::environment(pid)?;
    }
    environment
        .split(|&byte| byte == 0)
        .find_map(|entry| {
            entry
                .strip_prefix(MARK_VARIABLE.as_bytes())?
                .strip_prefix(b"=")
        })
        .map(<[u8]>::to_vec)
}

fn environment(pid: i32) -> Option<Vec<u8>> {
    let mut environment = Vec::new();
    // The kernel allows at most a quarter of the stack limit. jobctl puts the mark first; other programs may sort variables.
    let _ = File::open(format!("/proc/{pid}/environ"))
        .ok()?
        .take(8 << 20)
        .read_to_end(&mut environment);
    Some(environment)
}

/// Whether a process with an empty environment may be, or may just have been, in an exec: then the place of its environment is not set
/// yet, or is not empty.
fn may_have_environment(pid: i32) -> bool {
    let Ok(stat) = std::fs::read(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let close = stat.iter().rposition(|&byte| byte == b')');
    let rest = close.and_then(|close| std::str::from_utf8(&stat[close + 1..]).ok());
    // Fields 50 and 51 of proc(5), `env_start` and `env_end`; field 3 is the first one here.
    let mut fields = rest.unwrap_or_default().split_ascii_whitespace().skip(47);
    let place = (fields.next(), fields.next());
    let is_empty = place.0 == place.1 && place.1 != Some("0");
    // Kernel threads and dead processes have no program, and that of another user cannot be read.
    !is_empty && std::fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

/// Whether standard output or error of the process is the pipe with this inode.
pub(super) fn writes_to_pipe(pid: i32, inode: u64) -> bool {
    let name = format!("pipe:[{inode}]");
    [1, 2].iter().any(|fd| {
        std::fs::read_link(format!("/proc/{pid}/fd/{fd}"))
            .is_ok_and(|target| target.as_os_str() == name.as_str())
    })
}

/// Children of all threads of a process. May miss some while others end, so callers search repeatedly.
pub(super) fn children(pid: i32) -> Vec<i32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for task in tasks.flatten() {
        if let Ok(text) = std::fs::read_to_string(task.path().join("children")) {
            found.extend(numbers(&text));
        }
    }
    found
}

/// Processes that this process has adopted (children of its main thread) and children of the calling thread, except `leader`.
///
/// Two system calls if there are none. Without `CONFIG_PROC_CHILDREN` in the kernel it reads every process.
pub(super) fn adopted_except(leader: i32) -> Vec<i32> {
    static MAIN: OnceLock<Option<File>> = OnceLock::new();
    thread_local! {
        // With CLONE_PARENT a child of the command becomes a child of the slot's thread.
        static OWN: Option<File> = File::open("/proc/thread-self/children").ok();
    }
    let main = std::process::id();
    let file = MAIN.get_or_init(|| File::open(format!("/proc/self/task/{main}/children")).ok());
    let mut found = Vec::new();
    if let Some(file) = file {
        read_children(file, &mut found);
        OWN.with(|file| file.as_ref().map(|file| read_children(file, &mut found)));
    } else {
        found = all_pids();
        found.retain(|&pid| stat(pid).is_some_and(|stat| stat.parent == main as i32));
    }
    found.retain(|&pid| pid != leader);
    found
}

fn read_children(file: &File, found: &mut Vec<i32>) {
    let mut text = Vec::new();
    let mut page = [0u8; 4096];
    while let Ok(n @ 1..) = file.read_at(&mut page, text.len() as u64) {
        text.extend_from_slice(&page[..n]);
        if n < page.len() / 2 {
            // The kernel returns a page at a time; a short one is the last.
            break;
        }
    }
    found.extend(numbers(&String::from_utf8_lossy(&text)));
}

fn numbers(text: &str) -> impl Iterator<Item = i32> {
    text.split_ascii_whitespace()
        .filter_map(|word| word.parse().ok())
}

/// The result of sending a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Delivered,
    /// The process is gone; its pid may have been reused.
    Gone,
    /// We have no permission to signal it.
    Refused,
}

/// Sends signals to the process with this pid *and* start time, and never to a later process with its pid.
pub(super) fn signal(pid: i32, start_ticks: u64, signals: &[Signal]) -> Sent {
    let Some(raw) = Pid::from_raw(pid) else {
        return Sent::Gone;
    };
    let pidfd = match rustix::process::pidfd_open(raw, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => return Sent::Gone,
        Err(_) => return Sent::Refused,
    };
    // The pidfd refers to one process; only this check shows that it is the intended one.
    if stat(pid).is_none_or(|stat| stat.start_ticks != start_ticks || stat.is_dead()) {
        return Sent::Gone;
    }
    for &signal in signals {
        match rustix::process::pidfd_send_signal(&pidfd, signal) {
            Ok(()) => {}
            Err(rustix::io::Errno::SRCH) => return Sent::Gone,
            Err(_) => return Sent::Refused,
        }
    }
    Sent::Delivered
}

/// Reaps an ended process that we adopted, without waiting.
pub(super) fn reap(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let _ = rustix::process::waitid(WaitId::Pid(pid), options);
    }
}

/// Milliseconds per tick of `start_ticks`: Linux reports 100 ticks per second, except on two obsolete architectures.
const TICK_MS: i64 = 10;

/// Ticks since boot at a time of the boot clock.
pub(super) fn ticks_at(boottime_ms: i64) -> u64 {
    (boottime_ms.max(0) / TICK_MS) as u64
}

/// Start time of a process that was started between two readings of the boot clock, in ticks.
///
/// The kernel derives it from the same clock, so that it is known without reading `/proc` unless a tick passed meanwhile.
pub(super) fn start_ticks(pid: i32, before_ms: i64, after_ms: i64) -> u64 {
    if before_ms / TICK_MS == after_ms / TICK_MS
        && rustix::param::clock_ticks_per_second() == (1000 / TICK_MS) as u64
    {
        return (before_ms / TICK_MS) as u64;
    }
    stat(pid).map_or((after_ms / TICK_MS) as u64, |stat| stat.start_ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_process_name_does_not_confuse_the_parser() {
        let text = b"17 (x) R 1 1 (y) S 4 17 16 0 -1 4194304 90 0 0 0 0 0 0 0 20 0 1 0 777 2 3 4";
        assert_eq!(
            parse_stat(text),
            Some(Stat {
                pid: 17,
                state: b'S',
                parent: 4,
                group: 17,
                session: 16,
                start_ticks: 777
            })
        );
        for broken in [&b""[..], b"17 (x", b"17 (x) S", b"17 (x) S a b c"] {
            assert_eq!(parse_stat(broken), None);
        }
    }

    #[test]
    fn the_stat_of_this_process_is_read() {
        let own = std::process::id() as i32;
        let stat = stat(own).unwrap();
        assert_eq!(stat.pid, own);
        assert!(!stat.is_dead());
        assert_eq!(super::stat(i32::MAX), None);
    }

    #[test]
    fn a_process_with_an_empty_environment_is_not_taken_for_one_in_an_exec() {
        #[expect(clippy::disallowed_methods, reason = "any process will do")]
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .env_clear()
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(may_have_environment(std::process::id() as i32));
        // This waits for the end of the exec.
        assert_eq!(run_mark(pid), None);
        assert!(!may_have_environment(pid));
        child.kill().unwrap();
        // Dead and not waited for.
        while stat(pid).is_some_and(|stat| !stat.is_dead()) {
            clock::pause(Duration::from_millis(1));
        }
        assert!(!may_have_environment(pid));
        child.wait().unwrap();
    }

    /// Proves (leftovers): a process that only has the pid of one of ours is never signalled.
    /// Fault: as `a_worker_whose_lock_file_was_taken_away_stops_in_bounded_time`.
    #[test]
    fn a_wrong_start_time_is_never_signalled() {
        let own = std::process::id() as i32;
        let start = stat(own).unwrap().start_ticks;
        assert_eq!(signal(own, start + 1, &[Signal::KILL]), Sent::Gone);
        assert_eq!(signal(i32::MAX, 0, &[Signal::KILL]), Sent::Gone);
    }
}
