//! Performs the machine's actions.

use std::sync::Arc;

use super::Engine;
use crate::error::{Error, Kind};
use crate::observe::log;
use crate::process::{spawn, wrapper};
use crate::store::Claimed;
use crate::worker::batch::Batch;
use crate::worker::machine::{Action, Event, Now};
use crate::worker::prepared::Prepared;
use crate::worker::reader::Question;

impl Engine {
    pub(super) fn perform(&mut self, action: Action, now: Now) {
        match action {
            Action::Submit(batch) => self.submit(batch),
            Action::Offer(runs) => self.offer(runs, false, now),
            Action::OfferAlone(runs) => self.offer(runs, true, now),
            Action::Noted(fences) => self.shared.pool.note(&fences),
            Action::TakeBack(which) => {
                let taken = self.shared.pool.take_back(which, now);
                self.machine.on_event(Event::TakenBack(taken), now);
            }
            Action::Cancel(fence) => {
                if let Some(taken) = self.shared.pool.cancel(fence) {
                    self.machine.on_event(Event::TakenBack(vec![taken]), now);
                }
            }
            Action::SendAll(command) => self.shared.pool.send_all(command),
            Action::Forget(fence) => self.shared.marks.done(fence),
            Action::CheckOthers(check) => {
                if let Some(housekeeper) = &self.housekeeper {
                    housekeeper.check_others(check);
                }
            }
            Action::Load => self.load(),
            Action::Use(catalogue) => {
                self.prepared.clear();
                self.notifier.use_catalogue(&catalogue);
                if let Some(housekeeper) = &self.housekeeper {
                    housekeeper.use_catalogue(catalogue);
                }
            }
            Action::ReadRemaining => self.reader.ask(Question::Remaining),
            Action::Examine(error) => self.reader.ask(Question::Examine(error)),
            Action::Tick { busy } => {
                spawn::reap_orphans();
                if let Some(housekeeper) = &self.housekeeper {
                    housekeeper.set_busy(busy);
                }
                for ended in self.shared.stuck.take_gone() {
                    // Pushed last: the slot has sent all other events about this attempt.
                    self.shared.inbox.push(Event::Ended(ended));
                }
            }
            Action::NotifyReloading => self.notifier.reloading(),
            Action::NotifyReady => {
                let status = self.machine.status(&self.shared.pool.view(now), now);
                self.notifier.ready(&status);
            }
            Action::NotifyStop => self.notifier.stopping(self.machine.stop(), now),
            Action::Log(event) => log::write(&event),
            Action::LogEnd(ended, written) => {
                ended.log(&written);
                written.log();
            }
        }
    }

    fn offer(&mut self, runs: Vec<Claimed>, alone: bool, now: Now) {
        let mut work = Vec::new();
        for claimed in runs {
            // The machine offers only runs of jobs in its catalogue.
            if let Some(job) = self.prepare(&claimed.job) {
                work.push((claimed, job));
            }
        }
        self.shared.pool.add(work, alone, now);
    }

    fn prepare(&mut self, name: &str) -> Option<Arc<Prepared>> {
        if let Some(prepared) = self.prepared.get(name) {
            return Some(Arc::clone(prepared));
        }
        let catalogue = self.machine.catalogue();
        let job = catalogue.jobs.get(name)?;
        let prepared = Arc::new(Prepared::new(
            job,
            self.shared.local.dir(),
            &catalogue.path,
            &wrapper::own_binary(),
        ));
        self.prepared.insert(name.to_owned(), Arc::clone(&prepared));
        Some(prepared)
    }

    /// Loads the catalogue on a separate thread: thousands of jobs, or a slow disk, would block the main loop.
    fn load(&self) {
        let (reload, shared) = (Arc::clone(&self.reload), Arc::clone(&self.shared));
        let load = move || {
            let loaded = reload().map(Arc::new);
            shared.inbox.push(Event::Loaded(loaded));
        };
        let thread = std::thread::Builder::new().name("reload".into());
        if let Err(error) = thread.spawn(load) {
            let error = Error::new(Kind::Failed, format!("cannot start a thread: {error}"));
            self.shared.inbox.push(Event::Loaded(Err(error)));
        }
    }

    fn submit(&self, batch: Arc<Batch>) {
        let (orders, shared) = (batch.orders(), Arc::clone(&self.shared));
        self.ledger.submit(
            orders,
            move |tx, answer, now_ms| batch.follow_up(tx, answer, now_ms),
            move |answers| shared.inbox.push(Event::Answered(answers)),
        );
    }
}
