//! The worker's main thread: one poll loop that decides what is claimed, started, stopped and written.
//!
//! Rule: nothing here blocks but the poll, and nothing is forgotten before its write is durable. Stopping a command never
//! waits for the ledger.

mod answers;
mod notice;
mod start;
mod tell;
mod writes;

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::catalogue::Catalogue;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::observe::log::{self, Level};
use crate::observe::notify::Notify;
use crate::process::control::Command;
use crate::process::signals::SignalPipe;
use crate::run::RunId;
use crate::store::{Claims, Ledger, PassedOver, ServedQueue, Store, Turns, Waiting, Watch};

use super::ended::{Ended, Written};
use super::house::{self, House};
use super::identity::Identity;
use super::prepared::Prepared;
use super::slot::Shared;
use super::{Drain, Options, Reload, Summary};

/// How often the worker looks around without being woken.
const TICK: Duration = Duration::from_secs(1);

/// Attempts older than this are shown as running with their number; shorter ones cost no write of their own.
const NOTE_AFTER: Duration = Duration::from_millis(100);

/// A run claimed ahead that found no slot within this time goes back to the queue.
const PATIENCE: Duration = Duration::from_millis(20);

/// So much work, by the median of past runs, may wait here for a slot.
const AHEAD_MS: i64 = 10;

/// While every slot has work, ended attempts wait so long for company in one transaction.
const LINGER: Duration = Duration::from_millis(5);

/// A write that failed is tried again after this.
const RETRY_WRITE: Duration = Duration::from_millis(500);

/// After a shortage of the host nothing, or nothing of that job, is claimed for so long.
const SHORTAGE_PAUSE: Duration = Duration::from_secs(1);

/// A write that is refused as a defect so often, or fails so often after a stop lost its patience, is given up; the run is
/// then recovered like that of a dead worker. A claim is the end of the worker.
const WRITES_MAX: u32 = 5;

/// What the main thread hears of.
pub(super) enum Event {
    /// A slot has ended an attempt.
    Ended(Box<Ended>),
    /// The end of an attempt is stored, or not.
    Written(Arc<Ended>, u32, Result<Written>),
    /// A claim was answered.
    Claimed(Result<Claims>),
    /// Unclaims or start notes were answered.
    Noted(Result<()>),
    /// The housekeeper found that runs were handed out again or that the catalogue changed.
    House(house::Found),
}

/// Runs a worker to its end.
///
/// # Errors
/// [`Kind::Io`] when the database was removed or replaced; what stopped it otherwise.
pub fn run(options: Options, reload: Reload) -> Result<Summary> {
    Engine::start(options, reload)?.work()
}

/// How far stopping has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    /// No more claims; runs go on until the instant.
    Graceful(Instant),
    /// Runs were told to end.
    Term,
    /// Runs were killed.
    Kill,
}

impl Stop {
    /// The order of the stages. A later end of the same stage is no progress: it would put the end off for ever.
    fn stage(self) -> u8 {
        match self {
            Stop::No => 0,
            Stop::Graceful(_) => 1,
            Stop::Term => 2,
            Stop::Kill => 3,
        }
    }
}

struct Engine {
    identity: Identity,
    shared: Arc<Shared>,
    ledger: Arc<Ledger>,
    store: Store,
    watch: Watch,
    house: House,
    reload: Reload,
    signals: SignalPipe,
    hangups: SignalPipe,
    slots: Vec<std::thread::JoinHandle<()>>,

    catalogue: Arc<Catalogue>,
    prepared: HashMap<String, Arc<Prepared>>,
    asked_queues: Vec<ServedQueue>,
    queues: Arc<Vec<ServedQueue>>,
    turns: Arc<Mutex<Turns>>,

