//! Does the loop's work, with the store and the file system.
//!
//! Rule: the clock is read while the write lock is held; how late a period is counts from then.

use std::sync::Arc;

use crate::catalogue::Catalogue;
use crate::error::{Error, Kind, Result};
use crate::local::Local;
use crate::observe::event::LogEvent;
use crate::observe::log;
use crate::policy::{ClockGuard, Reading, Times};
use crate::process::memory::in_separate_arena;
use crate::store::{Store, Tx};

use super::Reload;
use super::agenda::Due;
use super::change::{apply, follow, remove};
use super::open::{Now, TransactionBudget, open};
use super::schedule_set::ScheduleSet;
use super::work::{
    Answer, Applied, ApplyResult, Failure, LastPoll, Loaded, OpenResult, Opened, PollResult,
    RemoveResult, StoreChanges, Work,
};

/// From this size the log is copied into the database.
const CHECKPOINT_BYTES: u64 = 4 << 20;

impl Loaded {
    /// Prepares the schedules of a catalogue.
    ///
    /// # Errors
    /// [`Kind::Bug`](crate::error::Kind::Bug) if a schedule cannot be written as JSON.
    pub fn of(catalogue: Catalogue) -> Result<Self> {
        let schedules = Arc::new(in_separate_arena(|| ScheduleSet::of(&catalogue))?);
        Ok(Self {
            catalogue,
            schedules,
        })
    }
}

/// Does a piece of work.
pub fn perform(
    work: Work,
    store: &mut Store,
    local: &Local,
    load: &Reload,
    clock: &dyn Fn() -> Reading,
) -> Answer {
    match work {
        Work::Read => Answer::Read(load().and_then(Loaded::of).map(Arc::new)),
        Work::SaveRules(loaded) => {
            let saved = save_rules(store, &loaded, clock);
            Answer::RulesSaved(loaded, examine_failure(store, local, saved))
        }
        Work::Apply(schedules, guard, indexes) => {
            let put = apply_all(store, &schedules, &guard, &indexes, clock);
            Answer::Applied(indexes, examine_failure(store, local, put))
        }
        Work::Follow(schedules, indexes) => {
            let rows = indexes.iter().map(|&index| &schedules.entries[index]);
            let put: Result<_> = rows
                .map(|entry| follow(store, entry).map(ApplyResult))
                .collect();
            Answer::Applied(indexes, examine_failure(store, local, put))
        }
        Work::FindRemoved(schedules) => {
            let removed = find_removed(store, &schedules);
            // This is the last step of a load that reads many rows: return the memory of the page cache.
            drop(store.shrink());
            Answer::FoundRemoved(examine_failure(store, local, removed))
        }
        Work::Remove(schedules, guard, jobs) => {
            let removed = remove_all(store, &schedules, &guard, &jobs, clock);
            Answer::Removed(jobs, examine_failure(store, local, removed))
        }
        Work::Open(schedules, guard, due, lag_ms) => {
            let opened = open_all(store, &schedules, &guard, (&due, lag_ms), clock);
            Answer::Opened(due, examine_failure(store, local, opened))
        }
        Work::Lead => {
            let host = rustix::system::uname();
            let host = host.nodename().to_string_lossy();
            let led = store.write(|tx| tx.lead(std::process::id(), &host, clock().wall_ms));
            Answer::Leads(examine_failure(store, local, led))
        }
        Work::SaveClock(guard) => {
            let text = guard_text(&guard);
            let saved = text.and_then(|text| store.write(|tx| tx.save_clock(&text)));
            Answer::ClockSaved(guard, examine_failure(store, local, saved))
        }
        Work::Poll(last_poll) => {
            let found = poll(store, &last_poll);
            Answer::Polled(examine_failure(store, local, found))
        }
    }
}

/// After an I/O error: checks whether the database can recover, and frees the disk reserve if the disk is full.
fn examine_failure<T>(
    store: &Store,
    local: &Local,
    result: Result<T>,
) -> std::result::Result<T, Failure> {
    result.map_err(|error| {
        if error.kind != Kind::Io {
            return error.into();
        }
        match store.ensure_recoverable(&error) {
            Ok(()) => {
                if local.release_reserve(&error) {
                    log::write(&LogEvent::DiskReserveReleased);
                }
                error.into()
            }
            Err(error) => Failure {
                error,
                is_final: true,
            },
        }
    })
}

