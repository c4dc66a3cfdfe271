//! A growing file: reads new bytes, and waits for more of them or for a commit of the store.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use super::pieces::{PIECE_BYTES, optional, read_some};
use crate::error::{Error, Result};
use crate::local::Local;
use crate::run::RunId;
use crate::store::Watch;

/// The log of an attempt while it is written.
pub(super) struct Tail<'a> {
    local: &'a Local,
    run: RunId,
    attempt: i64,
    path: PathBuf,
    file: Option<File>,
    changes: OwnedFd,
    store: &'a Watch,
    buffer: Vec<u8>,
}

impl<'a> Tail<'a> {
    /// The log of this attempt; the file need not exist yet.
    pub(super) fn new(
        local: &'a Local,
        run: RunId,
        attempt: i64,
        store: &'a Watch,
    ) -> Result<Self> {
        let path = local.log_path(run, attempt);
        let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(|error| Error::io("watch", &path, &error.into()))?;
        Ok(Self {
            local,
            run,
            attempt,
            path,
            file: None,
            changes,
            store,
            buffer: vec![0; PIECE_BYTES],
        })
    }

    /// Whether the file has not been seen yet.
    pub(super) fn missing(&self) -> bool {
        self.file.is_none()
    }

    /// The next new bytes; `None` when there are none now.
    pub(super) fn read(&mut self) -> Result<Option<&[u8]>> {
        let io = |path: &PathBuf, error| Error::io("read", path, &error);
        if self.file.is_none() {
            let opened = self.local.open_log(self.run, self.attempt);
            self.file = optional(opened, &self.path)?;
            if self.file.is_some() {
                // Watched before the first read, so that no write in between is missed.
                let flags = WatchFlags::MODIFY | WatchFlags::DONT_FOLLOW;
                let _ = inotify::add_watch(&self.changes, &self.path, flags);
            }
        }
        let Some(file) = &mut self.file else {
            return Ok(None);
        };
        let n = read_some(file, &mut self.buffer).map_err(|error| io(&self.path, error))?;
        Ok((n > 0).then(|| &self.buffer[..n]))
    }

    /// Waits for more bytes or a commit, at most a second.
    pub(super) fn wait(&self) -> Result<()> {
        let second = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        // A file that does not exist yet sends no events.
        let soon = Timespec {
            tv_sec: 0,
            tv_nsec: 100_000_000,
        };
        let timeout = if self.file.is_some() { second } else { soon };
        let store = self.store.as_fd();
        let mut fds = [
            PollFd::new(&self.changes, PollFlags::IN),
            PollFd::from_borrowed_fd(store, PollFlags::IN),
        ];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(Error::io("watch", &self.path, &error.into())),
        }
        self.store.drain();
        let mut events = [0u8; 4096];
        while rustix::io::read(&self.changes, &mut events).is_ok_and(|n| n > 0) {}
        Ok(())
    }
}
