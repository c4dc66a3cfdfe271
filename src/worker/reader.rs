//! The reader: a thread that reads the store for the main loop, and watches for commits of other processes.
//!
//! Rule: only this thread waits for a slow read; the main loop gets the answer as an event. Periodic reads are repeated each second,
//! so a failed read is not lost.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::local::HeldFile;
use crate::observe::event::LogEvent;
use crate::observe::log;
use crate::run::WorkerId;
use crate::store::{Store, Watch};

use super::inbox::Inbox;
use super::machine::{Event, Remaining};
use super::slot::{ReportPanic, Shared};

/// How often it reads without being woken.
const TICK: Duration = Duration::from_secs(1);

/// Shortest interval between reads of operators' requests: every commit of every process may carry one.
const REQUESTS_EVERY: Duration = Duration::from_millis(20);

/// How long the end of the worker waits for a read under way.
const END_WAIT: Duration = Duration::from_secs(1);

/// A question of the main loop.
#[derive(Debug)]
pub(super) enum Question {
    /// Which runs wait in the store?
    Remaining,
    /// Can the store recover from this error?
    Examine(Error),
    /// No question: the thread ends.
    End,
}

/// Handle of the reader's thread.
pub(super) struct Reader {
    questions: Arc<Inbox<Question>>,
    thread: Option<JoinHandle<()>>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Reader {
    pub(super) fn start(
        store: Store,
        worker: WorkerId,
        lock: HeldFile,
        shared: Arc<Shared>,
    ) -> Result<Self> {
        let failed =
            |error: std::io::Error| Error::new(Kind::Failed, format!("cannot start: {error}"));
        let questions = Arc::new(Inbox::new().map_err(failed)?);
        let now = clock::steady();
        let reading = Reading {
            watch: store.watch()?,
            version: store.data_version()?,
            store,
            worker,
            lock,
            shared,
            questions: Arc::clone(&questions),
            next_tick: now + TICK,
            requests_pending: true,
            requests_at: now,
        };
        let (alive, ended) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("reader".into())
            .spawn(move || {
                let _alive = alive;
                reading.work();
            })
            .map_err(failed)?;
        Ok(Self {
            questions,
            thread: Some(thread),
            ended,
        })
    }

    pub(super) fn ask(&self, question: Question) {
        self.questions.push(question);
    }

    /// Ends the thread. One that hangs in a read is left running: it holds nothing that is needed.
    pub(super) fn stop(&mut self) {
        self.ask(Question::End);
        let hangs = self.ended.recv_timeout(END_WAIT) == Err(RecvTimeoutError::Timeout);
        if let (Some(thread), false) = (self.thread.take(), hangs) {
            drop(thread.join());
        }
    }
}

struct Reading {
    store: Store,
    watch: Watch,
    worker: WorkerId,
    lock: HeldFile,
    shared: Arc<Shared>,
    questions: Arc<Inbox<Question>>,
    version: i64,
    next_tick: Duration,
    requests_pending: bool,
    requests_at: Duration,
}

impl Reading {
    fn work(mut self) {
        let _panic = ReportPanic(Arc::clone(&self.shared), "the reader");
        loop {
            let woken = self.wait();
            for question in self.questions.take() {
                match question {
                    Question::Remaining => {
                        // Commits that precede this answer are reported before it.
                        let answer = self.notice_commits().and_then(|()| self.remaining());
                        self.push(Event::Remaining(answer));
                    }
                    Question::Examine(error) => self.examine(&error),
                    Question::End => return,
                }
            }
            if let Err(error) = self.read_periodically(woken) {
                // Retried at the next tick, not at each commit.
                self.requests_at = clock::steady() + TICK;
                self.push(Event::ReadFailed(error));
            }
        }
    }

    fn push(&self, event: Event) {
        self.shared.inbox.push(event);
    }

    /// Sleeps until another process commits, a question comes or a read is due; returns whether another process committed.
    fn wait(&self) -> bool {
        let now = clock::steady();
        let mut until = self.next_tick;
        if self.requests_pending {
            until = until.min(self.requests_at + REQUESTS_EVERY);
        }
        let wait = until.saturating_sub(now);
        let timeout = Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let mut fds = [
            PollFd::from_borrowed_fd(self.watch.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.questions.as_fd(), PollFlags::IN),
        ];
        // A failed wait counts as a timeout.
        let _ = rustix::event::poll(&mut fds, Some(&timeout));
        let is_committed = !fds[0].revents().is_empty();
        is_committed && self.watch.drain()
    }

    fn read_periodically(&mut self, woken: bool) -> Result<()> {
        let now = clock::steady();
        let is_tick = now >= self.next_tick;
        if is_tick {
            self.next_tick = now + TICK;
            if let Err(error) = self.store.check_identity() {
                self.push(Event::Lost(error));
            }
            if !self.lock.is_intact() {
                self.push(Event::LockTampered);
            }
        }
        if woken || is_tick {
            self.notice_commits()?;
        }
        if self.requests_pending && now >= self.requests_at + REQUESTS_EVERY {
            self.requests_at = now;
            self.notice_requests()?;
            self.requests_pending = false;
        }
        Ok(())
    }

    fn notice_commits(&mut self) -> Result<()> {
        let version = self.store.data_version()?;
        if version != self.version {
            self.version = version;
            self.requests_pending = true;
            self.push(Event::Commits);
        }
        Ok(())
    }

    fn notice_requests(&self) -> Result<()> {
        let cancels = self.store.cancels_for(self.worker)?;
        let Some(row) = self.store.worker(self.worker)? else {
            self.push(Event::Unregistered);
            return Ok(());
        };
        let stop = row.stop_ms.is_some();
        if stop || !cancels.is_empty() {
            self.push(Event::Requests { cancels, stop });
        }
        Ok(())
    }

    fn remaining(&self) -> Result<Remaining> {
        Ok(Remaining {
            waiting: self.store.waiting()?,
            paused: self.store.paused_jobs(clock::wall_ms())?,
            behind: self.store.behind_running()?,
        })
    }

    /// Reports a lost or damaged database; frees the disk reserve if the disk is full. Other errors are left to retries.
    fn examine(&self, error: &Error) {
        if !matches!(error.kind, Kind::Io | Kind::Unknown) {
            return;
        }
        if let Err(lost) = self.store.ensure_recoverable(error) {
            self.push(Event::Lost(lost));
        } else if self.shared.local.release_reserve(error) {
            log::write(&LogEvent::DiskReserveReleased);
        }
    }
}
