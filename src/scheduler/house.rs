//! The scheduler's housekeeper: a thread that recovers the runs of dead workers, so that they are ready when a worker comes.
//!
//! Rule: what a dead worker left may take seconds to end; no period waits for that.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::local::Local;
use crate::observe::log::{self, Level};
use crate::recovery::{Reaper, Told};
use crate::store::{OpenOptions, Opened, Store};

use super::Reload;

/// How often it looks.
const TICK: Duration = Duration::from_secs(1);

/// The thread; it ends when this is dropped, in the middle of whatever it does: all of it can be done again.
pub(super) struct House(#[expect(dead_code, reason = "its end is the message")] SyncSender<()>);

impl House {
    /// Starts it with connections of its own.
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
    let mut told = Told::default();
    loop {
        let mut reaper = Reaper {
            store,
            local,
            own: None,
            // A catalogue that is wrong just now has no `on_dead`; the dead letter is there all the same.
            catalogue: &|| load().ok().map(Arc::new),
            told: &mut told,
            write: &mut |body| second.write(body),
        };
        if let Err(error) = reaper.reap() {
            log::event(
                Level::Warn,
                "housekeeping_failed",
                &[log::text("error", error)],
            );
        }
        if end.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}
