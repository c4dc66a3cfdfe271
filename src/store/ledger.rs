//! The writer thread of a worker: closures in, one transaction for all waiting ones, answers after COMMIT.
//!
//! Rule: `done` runs on this thread after the transaction; it must only pass the answer on.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::{Body, Store, Tx};
use crate::error::{Error, Kind, Result};

/// Number of entries from which on a transaction takes no further batch.
const GROUP_MAX: usize = 256;

/// The write of an [`Entry`].
pub type Write = Box<dyn FnOnce(&mut Tx<'_>) -> Result<()> + Send>;

/// The receiver of the answer to an [`Entry`].
pub type Done = Box<dyn FnOnce(Result<()>) + Send>;

/// A write and the receiver of its answer.
pub struct Entry {
    /// The write.
    pub body: Write,
    /// Called with the answer once it is durable.
    pub done: Done,
}

/// Handle of the writer thread. Dropping it ends the thread after all submitted entries.
pub struct Ledger {
    inbox: Option<SyncSender<Vec<Entry>>>,
    thread: Option<JoinHandle<()>>,
}

impl Ledger {
    /// Starts the thread, which owns the store from now on.
    pub fn start(store: Store) -> Result<Self> {
        let (inbox, batches) = sync_channel(1024);
        let thread = std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || work(store, &batches))
            .map_err(|error| Error::new(Kind::Failed, format!("cannot start a thread: {error}")))?;
        Ok(Self {
            inbox: Some(inbox),
            thread: Some(thread),
        })
    }

    /// Submits entries for one transaction; the `done` of each is always called.
    pub fn submit(&self, entries: Vec<Entry>) {
        let lost = match &self.inbox {
            Some(inbox) => inbox.send(entries).err().map(|error| error.0),
            None => Some(entries),
        };
        for entry in lost.into_iter().flatten() {
            (entry.done)(Err(Error::new(Kind::Bug, "the writer thread is gone")));
        }
    }

    /// Writes and waits for the answer.
    pub fn call<T: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = sync_channel(1);
        let (value_sender, value_receiver) = sync_channel(1);
        self.submit(vec![Entry {
            body: Box::new(move |tx| {
                drop(value_sender.send(body(tx)?));
                Ok(())
            }),
            done: Box::new(move |answer| drop(sender.send(answer))),
        }]);
        let gone = || Error::new(Kind::Bug, "the writer thread is gone");
        receiver.recv().map_err(|_| gone())??;
        value_receiver.recv().map_err(|_| gone())
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.inbox = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn work(mut store: Store, batches: &Receiver<Vec<Entry>>) {
    while let Ok(first) = batches.recv() {
        let mut bodies: Vec<Body<'_>> = Vec::new();
        let mut waiting = Vec::new();
        let mut next = Some(first);
        while let Some(batch) = next {
            for entry in batch {
                bodies.push(entry.body);
                waiting.push(entry.done);
            }
            next = if bodies.len() < GROUP_MAX {
                batches.try_recv().ok()
            } else {
                None
            };
        }
        let answers = store.write_group(bodies);
        for (done, answer) in waiting.into_iter().zip(answers) {
            done(answer);
        }
    }
}
