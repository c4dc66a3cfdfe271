//! The start of a worker: signals, registration, threads.
//!
//! Rule: signal handlers are installed before the worker is registered, and the lock is held before its row exists.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::Engine;
use super::notifier::ManagerNotifier;
use crate::catalogue;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::local::marks::StartMarks;
use crate::local::{Local, SlotDir};
use crate::observe::event::LogEvent;
use crate::observe::log;
use crate::process::capture::Tee;
use crate::process::signals::SignalPipe;
use crate::process::{descriptors, spawn};
use crate::recovery::refuse_foreign;
use crate::run::{RunId, WorkerId};
use crate::store::{Ledger, NO_QUEUES, Only, Opened, ServedQueue, Settings, Store};
use crate::worker::alone::Starter;
use crate::worker::housekeeper::Housekeeper;
use crate::worker::identity::Identity;
use crate::worker::inbox::Inbox;
use crate::worker::machine::{Machine, Now, Setup};
use crate::worker::pool::Pool;
use crate::worker::reader::Reader;
use crate::worker::slot::{Shared, Slot};
use crate::worker::stuck::StuckAttempts;
use crate::worker::{Options, Reload};

impl Engine {
    pub(super) fn start(mut options: Options, reload: Reload) -> Result<Self> {
        let now_ms = clock::wall_ms();
        prepare_process(options.slots)?;
        let Opened {
            mut store, local, ..
        } = options.open.open()?;
        let signals = SignalPipe::new(&[SIGTERM, SIGINT])?;
        let hangups = SignalPipe::new(&[SIGHUP])?;
        local.make_dirs()?;
        let label = label(&options);
        let parent = options.handed_over.map(|from| from.parent);
        let identity =
            Identity::register(&mut store, &local, &label, options.slots, parent, now_ms)?;
        let worker = identity.worker;
        let shared = Arc::new(Shared {
            pool: Pool::new(options.slots as usize).map_err(|error| failed(&error))?,
            inbox: Inbox::new().map_err(|error| failed(&error))?,
            stuck: StuckAttempts::default(),
            marks: StartMarks::create(local.marks_path(worker)).map_err(|error| failed(&error))?,
            local,
            uuid: store.uuid().to_owned(),
            starter: Starter::new(worker, std::mem::take(&mut options.own_arguments)),
        });
        let only = match join_store(
            &mut store,
            &shared.local,
            worker,
            &mut options,
            &reload,
            now_ms,
        ) {
            Ok(only) => only,
            Err(error) => {
                identity.sign_off(&mut store);
                return Err(error);
            }
        };
        let catalogue = Arc::clone(&options.catalogue);
        let reader = options.open.open()?.store;
        let lock = identity.lock.held_file()?;
        let reader = Reader::start(reader, worker, lock, Arc::clone(&shared))?;
        let ledger = Arc::new(Ledger::start(store, clock::wall_ms)?);
        let start_housekeeper = || {
            Housekeeper::start(
                &options.open,
                Arc::clone(&ledger),
                worker,
                Arc::clone(&catalogue),
                Arc::clone(&shared),
                only.is_some(),
            )
        };
        let housekeeper = parent.is_none().then(start_housekeeper).transpose()?;
        let slots = start_slots(&options, worker, &shared)?;
        let notifier = ManagerNotifier::new(options.notify, &catalogue);
        let setup = Setup {
            worker,
            slots: options.slots as usize,
            queues: options.queues,
            catalogue,
            max_runs: options.max_runs,
            drain: options.drain,
            only,
            stop_after: options.stop_after,
        };
        let engine = Self {
            machine: Machine::new(setup, Now::read()),
            identity,
            shared,
            ledger,
            reader,
            housekeeper,
            reload,
            signals,
            hangups,
            slots,
            prepared: HashMap::new(),
            notifier,
            serves_one: only.is_some(),
        };
        if only.is_none() {
            engine.log_start();
        }
        Ok(engine)
    }

    fn log_start(&self) {
        log::write(&LogEvent::WorkerStarted {
            worker: self.identity.worker,
            queues: ServedQueue::list(self.machine.queues()).into(),
            slots: self.slots.len(),
        });
    }
}

/// The queues, as the row of the worker shows them.
fn label(options: &Options) -> String {
    if serves_one(options) {
        NO_QUEUES.to_owned()
    } else {
        ServedQueue::list(&options.queues)
    }
}

