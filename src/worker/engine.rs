//! The worker's main thread: one poll loop that decides what is claimed, started, stopped and written.
//!
//! Rule: nothing here blocks but the poll, and nothing is forgotten before its write is durable. Stopping a command never
//! waits for the ledger.

use std::collections::{HashMap, HashSet};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::catalogue::Catalogue;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::observe::log::{self, Level};
use crate::process::capture::Tee;
use crate::process::control::Command;
use crate::process::{SlotDir, marks::StartMarks, spawn, wrapper};
use crate::run::{Fence, RunId, State};
use crate::store::{
    Burial, ClaimRequest, Claimed, Claims, Entry, Ledger, Outcome, Start, Store, Turns, Waiting, Watch,
};

use super::ended::{Ended, follow_up};
use super::house::{self, House};
use super::identity::{self, Identity};
use super::inbox::Inbox;
use super::pool::{Pool, Work};
use super::prepared::Prepared;
use super::signals::SignalPipe;
use super::slot::{Shared, Slot};
use super::{Drain, Options, Reload, Summary};

/// How often the worker looks around without being woken.
const TICK: Duration = Duration::from_secs(1);

/// Attempts older than this are shown as running with their number; shorter ones cost no write of their own.
const NOTE_AFTER: Duration = Duration::from_millis(100);

/// A run claimed ahead that found no slot within this time goes back to the queue.
const PATIENCE: Duration = Duration::from_millis(20);

/// While every slot has work, ended attempts wait so long for company in one transaction.
const LINGER: Duration = Duration::from_millis(5);

/// A write that failed is tried again after this.
const RETRY_WRITE: Duration = Duration::from_millis(500);

/// A write that is refused as a defect so often is given up; the run is then recovered like that of a dead worker.
const WRITES_MAX: u32 = 5;

/// What the main thread hears of.
pub(super) enum Event {
    /// A slot has ended an attempt.
    Ended(Box<Ended>),
    /// The end of an attempt is stored, or not.
    Written(Arc<Ended>, u32, Result<Outcome>),
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    No,
    /// No more claims; runs go on until the instant.
    Graceful(Instant),
    /// Runs were told to end.
    Term,
    /// Runs were killed.
    Kill,
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
    generation: Option<i64>,
    prepared: HashMap<String, Arc<Prepared>>,
    queue_names: Vec<String>,
    queues: Arc<Vec<String>>,
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
    data_version: i64,
    next_due_ms: Option<i64>,
    next_tick: Instant,
    clock_offset_ms: i64,
    restart_waits: bool,
    cancels_looked_at: Instant,
    look_for_cancels: bool,

    stop: Stop,
    stop_after: Duration,
    drain: Option<Drain>,
    /// Nothing claimable was left at the last claim.
    dry: bool,
    left_to_claim: Option<u64>,
    foreground: Option<RunId>,
    summary: Summary,
}

