//! Does the loop's work by the store and by the file system.
//!
//! Rule: the clock is read only when there is our turn to write: how late a period is counts from then.

use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::local::Local;
use crate::observe::log::{self, Level};
use crate::policy::{ClockGuard, Reading, Times};
use crate::store::{Store, Tx};

use super::Reload;
use super::agenda::Due;
use super::book::Book;
use super::change::{Applied, apply, follow, remove};
use super::open::{Budget, Now, Opened, open};
use super::work::{Answer, Failure, Findings, Loaded, Looked, News, Put, Removed, Seen, Work};

/// From this size the log of the database is copied back.
const CHECKPOINT_BYTES: u64 = 4 << 20;

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
            Answer::RulesSaved(loaded, tend(store, local, saved))
        }
        Work::Apply(book, guard, indexes) => {
            let put = apply_all(store, &book, &guard, &indexes, clock);
            Answer::Applied(indexes, tend(store, local, put))
        }
        Work::Follow(book, indexes) => {
            let rows = indexes.iter().map(|&index| &book.entries[index]);
            let put: Result<_> = rows.map(|entry| follow(store, entry).map(Put)).collect();
            Answer::Applied(indexes, tend(store, local, put))
        }
        Work::FindRemoved(book) => {
            let removed = find_removed(store, &book);
            // The last of a load that reads many rows.
            drop(store.shrink());
            Answer::Removed(tend(store, local, removed))
        }
        Work::Remove(book, guard, jobs) => {
            let removed = remove_all(store, &book, &guard, &jobs, clock);
            Answer::TakenOut(jobs, tend(store, local, removed))
        }
        Work::Open(book, guard, due, lag_ms) => {
            let opened = open_all(store, &book, &guard, (&due, lag_ms), clock);
            Answer::Opened(due, tend(store, local, opened))
        }
        Work::Lead => {
            let host = rustix::system::uname();
            let host = host.nodename().to_string_lossy();
            let led = store.write(|tx| tx.lead(std::process::id(), &host, clock().wall_ms));
            Answer::Leads(tend(store, local, led))
        }
        Work::SaveClock(guard) => {
            let text = guard_text(&guard);
            let saved = text.and_then(|text| store.write(|tx| tx.keep_clock(&text)));
            Answer::ClockSaved(guard, tend(store, local, saved))
        }
        Work::Look(seen) => {
            let found = look_around(store, &seen);
            Answer::Found(tend(store, local, found))
        }
    }
}