fn read_times(guard: &ClockGuard, clock: &dyn Fn() -> Reading) -> (Times, Reading) {
    let now = clock();
    (guard.clone().update(now), now)
}

fn save_rules(store: &mut Store, loaded: &Loaded, clock: &dyn Fn() -> Reading) -> Result<i64> {
    store.write(|tx| {
        tx.loaded_from(&loaded.schedules.path)?;
        tx.apply_catalogue(&loaded.catalogue, clock().wall_ms)
    })
}

/// Whether an error concerns one schedule and not the store, so that the other schedules of its transaction can be retried without it.
fn is_of_one(error: &Error) -> bool {
    matches!(error.kind, Kind::Bug | Kind::Failed | Kind::Refused)
}

/// Performs `some` for all items in one transaction. If that fails because of one item, performs it for each item in a separate
/// transaction, so that a failing item does not stop the others.
fn together_or_separately<T, R>(
    store: &mut Store,
    all: &[T],
    mut some: impl FnMut(&mut Tx<'_>, &[T]) -> Result<Vec<R>>,
    failed: impl Fn(Error) -> R,
) -> Result<Vec<R>> {
    let together = store.write(|tx| some(tx, all));
    let error = match together {
        Err(error) if is_of_one(&error) => error,
        other => return other,
    };
    if all.len() == 1 {
        return Ok(vec![failed(error)]);
    }
    let mut results = Vec::new();
    for one in all.chunks(1) {
        match store.write(|tx| some(tx, one)) {
            Ok(result) => results.extend(result),
            Err(error) if is_of_one(&error) => results.push(failed(error)),
            // The remaining items are not reached; the committed ones are kept.
            Err(error) if results.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(results)
}

fn apply_all(
    store: &mut Store,
    schedules: &ScheduleSet,
    guard: &ClockGuard,
    indexes: &[usize],
    clock: &dyn Fn() -> Reading,
) -> Result<Vec<ApplyResult>> {
    let some = |tx: &mut Tx<'_>, indexes: &[usize]| {
        let (times, now) = read_times(guard, clock);
        let mut budget = TransactionBudget::for_schedules(indexes.len());
        let mut put = Vec::new();
        for &index in indexes {
            if budget.is_spent() {
                break;
            }
            let entry = &schedules.entries[index];
            let now = now_of(times, now, entry.is_elapsed(), schedules);
            put.push(ApplyResult(apply(
                tx,
                entry,
                &schedules.data_version,
                now,
                &mut budget,
            )?));
        }
        Ok(put)
    };
    let failed = |error: Error| ApplyResult(Applied::Failed(error.to_string()));
    together_or_separately(store, indexes, some, failed)
}

fn find_removed(store: &Store, schedules: &ScheduleSet) -> Result<Vec<String>> {
    let rows = store.schedules()?.into_iter();
    let gone = rows.filter(|row| row.version.is_some() && !schedules.has(&row.job));
    Ok(gone.map(|row| row.job).collect())
}

fn remove_all(
    store: &mut Store,
    schedules: &ScheduleSet,
    guard: &ClockGuard,
    jobs: &[String],
    clock: &dyn Fn() -> Reading,
) -> Result<Vec<RemoveResult>> {
    let some = |tx: &mut Tx<'_>, jobs: &[String]| {
        let (times, now) = read_times(guard, clock);
        let now = now_of(times, now, false, schedules);
        let mut budget = TransactionBudget::for_schedules(jobs.len());
        let mut removed = Vec::new();
        for job in jobs {
            if budget.is_spent() {
                break;
            }
            removed.push(if remove(tx, job, now, &mut budget)? {
                RemoveResult::Done
            } else {
                RemoveResult::Unfinished
            });
        }
        Ok(removed)
    };
    let failed = |error: Error| RemoveResult::Failed(error.to_string());
    together_or_separately(store, jobs, some, failed)
}

fn open_all(
    store: &mut Store,
    schedules: &ScheduleSet,
    guard: &ClockGuard,
    (due, lag_ms): (&[Due], i64),
    clock: &dyn Fn() -> Reading,
) -> Result<Vec<OpenResult>> {
    if lag_ms > 0
        && let Some(opened) = opened_by_leader(store, schedules, due)?
    {
        return Ok(opened);
    }
    let some = |tx: &mut Tx<'_>, due: &[Due]| {
        let now = clock();
        let mut guard = guard.clone();
        let times = guard.update(now);
        tx.save_clock(&guard_text(&guard)?)?;
        let mut budget = TransactionBudget::for_schedules(due.len());
        let mut outcomes = Vec::with_capacity(due.len());
        for &(at_ms, index) in due {
            if budget.is_spent() {
                break;
            }
            let entry = &schedules.entries[index];
            outcomes.push(OpenResult(if is_due(times, entry.is_elapsed(), at_ms) {
                let now = now_of(times, now, entry.is_elapsed(), schedules);
                open(tx, entry, now, &mut budget)?
            } else {
                Opened::NotDue
            }));
        }
        Ok(outcomes)
    };
    let failed = |error: Error| OpenResult(Opened::Failed(error.to_string()));
    together_or_separately(store, due, some, failed)
}

