//! The scheduler's housekeeper: a thread that recovers the runs of dead workers, so that they are ready when a worker starts.
//!
//! Rule: leftover processes may take seconds to end; opening periods never waits for that.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::local::Local;
use crate::observe::event::LogEvent;
use crate::observe::log;
use crate::recovery::{LoggedLeftovers, Reaper};
use crate::store::{OpenOptions, Opened, Store};

use super::Reload;

/// How often the workers are checked.
const TICK: Duration = Duration::from_secs(1);

/// Handle of the thread. Dropping it ends the thread; the process does not wait for it, since all of its work can be repeated.
pub(super) struct Housekeeper(
    #[expect(dead_code, reason = "its drop ends the thread")] SyncSender<()>,
);

impl Housekeeper {
    /// Starts the thread with its own connections.
    pub(super) fn start(open: &OpenOptions, load: Reload) -> Result<Self> {
        let Opened { store, local, .. } = open.open()?;
        let second = open.open()?.store;
        let (life, end) = sync_channel(0);
        std::thread::Builder::new()
            .name("house".into())
            .spawn(move || work(&store, &local, second, &load, &end))
            .map_err(|error| Error::new(Kind::Failed, format!("cannot start a thread: {error}")))?;
        Ok(Self(life))
    }
}

fn work(store: &Store, local: &Local, mut second: Store, load: &Reload, end: &Receiver<()>) {
    let mut logged = LoggedLeftovers::default();
    loop {
        let mut reaper = Reaper {
            store,
            local,
            own: None,
            // If the catalogue cannot be loaded now, there is no `on_dead` run; the dead letter is stored anyway.
            catalogue: &|| load().ok().map(Arc::new),
            logged: &mut logged,
            write: &mut |body| second.write(body),
        };
        if let Err(error) = reaper.reap() {
            let error = error.message.into();
            log::write(&LogEvent::HousekeepingFailed { error });
        }
        if end.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}
