//! Puts the schedules of a catalogue in force, inside a transaction.
//!
//! Rule: the old rule applies up to the moment of the change and the new one from then on; nothing is replayed. A key that both rules
//! have is decided once, by the rule that reaches it first.

use std::collections::HashSet;
use std::sync::Arc;

use crate::catalogue::Schedule;
use crate::error::{Error, Kind, Result};
use crate::policy::Backlog;
use crate::schedule::{Period, PeriodsError, Rule};
use crate::store::{NewVersion, PeriodRow, Store, Tx};

use super::agenda::next_of;
use super::open::{Now, PeriodPolicy, TransactionBudget, open_missed, open_version};
use super::schedule_set::Entry;
use super::stretch::split;
use super::work::{Applied, Opened};

const DAY_MS: i64 = 86_400_000;

#[expect(clippy::needless_pass_by_value, reason = "used in `map_err`")]
fn bug(error: PeriodsError) -> Error {
    Error::new(Kind::Bug, error.to_string())
}

/// The state of one schedule, if it is in force.
pub(super) fn follow(store: &Store, entry: &Entry) -> Result<Applied> {
    let row = store.schedule(&entry.job)?;
    let row = row.filter(|row| row.version.is_some() && row.digest == entry.plan.digest);
    Ok(row.map_or(Applied::NotInForce, |row| Applied::Kept {
        watermark_ms: row.watermark_ms,
        next_ms: row.next_ms,
    }))
}

/// Puts one schedule in force.
pub(super) fn apply(
    tx: &mut Tx<'_>,
    entry: &Entry,
    data_version: &str,
    now: Now<'_>,
    budget: &mut TransactionBudget,
) -> Result<Applied> {
    let known = tx.schedule(&entry.job)?;
    // If the schedule was removed while the clock was ahead, all periods up to its watermark are decided.
    let decided_ms = known.as_ref().map_or(now.at_ms, |row| row.watermark_ms);
    let Some((row, version)) = known.and_then(|row| row.version.map(|version| (row, version)))
    else {
        let from_ms = now.at_ms.max(decided_ms);
        return begin(tx, entry, data_version, from_ms, false, Vec::new());
    };
    if row.digest == entry.plan.digest {
        return Ok(Applied::Kept {
            watermark_ms: row.watermark_ms,
            next_ms: row.next_ms,
        });
    }
    let stored = entry.plan.stored();
    let old = tx
        .version(version)?
        .ok_or_else(|| Error::new(Kind::Bug, format!("schedule version {version} is gone")))?;
    if old.stored == stored {
        tx.save_digest(&entry.job, &entry.plan.digest)?;
        return Ok(Applied::Kept {
            watermark_ms: row.watermark_ms,
            next_ms: row.next_ms,
        });
    }
    // An old rule that this version of jobctl cannot read is dropped.
    let old_rule = Rule::from_stored(&old.stored).ok();
    let mut rows = Vec::new();
    if let Some(rule) = &old_rule {
        let schedule = Schedule {
            rule: Arc::new(rule.clone()),
            ..entry.plan.schedule.clone()
        };
        let policy = PeriodPolicy::Schedule(entry, &schedule);
        match open_version(tx, policy, rule, (&row, version), now, budget)? {
            Opened::Done {
                more: true, rows, ..
            } => return Ok(Applied::Unfinished(rows)),
            Opened::Done { rows: decided, .. } => rows = decided,
            Opened::Stale | Opened::NotDue => {}
            Opened::Failed(message) => return Ok(Applied::Failed(message)),
        }
    }
    let from_ms = now.at_ms.max(row.watermark_ms);
    if let Some(rule) = &old_rule {
        split_rows_ahead(
            tx,
            &entry.job,
            (rule, version),
            &entry.plan.schedule.rule,
            from_ms,
        )?;
    }
    tx.end_version(&entry.job, from_ms)?;
    let begun = begin(tx, entry, data_version, from_ms, true, rows)?;
    let (
        Applied::Begun {
            mut rows, next_ms, ..
        },
        Some(rule),
    ) = (begun, old_rule)
    else {
        return Ok(Applied::Failed("the schedule did not begin".to_owned()));
    };
    let missed = missed_by_change(&rule, &entry.plan.schedule.rule, from_ms).map_err(bug)?;
    if let (Some(first), Some(begun)) = (missed.first(), tx.schedule(&entry.job)?) {
        let backlog =
            Backlog::of(&entry.plan.schedule, first.instant_ms - 1, from_ms).map_err(bug)?;
        for period in &missed {
            let version = begun.version.unwrap_or_default();
            match open_missed(tx, entry, version, period, backlog, now)? {
                Ok(decided) => rows.extend(decided),
                Err(message) => return Ok(Applied::Failed(message)),
            }
        }
    }
    Ok(Applied::Begun {
        next_ms,
        changed: true,
        rows,
    })
}