/// The schedules at the front of `due` that the leader has opened meanwhile; `None` if the first one is not among them.
fn opened_by_leader(
    store: &Store,
    schedules: &ScheduleSet,
    due: &[Due],
) -> Result<Option<Vec<OpenResult>>> {
    let mut opened = Vec::new();
    for &(at_ms, index) in due {
        let entry = &schedules.entries[index];
        match store.schedule(&entry.job)? {
            Some(row) if row.digest == entry.plan.digest && row.watermark_ms >= at_ms => {
                opened.push(OpenResult(Opened::Done {
                    more: false,
                    next_ms: row.next_ms,
                    rows: Vec::new(),
                }));
            }
            _ => break,
        }
    }
    Ok((!opened.is_empty()).then_some(opened))
}

fn poll(store: &Store, last_poll: &LastPoll) -> Result<PollResult> {
    store.check_identity()?;
    if store.wal_bytes() >= CHECKPOINT_BYTES {
        store.checkpoint(false)?;
    }
    let data_version = store.data_version()?;
    let mut result = PollResult {
        data_version,
        changes: None,
    };
    if last_poll.data_version != Some(data_version) || last_poll.force {
        let scheduler = store.scheduler()?;
        result.changes = Some(StoreChanges {
            generation: store.catalogue_generation(&last_poll.path)?,
            is_ours: store
                .cached_settings(&last_poll.path, &last_poll.stamp)?
                .is_some(),
            in_force: scheduler.catalogue,
            accepted: scheduler.accepted,
        });
    }
    Ok(result)
}

pub(super) fn guard_text(guard: &ClockGuard) -> Result<String> {
    serde_json::to_string(guard).map_err(|error| Error::new(Kind::Bug, error.to_string()))
}

/// The current time for a kind of rule. While the calendar is held, time continues from the last accepted clock.
pub(super) fn time_of(times: Times, elapsed: bool) -> i64 {
    match times.calendar_ms {
        Some(calendar_ms) if !elapsed => calendar_ms,
        _ => times.elapsed_ms,
    }
}

/// Whether an instant has come. While the calendar is held, none of its instants has.
fn is_due(times: Times, elapsed: bool, at_ms: i64) -> bool {
    let now_ms = if elapsed {
        Some(times.elapsed_ms)
    } else {
        times.calendar_ms
    };
    now_ms.is_some_and(|now_ms| at_ms <= now_ms)
}

fn now_of(times: Times, now: Reading, elapsed: bool, schedules: &ScheduleSet) -> Now<'_> {
    Now {
        at_ms: time_of(times, elapsed),
        wall_ms: now.wall_ms,
        settings: &schedules.settings,
    }
}
