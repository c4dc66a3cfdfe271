//! The writes of a batch as orders of the store.

use std::sync::Arc;

use crate::error::Result;
use crate::recovery::follow_up;
use crate::store::{Answer, Order, Tx};

use super::batch::{Batch, Write};

impl Batch {
    /// One order for each write.
    pub fn orders(&self) -> Vec<Order> {
        self.writes.iter().map(|write| self.order(write)).collect()
    }

    /// Enqueues the follow-up runs of the deaths that an answer names; to be called in the transaction of its order.
    ///
    /// # Errors
    /// Those of the store.
    pub fn follow_up(&self, tx: &mut Tx<'_>, answer: &Answer, now_ms: i64) -> Result<()> {
        let mut burials = answer.burials().iter();
        burials.try_for_each(|burial| follow_up(tx, burial, &self.catalogue, now_ms))
    }

    fn order(&self, write: &Write) -> Order {
        let worker = self.worker;
        match write {
            Write::End { ended, reserve, .. } if ended.was_not_started() => Order::Unclaim {
                run: ended.claimed.run,
                fence: ended.claimed.fence,
                reserve_for: reserve.then_some(worker),
            },
            Write::End { ended, reserve, .. } => Order::Finish {
                ended: Arc::clone(ended),
                worker,
                reserve: *reserve,
            },
            Write::Return {
                run,
                fence,
                reserve,
                ..
            } => Order::Unclaim {
                run: *run,
                fence: *fence,
                reserve_for: reserve.then_some(worker),
            },
            Write::Start(start) => Order::NoteStart(worker, *start),
            Write::Claim(claim) => Order::Claim {
                worker,
                catalogue: Arc::clone(&self.catalogue),
                claim: Arc::clone(claim),
            },
            Write::Rebase => Order::other(|tx, now_ms| {
                let more = tx.rebase_relative_delays(now_ms)?;
                Ok(Answer::Done { more })
            }),
            Write::Rules => {
                let catalogue = Arc::clone(&self.catalogue);
                all_at_once(move |tx, now_ms| tx.apply_catalogue(&catalogue, now_ms).map(drop))
            }
            Write::Lacks(lacking) => {
                let lacking = lacking.clone();
                all_at_once(move |tx, _| tx.note_lacking(worker, lacking.as_ref()).map(drop))
            }
            Write::GiveBackUnknown { known, reserve } => {
                let (known, reserve) = (known.clone(), *reserve);
                all_at_once(move |tx, _| {
                    for (run, fence, _) in tx.held_by(worker)? {
                        if !known.contains(&fence) {
                            let reserve_for = (reserve == Some(run)).then_some(worker);
                            tx.give_back(run, fence, reserve_for)?;
                        }
                    }
                    Ok(())
                })
            }
        }
    }
}

/// An order that leaves nothing to repeat.
fn all_at_once(write: impl FnOnce(&mut Tx<'_>, i64) -> Result<()> + Send + 'static) -> Order {
    Order::other(move |tx, now_ms| {
        write(tx, now_ms)?;
        Ok(Answer::Done { more: false })
    })
}
