//! Opens what is due of one schedule, inside a transaction.
//!
//! Rule: the rows, the runs and the watermark are written together; what the store says is in force decides, not what this
//! process remembers.

use std::collections::BTreeMap;

use crate::catalogue::{Intake, Schedule};
use crate::clock;
use crate::error::Result;
use crate::intake::Request;
use crate::policy::{Backlog, Fate, PeriodResult, SkipReason, Unfinished, is_late, judge};
use crate::run::{RunId, RunPeriod, Trigger};
use crate::schedule::{Period, PeriodsError};
use crate::store::{PeriodRow, ScheduleRow, Settings, Tx};

use super::book::Entry;

/// Periods of one schedule that are looked at in one transaction; most of them may share a row.
const LOOK_MAX: usize = 2_000;

/// Who cancels runs that a later period replaces.
const ACTOR: &str = "schedule";

/// How far one look came.
#[derive(Debug)]
pub(super) enum Opened {
    /// All that is due is decided, or as much as may be in one transaction.
    Done {
        /// More is due.
        more: bool,
        /// The next instant; `None` if there is none.
        next_ms: Option<i64>,
        /// What was decided, for the log.
        rows: Vec<PeriodRow>,
    },
    /// The store has another schedule in force for this job.
    Stale,
    /// The rule, or a run of the job, cannot be made.
    Failed(String),
}

/// What opening needs besides the entry.
#[derive(Clone, Copy)]
pub(super) struct Now<'a> {
    /// What the time is for this schedule, milliseconds.
    pub(super) at_ms: i64,
    /// Wall clock, milliseconds: when runs are stored and become due.
    pub(super) wall_ms: i64,
    pub(super) settings: &'a Settings,
}

/// Opens what is due of an entry, at most `budget` rows.
pub(super) fn open(
    tx: &mut Tx<'_>,
    entry: &Entry,
    now: Now<'_>,
    budget: &mut usize,
) -> Result<Opened> {
    let in_force = tx.schedule(&entry.job)?;
    let Some((row, version)) = in_force.and_then(|row| row.version.map(|version| (row, version)))
    else {
        return Ok(Opened::Stale);
    };
    if row.digest != entry.plan.digest {
        return Ok(Opened::Stale);
    }
    open_version(
        tx,
        entry,
        &entry.plan.schedule,
        (&row, version),
        now,
        budget,
    )
}

/// As [`open`], by the rule of any version.
pub(super) fn open_version(
    tx: &mut Tx<'_>,
    entry: &Entry,
    schedule: &Schedule,
    (in_force, version): (&ScheduleRow, i64),
    now: Now<'_>,
    budget: &mut usize,
) -> Result<Opened> {
    let failed = |error: PeriodsError| Ok(Opened::Failed(error.to_string()));
    let periods = match schedule
        .rule
        .periods(in_force.watermark_ms, now.at_ms, LOOK_MAX)
    {
        Ok(periods) => periods,
        Err(error) => return failed(error),
    };
    // What was missed is judged as of the moment when it was found.
    let missed = |first: &Period| is_late(first, schedule, now.at_ms);
    let (found_ms, backlog) = match (entry.backlog.as_deref().copied(), periods.first()) {
        (Some((found_ms, backlog)), _) => (found_ms, Ok(backlog)),
        (None, Some(first)) if missed(first) => (
            now.at_ms,
            Backlog::of(schedule, in_force.watermark_ms, now.at_ms),
        ),
        (None, _) => (now.at_ms, Ok(Backlog::NONE)),
    };
    let backlog = match backlog {
        Ok(backlog) => backlog,
        Err(error) => return failed(error),
    };
    let mut opener = Opener {
        tx,
        entry,
        schedule,
        version,
        now,
        found_ms,
        backlog,
        paused: false,
        unfinished: Unfinished::default(),
        rows: Vec::new(),
    };
    opener.paused = opener.tx.is_paused(&entry.job, now.wall_ms)?;
    opener.unfinished = opener.tx.unfinished(&entry.job)?;
    let mut watermark_ms = in_force.watermark_ms;
    let mut more = periods.len() >= LOOK_MAX;
    for period in &periods {
        // An instant is decided whole or not at all.
        if opener.rows.len() >= *budget && period.instant_ms > watermark_ms {
            more = true;
            break;
        }
        if let Err(message) = opener.decide(period)? {
            return Ok(Opened::Failed(message));
        }
        watermark_ms = period.instant_ms;
    }
    opener.flush()?;
    let rows = std::mem::take(&mut opener.rows);
    let next_ms = match next_of(schedule, watermark_ms) {
        Ok(next_ms) => next_ms,
        Err(error) => return failed(error),
    };
    if watermark_ms > in_force.watermark_ms || next_ms != in_force.next_ms {
        tx.advance(&entry.job, watermark_ms, next_ms)?;
    }
    *budget = budget.saturating_sub(rows.len().max(1));
    Ok(Opened::Done {
        more,
        next_ms,
        rows,
    })
}

