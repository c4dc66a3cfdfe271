//! What the main thread notices by itself: signals, commits of others, the clock, requests of operators.

use std::sync::Arc;
use std::time::Duration;

use super::{Engine, PATIENCE, Stop, TICK};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::observe::log::{self, Level};
use crate::process::control::Command;
use crate::process::spawn;
use crate::worker::ended::Ended;

impl Engine {
    pub(super) fn obey_signals(&mut self) {
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

    pub(super) fn begin_stop(&mut self, stop: Stop) {
        if stop.stage() <= self.stop.stage() {
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
        self.tell_stop();
        match stop {
            Stop::Term => self.shared.pool.send_all(Command::Release),
            Stop::Kill => self.shared.pool.send_all(Command::Kill),
            _ => {}
        }
        let queued = self.shared.pool.take_back(None);
        self.unclaim(queued);
    }

    pub(super) fn load_catalogue(&mut self) {
        self.tell_reload();
        match (self.reload)() {
            Ok(catalogue) => {
                self.catalogue = Arc::new(catalogue);
                self.stop_after =
                    Duration::from_millis(self.catalogue.worker.stop_after_ms.max(0) as u64);
                self.prepared.clear();
                self.order_queues();
                self.note_graces();
                self.refused = None;
                self.house.use_catalogue(Arc::clone(&self.catalogue));
                self.look = true;
                let (catalogue, now_ms) = (Arc::clone(&self.catalogue), clock::wall_ms());
                // Only a worker that serves others puts rules in force.
                let in_force = self.foreground.is_none();
                let entry = self.noted_entry(Box::new(move |tx| {
                    if in_force {
                        tx.keep_catalogue(&catalogue, now_ms)?;
                    }
                    Ok(())
                }));
                self.outstanding += 1;
                self.ledger.submit(vec![entry]);
                let jobs = self.catalogue.jobs.len();
                log::event(Level::Info, "catalogue_loaded", &[("jobs", &jobs)]);
            }
            Err(error) => {
                log::event(Level::Error, "catalogue_refused", &[("error", &error)]);
                self.refused = Some(error.to_string());
            }
        }
        self.tell_ready();
    }

    /// Another process committed: there may be work, a cancel, or a request to stop.
    pub(super) fn notice_commits(&mut self) -> Result<()> {
        let version = self.store.data_version()?;
        if version != self.data_version {
            self.data_version = version;
            self.look = true;
            self.look_for_cancels = true;
        }
        Ok(())
    }

    /// Everything that is due by time.
    pub(super) fn look_around(&mut self) -> Result<()> {
        let now = clock::monotonic();
        if self.look_for_cancels
            && now.duration_since(self.cancels_looked_at) >= Duration::from_millis(20)
        {
            self.look_for_cancels = false;
            self.cancels_looked_at = now;
            self.look_for_requests()?;
        }
        if self
            .next_due_ms
            .is_some_and(|due_ms| due_ms <= clock::wall_ms())
        {
            self.next_due_ms = None;
            self.look = true;
        }
        if self
            .passed
            .opens_ms
            .is_some_and(|opens_ms| opens_ms <= clock::wall_ms())
        {
            self.passed.opens_ms = None;
            self.look = true;
        }
        if self.short_until.is_some_and(|until| until <= now) {
            self.short_until = None;
            self.look = true;
        }
        let short = self.short_jobs.len();
        self.short_jobs.retain(|_, until| *until > now);
        self.look |= self.short_jobs.len() < short;
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

    pub(super) fn tick(&mut self) -> Result<()> {
        spawn::reap_orphans();
        self.store.check_identity()?;
        if !self.identity.is_intact() {
            log::event(
                Level::Error,
                "lock_file_tampered",
                &[("worker", &self.identity.worker)],
            );
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
        let free: Vec<Ended> = self.stuck.extract_if(.., Ended::has_let_go).collect();
        for ended in free {
            self.ended.push((Arc::new(ended), 0));
        }
        let (idle, queued) = self.shared.pool.load();
        let busy = idle < self.slots.len() || queued > 0;
        self.house.set_busy(busy);
        Ok(())
    }

    pub(super) fn look_for_requests(&mut self) -> Result<()> {
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
}
