//! The worker's main thread: a poll loop that feeds events to the machine and performs its actions.
//!
//! Rule: nothing here blocks but the poll, no store is read here, and nothing is decided here.

mod notifier;
mod perform;
mod start;

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::attempt::StopCommand;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::observe::event::LogEvent;
use crate::observe::log;
use crate::process::signals::SignalPipe;
use crate::store::Ledger;

use super::housekeeper::Housekeeper;
use super::identity::Identity;
use super::machine::{Event, Machine, Now, TakeBack, View};
use super::prepared::Prepared;
use super::reader::Reader;
use super::slot::Shared;
use super::{Options, Reload, Summary};

use notifier::ManagerNotifier;

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
/// [`Kind::Io`] when the database was removed or replaced; any other error that stopped the worker.
pub fn run(options: Options, reload: Reload) -> Result<Summary> {
    Engine::start(options, reload)?.work()
}

struct Engine {
    machine: Machine,
    identity: Identity,
    shared: Arc<Shared>,
    ledger: Arc<Ledger>,
    reader: Reader,
    /// `None` in a worker for one run, whose parent does the housekeeping.
    housekeeper: Option<Housekeeper>,
    reload: Reload,
    signals: SignalPipe,
    hangups: SignalPipe,
    slots: Vec<std::thread::JoinHandle<()>>,
    /// Jobs of the machine's catalogue of which a run was started.
    prepared: HashMap<String, Arc<Prepared>>,
    notifier: ManagerNotifier,
    /// Whether the worker serves one run and no other.
    serves_one: bool,
}

impl Engine {
    fn work(mut self) -> Result<Summary> {
        let now = Now::read();
        let status = self.machine.status(&self.shared.pool.view(now), now);
        self.notifier.ready(&status);
        let result = self.turn_until_done();
        self.notifier.end(&result);
        if result.is_err() {
            // The store is lost, so our claims are too: end the attempts, and start none of the queued runs.
            drop(self.shared.pool.take_back(TakeBack::All, Now::read()));
            self.shared.pool.send_all(StopCommand::Kill);
        }
        self.shared.pool.close();
        for slot in self.slots.drain(..) {
            drop(slot.join());
        }
        if let Some(housekeeper) = &mut self.housekeeper {
            housekeeper.stop();
        }
        self.reader.stop();
        let worker = self.identity.worker;
        let summary = self.machine.into_summary();
        result?;
        let removed = self.ledger.call(move |tx| tx.remove_worker(worker))?;
        if !self.serves_one {
            let attempts = summary.attempts;
            log::write(&LogEvent::WorkerStopped { worker, attempts });
        }
        // If ends could not be stored, the row stays for recovery, which needs the start marks.
        if removed {
            self.identity.forget();
        }
        Ok(summary)
    }

    fn turn_until_done(&mut self) -> Result<()> {
        loop {
            let now = Now::read();
            for event in self.shared.inbox.take() {
                self.machine.on_event(event, now);
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
            self.notifier.turn(&self.machine, &view, now);
            let sleep = self.machine.sleep(&view, now);
            let sleep = sleep.min(self.notifier.until_watchdog().unwrap_or(sleep));
            // While we poll every few milliseconds, ends of attempts need not wake us.
            let lazy = self.machine.has_backlog(&view);
            self.shared.inbox.set_lazy(lazy);
            let polled = self.poll(sleep);
            self.shared.inbox.set_lazy(false);
            polled?;
        }
    }

    /// Performs actions until there are none left. Actions are performed before the view of the slots is taken; otherwise slots
    /// would seem idle although work has been decided for them.
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