impl Engine {
    fn start(options: Options, reload: Reload) -> Result<Self> {
        let now_ms = clock::wall_ms();
        let (mut store, _) = options.open.open()?;
        let state_dir: Arc<std::path::Path> = store.dir().into();
        // Before anything is started: signals that arrive from now on are counted.
        let signals = SignalPipe::new(&[signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT])?;
        let hangups = SignalPipe::new(&[signal_hook::consts::SIGHUP])?;
        if let Err(error) = spawn::become_subreaper() {
            log::event(Level::Warn, "no_subreaper", &[("error", &error)]);
        }
        for name in ["work", "output", "checkpoints"] {
            identity::make_dir(&state_dir.join(name))?;
        }
        let label = options.queues.join(",");
        let identity = Identity::register(&mut store, &label, options.slots, now_ms)?;
        let io = |error: std::io::Error| Error::new(Kind::Failed, format!("cannot start: {error}"));
        let marks = StartMarks::create(identity.marks_path.clone()).map_err(io)?;
        let shared = Arc::new(Shared {
            pool: Pool::new(options.slots as usize).map_err(io)?,
            inbox: Inbox::new().map_err(io)?,
            marks,
            state_dir: Arc::clone(&state_dir),
            uuid: store.uuid().to_owned(),
        });
        let mut summary = Summary::default();
        let catalogue = Arc::clone(&options.catalogue);
        let worker = identity.worker;
        let generation = store.write(|tx| tx.keep_catalogue(&catalogue, now_ms))?;
        if let Some(new) = &options.foreground {
            let enqueued = store.write(|tx| {
                let enqueued = tx.enqueue(new, now_ms)?;
                if !enqueued.duplicate {
                    tx.keep_for(enqueued.run, worker)?;
                }
                Ok(enqueued)
            })?;
            summary.foreground = Some(enqueued.run);
        }
        let (reader, _) = options.open.open()?;
        let watch = reader.watch()?;
        let ledger = Arc::new(Ledger::start(store)?);
        let house = House::start(
            &options.open,
            Arc::clone(&ledger),
            worker,
            Arc::clone(&catalogue),
            Arc::clone(&shared),
            options.foreground.is_some(),
        )?;
        let mut slots = Vec::new();
        for index in 0..options.slots as usize {
            let dir = SlotDir::open(&state_dir, worker, index as u32).map_err(io)?;
            let tee = options.foreground.is_some().then(tee_stdout).transpose().map_err(io)?;
            let slot = Slot::new(index, Arc::clone(&shared), dir, tee);
            let thread = std::thread::Builder::new()
                .name(format!("slot-{index}"))
                .spawn(move || slot.work())
                .map_err(io)?;
            slots.push(thread);
        }
        let now = clock::monotonic();
        let mut engine = Self {
            identity,
            shared,
            ledger,
            store: reader,
            watch,
            house,
            reload,
            signals,
            hangups,
            slots,
            catalogue,
            generation: Some(generation),
            prepared: HashMap::new(),
            queue_names: options.queues,
            queues: Arc::default(),
            turns: Arc::default(),
            ended: Vec::new(),
            ended_since: None,
            retry_at: None,
            stuck: Vec::new(),
            outstanding: 0,
            look: true,
            alone: false,
            reconcile: false,
            data_version: 0,
            next_due_ms: None,
            next_tick: now + TICK,
            clock_offset_ms: now_ms - clock::boottime_ms(),
            restart_waits: true,
            cancels_looked_at: now,
            look_for_cancels: false,
            stop: Stop::No,
            stop_after: options.stop_after,
            drain: options.drain,
            dry: false,
            left_to_claim: options.max_runs,
            foreground: summary.foreground,
            summary,
        };
        engine.order_queues();
        engine.data_version = engine.store.data_version()?;
        if engine.foreground.is_none() {
            let queues = engine.queues.join(",");
            log::event(
                Level::Info,
                "worker_started",
                &[("worker", &worker), ("queues", &queues), ("slots", &options.slots)],
            );
        }
        Ok(engine)
    }

    /// The queues that are served, by rank and name.
    fn order_queues(&mut self) {
        let mut queues: Vec<(i64, String)> = self
            .catalogue
            .queues
            .iter()
            .filter(|(name, _)| self.queue_names.is_empty() || self.queue_names.contains(name))
            .map(|(name, queue)| (queue.rank, name.clone()))
            .collect();
        queues.sort();
        self.queues = Arc::new(queues.into_iter().map(|(_, name)| name).collect());
    }

    fn work(mut self) -> Result<Summary> {
        let result = self.turn_until_done();
        if result.is_err() {
            // The store is lost: what we run is nobody's any more.
            self.shared.pool.send_all(Command::Kill);
        }
        self.shared.pool.close();
        for slot in self.slots.drain(..) {
            drop(slot.join());
        }
        self.house.stop();
        let worker = self.identity.worker;
        if result.is_ok() {
            self.ledger.call(move |tx| tx.remove_worker(worker))?;
            if self.foreground.is_none() {
                let attempts = self.summary.attempts;
                log::event(
                    Level::Info,
                    "worker_stopped",
                    &[("worker", &worker), ("attempts", &attempts)],
                );
            }
            self.identity.forget();
        }
        result.map(|()| self.summary)
    }

