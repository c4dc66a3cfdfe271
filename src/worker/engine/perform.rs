//! Performs the machine's actions.

use std::sync::{Arc, Mutex, PoisonError};

use super::Engine;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::observe::log;
use crate::process::{spawn, wrapper};
use crate::store::{Claimed, Entry};
use crate::worker::batch::{Batch, Done};
use crate::worker::machine::{Action, Event, Now};
use crate::worker::prepared::Prepared;
use crate::worker::reader::Question;

impl Engine {
    pub(super) fn perform(&mut self, action: Action, now: Now) {
        match action {
            Action::Submit(batch) => self.submit(&batch),
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
                for ended in self
                    .stuck
                    .extract_if(.., |it| it.stuck_processes_are_gone())
                {
                    self.machine.on_event(Event::Ended(ended), now);
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

    /// Passes an event of a thread on to the machine. A stuck attempt is held back until [`Action::Tick`] finds its processes gone.
    pub(super) fn on_event(&mut self, event: Event, now: Now) {
        let Event::Ended(ended) = event else {
            return self.machine.on_event(event, now);
        };
        let Some(stuck) = &ended.stuck else {
            return self.machine.on_event(Event::Ended(ended), now);
        };
        let (run, fence, pids) = (ended.claimed.run, ended.claimed.fence, stuck.pids());
        self.machine
            .on_event(Event::Stuck { run, fence, pids }, now);
        self.stuck.push(ended);
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

    fn submit(&self, batch: &Arc<Batch>) {
        let n = batch.writes.len();
        let answers = Arc::new(Mutex::new(Vec::with_capacity(n)));
        let entries = (0..n).map(|index| self.entry(batch, index, &answers));
        self.ledger.submit(entries.collect());
    }

    /// One write of a batch. Writes are answered in order; the last sends all answers to the main loop.
    fn entry(&self, batch: &Arc<Batch>, index: usize, answers: &Answers) -> Entry {
        let (batch, answers) = (Arc::clone(batch), Arc::clone(answers));
        let (turns, shared) = (Arc::clone(&self.turns), Arc::clone(&self.shared));
        let n = batch.writes.len();
        let value = Arc::new(Mutex::new(None));
        let place = Arc::clone(&value);
        Entry {
            body: Box::new(move |tx| {
                let done = batch.writes[index].perform(tx, &batch, &turns, clock::wall_ms())?;
                *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
                Ok(())
            }),
            done: Box::new(move |result| {
                let value = value.lock().unwrap_or_else(PoisonError::into_inner).take();
                let no_value = || Error::new(Kind::Bug, "a write gave no answer");
                let answer = result.and_then(|()| value.ok_or_else(no_value));
                let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
                answers.push(answer);
                if answers.len() == n {
                    let answers = std::mem::take(&mut *answers);
                    shared.inbox.push(Event::Answered(answers));
                }
            }),
        }
    }
}

type Answers = Arc<Mutex<Vec<Result<Done>>>>;
