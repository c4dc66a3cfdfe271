//! What the main thread sends to the ledger: ends of attempts, start notes and the next claim in one transaction.
//!
//! Rule: one batch is under way at a time, so that what ends meanwhile goes together with the next.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::{AHEAD_MS, Engine, Event, LINGER, NOTE_AFTER, Stop};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::recovery::follow_up;
use crate::run::{Fence, RunId, State};
use crate::store::{Burial, ClaimRequest, Claimed, Claims, Entry, Outcome, Start, Write};
use crate::worker::ended::{Ended, Written};

impl Engine {
    /// Whether this worker may take (more) runs now.
    pub(super) fn wanted(&self) -> (usize, usize) {
        let (idle, queued) = self.shared.pool.load();
        let free = idle.saturating_sub(queued);
        if self.stop != Stop::No || self.retry_at.is_some() || self.short_until.is_some() {
            return (0, 0);
        }
        if self.alone {
            // Only an idle worker gets it, and then nothing beside it.
            let empty = idle == self.slots.len() && queued == 0 && self.ended.is_empty();
            return if empty && self.stuck.is_empty() {
                (1, 1)
            } else {
                (0, 0)
            };
        }
        let ahead = self.ahead();
        let mut max = (free + ahead).saturating_sub(queued.saturating_sub(idle));
        if let Some(left) = self.left_to_claim {
            max = max.min(usize::try_from(left).unwrap_or(usize::MAX));
        }
        (max, free)
    }

    /// How many runs may wait here for a slot: as many as will start well within [`PATIENCE`], by what their jobs took.
    fn ahead(&self) -> usize {
        let slots = self.slots.len();
        let longest_ms = self
            .prepared
            .values()
            .filter_map(|job| job.short_ms())
            .max();
        match longest_ms {
            Some(longest_ms) if self.foreground.is_none() => {
                let rounds = AHEAD_MS / longest_ms.max(1);
                slots * (rounds as usize).clamp(2, 16)
            }
            _ => 0,
        }
    }

    /// Sends what is to be written, and the next claim with it, into one transaction.
    pub(super) fn submit(&mut self) {
        if self.outstanding > 0 {
            return;
        }
        let now = clock::monotonic();
        if self.retry_at.is_some_and(|at| now < at) {
            return;
        }
        self.retry_at = None;
        if self.reconcile {
            self.give_back_unknown();
        }
        let comfortable = self.is_comfortable();
        let waited = self
            .ended_since
            .is_some_and(|since| now.duration_since(since) >= LINGER);
        let starts = self.shared.pool.unnoted(NOTE_AFTER);
        let ended_due = !self.ended.is_empty() && (!comfortable || waited);
        let (max, free) = self.wanted();
        let claim = self.look && max > 0 && (free > 0 || ended_due);
        if !ended_due && !claim && starts.is_empty() && !self.restart_waits {
            return;
        }
        let mut entries = Vec::new();
        self.ended_since = None;
        for (ended, tries) in std::mem::take(&mut self.ended) {
            entries.push(self.write_entry(ended, tries));
        }
        for start in starts {
            entries.push(self.note_entry(start));
        }
        if self.restart_waits {
            entries.push(self.restart_entry());
        }
        if claim {
            self.look = false;
            entries.push(self.claim_entry(max, free));
        }
        self.outstanding += entries.len();
        self.ledger.submit(entries);
    }

    pub(super) fn write_entry(&self, ended: Arc<Ended>, tries: u32) -> Entry {
        let worker = self.identity.worker;
        let catalogue = Arc::clone(&self.catalogue);
        let keep = self.foreground == Some(ended.claimed.run)
            && matches!(self.stop, Stop::No | Stop::Graceful(_));
        let shared = Arc::clone(&self.shared);
        let (value, answer) = slot_for::<Written>();
        let written = Arc::clone(&ended);
        Entry {
            body: Box::new(move |tx| {
                put(
                    &value,
                    written.write(tx, worker, &catalogue, keep, clock::wall_ms())?,
                );
                Ok(())
            }),
            done: Box::new(move |result| {
                shared
                    .inbox
                    .push(Event::Written(ended, tries, taken(&answer, result)));
            }),
        }
    }

    pub(super) fn note_entry(&self, start: Start) -> Entry {
        let worker = self.identity.worker;
        self.noted_entry(Box::new(move |tx| tx.note_start(worker, &start).map(drop)))
    }

    pub(super) fn restart_entry(&mut self) -> Entry {
        self.restart_waits = false;
        self.noted_entry(Box::new(|tx| {
            while tx.restart_waits(clock::wall_ms())? {}
            Ok(())
        }))
    }

