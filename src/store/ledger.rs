//! The writer thread of a worker: orders in, one transaction for all waiting ones, answers after COMMIT.
//!
//! Rule: answers are delivered on this thread after the transaction, so their receivers must only pass them on.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::{Order, Store, Turns, Tx};
use crate::error::{Error, Kind, Result};
use crate::records::Answer;

/// Number of orders from which on a transaction takes no further batch.
const GROUP_MAX: usize = 256;

/// Writes that follow from an answer, in its transaction. The last parameter is the present time, milliseconds.
type FollowUp = Box<dyn FnMut(&mut Tx<'_>, &Answer, i64) -> Result<()> + Send>;

/// Orders that share a transaction.
struct Batch {
    orders: Vec<Order>,
    then: FollowUp,
    done: Box<dyn FnOnce(Vec<Result<Answer>>) + Send>,
}

/// Handle of the writer thread. Dropping it ends the thread after all submitted orders.
pub struct Ledger {
    inbox: Option<SyncSender<Batch>>,
    thread: Option<JoinHandle<()>>,
}

impl Ledger {
    /// Starts the thread, which owns the store from now on. `clock` gives the present time, milliseconds.
    ///
    /// # Errors
    /// [`Kind::Failed`] if the thread cannot be started.
    pub fn start(store: Store, clock: fn() -> i64) -> Result<Self> {
        let (inbox, batches) = sync_channel(1024);
        let thread = std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || work(store, &batches, clock))
            .map_err(|error| Error::new(Kind::Failed, format!("cannot start a thread: {error}")))?;
        Ok(Self {
            inbox: Some(inbox),
            thread: Some(thread),
        })
    }

    /// Submits orders for one transaction. `then` is called inside the transaction with each answer and the present time in
    /// milliseconds. `done` is always called, with one answer for each order, once they are durable.
    pub fn submit(
        &self,
        orders: Vec<Order>,
        then: impl FnMut(&mut Tx<'_>, &Answer, i64) -> Result<()> + Send + 'static,
        done: impl FnOnce(Vec<Result<Answer>>) + Send + 'static,
    ) {
        let batch = Batch {
            orders,
            then: Box::new(then),
            done: Box::new(done),
        };
        let lost = match &self.inbox {
            Some(inbox) => inbox.send(batch).err().map(|error| error.0),
            None => Some(batch),
        };
        if let Some(Batch { orders, done, .. }) = lost {
            done(orders.iter().map(|_| Err(gone())).collect());
        }
    }

    /// Writes and waits for the answer.
    ///
    /// # Errors
    /// Those of `body` and of [`Store::write`].
    pub fn call<T: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = sync_channel(1);
        let (value_sender, value_receiver) = sync_channel(1);
        let order = Order::other(move |tx, _| {
            drop(value_sender.send(body(tx)?));
            Ok(Answer::Done { more: false })
        });
        let answer = move |answers| drop(sender.send(answers));
        self.submit(vec![order], |_, _, _| Ok(()), answer);
        let answers = receiver.recv().map_err(|_| gone())?;
        answers.into_iter().collect::<Result<Vec<Answer>>>()?;
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

fn gone() -> Error {
    Error::new(Kind::Bug, "the writer thread is gone")
}

fn work(mut store: Store, batches: &Receiver<Batch>, clock: fn() -> i64) {
    let mut turns = Turns::default();
    while let Ok(first) = batches.recv() {
        let mut orders = Vec::new();
        // For each batch: the end of its orders in the group, the writes that follow from its answers, and the receiver of the answers.
        let (mut ends, mut thens, mut dones) = (Vec::new(), Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(batch) = next {
            orders.extend(batch.orders);
            ends.push(orders.len());
            thens.push(batch.then);
            dones.push(batch.done);
            next = if orders.len() < GROUP_MAX {
                batches.try_recv().ok()
            } else {
                None
            };
        }
        let mut then = |tx: &mut Tx<'_>, place, answer: &Answer, now_ms| {
            let batch = ends.partition_point(|end| *end <= place);
            thens[batch](tx, answer, now_ms)
        };
        let answers = store.perform(orders, &mut turns, &clock, &mut then);
        let (mut answers, mut begin) = (answers.into_iter(), 0);
        for (done, end) in dones.into_iter().zip(ends) {
            done(answers.by_ref().take(end - begin).collect());
            begin = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::store::{Create, OpenOptions};

    /// Reads of the clock: one for each transaction.
    static READS: AtomicI64 = AtomicI64::new(0);

    const DONE: Answer = Answer::Done { more: false };

    #[test]
    fn batches_share_a_transaction_and_each_gets_its_own_answers() {
        let dir = tempfile::tempdir().unwrap();
        let options = OpenOptions {
            dir: dir.path().join("state"),
            create: Create::IfMissing,
            busy_wait: Duration::from_secs(5),
            now_ms: 0,
        };
        let clock = || READS.fetch_add(1, Ordering::SeqCst);
        let ledger = Ledger::start(options.open().unwrap().store, clock).unwrap();
        let (begun, begins) = channel();
        let (go, waits) = channel();
        let slow = Order::other(move |_, _| {
            begun.send(()).unwrap();
            waits.recv().unwrap();
            Ok(DONE)
        });
        ledger.submit(vec![slow], |_, _, _| Ok(()), drop);
        begins.recv().unwrap();
        // These batches wait while the first one is written, so they share the next transaction.
        let (sender, receiver) = channel();
        for n in [2, 1, 3] {
            let orders = (0..n).map(|_| Order::other(|_, _| Ok(DONE)));
            let then = move |_: &mut Tx<'_>, _: &Answer, read| match n {
                1 => Err(Error::new(Kind::Refused, "no")),
                _ if read == 1 => Ok(()),
                _ => Err(Error::new(Kind::Failed, "not the second transaction")),
            };
            let sender = sender.clone();
            let answer = move |answers: Vec<Result<Answer>>| {
                let kinds = answers
                    .into_iter()
                    .map(|it| it.err().map(|error| error.kind));
                sender.send(kinds.collect::<Vec<_>>()).unwrap();
            };
            ledger.submit(orders.collect(), then, answer);
        }
        go.send(()).unwrap();
        let answers: Vec<_> = receiver.iter().take(3).collect();
        assert_eq!(
            answers,
            [vec![None; 2], vec![Some(Kind::Refused)], vec![None; 3]]
        );
        assert_eq!(ledger.call(|_| Ok(5)).unwrap(), 5);
        assert_eq!(READS.load(Ordering::SeqCst), 3);
    }
}