    /// Ended attempts that are not yet on their way into the store, with the writes tried.
    ended: Vec<(Arc<Ended>, u32)>,
    ended_since: Option<Instant>,
    retry_at: Option<Instant>,
    /// Ended attempts whose processes could not be ended.
    stuck: Vec<Ended>,
    /// Entries that were submitted and not answered.
    outstanding: usize,
    /// Runs may be ready that we have not seen.
    look: bool,
    /// A run that must be alone waits for us to be idle, or is running.
    alone: bool,
    /// After a claim of unknown outcome: give back what we hold and do not know.
    reconcile: bool,
    /// The host lacks something: nothing is claimed before this.
    short_until: Option<Instant>,
    /// Jobs whose runs cannot be started for now.
    short_jobs: HashMap<String, Instant>,
    /// Claims in a row that were refused as a defect.
    refused_claims: u32,
    data_version: i64,
    next_due_ms: Option<i64>,
    /// What the last claim passed over.
    passed: PassedOver,
    next_tick: Instant,
    clock_offset_ms: i64,
    restart_waits: bool,
    cancels_looked_at: Instant,
    look_for_cancels: bool,

    stop: Stop,
    stop_after: Duration,
    drain: Option<Drain>,
    /// Dead workers were looked for once: before that nobody can say that nothing is left.
    house_looked: bool,
    /// Nothing claimable was left at the last claim.
    dry: bool,
    left_to_claim: Option<u64>,
    foreground: Option<RunId>,
    summary: Summary,

    /// Who is told how we are, and when to tell again.
    notify: Notify,
    tell_at: Instant,
    /// What the store last refused, until it takes something again.
    trouble: Option<String>,
    /// Why the newest catalogue was refused.
    refused: Option<String>,
    /// The longest grace of any catalogue that we had.
    longest_grace: Duration,
    /// A stop that goes on after this is stuck.
    stop_ends: Option<Instant>,
}

impl Engine {
    /// The queues that are served, by rank and name.
    fn order_queues(&mut self) {
        let asked = &self.asked_queues;
        let served = |name: &String| match asked.iter().find(|queue| queue.name == *name) {
            Some(queue) => Some(queue.clone()),
            None => asked.is_empty().then(|| name.as_str().into()),
        };
        let mut queues: Vec<(i64, ServedQueue)> = self
            .catalogue
            .queues
            .iter()
            .filter_map(|(name, queue)| Some((queue.rank, served(name)?)))
            .collect();
        queues.sort_by(|(a_rank, a), (b_rank, b)| (a_rank, &a.name).cmp(&(b_rank, &b.name)));
        self.queues = Arc::new(queues.into_iter().map(|(_, queue)| queue).collect());
    }

    fn work(mut self) -> Result<Summary> {
        self.tell_ready();
        let result = self.turn_until_done();
        self.tell_end(&result);
        if result.is_err() {
            // The store is lost: what we run is nobody's any more, and what waits for a slot is not started.
            drop(self.shared.pool.take_back(None));
            self.shared.pool.send_all(Command::Kill);
        }
        self.shared.pool.close();
        for slot in self.slots.drain(..) {
            drop(slot.join());
        }
        self.house.stop();
        let worker = self.identity.worker;
        if result.is_ok() {
            let removed = self.ledger.call(move |tx| tx.remove_worker(worker))?;
            if self.foreground.is_none() {
                let attempts = self.summary.attempts;
                log::event(
                    Level::Info,
                    "worker_stopped",
                    &[("worker", &worker), ("attempts", &attempts)],
                );
            }
            // Runs that could not be written are left to recovery, which needs the start marks.
            if removed {
                self.identity.forget();
            }
        }
        result.map(|()| self.summary)
    }

    fn turn_until_done(&mut self) -> Result<()> {
        loop {
            for event in self.shared.inbox.take() {
                let heard = self.hear(event);
                self.tolerate(heard)?;
            }
            self.obey_signals();
            let looked = self.look_around();
            self.tolerate(looked)?;
            self.submit();
            self.tell();
            match self.is_done() {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => self.tolerate(Err(error))?,
            }
            self.shared.inbox.set_lazy(self.is_comfortable());
            let committed = self.poll(self.sleep_time());
            self.shared.inbox.set_lazy(false);
            if committed? {
                self.watch.drain();
                let noticed = self.notice_commits();
                self.tolerate(noticed)?;
            }
        }
    }

