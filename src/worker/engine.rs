//! The worker's main thread: a poll loop that feeds events to the machine and performs its actions.
//!
//! Rule: nothing here blocks but the poll, no store is read here, and nothing is decided here.

mod log;
mod perform;
mod start;
mod tell;

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::attempt::StopCommand;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::observe::log::{Level, event, number};
use crate::process::signals::SignalPipe;
use crate::store::{Ledger, Turns};

use super::ended::Ended;
use super::house::House;
use super::identity::Identity;
use super::machine::{Event, Machine, Now, TakeBack, View};
use super::prepared::Prepared;
use super::reader::Reader;
use super::slot::Shared;
use super::{Options, Reload, Summary};

use tell::Teller;

impl Now {
    /// Reads the clocks.
    pub(super) fn read() -> Self {
        Self {
            steady: clock::steady(),
            wall_ms: clock::wall_ms(),
            boot_ms: clock::boottime_ms(),
        }
    }
}

/// Runs a worker to its end.
///
/// # Errors
/// [`Kind::Io`] when the database was removed or replaced; what stopped it otherwise.
pub fn run(options: Options, reload: Reload) -> Result<Summary> {
    Engine::start(options, reload)?.work()
}

struct Engine {
    machine: Machine,
    identity: Identity,
    shared: Arc<Shared>,
    ledger: Arc<Ledger>,
    turns: Arc<Mutex<Turns>>,
    reader: Reader,
    /// None where a worker for one run leaves that to its parent.
    house: Option<House>,
    reload: Reload,
    signals: SignalPipe,
    hangups: SignalPipe,
    slots: Vec<std::thread::JoinHandle<()>>,
    /// Of the jobs of the machine's catalogue, those that were started.
    prepared: HashMap<String, Arc<Prepared>>,
    teller: Teller,
    /// It works one run and no other.
    serves_one: bool,
    /// Ended attempts whose processes could not be ended.
    #[expect(
        clippy::vec_box,
        reason = "they come and go as events, which are boxed"
    )]
    stuck: Vec<Box<Ended>>,
}

impl Engine {
    fn work(mut self) -> Result<Summary> {
        let now = Now::read();
        let status = self.machine.status(&self.shared.pool.view(now), now);
        self.teller.ready(&status);
        let result = self.turn_until_done();
        self.teller.end(&result);
        if result.is_err() {
            // The store is lost: what we run is nobody's any more, and what waits for a slot is not started.
            drop(self.shared.pool.take_back(TakeBack::All, Now::read()));
            self.shared.pool.send_all(StopCommand::Kill);
        }
        self.shared.pool.close();
        for slot in self.slots.drain(..) {
            drop(slot.join());
        }
        if let Some(house) = &mut self.house {
            house.stop();
        }
        self.reader.stop();
        let worker = self.identity.worker;
        let summary = self.machine.into_summary();
        result?;
        let removed = self.ledger.call(move |tx| tx.remove_worker(worker))?;
        if !self.serves_one {
            let attempts = summary.attempts;
            event(
                Level::Info,
                "worker_stopped",
                &[number("worker", worker.0), number("attempts", attempts)],
            );
        }
        // Runs that could not be written are left to recovery, which needs the start marks.
        if removed {
            self.identity.forget();
        }
        Ok(summary)
    }

    fn turn_until_done(&mut self) -> Result<()> {
        loop {
            let now = Now::read();
            for event in self.shared.inbox.take() {
                self.hear(event, now);
            }
            for _ in 0..self.signals.take() {
                self.machine.on_event(Event::Terminate, now);
            }
            if self.hangups.take() > 0 {
                self.machine.on_event(Event::Reload, now);
            }
            let view = self.turn(now);
            if let Some(end) = self.machine.ended() {
                return end.clone();
            }
            self.teller.turn(&self.machine, &view, now);
            let sleep = self.machine.sleep(&view, now);
            let sleep = sleep.min(self.teller.patience().unwrap_or(sleep));
            // Ends of attempts need not wake us when we look by ourselves within milliseconds.
            let lazy = self.machine.is_comfortable(&view);
            self.shared.inbox.set_lazy(lazy);
            let polled = self.poll(sleep);
            self.shared.inbox.set_lazy(false);
            polled?;
        }
    }

    /// Performs what there is to do, until there is nothing more. What was decided is done before the slots are looked at: else
    /// they would seem to have nothing while work for them is on its way.
    fn turn(&mut self, now: Now) -> View {
        loop {
            for action in self.machine.take_actions() {
                self.perform(action, now);
            }
            let view = self.shared.pool.view(now);
            self.machine.turn(&view, now);
            if !self.machine.has_actions() {
                return view;
            }
        }
    }

    fn poll(&self, timeout: Duration) -> Result<()> {
        let timeout = Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let mut fds = [
            PollFd::from_borrowed_fd(self.shared.inbox.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.hangups.as_fd(), PollFlags::IN),
        ];
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(Error::new(Kind::Failed, format!("cannot wait: {error}"))),
        }
    }
}
