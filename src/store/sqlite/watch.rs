//! Wakes whoever waits for a change of the store: the commit is the nudge.
//!
//! Every writer opens `write.lock` for its transaction and closes it after COMMIT, so the kernel's close event comes when
//! the change is visible. Rule: an event means "look again", never more; waiters also look on their own now and then,
//! because a lock file that somebody removed wakes nobody.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use super::Store;
use crate::error::{Error, Result};
use crate::local::lock;

/// A view of the commits of all processes on one store.
#[derive(Debug)]
pub struct Watch {
    events: OwnedFd,
}

impl Store {
    /// Watches for commits from now on. Look at the store once after this, then wait.
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
    /// Waits until something was committed, at most so long; whether it was. A signal ends the wait early.
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

    /// Takes the events that are there, for a poll loop that includes this descriptor; whether there was one.
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