/// The first instant behind another at which something is to be decided.
pub(super) fn next_of(schedule: &Schedule, after_ms: i64) -> Result<Option<i64>, PeriodsError> {
    match schedule.rule.periods(after_ms, i64::MAX, 1) {
        Ok(periods) => Ok(periods.first().map(|period| period.instant_ms)),
        // The calendar ends; so does the schedule.
        Err(PeriodsError::BeyondCalendar) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Decides a period of a new version that the old one would have opened later: it is not lost.
pub(super) fn open_passed(
    tx: &mut Tx<'_>,
    entry: &Entry,
    version: i64,
    period: &Period,
    backlog: Backlog,
    now: Now<'_>,
) -> Result<Result<Vec<PeriodRow>, String>> {
    let mut opener = Opener {
        entry,
        schedule: &entry.plan.schedule,
        version,
        now,
        found_ms: now.at_ms,
        backlog,
        paused: tx.is_paused(&entry.job, now.wall_ms)?,
        unfinished: tx.unfinished(&entry.job)?,
        rows: Vec::new(),
        tx,
    };
    if let Err(message) = opener.decide(period)? {
        return Ok(Err(message));
    }
    opener.flush()?;
    Ok(Ok(opener.rows))
}

struct Opener<'a, 'c> {
    tx: &'a mut Tx<'c>,
    entry: &'a Entry,
    schedule: &'a Schedule,
    version: i64,
    now: Now<'a>,
    found_ms: i64,
    backlog: Backlog,
    paused: bool,
    unfinished: Unfinished,
    /// Decided; the last one is not written yet.
    rows: Vec<PeriodRow>,
}

impl Opener<'_, '_> {
    /// Decides one period; the message if its run cannot be made.
    fn decide(&mut self, period: &Period) -> Result<Result<(), String>> {
        // A clock change or a holiday can bring a key again that was decided under an older version.
        if self.tx.period(&self.entry.job, &period.key)?.is_some() {
            return Ok(Ok(()));
        }
        let fate = judge(
            period,
            self.schedule,
            &self.backlog,
            self.paused,
            &self.unfinished,
            self.found_ms,
        );
        let row = match fate {
            Fate::Skip(reason) => self.row(period, PeriodResult::Skipped, Some(reason)),
            Fate::Merge { into, reason } => PeriodRow {
                into: Some(into),
                ..self.row(period, PeriodResult::Merged, reason)
            },
            Fate::Open {
                caught_up,
                after,
                replace,
            } => {
                let run = match self.start(period, after, replace)? {
                    Ok(run) => run,
                    Err(message) => return Ok(Err(message)),
                };
                let result = if caught_up {
                    PeriodResult::CaughtUp
                } else {
                    PeriodResult::Opened
                };
                PeriodRow {
                    run: Some(run),
                    ..self.row(period, result, None)
                }
            }
        };
        self.push(row)?;
        Ok(Ok(()))
    }

    fn row(&self, period: &Period, result: PeriodResult, reason: Option<SkipReason>) -> PeriodRow {
        PeriodRow {
            reason,
            ..PeriodRow::of(
                &self.entry.job,
                period,
                result,
                self.version,
                self.now.wall_ms,
            )
        }
    }

    /// Makes the run of a period.
    fn start(
        &mut self,
        period: &Period,
        after: Vec<RunId>,
        replace: bool,
    ) -> Result<Result<RunId, String>> {
        let job = &self.entry.job;
        let wanted = Wanted {
            job,
            intake: &self.entry.plan.intake,
            params: &self.schedule.params,
            period: RunPeriod {
                key: period.key.clone(),
                scheduled_ms: period.instant_ms,
                business_date: period.business_date.to_string(),
            },
            delay_ms: self.schedule.splay_of(job, &period.key),
            trigger: Trigger::Period,
        };
        let run = match period_run(wanted, self.now.settings, self.now.wall_ms) {
            Ok(run) => run,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if replace {
            self.tx.cancel_unfinished(job, ACTOR, self.now.wall_ms)?;
        }
        let new = crate::store::NewRun { after, ..run };
        let run = self.tx.enqueue(&new, self.now.wall_ms)?.run;
        self.unfinished.waiting = Some((run, period.key.clone()));
        Ok(Ok(run))
    }

    fn push(&mut self, row: PeriodRow) -> Result<()> {
        let mergeable = self.schedule.rule.keys_are_instants_or_days();
        match self.rows.last_mut() {
            Some(last) if mergeable && last.takes(&row) => last.extend(&row),
            _ => {
                self.flush()?;
                self.rows.push(row);
            }
        }
        Ok(())
    }

    /// Writes the last row. The first one of a transaction may go on with what the store has.
    fn flush(&mut self) -> Result<()> {
        let Some(row) = self.rows.last() else {
            return Ok(());
        };
        if self.rows.len() == 1
            && row.run.is_none()
            && self.schedule.rule.keys_are_instants_or_days()
            && let Some(mut last) = self.tx.last_period(&row.job)?
            && last.last_due_ms <= row.due_ms
            && last.takes(row)
        {
            last.extend(row);
            return self.tx.change_period(&last);
        }
        self.tx.add_period(row)
    }
}

/// A period that shall be worked.
pub(super) struct Wanted<'a> {
    pub(super) job: &'a str,
    pub(super) intake: &'a Intake,
    /// Parameters that the schedule gives.
    pub(super) params: &'a BTreeMap<String, String>,
    pub(super) period: RunPeriod,
    /// How long after its instant it may start, milliseconds.
    pub(super) delay_ms: i64,
    pub(super) trigger: Trigger,
}

/// The run that works a period.
pub(super) fn period_run(
    wanted: Wanted<'_>,
    settings: &Settings,
    wall_ms: i64,
) -> Result<crate::store::NewRun> {
    let given = wanted.params.iter();
    let request = Request {
        job: wanted.job,
        params: given
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        trigger: Some(wanted.trigger),
        ..Request::default()
    };
    let key = clock::random_bytes();
    let mut run = request.prepare(wanted.intake, settings, wall_ms, key)?;
    // After a jump back of the clock elapsed time is ahead of it; nobody shall wait for that.
    let instant_ms = wanted.period.scheduled_ms.min(wall_ms);
    let due_ms = instant_ms.saturating_add(wanted.delay_ms);
    let moved_ms = due_ms.max(wall_ms) - run.due_ms;
    run.due_ms += moved_ms;
    run.deadline_ms = run.deadline_ms.map(|deadline_ms| deadline_ms + moved_ms);
    // The period itself is what must not be doubled.
    run.dedup = None;
    run.period = Some(wanted.period);
    Ok(run)
}
