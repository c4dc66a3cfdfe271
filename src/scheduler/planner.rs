//! The scheduler's loop without threads, signals and timers: performs all pending work of the loop within one call.
//!
//! Rule: the time is a parameter of each call, and nothing here waits. An error ends the call; the next call does the rest.

use std::sync::Arc;

use crate::catalogue::Catalogue;
use crate::error::{Error, Kind, Result};
use crate::local::Local;
use crate::observe::log;
use crate::policy::{ClockGuard, Reading};
use crate::store::{Opened, Store};

use super::Reload;
use super::agenda::Next;
use super::control::{Action, Control, Event};
use super::counts::Counts;
use super::perform::perform;
use super::work::{Loaded, Work};

/// The result of a tick.
#[derive(Debug)]
pub struct Ticked {
    /// The decided periods.
    pub counts: Counts,
    /// When the next schedule is due.
    pub next: Next,
    /// Jobs for which the store has another schedule in force than this process.
    pub stale: Vec<String>,
}

/// Opens the periods of a catalogue's schedules in a store.
pub struct Planner {
    store: Store,
    local: Local,
    control: Control,
}

/// The state of the clock: that of an earlier process, if the store has it, or a new one.
pub(super) fn guard_of(store: &Store, boot_id: &str, now: Reading) -> Result<ClockGuard> {
    let saved = store.scheduler()?.clock;
    let saved = saved.and_then(|text| serde_json::from_str::<ClockGuard>(&text).ok());
    Ok(match saved {
        Some(guard) => guard.resume(boot_id, now),
        None => ClockGuard::new(boot_id, now),
    })
}

impl Planner {
    /// Puts the schedules of a catalogue in force.
    ///
    /// # Errors
    /// Those of the store.
    pub fn start(
        opened: Opened,
        catalogue: &Catalogue,
        boot_id: &str,
        now: Reading,
    ) -> Result<Self> {
        let Opened { store, local, .. } = opened;
        let guard = guard_of(&store, boot_id, now)?;
        let mut control = Control::new(Loaded::of(catalogue.clone())?, guard, false, now);
        control.set_leads(true);
        let mut planner = Self {
            store,
            local,
            control,
        };
        planner.work(now)?;
        Ok(planner)
    }

    /// Puts the schedules of a newer catalogue in force instead; on an error the old ones stay in force.
    ///
    /// # Errors
    /// Those of the store.
    pub fn load(&mut self, catalogue: &Catalogue, now: Reading) -> Result<()> {
        self.control.offer(Loaded::of(catalogue.clone())?, now);
        self.work(now)
    }

    /// The state of the clock.
    pub fn guard(&self) -> &ClockGuard {
        self.control.guard()
    }

    /// An operator accepted the clock as it is.
    pub fn accept_clock(&mut self, now: Reading) {
        self.control.accept_clock(now);
    }

    /// Opens all due periods and returns when the next one is due. `lag_ms` is 0 for a leader; a standby opens only periods that have
    /// been due for that long.
    ///
    /// # Errors
    /// Those of the store; periods that were not opened stay due.
    pub fn tick(&mut self, now: Reading, lag_ms: i64) -> Result<Ticked> {
        self.control.set_leads(lag_ms == 0);
        self.work(now)?;
        let (counts, stale) = self.control.take_counts();
        Ok(Ticked {
            counts,
            next: self.control.next_due(),
            stale,
        })
    }

    fn work(&mut self, now: Reading) -> Result<()> {
        let unread = || Err(Error::new(Kind::Bug, "a planner reads no catalogue"));
        let load: Reload = Arc::new(unread);
        self.control.clear_retry_delay();
        loop {
            let mut work = None;
            for action in self.control.next(now) {
                match action {
                    Action::Do(given) => work = Some(given),
                    Action::Log(event) => log::write(&event),
                    Action::End(result) => return result,
                    _ => {}
                }
            }
            let Some(work) = work else {
                return Ok(());
            };
            debug_assert!(!matches!(work, Work::Read));
            let answer = perform(work, &mut self.store, &self.local, &load, &|| now);
            let failed = answer.failure();
            self.control.on_event(Event::Answer(answer), now);
            self.control.cancel_reload();
            if let Some(error) = failed {
                return Err(error);
            }
        }
    }
}