fn begin(
    tx: &mut Tx<'_>,
    entry: &Entry,
    data_version: &str,
    from_ms: i64,
    changed: bool,
    rows: Vec<PeriodRow>,
) -> Result<Applied> {
    let next_ms = match next_of(&entry.plan.schedule.rule, from_ms) {
        Ok(next_ms) => next_ms,
        Err(error) => return Ok(Applied::Failed(error.to_string())),
    };
    tx.begin_version(&NewVersion {
        job: &entry.job,
        stored: &entry.plan.stored(),
        data_version,
        digest: &entry.plan.digest,
        from_ms,
        next_ms,
    })?;
    Ok(Applied::Begun {
        next_ms,
        changed,
        rows,
    })
}

/// How far from the moment of a change the same key can lie on the other side of it: offsets and holidays move days.
fn window_ms(rule: &Rule) -> i64 {
    if rule.keys_are_instants_or_days() {
        2 * DAY_MS
    } else {
        32 * DAY_MS
    }
}

/// Most periods to compute on either side of a change.
const AROUND_MAX: usize = 10_000;

fn keys(rule: &Rule, after_ms: i64, until_ms: i64) -> Result<HashSet<String>, PeriodsError> {
    let periods = rule.periods(after_ms, until_ms, AROUND_MAX)?;
    Ok(periods.into_iter().map(|period| period.key).collect())
}

/// Periods that are past for the new rule and whose keys were still to come for the old rule.
fn missed_by_change(old: &Rule, new: &Rule, now_ms: i64) -> Result<Vec<Period>, PeriodsError> {
    if old.keys_are_instants() || new.keys_are_instants() {
        return Ok(Vec::new());
    }
    let window_ms = window_ms(new);
    // A period that one rule merges or skips may be due by the other.
    let ahead = keys(old, now_ms, now_ms + window_ms)?;
    let mut missed = new.periods(now_ms - window_ms, now_ms, AROUND_MAX)?;
    missed.retain(|period| ahead.contains(&period.key));
    Ok(missed)
}

/// Gives each decided period that the new rule will reach again a separate row, so that the unique index covers its key.
fn split_rows_ahead(
    tx: &mut Tx<'_>,
    job: &str,
    (old, version): (&Rule, i64),
    new: &Rule,
    now_ms: i64,
) -> Result<()> {
    // A key that is an instant is the same under every rule and lies on one side of the change.
    if old.keys_are_instants() || new.keys_are_instants() {
        return Ok(());
    }
    let window_ms = window_ms(new);
    let ahead = keys(new, now_ms, now_ms + window_ms).map_err(bug)?;
    let decided = old.periods(now_ms - window_ms, now_ms, AROUND_MAX);
    for period in decided.map_err(bug)? {
        if !ahead.contains(&period.key) {
            continue;
        }
        for row in tx.stretches(job, version, period.instant_ms)? {
            if let Some(parts) = split(&row, old, &period.key).map_err(bug)? {
                replace(tx, &row, [parts.before, Some(parts.period), parts.behind])?;
                break;
            }
        }
    }
    Ok(())
}

/// Replaces a row by the parts that it was split into.
pub(super) fn replace<const N: usize>(
    tx: &mut Tx<'_>,
    row: &PeriodRow,
    parts: [Option<PeriodRow>; N],
) -> Result<()> {
    tx.remove_period(&row.job, &row.period)?;
    for part in parts.into_iter().flatten() {
        tx.add_period(&part)?;
    }
    Ok(())
}

/// Takes a schedule out of force. Its due periods are recorded as skipped, since no run can be made of them any more. Returns false
/// if periods are left to record; then the work must be repeated.
pub(super) fn remove(
    tx: &mut Tx<'_>,
    job: &str,
    now: Now<'_>,
    budget: &mut TransactionBudget,
) -> Result<bool> {
    let Some(row) = tx.schedule(job)? else {
        return Ok(true);
    };
    let version = match row.version {
        Some(version) => tx.version(version)?,
        None => None,
    };
    let mut until_ms = now.at_ms.max(row.watermark_ms);
    if let Some(version) = version
        && let Ok(rule) = Rule::from_stored(&version.stored)
    {
        let in_force = (&row, version.version);
        match open_version(tx, PeriodPolicy::SkipAll, &rule, in_force, now, budget)? {
            Opened::Done { more: true, .. } => return Ok(false),
            // A rule that cannot be evaluated up to now ends at its watermark.
            Opened::Failed(_) => until_ms = row.watermark_ms,
            Opened::Done { .. } | Opened::Stale | Opened::NotDue => {}
        }
    }
    tx.end_version(job, until_ms)?;
    tx.advance(job, until_ms, None)?;
    Ok(true)
}
