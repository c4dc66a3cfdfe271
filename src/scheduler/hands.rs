//! The thread that does the loop's work, one piece at a time, so that the loop hears signals whatever a piece takes.

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

/// The thread. It ends when this is dropped and its work is done.
pub(super) struct Hands {
    work: SyncSender<Work>,
    answers: Receiver<Answer>,
    /// Ready to read when there is an answer.
    bell: UnixStream,
}

impl Hands {
    pub(super) fn start(mut store: Store, local: Local, load: Reload) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::new(Kind::Failed, format!("cannot start a thread: {error}"))
        };
        let (bell, mut rope) = UnixStream::pair().map_err(failed)?;
        bell.set_nonblocking(true).map_err(failed)?;
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
                    let _ = rope.write_all(b"!");
                }
            })
            .map_err(failed)?;
        Ok(Self {
            work,
            answers,
            bell,
        })
    }

    /// Gives a piece of work; the one before has come back.
    pub(super) fn give(&self, work: Work) -> Result<()> {
        self.work.send(work).map_err(|_| ended())
    }

    /// What has come back.
    pub(super) fn take(&mut self) -> Result<Option<Answer>> {
        let mut rung = [0u8; 16];
        let _ = std::io::Read::read(&mut self.bell, &mut rung);
        match self.answers.try_recv() {
            Ok(answer) => Ok(Some(answer)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(ended()),
        }
    }
}

impl AsFd for Hands {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

fn ended() -> Error {
    Error::new(
        Kind::Bug,
        "the thread that writes to the store has panicked",
    )
}
