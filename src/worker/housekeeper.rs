//! The housekeeper: a thread that recovers dead workers, checkpoints the log, keeps the disk reserve and prunes.
//!
//! Rule: a round runs once a second and whenever a worker's lock file is closed. Nothing it does can delay a claim or a kill.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify;

use crate::catalogue::Catalogue;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::fail_point;
use crate::flow::SpaceShortage;
use crate::observe::event::LogEvent;
use crate::observe::log;
use crate::recovery::{LoggedLeftovers, Reaper, sweep};
use crate::run::WorkerId;
use crate::store::{Ledger, OpenOptions, PruneRule, Settings, Store};

use super::inbox::Inbox;
use super::machine::Event;
use super::pruner::{Progress, Pruner};
use super::slot::{ReportPanic, Shared};

/// Copying the log into the database begins at this size: 1,000 pages.
const CHECKPOINT_BYTES: u64 = 4 << 20;

/// Beyond this size the checkpoint waits for readers, so that the log restarts from its beginning.
const RESTART_BYTES: u64 = 64 << 20;

/// Longest wait of a checkpoint for readers.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(200);

/// Rows per read when the newest runs are counted.
const PRUNE_PAGE: i64 = 500;

/// A request to the thread.
enum Request {
    /// Check every other worker; the number identifies the request.
    CheckOthers(u64),
    Stop,
}

/// Handle of the housekeeper's thread.
pub(super) struct Housekeeper {
    requests: Arc<Inbox<Request>>,
    busy: Arc<AtomicBool>,
    catalogue: Arc<Mutex<Arc<Catalogue>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct HousekeeperThread {
    store: Store,
    ledger: Arc<Ledger>,
    worker: WorkerId,
    catalogue: Arc<Mutex<Arc<Catalogue>>>,
    shared: Arc<Shared>,
    requests: Arc<Inbox<Request>>,
    busy: Arc<AtomicBool>,
    generation: Option<i64>,
    swept: bool,
    /// The number of the last requested check of other workers.
    check: u64,
    /// Whether since then a round has found no dead worker left to recover.
    all_recovered: bool,
    foreground: bool,
    /// Leftovers of dead workers that were logged already.
    logged: LoggedLeftovers,
    /// Queues whose enqueues are refused because space is short.
    refused: BTreeMap<String, SpaceShortage>,
    pruner: Pruner,
}

impl Housekeeper {
    pub(super) fn start(
        open: &OpenOptions,
        ledger: Arc<Ledger>,
        worker: WorkerId,
        catalogue: Arc<Catalogue>,
        shared: Arc<Shared>,
        foreground: bool,
    ) -> Result<Self> {
        let failed =
            |error: std::io::Error| Error::new(Kind::Failed, format!("cannot start: {error}"));
        let requests = Arc::new(Inbox::new().map_err(failed)?);
        let busy = Arc::new(AtomicBool::new(false));
        // A checkpoint that waits for readers blocks all writers, so it waits only briefly.
        let open = OpenOptions {
            busy_wait: CHECKPOINT_WAIT,
            ..open.clone()
        };
        let store = open.open()?.store;
        let generation = store.catalogue_generation(&catalogue.path.to_string_lossy())?;
        let catalogue = Arc::new(Mutex::new(catalogue));
        let keeper = HousekeeperThread {
            store,
            ledger,
            worker,
            catalogue: Arc::clone(&catalogue),
            shared,
            requests: Arc::clone(&requests),
            busy: Arc::clone(&busy),
            generation,
            swept: false,
            check: 0,
            all_recovered: false,
            foreground,
            logged: LoggedLeftovers::default(),
            refused: BTreeMap::new(),
            pruner: Pruner::new(clock::monotonic()),
        };
        let thread = std::thread::Builder::new()
            .name("house".into())
            .spawn(move || keeper.work())
            .map_err(failed)?;
        Ok(Self {
            requests,
            busy,
            catalogue,
            thread: Some(thread),
        })
    }

    /// Sets whether commands run; then pruning takes less of the time.
    pub(super) fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
    }

    /// Requests a check of every other worker; the answer, [`Event::OthersChecked`], repeats this number.
    pub(super) fn check_others(&self, check: u64) {
        self.requests.push(Request::CheckOthers(check));
    }

    /// Takes over a newly loaded catalogue.
    pub(super) fn use_catalogue(&self, catalogue: Arc<Catalogue>) {
        *self
            .catalogue
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = catalogue;
    }