/// After an error of the disk: whether the database can recover, and room for it where the disk is full.
fn tend<T>(store: &Store, local: &Local, result: Result<T>) -> std::result::Result<T, Failure> {
    result.map_err(|error| {
        if error.kind != Kind::Io {
            return error.into();
        }
        match store.ensure_recoverable(&error) {
            Ok(()) => {
                if local.release_reserve(&error) {
                    log::event(Level::Warn, "disk_reserve_released", &[]);
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

fn look(guard: &ClockGuard, clock: &dyn Fn() -> Reading) -> (Times, Reading) {
    let now = clock();
    (guard.clone().look(now), now)
}

fn save_rules(store: &mut Store, loaded: &Loaded, clock: &dyn Fn() -> Reading) -> Result<i64> {
    store.write(|tx| {
        tx.loaded_from(&loaded.book.path)?;
        tx.apply_catalogue(&loaded.catalogue, clock().wall_ms)
    })
}

/// Whether an error concerns one schedule and not the store, so that the others of its transaction are worth a try alone.
fn is_of_one(error: &Error) -> bool {
    matches!(error.kind, Kind::Bug | Kind::Failed | Kind::Refused)
}

/// Does something for each in one transaction; where that fails for one of them, for each in a transaction of its own, so that it
/// stops none of the others.
fn each_or_alone<T, R>(
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
            // The others are not reached; what was done is done.
            Err(error) if results.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(results)
}

fn apply_all(
    store: &mut Store,
    book: &Book,
    guard: &ClockGuard,
    indexes: &[usize],
    clock: &dyn Fn() -> Reading,
) -> Result<Vec<Put>> {
    let some = |tx: &mut Tx<'_>, indexes: &[usize]| {
        let (times, now) = look(guard, clock);
        let mut budget = Budget::for_schedules(indexes.len());
        let mut put = Vec::new();
        for &index in indexes {
            if budget.is_spent() {
                break;
            }
            let entry = &book.entries[index];
            let now = now_of(times, now, entry.is_elapsed(), book);
            put.push(Put(apply(tx, entry, &book.data_version, now, &mut budget)?));
        }
        Ok(put)
    };
    let failed = |error: Error| Put(Applied::Failed(error.to_string()));
    each_or_alone(store, indexes, some, failed)
}

fn find_removed(store: &Store, book: &Book) -> Result<Vec<String>> {
    let rows = store.schedules()?.into_iter();
    let gone = rows.filter(|row| row.version.is_some() && !book.has(&row.job));
    Ok(gone.map(|row| row.job).collect())
}

fn remove_all(
    store: &mut Store,
    book: &Book,
    guard: &ClockGuard,
    jobs: &[String],
    clock: &dyn Fn() -> Reading,
) -> Result<Vec<Removed>> {
    let some = |tx: &mut Tx<'_>, jobs: &[String]| {
        let (times, now) = look(guard, clock);
        let now = now_of(times, now, false, book);
        let mut budget = Budget::for_schedules(jobs.len());
        let mut removed = Vec::new();
        for job in jobs {
            if budget.is_spent() {
                break;
            }
            removed.push(if remove(tx, job, now, &mut budget)? {
                Removed::Done
            } else {
                Removed::Unfinished
            });
        }
        Ok(removed)
    };
    let failed = |error: Error| Removed::Failed(error.to_string());
    each_or_alone(store, jobs, some, failed)
}

fn open_all(
    store: &mut Store,
    book: &Book,
    guard: &ClockGuard,
    (due, lag_ms): (&[Due], i64),
    clock: &dyn Fn() -> Reading,
) -> Result<Vec<Looked>> {
    if lag_ms > 0
        && let Some(opened) = opened_by_leader(store, book, due)?
    {
        return Ok(opened);
    }
    let some = |tx: &mut Tx<'_>, due: &[Due]| {
        let now = clock();
        let mut guard = guard.clone();
        let times = guard.look(now);
        tx.keep_clock(&guard_text(&guard)?)?;
        let mut budget = Budget::for_schedules(due.len());
        let mut outcomes = Vec::with_capacity(due.len());
        for &(at_ms, index) in due {
            if budget.is_spent() {
                break;
            }
            let entry = &book.entries[index];
            outcomes.push(Looked(if is_due(times, entry.is_elapsed(), at_ms) {
                let now = now_of(times, now, entry.is_elapsed(), book);
                open(tx, entry, now, &mut budget)?
            } else {
                Opened::NotDue
            }));
        }
        Ok(outcomes)
    };
    let failed = |error: Error| Looked(Opened::Failed(error.to_string()));
    each_or_alone(store, due, some, failed)
}

/// What the leader has opened meanwhile, if that is the first of what is due: as many as follow each other.
fn opened_by_leader(store: &Store, book: &Book, due: &[Due]) -> Result<Option<Vec<Looked>>> {
    let mut opened = Vec::new();
    for &(at_ms, index) in due {
        let entry = &book.entries[index];
        match store.schedule(&entry.job)? {
            Some(row) if row.digest == entry.plan.digest && row.watermark_ms >= at_ms => {
                opened.push(Looked(Opened::Done {
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

fn look_around(store: &Store, seen: &Seen) -> Result<Findings> {
    store.check_identity()?;
    if store.wal_bytes() >= CHECKPOINT_BYTES {
        store.checkpoint(false)?;
    }
    let data_version = store.data_version()?;
    let mut findings = Findings {
        data_version,
        news: None,
    };
    if seen.data_version != Some(data_version) || seen.all {
        let scheduler = store.scheduler()?;
        findings.news = Some(News {
            generation: store.catalogue_generation(&seen.path)?,
            is_ours: store.cached_settings(&seen.path, &seen.stamp)?.is_some(),
            in_force: scheduler.catalogue,
            accepted: scheduler.accepted,
        });
    }
    Ok(findings)
}

pub(super) fn guard_text(guard: &ClockGuard) -> Result<String> {
    serde_json::to_string(guard).map_err(|error| Error::new(Kind::Bug, error.to_string()))
}

/// What the time is for a kind of rule. While the calendar is held, its last believed time goes on.
pub(super) fn time_of(times: Times, elapsed: bool) -> i64 {
    match times.calendar_ms {
        Some(calendar_ms) if !elapsed => calendar_ms,
        _ => times.elapsed_ms,
    }
}

/// Whether an instant has come: while the calendar is held none of its instants has.
fn is_due(times: Times, elapsed: bool, at_ms: i64) -> bool {
    let now_ms = if elapsed {
        Some(times.elapsed_ms)
    } else {
        times.calendar_ms
    };
    now_ms.is_some_and(|now_ms| at_ms <= now_ms)
}

fn now_of(times: Times, now: Reading, elapsed: bool, book: &Book) -> Now<'_> {
    Now {
        at_ms: time_of(times, elapsed),
        wall_ms: now.wall_ms,
        settings: &book.settings,
    }
}
