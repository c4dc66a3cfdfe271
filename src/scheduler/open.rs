//! Opens what is due of one schedule, inside a transaction.
//!
//! Rule: the rows, the runs and the watermark are written together; what the store says is in force decides, not what this
//! process remembers.

use std::collections::BTreeMap;

use crate::catalogue::{Intake, Schedule};
use crate::clock;
use crate::error::Result;
use crate::intake::Request;
use crate::policy::{
    Backlog, Fate, Pauses, PeriodResult, SkipReason, Unfinished, Waiting, is_late, judge,
};
use crate::run::{RunId, RunPeriod, Trigger};
use crate::schedule::{Period, PeriodsError, Rule};
use crate::store::{PeriodRow, ScheduleRow, Settings, Tx};

use super::book::Entry;
use super::rows::Rows;

/// Rows that one transaction writes, and periods that it looks at: most of them share a row.
const ROWS_MAX: usize = 500;
const LOOKS_MAX: usize = 20_000;

/// Periods of one schedule that are looked at, however many schedules share a transaction.
const LOOKS_MIN: usize = 50;

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
    /// The clock was set back before its turn to write came.
    NotDue,
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

/// What one transaction may still do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    rows: usize,
    looks: usize,
    rows_of_one: usize,
    looks_of_one: usize,
}

impl Budget {
    /// Shared by so many schedules, so that none uses up what the others need.
    pub(super) fn for_schedules(schedules: usize) -> Self {
        let n = schedules.max(1);
        Self {
            rows: ROWS_MAX,
            looks: LOOKS_MAX,
            rows_of_one: (ROWS_MAX / n).max(1),
            looks_of_one: (LOOKS_MAX / n).max(LOOKS_MIN),
        }
    }

    pub(super) fn is_spent(self) -> bool {
        self.rows == 0 || self.looks == 0
    }

    fn spend(&mut self, rows: usize, looks: usize) {
        self.rows = self.rows.saturating_sub(rows.max(1));
        self.looks = self.looks.saturating_sub(looks.max(1));
    }
}

/// Opens what is due of an entry, within the budget.
pub(super) fn open(
    tx: &mut Tx<'_>,
    entry: &Entry,
    now: Now<'_>,
    budget: &mut Budget,
) -> Result<Opened> {
    let in_force = tx.schedule(&entry.job)?;
    let Some((row, version)) = in_force.and_then(|row| row.version.map(|version| (row, version)))
    else {
        return Ok(Opened::Stale);
    };
    if row.digest != entry.plan.digest {
        return Ok(Opened::Stale);
    }
    let schedule = &entry.plan.schedule;
    let fates = Fates::Judged(entry, schedule);
    open_version(tx, fates, &schedule.rule, (&row, version), now, budget)
}

/// How the periods of a schedule are decided.
#[derive(Clone, Copy)]
pub(super) enum Fates<'a> {
    /// By the policies of this entry, and of this schedule.
    Judged(&'a Entry, &'a Schedule),
    /// The job has no schedule any more: all are skipped.
    Removed,
}

/// As [`open`], by the rule of any version.
pub(super) fn open_version(
    tx: &mut Tx<'_>,
    fates: Fates<'_>,
    rule: &Rule,
    (in_force, version): (&ScheduleRow, i64),
    now: Now<'_>,
    budget: &mut Budget,
) -> Result<Opened> {
    let failed = |error: PeriodsError| Ok(Opened::Failed(error.to_string()));
    let job = in_force.job.as_str();
    let after_ms = in_force.watermark_ms;
    let looks = budget.looks_of_one;
    let periods = match rule.periods(after_ms, now.at_ms, looks) {
        Ok(periods) => periods,
        Err(error) => return failed(error),
    };
    let backlog = match (fates, periods.first()) {
        (Fates::Judged(_, schedule), Some(first)) if is_late(first, schedule, now.at_ms) => {
            Backlog::of(schedule, after_ms, now.at_ms)
        }
        _ => Ok(Backlog::NONE),
    };
    let backlog = match backlog {
        Ok(backlog) => backlog,
        Err(error) => return failed(error),
    };
    let mut opener = Opener::new(tx, job, (rule, fates), version, backlog, now)?;
    // Keys that are instants come in order: what is behind all rows was not decided.
    opener.asks = !rule.keys_are_instants() || opener.tx.has_periods_after(job, after_ms)?;
    let mut watermark_ms = after_ms;
    let mut more = periods.len() >= looks;
    for period in &periods {
        // An instant is decided whole or not at all.
        if opener.rows.len() >= budget.rows_of_one && period.instant_ms > watermark_ms {
            more = true;
            break;
        }
        if let Err(message) = opener.decide(period)? {
            return Ok(Opened::Failed(message));
        }
        watermark_ms = period.instant_ms;
    }
    let had_pauses = !opener.pauses.past.is_empty();
    let rows = opener.rows.finish(tx)?;
    let next_ms = match next_of(rule, watermark_ms) {
        Ok(next_ms) => next_ms,
        Err(error) => return failed(error),
    };
    if watermark_ms > after_ms || next_ms != in_force.next_ms {
        tx.advance(job, watermark_ms, next_ms)?;
    }
    if had_pauses {
        tx.forget_pauses(job, watermark_ms)?;
    }
    budget.spend(rows.len(), periods.len());
    Ok(Opened::Done {
        more,
        next_ms,
        rows,
    })
}

