//! The thread that does the loop's work, one piece at a time, so that the loop can handle signals while a piece takes long.

use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::local::Local;
use crate::store::Store;

use super::Reload;
use super::perform::perform;
use super::work::{Answer, Work};

/// Handle of the thread. The thread ends when the handle is dropped and its work is done.
pub(super) struct StoreThread {
    work: SyncSender<Work>,
    answers: Receiver<Answer>,
    /// Readable when there is an answer.
    wake: UnixStream,
}

impl StoreThread {
    pub(super) fn start(mut store: Store, local: Local, load: Reload) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::new(Kind::Failed, format!("cannot start a thread: {error}"))
        };
        let (wake, mut waker) = UnixStream::pair().map_err(failed)?;
        wake.set_nonblocking(true).map_err(failed)?;
        let (work, todo) = sync_channel::<Work>(1);
        let (sender, answers) = sync_channel(1);
        std::thread::Builder::new()
            .name("store".into())
            .spawn(move || {
                while let Ok(work) = todo.recv() {
                    let answer = perform(work, &mut store, &local, &load, &clock::reading);
                    if sender.send(answer).is_err() {
                        return;
                    }
                    let _ = waker.write_all(b"!");
                }
            })
            .map_err(failed)?;
        Ok(Self {
            work,
            answers,
            wake,
        })
    }

    /// Gives the thread its next work; the answer to the previous work must have been taken.
    pub(super) fn give(&self, work: Work) -> Result<()> {
        self.work.send(work).map_err(|_| ended())
    }

    /// Takes the answer, if there is one.
    pub(super) fn take(&mut self) -> Result<Option<Answer>> {
        let mut bytes = [0u8; 16];
        let _ = std::io::Read::read(&mut self.wake, &mut bytes);
        match self.answers.try_recv() {
            Ok(answer) => Ok(Some(answer)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(ended()),
        }
    }
}

impl AsFd for StoreThread {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

fn ended() -> Error {
    Error::new(
        Kind::Bug,
        "the thread that writes to the store has panicked",
    )
}