/// Whether the worker serves one run and no other.
fn serves_one(options: &Options) -> bool {
    options.foreground.is_some() || options.handed_over.is_some()
}

/// Prepares this process to run commands: descriptor limit, close-on-exec, child subreaper.
fn prepare_process(slots: u32) -> Result<()> {
    descriptors::make_room(slots)?;
    // Commands must not get descriptors that we inherited.
    if let Err(error) = spawn::seal_descriptors() {
        let error = error.to_string().into();
        log::write(&LogEvent::DescriptorsNotSealed { error });
    }
    if let Err(error) = spawn::become_subreaper() {
        let error = error.to_string().into();
        log::write(&LogEvent::NoSubreaper { error });
    }
    Ok(())
}

/// Refuses a store that has a live worker of another pid namespace, before it puts our rules in force. Returns the only run that
/// this worker serves, if it serves one.
fn join_store(
    store: &mut Store,
    local: &Local,
    worker: WorkerId,
    options: &mut Options,
    reload: &Reload,
    now_ms: i64,
) -> Result<Option<Only>> {
    // After our registration, so that of two workers that start together at least one sees the other.
    refuse_foreign(store, local, worker)?;
    put_in_force(store, options, reload, now_ms)?;
    match options.handed_over {
        Some(from) => Ok(Some(Only::HandedOver(from))),
        None => Ok(enqueue_foreground(store, worker, options, now_ms)?.map(Only::Foreground)),
    }
}

/// Puts the rules of the catalogue in force, unless the worker serves one run only. Reloads a catalogue that changed since it was
/// read: a command may have put the newer rules in force meanwhile.
fn put_in_force(
    store: &mut Store,
    options: &mut Options,
    reload: &Reload,
    now_ms: i64,
) -> Result<()> {
    let stamp = catalogue::stamp(&options.catalogue.path, now_ms);
    if stamp.is_ok_and(|stamp| stamp.text != options.catalogue.stamp)
        && let Ok(newer) = reload()
    {
        options.catalogue = Arc::new(newer);
    }
    if !serves_one(options) {
        store.write(|tx| tx.apply_catalogue(&options.catalogue, now_ms))?;
    }
    Ok(())
}

/// Enqueues the run of `jobctl run` and reserves it for this worker. A duplicate that another worker has stays with that worker;
/// one that is reserved for no worker is taken by our first claim.
fn enqueue_foreground(
    store: &mut Store,
    worker: WorkerId,
    options: &Options,
    now_ms: i64,
) -> Result<Option<RunId>> {
    let Some(wanted) = &options.foreground else {
        return Ok(None);
    };
    let settings = Settings::of(&options.catalogue);
    let guard = store.guard(&settings)?;
    store.write(|tx| {
        let new = std::slice::from_ref(&wanted.new);
        let (answers, refusal) = tx.enqueue_fitting(new, Some(&guard), now_ms)?;
        let [enqueued] = answers.as_slice() else {
            let no_answer = || Error::new(Kind::Bug, "an enqueue gave no answer");
            return Err(refusal.unwrap_or_else(no_answer));
        };
        if !enqueued.duplicate {
            tx.reserve_for(enqueued.run, worker)?;
        }
        Ok(Some(enqueued.run))
    })
}

fn start_slots(
    options: &Options,
    worker: WorkerId,
    shared: &Arc<Shared>,
) -> Result<Vec<JoinHandle<()>>> {
    let shown = options.foreground.as_ref().is_some_and(|it| it.show_output);
    let start = |index: u32| {
        let dir = SlotDir::open(&shared.local, worker, index)?;
        let tee = shown.then(tee_stdout).transpose()?;
        let slot = Slot::new(index as usize, Arc::clone(shared), dir, tee);
        std::thread::Builder::new()
            .name(format!("slot-{index}"))
            .spawn(move || slot.work())
    };
    (0..options.slots)
        .map(|index| start(index).map_err(|error| failed(&error)))
        .collect()
}

fn failed(error: &std::io::Error) -> Error {
    Error::new(
        Kind::Failed,
        format!("cannot start: {}", crate::error::os_words(error)),
    )
}

/// Copies output to our standard output.
fn tee_stdout() -> std::io::Result<Tee> {
    Tee::start(rustix::io::fcntl_dupfd_cloexec(std::io::stdout(), 3)?.into())
}