/// The first instant behind another at which something is to be decided.
pub(super) fn next_of(rule: &Rule, after_ms: i64) -> Result<Option<i64>, PeriodsError> {
    match rule.periods(after_ms, i64::MAX, 1) {
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
    let schedule = &entry.plan.schedule;
    let by = (&*schedule.rule, Fates::Judged(entry, schedule));
    let mut opener = Opener::new(tx, &entry.job, by, version, backlog, now)?;
    if let Err(message) = opener.decide(period)? {
        return Ok(Err(message));
    }
    Ok(Ok(opener.rows.finish(tx)?))
}

struct Opener<'a, 'c> {
    tx: &'a mut Tx<'c>,
    job: &'a str,
    fates: Fates<'a>,
    version: i64,
    now: Now<'a>,
    backlog: Backlog,
    pauses: Pauses,
    unfinished: Unfinished,
    /// Whether a period may have been decided already.
    asks: bool,
    rows: Rows,
}

impl<'a, 'c> Opener<'a, 'c> {
    fn new(
        tx: &'a mut Tx<'c>,
        job: &'a str,
        (rule, fates): (&Rule, Fates<'a>),
        version: i64,
        backlog: Backlog,
        now: Now<'a>,
    ) -> Result<Self> {
        Ok(Self {
            pauses: tx.pauses_of(job)?,
            unfinished: tx.unfinished(job, now.wall_ms)?,
            rows: Rows::new(rule.keys_are_instants_or_days()),
            asks: true,
            tx,
            job,
            fates,
            version,
            now,
            backlog,
        })
    }

    /// Decides one period; the message if its run cannot be made.
    fn decide(&mut self, period: &Period) -> Result<Result<(), String>> {
        // A clock change or a holiday can bring a key again that was decided under an older version.
        if self.asks && self.tx.period(self.job, &period.key)?.is_some() {
            self.rows.part();
            return Ok(Ok(()));
        }
        let row = match self.fate(period) {
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
                let run = match self.start(period, (caught_up, after), replace)? {
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
        self.rows.push(self.tx, row)?;
        Ok(Ok(()))
    }

    fn fate(&self, period: &Period) -> Fate {
        let Fates::Judged(_, schedule) = self.fates else {
            return Fate::Skip(SkipReason::Removed);
        };
        // Elapsed time can be ahead of the wall clock, by which pauses are set.
        let wall_ms = period.instant_ms - (self.now.at_ms - self.now.wall_ms);
        let paused = self.pauses.hold_at(wall_ms, self.now.wall_ms);
        judge(
            period,
            schedule,
            &self.backlog,
            paused,
            &self.unfinished,
            self.now.at_ms,
        )
    }

    fn row(&self, period: &Period, result: PeriodResult, reason: Option<SkipReason>) -> PeriodRow {
        PeriodRow {
            reason,
            ..PeriodRow::of(self.job, period, result, self.version, self.now.wall_ms)
        }
    }

    /// Makes the run of a period.
    fn start(
        &mut self,
        period: &Period,
        (caught_up, after): (bool, Vec<RunId>),
        replace: bool,
    ) -> Result<Result<RunId, String>> {
        let Fates::Judged(entry, schedule) = self.fates else {
            return Ok(Err("the job has no schedule any more".to_owned()));
        };
        let job = self.job;
        let wanted = Wanted {
            job,
            intake: &entry.plan.intake,
            params: &schedule.params,
            period: RunPeriod {
                key: period.key.clone(),
                scheduled_ms: period.instant_ms,
                business_date: period.business_date.to_string(),
            },
            delay_ms: schedule.splay_of(job, &period.key),
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
        self.unfinished.waiting = Some(Waiting {
            run,
            period: period.key.clone(),
            caught_up,
        });
        Ok(Ok(run))
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
