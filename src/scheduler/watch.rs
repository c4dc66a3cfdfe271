//! The process around the planner: waits for the next instant, for signals and for the lead.
//!
//! Rule: nothing but the poll waits for time, and every turn of the loop ends with a look at what is due, so that a signal, a
//! step of the clock or a resume from suspend can only make it look earlier.

use std::fmt::Write as _;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::catalogue::Catalogue;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::observe::log::{self, Level};
use crate::observe::notify::Notify;
use crate::policy::Reading;
use crate::process::memory;
use crate::process::signals::SignalPipe;
use crate::store::OpenOptions;
use crate::units::format_utc;

use super::agenda::Next;
use super::house::House;
use super::leader::Candidate;
use super::planner::Planner;
use super::timer::Timer;
use super::{Accepted, Counts, Reload};

/// How often the scheduler looks around without being woken: for another catalogue, an accepted clock, a lost database.
const TICK: Duration = Duration::from_secs(1);

/// A standby opens what is still not opened so long after its instant.
const STANDBY_LAG_MS: i64 = 1000;

/// A store that failed is tried again after this.
const RETRY: Duration = Duration::from_millis(500);

/// From this size the log of the database is copied back.
const CHECKPOINT_BYTES: u64 = 4 << 20;

/// Both clocks now.
pub(super) fn read_clocks() -> Reading {
    Reading {
        wall_ms: clock::wall_ms(),
        boot_ms: clock::boottime_ms(),
    }
}

struct Scheduler {
    planner: Planner,
    candidate: Candidate,
    timer: Timer,
    stops: SignalPipe,
    hangups: SignalPipe,
    reload: Reload,
    next: Next,
    next_tick: Instant,
    retry_at: Option<Instant>,
    generation: Option<i64>,
    data_version: i64,
    held: bool,
    notify: Notify,
    /// Why the last try to open something failed.
    trouble: Option<String>,
    /// Why the last reload was refused.
    refused: Option<String>,
}

/// Opens periods until SIGTERM or SIGINT.
///
/// # Errors
/// [`Kind::Io`] when the database was removed or replaced; what stopped it otherwise.
pub fn run(open: &OpenOptions, catalogue: Catalogue, reload: Reload) -> Result<()> {
    let stops = SignalPipe::new(&[SIGTERM, SIGINT])?;
    let hangups = SignalPipe::new(&[SIGHUP])?;
    let (store, _) = open.open()?;
    let candidate = Candidate::new(store.dir())?;
    let planner = Planner::start(store, &catalogue, &clock::boot_id(), read_clocks())?;
    drop(catalogue);
    planner.store().shrink()?;
    memory::give_back();
    let generation = generation(&planner)?;
    let _house = House::start(open, Arc::clone(&reload))?;
    let mut scheduler = Scheduler {
        data_version: planner.store().data_version()?,
        planner,
        candidate,
        timer: Timer::new()?,
        stops,
        hangups,
        reload,
        next: Next::default(),
        next_tick: clock::monotonic() + TICK,
        retry_at: None,
        generation,
        held: false,
        notify: Notify::from_env(),
        trouble: None,
        refused: None,
    };
    scheduler.work()
}

/// Opens what is due now, and no more.
///
/// # Errors
/// Those of the store; [`Kind::TryAgain`] while calendar rules are held.
pub fn once(open: &OpenOptions, catalogue: &Catalogue) -> Result<Counts> {
    let (store, _) = open.open()?;
    let mut planner = Planner::start(store, catalogue, &clock::boot_id(), read_clocks())?;
    let mut accepted = None;
    obey(&mut planner, &mut accepted)?;
    let ticked = planner.tick(read_clocks(), 0)?;
    if let Some(job) = ticked.stale.first() {
        return Err(Error::new(
            Kind::TryAgain,
            format!("the schedule of job `{job}` was changed meanwhile; it was not opened"),
        )
        .hint("run it again"));
    }
    if let Some(suspicion) = planner.guard().suspicion() {
        return Err(held_error(suspicion.jump_ms));
    }
    Ok(ticked.counts)
}

fn held_error(jump_ms: i64) -> Error {
    Error::new(
        Kind::TryAgain,
        format!(
            "the wall clock jumped {}; schedules by the calendar are held",
            super::accept::jump_words(jump_ms)
        ),
    )
    .hint("if the clock is right, run `jobctl schedule --accept-clock`; else set it")
}