    fn turn_until_done(&mut self) -> Result<()> {
        loop {
            for event in self.shared.inbox.take() {
                self.hear(event)?;
            }
            self.obey_signals();
            self.look_around()?;
            self.submit();
            if self.is_done()? {
                return Ok(());
            }
            let timeout = self.sleep_time();
            let ready = self.poll(timeout)?;
            if ready {
                self.watch.drain();
                self.notice_commits()?;
            }
        }
    }

    fn hear(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Ended(ended) => {
                self.summary.attempts += 1;
                if ended.stuck.is_empty() {
                    self.ended.push((Arc::from(ended), 0));
                    self.ended_since.get_or_insert_with(clock::monotonic);
                } else {
                    let pids = format!("{:?}", ended.stuck);
                    let fields: [(&str, &dyn std::fmt::Display); 2] =
                        [("run", &ended.claimed.run), ("pids", &pids)];
                    log::event(Level::Error, "run_blocked_by_processes", &fields);
                    self.stuck.push(*ended);
                }
            }
            Event::Written(ended, tries, answer) => {
                self.outstanding -= 1;
                self.after_write(ended, tries, answer)?;
            }
            Event::Claimed(answer) => {
                self.outstanding -= 1;
                self.after_claim(answer)?;
            }
            Event::Noted(answer) => {
                self.outstanding -= 1;
                if let Err(error) = answer {
                    self.bear(&error)?;
                    self.reconcile = true;
                }
            }
            Event::House(house::Found::Recovered) => self.look = true,
            Event::House(house::Found::Catalogue) => self.load_catalogue(),
            Event::House(house::Found::Lost(error)) => return Err(error),
        }
        Ok(())
    }

    fn after_write(&mut self, ended: Arc<Ended>, tries: u32, answer: Result<Outcome>) -> Result<()> {
        match answer {
            Ok(outcome) => {
                self.shared.marks.done(ended.claimed.fence);
                ended.log(outcome);
                if ended.claimed.must_be_alone() {
                    self.alone = false;
                }
                if Some(ended.claimed.run) == self.foreground {
                    self.look = true;
                }
                if outcome == Outcome::Moved(State::Waiting) {
                    self.look = true;
                }
            }
            Err(error) => {
                self.bear(&error)?;
                let tries = tries + u32::from(error.kind == Kind::Bug);
                if tries < WRITES_MAX {
                    self.ended.push((ended, tries));
                    self.retry_at = Some(clock::monotonic() + RETRY_WRITE);
                } else {
                    let run = ended.claimed.run;
                    log::event(Level::Error, "run_given_up", &[("run", &run), ("error", &error)]);
                }
            }
        }
        Ok(())
    }

    fn after_claim(&mut self, answer: Result<Claims>) -> Result<()> {
        let claims = match answer {
            Ok(claims) => claims,
            Err(error) => {
                self.bear(&error)?;
                self.reconcile = true;
                self.retry_at = Some(clock::monotonic() + RETRY_WRITE);
                self.look = true;
                return Ok(());
            }
        };
        self.dry = claims.runs.is_empty() && !claims.wants_idle && !claims.full;
        self.alone |= claims.wants_idle;
        self.look |= claims.full || claims.wants_idle;
        if let Some(left) = &mut self.left_to_claim {
            *left = left.saturating_sub(claims.runs.len() as u64);
        }
        let now = clock::monotonic();
        let work = claims
            .runs
            .into_iter()
            .filter_map(|claimed| {
                let job = self.prepare(&claimed.job)?;
                Some(Work { claimed, job, claimed_at: now })
            })
            .collect();
        self.shared.pool.add(work);
        if let Some(run) = self.foreground {
            self.look_after(run)?;
        } else if !self.look {
            self.next_due_ms = self.store.next_due(clock::wall_ms())?;
        }
        Ok(())
    }

    /// The run of the foreground: its next start, or its end by somebody else's hand.
    fn look_after(&mut self, run: RunId) -> Result<()> {
        match self.store.state_of(run)? {
            Some((State::Waiting, due_ms)) => self.next_due_ms = Some(due_ms),
            Some((State::Running, _)) => {}
            Some(_) | None => self.begin_stop(Stop::Graceful(clock::monotonic())),
        }
        Ok(())
    }

    fn prepare(&mut self, name: &str) -> Option<Arc<Prepared>> {
        if let Some(prepared) = self.prepared.get(name) {
            return Some(Arc::clone(prepared));
        }
        let job = self.catalogue.jobs.get(name)?;
        let state = &self.shared.state_dir;
        let prepared =
            Arc::new(Prepared::new(job, state, &self.catalogue.path, &wrapper::own_binary()));
        self.prepared.insert(name.to_owned(), Arc::clone(&prepared));
        Some(prepared)
    }

    /// A write failed. What can be waited out is waited out; a lost database is the end.
    fn bear(&mut self, error: &Error) -> Result<()> {
        log::event(Level::Warn, "store_failed", &[("error", error)]);
        if error.kind == Kind::Io {
            self.store.check_identity()?;
            if self.store.release_reserve() {
                log::event(Level::Warn, "disk_reserve_released", &[]);
            }
        }
        Ok(())
    }

    fn obey_signals(&mut self) {
        for _ in 0..self.signals.take() {
            self.summary.interrupted = true;
            let next = match self.stop {
                Stop::No if self.foreground.is_some() => Stop::Term,
                Stop::No => Stop::Graceful(clock::monotonic() + self.stop_after),
                Stop::Graceful(_) => Stop::Term,
                Stop::Term | Stop::Kill => Stop::Kill,
            };
            self.begin_stop(next);
        }
        if self.hangups.take() > 0 {
            self.load_catalogue();
        }
    }

    fn begin_stop(&mut self, stop: Stop) {
        if stop <= self.stop {
            return;
        }
        let word = match stop {
            Stop::No => return,
            Stop::Graceful(_) => "drain",
            Stop::Term => "terminate",
            Stop::Kill => "kill",
        };
        if self.foreground.is_none() {
            log::event(Level::Info, "worker_stopping", &[("how", &word)]);
        }
        self.stop = stop;
        match stop {
            Stop::Term => self.shared.pool.send_all(Command::Release),
            Stop::Kill => self.shared.pool.send_all(Command::Kill),
            _ => {}
        }
        let queued = self.shared.pool.take_back(None);
        self.unclaim(queued);
    }

    fn load_catalogue(&mut self) {
        match (self.reload)() {
            Ok(catalogue) => {
                self.catalogue = Arc::new(catalogue);
                self.prepared.clear();
                self.order_queues();
                self.house.use_catalogue(Arc::clone(&self.catalogue));
                self.look = true;
                let (catalogue, now_ms) = (Arc::clone(&self.catalogue), clock::wall_ms());
                match self.ledger.call(move |tx| tx.keep_catalogue(&catalogue, now_ms)) {
                    Ok(generation) => self.generation = Some(generation),
                    Err(error) => {
                        log::event(Level::Warn, "store_failed", &[("error", &error)]);
                    }
                }
                let jobs = self.catalogue.jobs.len();
                log::event(Level::Info, "catalogue_loaded", &[("jobs", &jobs)]);
            }
            Err(error) => {
                log::event(Level::Error, "catalogue_refused", &[("error", &error)]);
            }
        }
    }

    /// Another process committed: there may be work, a cancel, or a request to stop.
    fn notice_commits(&mut self) -> Result<()> {
        let version = self.store.data_version()?;
        if version != self.data_version {
            self.data_version = version;
            self.look = true;
            self.look_for_cancels = true;
        }
        Ok(())
    }

    /// Everything that is due by time.
    fn look_around(&mut self) -> Result<()> {
        let now = clock::monotonic();
        if self.look_for_cancels
            && now.duration_since(self.cancels_looked_at) >= Duration::from_millis(20)
        {
            self.look_for_cancels = false;
            self.cancels_looked_at = now;
            self.look_for_requests()?;
        }
        if self.next_due_ms.is_some_and(|due_ms| due_ms <= clock::wall_ms()) {
            self.next_due_ms = None;
            self.look = true;
        }
        if let Stop::Graceful(until) = self.stop
            && now >= until
        {
            self.begin_stop(Stop::Term);
        }
        let stale = self.shared.pool.take_back(Some(PATIENCE));
        self.unclaim(stale);
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            self.tick()?;
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<()> {
        spawn::reap_orphans();
        self.store.check_identity()?;
        if !self.identity.is_intact() {
            log::event(Level::Error, "lock_file_tampered", &[("worker", &self.identity.worker)]);
            self.begin_stop(Stop::Graceful(clock::monotonic() + self.stop_after));
        }
        self.notice_commits()?;
        let offset_ms = clock::wall_ms() - clock::boottime_ms();
        if offset_ms < self.clock_offset_ms - 500 {
            let by_ms = self.clock_offset_ms - offset_ms;
            log::event(Level::Warn, "clock_stepped_back", &[("by_ms", &by_ms)]);
            self.restart_waits = true;
            self.look = true;
        }
        self.clock_offset_ms = offset_ms;
        let free: Vec<Ended> = self
            .stuck
            .extract_if(.., |ended| ended.stuck.iter().all(|&pid| !is_running(pid)))
            .collect();
        for ended in free {
            self.ended.push((Arc::new(ended), 0));
        }
        let (idle, queued) = self.shared.pool.load();
        let busy = idle < self.slots.len() || queued > 0;
        self.house.set_busy(busy);
        Ok(())
    }

    fn look_for_requests(&mut self) -> Result<()> {
        let worker = self.identity.worker;
        for (run, fence) in self.store.cancels_for(worker)? {
            if self.shared.pool.send(fence, Command::Cancel) {
                log::event(Level::Info, "cancel_requested", &[("run", &run)]);
            } else if let Some(claimed) = self.shared.pool.take_back_one(fence) {
                self.unclaim(vec![claimed]);
            }
        }
        match self.store.worker(worker)? {
            Some(row) if row.stop_ms.is_some() && self.stop == Stop::No => {
                self.begin_stop(Stop::Graceful(clock::monotonic() + self.stop_after));
            }
            Some(_) => {}
            None => {
                return Err(Error::new(
                    Kind::Failed,
                    format!("worker {worker} is no longer registered; its runs belong to others"),
                ));
            }
        }
        Ok(())
    }

    /// Whether this worker may take (more) runs now.
    fn wanted(&self) -> (usize, usize) {
        let (idle, queued) = self.shared.pool.load();
        let free = idle.saturating_sub(queued);
        if self.stop != Stop::No || self.retry_at.is_some() {
            return (0, 0);
        }
        if self.alone {
            // Only an idle worker gets it, and then nothing beside it.
            let empty = idle == self.slots.len() && queued == 0 && self.ended.is_empty();
            return if empty && self.stuck.is_empty() { (1, 1) } else { (0, 0) };
        }
        let ahead = if self.foreground.is_some() { 0 } else { 2 * self.slots.len() };
        let mut max = (free + ahead).saturating_sub(queued.saturating_sub(idle));
        if let Some(left) = self.left_to_claim {
            max = max.min(usize::try_from(left).unwrap_or(usize::MAX));
        }
        (max, free)
    }

    /// Sends what is to be written, and the next claim with it, into one transaction.
    fn submit(&mut self) {
        if self.outstanding > 0 {
            return;
        }
        let now = clock::monotonic();
        if self.retry_at.is_some_and(|at| now < at) {
            return;
        }
        self.retry_at = None;
        if self.reconcile {
            self.give_back_unknown();
        }
        let (idle, queued) = self.shared.pool.load();
        // While the slots have work, ended attempts wait for company.
        let comfortable = idle == 0 && queued >= self.slots.len().div_ceil(2);
        let waited = self.ended_since.is_some_and(|since| now.duration_since(since) >= LINGER);
        let starts = self.shared.pool.unnoted(NOTE_AFTER);
        let ended_due = !self.ended.is_empty() && (!comfortable || waited);
        let (max, free) = self.wanted();
        let claim = self.look && max > 0 && (free > 0 || ended_due);
        if !ended_due && !claim && starts.is_empty() && !self.restart_waits {
            return;
        }
        let mut entries = Vec::new();
        self.ended_since = None;
        for (ended, tries) in std::mem::take(&mut self.ended) {
            entries.push(self.write_entry(ended, tries));
        }
        for start in starts {
            entries.push(self.note_entry(start));
        }
        if self.restart_waits {
            entries.push(self.restart_entry());
        }
        if claim {
            self.look = false;
            entries.push(self.claim_entry(max, free));
        }
        self.outstanding += entries.len();
        self.ledger.submit(entries);
    }

    fn write_entry(&self, ended: Arc<Ended>, tries: u32) -> Entry {
        let worker = self.identity.worker;
        let catalogue = Arc::clone(&self.catalogue);
        let keep = self.foreground == Some(ended.claimed.run) && self.stop < Stop::Term;
        let shared = Arc::clone(&self.shared);
        let (value, answer) = slot_for::<Outcome>();
        let written = Arc::clone(&ended);
        Entry {
            body: Box::new(move |tx| {
                put(&value, written.write(tx, worker, &catalogue, keep, clock::wall_ms())?);
                Ok(())
            }),
            done: Box::new(move |result| {
                shared.inbox.push(Event::Written(ended, tries, taken(&answer, result)));
            }),
        }
    }

    fn note_entry(&self, start: Start) -> Entry {
        let worker = self.identity.worker;
        self.noted_entry(Box::new(move |tx| tx.note_start(worker, &start).map(drop)))
    }

    fn restart_entry(&mut self) -> Entry {
        self.restart_waits = false;
        self.noted_entry(Box::new(|tx| {
            while tx.restart_waits(clock::wall_ms())? {}
            Ok(())
        }))
    }

    fn noted_entry(
        &self,
        body: Box<dyn FnOnce(&mut crate::store::Tx<'_>) -> Result<()> + Send>,
    ) -> Entry {
        let shared = Arc::clone(&self.shared);
        Entry { body, done: Box::new(move |answer| shared.inbox.push(Event::Noted(answer))) }
    }

    fn claim_entry(&self, max: usize, free: usize) -> Entry {
        let worker = self.identity.worker;
        let catalogue = Arc::clone(&self.catalogue);
        let queues = Arc::clone(&self.queues);
        let turns = Arc::clone(&self.turns);
        let idle = self.alone || self.shared.pool.load() == (self.slots.len(), 0);
        let short: HashSet<String> = self
            .prepared
            .iter()
            .filter(|(_, prepared)| prepared.is_short())
            .map(|(name, _)| name.clone())
            .collect();
        let foreground = self.foreground;
        let shared = Arc::clone(&self.shared);
        let (value, answer) = slot_for::<Claims>();
        Entry {
            body: Box::new(move |tx| {
                let now_ms = clock::wall_ms();
                let request = ClaimRequest {
                    worker,
                    queues: &queues,
                    knows: &|job| catalogue.jobs.contains_key(job),
                    max,
                    free,
                    is_short: &|job| short.contains(job),
                    idle,
                };
                let claims = if let Some(run) = foreground {
                    let claimed = tx.claim_kept(run, &request, now_ms)?;
                    Claims { runs: claimed.into_iter().collect(), ..Claims::default() }
                } else {
                    let more = tx.promote(now_ms)?;
                    let burials: Vec<Burial> = tx.expire(now_ms)?;
                    for burial in &burials {
                        follow_up(tx, burial, &catalogue, now_ms)?;
                    }
                    let mut turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
                    let mut claims = tx.claim(&request, &mut turns)?;
                    claims.full |= more || !burials.is_empty();
                    claims
                };
                put(&value, claims);
                Ok(())
            }),
            done: Box::new(move |result| {
                shared.inbox.push(Event::Claimed(taken(&answer, result)));
            }),
        }
    }

    fn unclaim(&mut self, runs: Vec<Claimed>) {
        if runs.is_empty() {
            return;
        }
        let entries: Vec<Entry> = runs
            .into_iter()
            .map(|claimed| {
                self.noted_entry(Box::new(move |tx| {
                    tx.unclaim(claimed.run, claimed.fence).map(drop)
                }))
            })
            .collect();
        self.outstanding += entries.len();
        self.look = true;
        self.ledger.submit(entries);
    }

    /// Gives back what the store says is ours and we do not know of.
    fn give_back_unknown(&mut self) {
        let mut known: HashSet<Fence> = self.shared.pool.fences().into_iter().collect();
        known.extend(self.ended.iter().map(|(ended, _)| ended.claimed.fence));
        known.extend(self.stuck.iter().map(|ended| ended.claimed.fence));
        let worker = self.identity.worker;
        let Ok(held) = self.store.held_by(worker) else { return };
        self.reconcile = false;
        let entries: Vec<Entry> = held
            .into_iter()
            .filter(|(_, fence, _)| !known.contains(fence))
            .map(|(run, fence, _)| {
                self.noted_entry(Box::new(move |tx| tx.unclaim(run, fence).map(drop)))
            })
            .collect();
        self.outstanding += entries.len();
        self.ledger.submit(entries);
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
        if self.look || !self.dry || self.foreground.is_some() {
            return Ok(false);
        }
        let Some(drain) = self.drain else { return Ok(false) };
        let paused = self.store.paused_jobs()?;
        let waiting = self.store.waiting()?;
        // What this worker serves and what time alone will make ready.
        let comes = |it: &Waiting| {
            it.due_ms.is_some()
                && self.queues.contains(&it.queue)
                && self.catalogue.jobs.contains_key(&it.job)
                && !paused.contains(&it.job)
        };
        if drain == Drain::All && waiting.iter().any(comes) {
            return Ok(false);
        }
        self.summary.left = waiting;
        Ok(true)
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
        let mut wait = until.saturating_duration_since(now);
        if let Some(due_ms) = self.next_due_ms {
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

/// Copies output to our standard output.
fn tee_stdout() -> std::io::Result<Tee> {
    Tee::start(rustix::io::fcntl_dupfd_cloexec(std::io::stdout(), 3)?.into())
}

/// A place for the value of an entry, between its body and its answer.
type Place<T> = Arc<Mutex<Option<T>>>;

fn slot_for<T>() -> (Place<T>, Place<T>) {
    let place = Arc::new(Mutex::new(None));
    (Arc::clone(&place), place)
}

fn put<T>(place: &Place<T>, value: T) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
}

fn taken<T>(place: &Place<T>, answer: Result<()>) -> Result<T> {
    answer?;
    place
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
        .ok_or_else(|| Error::new(Kind::Bug, "a write gave no answer"))
}

fn is_running(pid: i32) -> bool {
    rustix::process::Pid::from_raw(pid)
        .is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}