    fn is_done(&mut self) -> Result<bool> {
        let (idle, queued) = self.shared.pool.load();
        let quiet = idle == self.slots.len()
            && queued == 0
            && self.outstanding == 0
            && self.ended.is_empty()
            && !self.shared.inbox.has_events();
        if !quiet {
            return Ok(false);
        }
        if self.stop != Stop::No {
            // What cannot be ended stays claimed; whoever comes next sees the processes and waits for them.
            return Ok(true);
        }
        if !self.stuck.is_empty() {
            return Ok(false);
        }
        if self.left_to_claim == Some(0) {
            return Ok(true);
        }
        if self.look || !self.dry || !self.house_looked || self.foreground.is_some() {
            return Ok(false);
        }
        let Some(drain) = self.drain else {
            return Ok(false);
        };
        let waiting = self.store.waiting()?;
        if drain == Drain::All && (self.passed.comes || self.more_comes(&waiting)?) {
            return Ok(false);
        }
        if drain == Drain::All && !waiting.is_empty() {
            // What ended since the last claim may have made one of these ready, and then it no longer counts as coming.
            self.notice_commits()?;
            if self.look {
                return Ok(false);
            }
        }
        self.summary.left = waiting;
        Ok(true)
    }

    /// Whether something that this worker serves will become ready by itself: by time alone, or by the end of a run that is
    /// under way, which another worker has.
    fn more_comes(&self, waiting: &[Waiting]) -> Result<bool> {
        let paused = self.store.paused_jobs(clock::wall_ms())?;
        let serves = |queue: &String, job: &String| {
            self.queues.iter().any(|served| served.name == *queue)
                && self.catalogue.jobs.contains_key(job)
                && !paused.contains(job)
        };
        let mut later = waiting.iter().filter(|it| it.due_ms.is_some());
        let mut behind = self.store.behind_running()?.into_iter();
        Ok(later.any(|it| serves(&it.queue, &it.job))
            || behind.any(|(queue, job)| serves(&queue, &job)))
    }

    /// Every slot has more work waiting: what ends can wait for company.
    fn is_comfortable(&self) -> bool {
        let (idle, queued) = self.shared.pool.load();
        idle == 0 && queued >= self.slots.len()
    }

    fn sleep_time(&self) -> Duration {
        let now = clock::monotonic();
        let mut until = self.next_tick;
        let mut at = |instant: Instant| until = until.min(instant);
        if let Some(retry) = self.retry_at {
            at(retry);
        } else if self.outstanding == 0 {
            if let Some(since) = self.ended_since {
                at(since + LINGER);
            } else if self.is_comfortable() {
                at(now + LINGER);
            }
            if self.shared.pool.has_unnoted() {
                at(now + NOTE_AFTER);
            }
        }
        if self.look_for_cancels {
            at(self.cancels_looked_at + Duration::from_millis(20));
        }
        if self.shared.pool.load().1 > 0 {
            at(now + PATIENCE);
        }
        if let Stop::Graceful(end) = self.stop {
            at(end);
        }
        if let Some(ping) = self.notify.watchdog_at() {
            at(ping);
        }
        let mut wait = until.saturating_duration_since(now);
        if let Some(due_ms) = [self.next_due_ms, self.passed.opens_ms]
            .into_iter()
            .flatten()
            .min()
        {
            let until_due = (due_ms - clock::wall_ms()).max(0) as u64;
            wait = wait.min(Duration::from_millis(until_due));
        }
        wait
    }

    /// Sleeps; true when another process may have committed.
    fn poll(&self, timeout: Duration) -> Result<bool> {
        let timeout = Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let mut fds = [
            PollFd::from_borrowed_fd(self.watch.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.shared.inbox.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.hangups.as_fd(), PollFlags::IN),
        ];
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(!fds[0].revents().is_empty()),
            Err(error) => Err(Error::new(Kind::Failed, format!("cannot wait: {error}"))),
        }
    }
}