/// Obeys an operator who believes the clock; whether there was something to obey.
fn obey(planner: &mut Planner, seen: &mut Option<String>) -> Result<bool> {
    let accepted = planner.store().scheduler()?.accepted;
    if accepted == *seen {
        return Ok(false);
    }
    seen.clone_from(&accepted);
    let Some(accepted) = accepted.and_then(|text| Accepted::read(&text)) else {
        return Ok(false);
    };
    let now = read_clocks();
    if planner.guard().suspicion().is_none() || !accepted.means(&clock::boot_id(), now) {
        return Ok(false);
    }
    planner.accept_clock(now);
    Ok(true)
}

fn generation(planner: &Planner) -> Result<Option<i64>> {
    planner.store().catalogue_generation(planner.catalogue().0)
}

impl Scheduler {
    fn work(&mut self) -> Result<()> {
        let schedules = self.planner.schedules();
        let role = self.role();
        log::event(
            Level::Info,
            "scheduler_started",
            &[("schedules", &schedules), ("role", &role)],
        );
        if self.candidate.leads() {
            self.lead()?;
        }
        let mut accepted = None;
        let status = self.status();
        self.notify.ready(&status);
        loop {
            self.notify.watchdog();
            if self.stops.take() > 0 {
                self.notify.stopping();
                log::event(Level::Info, "scheduler_stopped", &[]);
                return Ok(());
            }
            if self.hangups.take() > 0 {
                self.notify.reloading();
                self.load();
                let status = self.status();
                self.notify.ready(&status);
            }
            if self.candidate.has_taken_over() {
                log::event(Level::Info, "scheduler_leads", &[]);
                let led = self.lead();
                self.tolerate(led)?;
            }
            let now = clock::monotonic();
            if now >= self.next_tick {
                self.next_tick = now + TICK;
                let looked = self.look_around(&mut accepted);
                self.tolerate(looked)?;
            }
            if self.retry_at.is_none_or(|at| now >= at) {
                self.retry_at = None;
                let opened = self.open();
                self.trouble = opened.as_ref().err().map(ToString::to_string);
                self.tolerate(opened)?;
            }
            if self.notify.is_heard() {
                let status = self.status();
                self.notify.status(&status);
            }
            self.wait()?;
        }
    }