    /// Ends the thread.
    pub(super) fn stop(&mut self) {
        self.requests.push(Request::Stop);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl HousekeeperThread {
    fn work(mut self) {
        let _panic = ReportPanic(Arc::clone(&self.shared), "the housekeeper");
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
            .and_then(|fd| {
                let flags = inotify::WatchFlags::CLOSE_WRITE | inotify::WatchFlags::DELETE;
                inotify::add_watch(&fd, self.shared.local.workers_dir(), flags)?;
                Ok(fd)
            })
            .ok();
        loop {
            if let Err(error) = self.round() {
                if error.kind == Kind::Io && self.store.ensure_recoverable(&error).is_err() {
                    return self.shared.inbox.push(Event::Lost(error));
                }
                let error = error.message.into();
                log::write(&LogEvent::HousekeepingFailed { error });
            }
            if !self.foreground
                && let Err(error) = self.prune()
            {
                let error = error.message.into();
                log::write(&LogEvent::PruneFailed { error });
            }
            // While no command runs, pruning continues without a pause.
            let goes_on = self.pruner.is_under_way() && !self.busy.load(Ordering::Relaxed);
            let patience = Timespec {
                tv_sec: i64::from(!goes_on),
                tv_nsec: 0,
            };
            let mut fds = vec![PollFd::from_borrowed_fd(
                self.requests.as_fd(),
                PollFlags::IN,
            )];
            if let Some(watch) = &watch {
                fds.push(PollFd::from_borrowed_fd(watch.as_fd(), PollFlags::IN));
            }
            // A failed wait counts as a timeout.
            let _ = rustix::event::poll(&mut fds, Some(&patience));
            for request in self.requests.take() {
                match request {
                    Request::CheckOthers(check) => {
                        (self.check, self.all_recovered) = (check, false);
                    }
                    Request::Stop => return,
                }
            }
            if let Some(watch) = &watch {
                let mut events = [0u8; 4096];
                while matches!(rustix::io::read(watch, &mut events), Ok(1..)) {}
            }
        }
    }

    fn round(&mut self) -> Result<()> {
        fail_point::reach("housekeeping");
        self.store.check_identity()?;
        let catalogue = Arc::clone(
            &self
                .catalogue
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        let mut reaper = Reaper {
            store: &self.store,
            local: &self.shared.local,
            own: Some(self.worker),
            catalogue: &|| Some(Arc::clone(&catalogue)),
            logged: &mut self.logged,
            write: &mut |body| self.ledger.call(body),
        };
        let found = reaper.reap()?;
        if !self.swept {
            self.swept = sweep(&self.store, &self.shared.local, self.worker, |body| {
                self.ledger.call(body)
            })?;
        }
        let (freed, all_recovered) = (found.freed, !found.dying);
        if freed || (all_recovered && !self.all_recovered) {
            self.all_recovered |= all_recovered;
            self.shared.inbox.push(Event::OthersChecked {
                freed,
                all_recovered,
                check: self.check,
            });
        }
        if !self.foreground {
            self.log_space(&Settings::of(&catalogue))?;
        }
        let wal = self.store.wal_bytes();
        if wal >= CHECKPOINT_BYTES {
            self.store.checkpoint(wal >= RESTART_BYTES)?;
        }
        self.shared.local.ensure_reserve()?;
        let generation = self
            .store
            .catalogue_generation(&catalogue.path.to_string_lossy())?;
        if generation != self.generation {
            self.generation = generation;
            // Our own reload changes the generation too; then the stamp is the same and no reload is needed.
            if self
                .store
                .cached_settings(&catalogue.path.to_string_lossy(), &catalogue.stamp)?
                .is_none()
            {
                self.shared.inbox.push(Event::Reload);
            }
        }
        Ok(())
    }

    /// Logs when enqueues begin to be refused because space is short, and when they are accepted again.
    fn log_space(&mut self, settings: &Settings) -> Result<()> {
        let space = self.store.space(settings)?;
        let refused = space.refused(&settings.ranks).into_iter();
        let refused: BTreeMap<String, SpaceShortage> =
            refused.map(|(name, why)| (name.to_owned(), why)).collect();
        if refused == self.refused {
            return Ok(());
        }
        for why in [SpaceShortage::Disk, SpaceShortage::Size] {
            let queues = refused.iter().filter(|(_, shortage)| **shortage == why);
            let queues: Vec<&str> = queues.map(|(name, _)| name.as_str()).collect();
            if !queues.is_empty() {
                log::write(&LogEvent::EnqueueRefused {
                    queues: queues.join(",").into(),
                    why: space.words(why).into(),
                });
            }
        }
        if refused.is_empty() {
            log::write(&LogEvent::EnqueueAccepted);
        }
        self.refused = refused;
        Ok(())
    }

    /// Begins a pass over the runs beyond the catalogue's retention when one is due, and continues a pass under way.
    fn prune(&mut self) -> Result<()> {
        if self.pruner.is_due(clock::monotonic()) {
            let retention = self
                .catalogue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .store
                .retention;
            let upto = match retention.runs {
                Some(keep) => self.store.beyond_newest(keep, PRUNE_PAGE)?,
                None => None,
            };
            self.pruner.begin(PruneRule {
                ended_before_ms: retention.age_ms.map(|age_ms| clock::wall_ms() - age_ms),
                upto,
            });
        }
        let (local, ledger) = (&self.shared.local, &self.ledger);
        let is_busy = self.busy.load(Ordering::Relaxed);
        let progress = self
            .pruner
            .work(is_busy, clock::monotonic, |rule, from, page| {
                let from = from.clone();
                let pruned =
                    ledger.call(move |tx| tx.prune(&rule, &from, page, clock::wall_ms()))?;
                local.remove_output(&pruned.runs, &pruned.keys);
                Ok(pruned)
            })?;
        match progress {
            Progress::Ended(runs) if runs > 0 => log::write(&LogEvent::Pruned { runs }),
            _ => {}
        }
        Ok(())
    }
}
