//! The reader: a thread that reads the store for the main loop, and watches for commits of other processes.
//!
//! Rule: it alone waits for a slow read; the main loop hears of the answer. What it looks at once a second it repeats by itself, so
//! a read that failed is not lost.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::local::HeldFile;
use crate::observe::log::{self, Level};
use crate::run::WorkerId;
use crate::store::{Store, Watch};

use super::inbox::Inbox;
use super::machine::{Event, Left};
use super::slot::{Shared, TellPanic};

/// How often it looks without being woken.
const TICK: Duration = Duration::from_secs(1);

/// Requests of operators are looked for so often at most: every commit of every process may carry one.
const REQUESTS_EVERY: Duration = Duration::from_millis(20);

/// How long the end of the worker waits for a read.
const END_WAIT: Duration = Duration::from_secs(1);

/// What the main loop wants to know.
#[derive(Debug)]
pub(super) enum Question {
    /// What waits in the store.
    Left,
    /// Whether the store can recover from this.
    Examine(Error),
    /// Nothing more: the thread ends.
    End,
}

/// Handle of the thread.
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
            look_for_requests: true,
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

    /// Ends the thread. One that hangs in a read is left behind: nobody needs what it holds.
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
    look_for_requests: bool,
    requests_at: Duration,
}

impl Reading {
    fn work(mut self) {
        let _panic = TellPanic(Arc::clone(&self.shared), "the reader");
        loop {
            let woken = self.wait();
            for question in self.questions.take() {
                match question {
                    Question::Left => {
                        // Commits before this answer are known before it.
                        let left = self.notice_commits().and_then(|()| self.left());
                        self.push(Event::Left(left));
                    }
                    Question::Examine(error) => self.examine(&error),
                    Question::End => return,
                }
            }
            let looked = self.look(woken);
            if let Err(error) = looked {
                // Not before the next tick: every commit would repeat it.
                self.requests_at = clock::steady() + TICK;
                self.push(Event::ReadFailed(error));
            }
        }
    }

    fn push(&self, event: Event) {
        self.shared.inbox.push(event);
    }

    /// Sleeps until something was committed, is asked or is due; whether something was committed.
    fn wait(&self) -> bool {
        let now = clock::steady();
        let mut until = self.next_tick;
        if self.look_for_requests {
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
        // A failed wait is a tick.
        let _ = rustix::event::poll(&mut fds, Some(&timeout));
        let is_committed = !fds[0].revents().is_empty();
        is_committed && self.watch.drain()
    }

    fn look(&mut self, woken: bool) -> Result<()> {
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
        if self.look_for_requests && now >= self.requests_at + REQUESTS_EVERY {
            self.requests_at = now;
            self.notice_requests()?;
            self.look_for_requests = false;
        }
        Ok(())
    }

    fn notice_commits(&mut self) -> Result<()> {
        let version = self.store.data_version()?;
        if version != self.version {
            self.version = version;
            self.look_for_requests = true;
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

    fn left(&self) -> Result<Left> {
        Ok(Left {
            waiting: self.store.waiting()?,
            paused: self.store.paused_jobs(clock::wall_ms())?,
            behind: self.store.behind_running()?,
        })
    }

    /// What can recover is waited out; a lost or damaged database is the end.
    fn examine(&self, error: &Error) {
        if !matches!(error.kind, Kind::Io | Kind::Unknown) {
            return;
        }
        if let Err(lost) = self.store.ensure_recoverable(error) {
            self.push(Event::Lost(lost));
        } else if self.shared.local.release_reserve(error) {
            log::event(Level::Warn, "disk_reserve_released", &[]);
        }
    }
}