    fn role(&self) -> &'static str {
        if self.candidate.leads() {
            "leader"
        } else {
            "standby"
        }
    }

    /// What `systemctl status` shows.
    fn status(&self) -> String {
        let mut status = format!("{}; {} schedules", self.role(), self.planner.schedules());
        if let Some((job, at_ms)) = self.planner.first() {
            let _ = write!(status, "; next {job} at {}", format_utc(at_ms));
        }
        if let Some(seen) = self.planner.guard().suspicion() {
            let jump = super::accept::jump_words(seen.jump_ms);
            let _ = write!(status, "; calendar rules are held: the clock jumped {jump}");
        }
        for (what, why) in [
            ("store", &self.trouble),
            ("catalogue refused", &self.refused),
        ] {
            if let Some(why) = why {
                let _ = write!(status, "; {what}: {why}");
            }
        }
        status
    }

    /// Tells everybody who opens periods now.
    fn lead(&mut self) -> Result<()> {
        let host = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        let now_ms = clock::wall_ms();
        self.planner
            .store_mut()
            .write(|tx| tx.lead(std::process::id(), &host, now_ms))
    }

    fn open(&mut self) -> Result<()> {
        let lag_ms = if self.candidate.leads() {
            0
        } else {
            STANDBY_LAG_MS
        };
        let ticked = self.planner.tick(read_clocks(), lag_ms)?;
        self.next = ticked.next;
        if !ticked.stale.is_empty() {
            self.reload_stale(&ticked.stale)?;
        }
        self.tell_clock();
        Ok(())
    }

    /// Says when calendar rules are held, and when they go on.
    fn tell_clock(&mut self) {
        let suspicion = self.planner.guard().suspicion();
        match suspicion {
            Some(seen) if !self.held => {
                let jump = super::accept::jump_words(seen.jump_ms);
                let held = super::accept::held_words(self.planner.guard());
                log::event(
                    Level::Warn,
                    "clock_jumped",
                    &[
                        ("jump", &jump),
                        ("held", &held),
                        ("hint", &"jobctl schedule --accept-clock"),
                    ],
                );
            }
            None if self.held => log::event(Level::Info, "clock_believed", &[]),
            _ => {}
        }
        self.held = suspicion.is_some();
    }

    fn load(&mut self) {
        match (self.reload)() {
            Ok(catalogue) => {
                self.refused = None;
                let loaded = self.planner.load(&catalogue, read_clocks());
                match loaded {
                    Ok(()) => {
                        let schedules = self.planner.schedules();
                        log::event(
                            Level::Info,
                            "catalogue_loaded",
                            &[("schedules", &schedules)],
                        );
                    }
                    Err(error) => {
                        log::event(Level::Error, "catalogue_not_loaded", &[("error", &error)]);
                    }
                }
                drop(catalogue);
                drop(self.planner.store().shrink());
                memory::give_back();
                if let Ok(generation) = generation(&self.planner) {
                    self.generation = generation;
                }
            }
            Err(error) => {
                log::event(Level::Error, "catalogue_refused", &[("error", &error)]);
                self.refused = Some(error.to_string());
            }
        }
    }

    /// The store has other schedules in force than we do: ours are older, or there are two catalogues.
    fn reload_stale(&mut self, jobs: &[String]) -> Result<()> {
        let (path, stamp) = self.planner.catalogue();
        let (path, stamp) = (path.to_owned(), stamp.to_owned());
        let catalogue = match (self.reload)() {
            Ok(catalogue) => catalogue,
            Err(error) => {
                log::event(Level::Error, "catalogue_refused", &[("error", &error)]);
                return Ok(());
            }
        };
        if catalogue.stamp != stamp {
            return self.planner.load(&catalogue, read_clocks());
        }
        let from = self.planner.store().scheduler()?.catalogue;
        let job = jobs.first().map_or("", String::as_str);
        match from {
            Some(other) if other != path => Err(Error::new(
                Kind::Config,
                format!(
                    "the schedule of job `{job}` was loaded from another catalogue, `{other}`, after ours, `{path}`"
                ),
            )
            .hint("give all schedulers of one state directory the same `--catalogue`")),
            _ => Err(Error::new(
                Kind::Unavailable,
                format!("the schedule of job `{job}` was put in force by another version of jobctl"),
            )
            .hint("restart this scheduler")),
        }
    }

    /// What changes without waking us.
    fn look_around(&mut self, accepted: &mut Option<String>) -> Result<()> {
        self.planner.store().check_identity()?;
        let wal = self.planner.store().wal_bytes();
        if wal >= CHECKPOINT_BYTES {
            self.planner.store().checkpoint(false)?;
        }
        let version = self.planner.store().data_version()?;
        if version == self.data_version && !self.held {
            return Ok(());
        }
        self.data_version = version;
        if obey(&mut self.planner, accepted)? {
            log::event(Level::Info, "clock_accepted", &[]);
        }
        let generation = generation(&self.planner)?;
        if generation != self.generation {
            self.generation = generation;
            let (path, stamp) = self.planner.catalogue();
            // Somebody loaded newer files of the same catalogue.
            if self.planner.store().kept_settings(path, stamp)?.is_none() {
                self.load();
            }
        }
        Ok(())
    }

    /// What can be waited out is waited out; a lost or damaged database is the end.
    fn tolerate(&mut self, result: Result<()>) -> Result<()> {
        let Err(error) = result else {
            return Ok(());
        };
        let waits = matches!(error.kind, Kind::Io | Kind::TryAgain | Kind::Unknown);
        if !waits {
            return Err(error);
        }
        log::event(Level::Warn, "store_failed", &[("error", &error)]);
        if error.kind == Kind::Io {
            self.planner.store().may_heal(&error)?;
            if self.planner.store().release_reserve(&error) {
                log::event(Level::Warn, "disk_reserve_released", &[]);
            }
        }
        self.retry_at = Some(clock::monotonic() + RETRY);
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        let now = clock::monotonic();
        let mut until = self.next_tick;
        if let Some(at) = self.retry_at {
            until = until.min(at);
        }
        if let Some(at) = self.notify.watchdog_at() {
            until = until.min(at);
        }
        let mut wait = until.saturating_duration_since(now);
        if self.retry_at.is_none() {
            self.timer.set(self.next.wall_ms)?;
            if let Some(boot_ms) = self.next.boot_ms {
                let left_ms = (boot_ms - clock::boottime_ms()).max(0) as u64;
                wait = wait.min(Duration::from_millis(left_ms));
            }
        } else {
            self.timer.set(None)?;
        }
        let timeout = Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let waiting = !self.candidate.leads();
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.timer.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.stops.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.hangups.as_fd(), PollFlags::IN),
        ];
        if waiting {
            fds.push(PollFd::from_borrowed_fd(
                self.candidate.news(),
                PollFlags::IN,
            ));
        }
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::new(Kind::Failed, format!("cannot wait: {error}"))),
        }
        self.timer.drain();
        Ok(())
    }
}
