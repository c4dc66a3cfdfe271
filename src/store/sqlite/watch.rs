//! Wakes processes that wait for a change of the store.
//!
//! Every writer opens `write.lock` for its transaction and closes it after COMMIT, so the kernel sends a close event when the
//! change is visible. Rule: an event only means "check again"; waiters also check from time to time without an event, because a
//! removed lock file sends none.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use super::Store;
use crate::error::{Error, Result};
use crate::local::lock;

/// Notifications of the commits of all processes to one store.
#[derive(Debug)]
pub struct Watch {
    events: OwnedFd,
}

impl Store {
    /// Watches for commits from now on. Read the store after this call, then wait.
    pub fn watch(&self) -> Result<Watch> {
        let path = &self.files.write_lock;
        let failed = |error: Errno| Error::io("watch", path, &error.into());
        // A new store has none before its first transaction.
        if !path.exists() {
            drop(lock::open(path)?);
        }
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(failed)?;
        inotify::add_watch(&events, path, WatchFlags::CLOSE_WRITE).map_err(failed)?;
        Ok(Watch { events })
    }
}

impl Watch {
    /// Waits at most `timeout` for a commit. Returns whether there was one. A signal ends the wait early.
    pub fn wait(&self, timeout: Duration) -> Result<bool> {
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let mut fds = [PollFd::new(&self.events, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => Ok(false),
            Ok(_) => Ok(self.drain()),
            Err(error) => Err(Error::new(
                crate::error::Kind::Io,
                format!("cannot wait for the store: {}", std::io::Error::from(error)),
            )),
        }
    }

    /// Consumes pending events, for a poll loop that includes this descriptor. Returns whether there was one.
    pub fn drain(&self) -> bool {
        let mut buffer = [0u8; 4096];
        let mut any = false;
        while rustix::io::read(&self.events, &mut buffer).is_ok_and(|n| n > 0) {
            any = true;
        }
        any
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}
