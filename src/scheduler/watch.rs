//! The process around the loop: waits for the next instant, for signals, for the lead and for the end of work.
//!
//! Rule: only the poll waits, and every turn asks the loop for actions. So a signal, a step of the clock or a resume from suspend can
//! only make the loop act earlier.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::advice::{Advice, Text};
use crate::catalogue::Catalogue;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::local::Candidate;
use crate::observe::log;
use crate::observe::notify::Notify;
use crate::process::memory;
use crate::process::signals::SignalPipe;
use crate::store::{OpenOptions, Opened};

use super::control::{Action, Control, Event};
use super::housekeeper::Housekeeper;
use super::planner::{Planner, guard_of};
use super::store_thread::StoreThread;
use super::timer::Timer;
use super::work::Loaded;
use super::{Counts, Reload};

/// The longest sleep; it matters only if a wake-up is lost.
const SLEEP_MAX: Duration = Duration::from_mins(1);

struct Scheduler {
    control: Control,
    store_thread: StoreThread,
    candidate: Candidate,
    timer: Timer,
    stops: SignalPipe,
    hangups: SignalPipe,
    notify: Notify,
}

/// Opens periods until SIGTERM or SIGINT.
///
/// # Errors
/// [`Kind::Io`] when the database was removed or replaced; any other error that stopped the scheduler.
pub fn run(open: &OpenOptions, catalogue: Catalogue, reload: Reload) -> Result<()> {
    let stops = SignalPipe::new(&[SIGTERM, SIGINT])?;
    let hangups = SignalPipe::new(&[SIGHUP])?;
    let Opened { store, local, .. } = open.open()?;
    let candidate = Candidate::new(&local)?;
    let now = clock::reading();
    let guard = guard_of(&store, &clock::boot_id(), now)?;
    let control = Control::new(Loaded::of(catalogue)?, guard, candidate.leads(), now);
    let _house = Housekeeper::start(open, Arc::clone(&reload))?;
    let scheduler = Scheduler {
        control,
        store_thread: StoreThread::start(store, local, reload)?,
        candidate,
        timer: Timer::new()?,
        stops,
        hangups,
        notify: Notify::from_env(),
    };
    scheduler.work()
}

/// Opens the periods that are due now, and ends.
///
/// # Errors
/// Those of the store; [`Kind::TryAgain`] while calendar rules are held.
pub fn once(open: &OpenOptions, catalogue: &Catalogue) -> Result<Counts> {
    let mut planner = Planner::start(open.open()?, catalogue, &clock::boot_id(), clock::reading())?;
    let ticked = planner.tick(clock::reading(), 0)?;
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
            super::accepted::jump_words(jump_ms)
        ),
    )
    .hint(
        Text::from("if the clock is right, run ")
            .and(Advice::AcceptClock)
            .and("; else set it"),
    )
}

impl Scheduler {
    fn work(mut self) -> Result<()> {
        loop {
            self.take_events()?;
            for action in self.control.next(clock::reading()) {
                match action {
                    Action::Do(work) => self.store_thread.give(work)?,
                    Action::Log(event) | Action::Started(event) => log::write(&event),
                    Action::Ready => self.notify.ready(&self.control.status()),
                    Action::Reloading => self.notify.reloading(),
                    Action::Stopping => self.notify.stopping(),
                    Action::GiveBackMemory => memory::trim(),
                    Action::End(result) => return result,
                }
            }
            if !self.control.is_stuck(clock::reading()) {
                self.notify.watchdog();
            }
            if self.notify.is_connected() {
                self.notify.status(&self.control.status());
            }
            self.wait()?;
        }
    }

    /// Passes on what has happened since the last turn.
    fn take_events(&mut self) -> Result<()> {
        for _ in 0..self.stops.take() {
            self.control.on_event(Event::Stop, clock::reading());
        }
        if self.hangups.take() > 0 {
            self.control.on_event(Event::Reload, clock::reading());
        }
        if self.candidate.has_taken_over() {
            self.control.on_event(Event::Lead, clock::reading());
        }
        if let Some(answer) = self.store_thread.take()? {
            self.control
                .on_event(Event::Answer(answer), clock::reading());
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        let wait = self.control.wait();
        self.timer.set(wait.wall_ms)?;
        let mut sleep = SLEEP_MAX;
        if let Some(boot_ms) = wait.boot_ms {
            let left_ms = boot_ms.saturating_sub(clock::boottime_ms()).max(0) as u64;
            sleep = sleep.min(Duration::from_millis(left_ms));
        }
        if !self.control.is_stuck(clock::reading())
            && let Some(at) = self.notify.watchdog_at()
        {
            sleep = sleep.min(at.saturating_duration_since(clock::monotonic()));
        }
        let timeout = Timespec {
            tv_sec: sleep.as_secs() as i64,
            tv_nsec: i64::from(sleep.subsec_nanos()),
        };
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.timer.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.stops.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.hangups.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.store_thread.as_fd(), PollFlags::IN),
        ];
        if !self.candidate.leads() {
            fds.push(PollFd::from_borrowed_fd(
                self.candidate.wake(),
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