    pub(super) fn noted_entry(&self, body: Write) -> Entry {
        let shared = Arc::clone(&self.shared);
        Entry {
            body,
            done: Box::new(move |answer| shared.inbox.push(Event::Noted(answer))),
        }
    }

    pub(super) fn claim_entry(&self, max: usize, free: usize) -> Entry {
        let worker = self.identity.worker;
        let catalogue = Arc::clone(&self.catalogue);
        let queues = Arc::clone(&self.queues);
        let turns = Arc::clone(&self.turns);
        let idle = self.alone || self.shared.pool.load() == (self.slots.len(), 0);
        let short: HashSet<String> = self
            .prepared
            .iter()
            .filter(|(_, prepared)| prepared.short_ms().is_some())
            .map(|(name, _)| name.clone())
            .collect();
        let short_jobs: HashSet<String> = self.short_jobs.keys().cloned().collect();
        let foreground = self.foreground;
        let shared = Arc::clone(&self.shared);
        let (value, answer) = slot_for::<Claims>();
        Entry {
            body: Box::new(move |tx| {
                let now_ms = clock::wall_ms();
                let request = ClaimRequest {
                    worker,
                    queues: &queues,
                    knows: &|job| catalogue.jobs.contains_key(job) && !short_jobs.contains(job),
                    known_behind: &|job| catalogue.job_behind(job).map(str::to_owned),
                    max,
                    free,
                    is_short: &|job| short.contains(job),
                    idle,
                };
                let claims = if let Some(run) = foreground {
                    if let Some(burial) = tx.expire_kept(run, worker, now_ms)? {
                        follow_up(tx, &burial, &catalogue, now_ms)?;
                    }
                    tx.claim_kept(run, &request, now_ms)?
                } else {
                    let more = tx.promote(now_ms)?;
                    let burials: Vec<Burial> = tx.expire(now_ms)?;
                    for burial in &burials {
                        follow_up(tx, burial, &catalogue, now_ms)?;
                    }
                    let mut turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
                    let mut claims = tx.claim(&request, &mut turns, now_ms)?;
                    claims.full |= more || !burials.is_empty();
                    claims
                };
                for burial in &claims.buried {
                    follow_up(tx, burial, &catalogue, now_ms)?;
                }
                put(&value, claims);
                Ok(())
            }),
            done: Box::new(move |result| {
                shared.inbox.push(Event::Claimed(taken(&answer, result)));
            }),
        }
    }

    /// Gives one claim back; the run of the foreground goes on being ours unless we stop.
    fn unclaim_entry(&self, run: RunId, fence: Fence) -> Entry {
        let worker = self.identity.worker;
        let keep = self.stop == Stop::No && self.foreground == Some(run);
        self.noted_entry(Box::new(move |tx| {
            let outcome = tx.unclaim(run, fence)?;
            if keep && outcome == Outcome::Moved(State::Waiting) {
                tx.keep_for(run, worker)?;
            }
            Ok(())
        }))
    }

    pub(super) fn unclaim(&mut self, runs: Vec<Claimed>) {
        if runs.is_empty() {
            return;
        }
        if let Some(left) = &mut self.left_to_claim {
            *left += runs.len() as u64;
        }
        let entries: Vec<Entry> = runs
            .into_iter()
            .map(|claimed| self.unclaim_entry(claimed.run, claimed.fence))
            .collect();
        self.outstanding += entries.len();
        self.look = true;
        self.ledger.submit(entries);
    }

    /// Gives back what the store says is ours and we do not know of.
    pub(super) fn give_back_unknown(&mut self) {
        let mut known: HashSet<Fence> = self.shared.pool.fences().into_iter().collect();
        known.extend(self.ended.iter().map(|(ended, _)| ended.claimed.fence));
        known.extend(self.stuck.iter().map(|ended| ended.claimed.fence));
        let worker = self.identity.worker;
        let Ok(held) = self.store.held_by(worker) else {
            return;
        };
        self.reconcile = false;
        let entries: Vec<Entry> = held
            .into_iter()
            .filter(|(_, fence, _)| !known.contains(fence))
            .map(|(run, fence, _)| self.unclaim_entry(run, fence))
            .collect();
        self.outstanding += entries.len();
        self.ledger.submit(entries);
    }
}

/// A place for the value of an entry, between its body and its answer.
type Place<T> = Arc<Mutex<Option<T>>>;

fn slot_for<T>() -> (Place<T>, Place<T>) {
    let place = Arc::new(Mutex::new(None));
    (Arc::clone(&place), place)
}

fn put<T>(place: &Place<T>, value: T) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
}

fn taken<T>(place: &Place<T>, answer: Result<()>) -> Result<T> {
    answer?;
    place
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
        .ok_or_else(|| Error::new(Kind::Bug, "a write gave no answer"))
}
