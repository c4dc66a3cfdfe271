//! Opens the due periods of one schedule, inside a transaction.
//!
//! Rule: the rows, the runs and the watermark are written together. The schedule in force is read from the store, not remembered by
//! this process.

use std::collections::BTreeMap;

use crate::catalogue::{Intake, Schedule};
use crate::clock;
use crate::error::Result;
use crate::intake::Request;
use crate::policy::{
    Backlog, Pauses, PeriodDecision, PeriodResult, SkipReason, Unfinished, Waiting, decide_period,
    is_late,
};
use crate::run::{RunId, RunPeriod, Trigger};
use crate::schedule::{Period, PeriodsError, Rule};
use crate::store::{PeriodRow, ScheduleRow, Settings, Tx};

use super::agenda::next_of;
use super::rows::Rows;
use super::schedule_set::Entry;
use super::work::Opened;

/// Bounds of one transaction: the rows that it writes, and the periods that it decides. Most periods share a row.
const ROWS_MAX: usize = 500;
const PERIODS_MAX: usize = 20_000;

/// Periods that may be decided for one schedule, however many schedules share a transaction.
const PERIODS_MIN: usize = 50;

/// The actor that is recorded when a later period replaces runs.
const ACTOR: &str = "schedule";

/// Times and settings that opening needs besides the entry.
#[derive(Clone, Copy)]
pub(super) struct Now<'a> {
    /// The current time for this schedule, milliseconds.
    pub(super) at_ms: i64,
    /// The wall clock, milliseconds, for stored times of runs.
    pub(super) wall_ms: i64,
    pub(super) settings: &'a Settings,
}

/// How much one transaction may still write and decide.
#[derive(Debug, Clone, Copy)]
pub(super) struct TransactionBudget {
    rows: usize,
    periods: usize,
    rows_of_one: usize,
    periods_of_one: usize,
}

impl TransactionBudget {
    /// A budget shared by this many schedules, so that none uses up the share of the others.
    pub(super) fn for_schedules(schedules: usize) -> Self {
        let n = schedules.max(1);
        Self {
            rows: ROWS_MAX,
            periods: PERIODS_MAX,
            rows_of_one: (ROWS_MAX / n).max(1),
            periods_of_one: (PERIODS_MAX / n).max(PERIODS_MIN),
        }
    }

    pub(super) fn is_spent(self) -> bool {
        self.rows == 0 || self.periods == 0
    }

    fn spend(&mut self, rows: usize, periods: usize) {
        self.rows = self.rows.saturating_sub(rows.max(1));
        self.periods = self.periods.saturating_sub(periods.max(1));
    }
}

/// Opens the due periods of an entry, within the budget.
pub(super) fn open(
    tx: &mut Tx<'_>,
    entry: &Entry,
    now: Now<'_>,
    budget: &mut TransactionBudget,
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
    let policy = PeriodPolicy::Schedule(entry, schedule);
    open_version(tx, policy, &schedule.rule, (&row, version), now, budget)
}

/// How the periods of a schedule are decided.
#[derive(Clone, Copy)]
pub(super) enum PeriodPolicy<'a> {
    /// By the policies of this entry and this schedule.
    Schedule(&'a Entry, &'a Schedule),
    /// The job has no schedule any more, so all periods are skipped.
    SkipAll,
}

/// As [`open`], for the rule of any version.
pub(super) fn open_version(
    tx: &mut Tx<'_>,
    policy: PeriodPolicy<'_>,
    rule: &Rule,
    (in_force, version): (&ScheduleRow, i64),
    now: Now<'_>,
    budget: &mut TransactionBudget,
) -> Result<Opened> {
    let failed = |error: PeriodsError| Ok(Opened::Failed(error.to_string()));
    let job = in_force.job.as_str();
    let after_ms = in_force.watermark_ms;
    let periods_max = budget.periods_of_one;
    let periods = match rule.periods(after_ms, now.at_ms, periods_max) {
        Ok(periods) => periods,
        Err(error) => return failed(error),
    };
    let backlog = match (policy, periods.first()) {
        (PeriodPolicy::Schedule(_, schedule), Some(first))
            if is_late(first, schedule, now.at_ms) =>
        {
            Backlog::of(schedule, after_ms, now.at_ms)
        }
        _ => Ok(Backlog::NONE),
    };
    let backlog = match backlog {
        Ok(backlog) => backlog,
        Err(error) => return failed(error),
    };
    let mut opener = Opener::new(tx, job, (rule, policy), version, backlog, now)?;
    // Keys that are instants come in order, so a period after all rows cannot be decided already.
    opener.may_be_decided =
        !rule.keys_are_instants() || opener.tx.has_periods_after(job, after_ms)?;
    let mut watermark_ms = after_ms;
    let mut more = periods.len() >= periods_max;
    for period in &periods {
        // All periods of one instant are decided together.
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

/// Decides a period that would be lost by a change of the rule: for the new rule it is past, for the old one it was still to come.
pub(super) fn open_missed(
    tx: &mut Tx<'_>,
    entry: &Entry,
    version: i64,
    period: &Period,
    backlog: Backlog,
    now: Now<'_>,
) -> Result<Result<Vec<PeriodRow>, String>> {
    let schedule = &entry.plan.schedule;
    let by = (&*schedule.rule, PeriodPolicy::Schedule(entry, schedule));
    let mut opener = Opener::new(tx, &entry.job, by, version, backlog, now)?;
    if let Err(message) = opener.decide(period)? {
        return Ok(Err(message));
    }
    Ok(Ok(opener.rows.finish(tx)?))
}

struct Opener<'a, 'c> {
    tx: &'a mut Tx<'c>,
    job: &'a str,
    policy: PeriodPolicy<'a>,
    version: i64,
    now: Now<'a>,
    backlog: Backlog,
    pauses: Pauses,
    unfinished: Unfinished,
    /// Whether a period may have been decided already.
    may_be_decided: bool,
    rows: Rows,
}

impl<'a, 'c> Opener<'a, 'c> {
    fn new(
        tx: &'a mut Tx<'c>,
        job: &'a str,
        (rule, policy): (&Rule, PeriodPolicy<'a>),
        version: i64,
        backlog: Backlog,
        now: Now<'a>,
    ) -> Result<Self> {
        Ok(Self {
            pauses: tx.pauses_of(job)?,
            unfinished: tx.unfinished(job, now.wall_ms)?,
            rows: Rows::new(rule.keys_are_instants_or_days()),
            may_be_decided: true,
            tx,
            job,
            policy,
            version,
            now,
            backlog,
        })
    }

    /// Decides one period; returns a message if its run is invalid.
    fn decide(&mut self, period: &Period) -> Result<Result<(), String>> {
        // After a clock change or a new holiday, an older version may have decided this key already.
        if self.may_be_decided && self.tx.period(self.job, &period.key)?.is_some() {
            self.rows.interrupt();
            return Ok(Ok(()));
        }
        let row = match self.decision(period) {
            PeriodDecision::Skip(reason) => self.row(period, PeriodResult::Skipped, Some(reason)),
            PeriodDecision::Merge { into, reason } => PeriodRow {
                into: Some(into),
                ..self.row(period, PeriodResult::Merged, reason)
            },
            PeriodDecision::Open {
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

    fn decision(&self, period: &Period) -> PeriodDecision {
        let PeriodPolicy::Schedule(_, schedule) = self.policy else {
            return PeriodDecision::Skip(SkipReason::Removed);
        };
        // Pauses are set by the wall clock, which elapsed time can be ahead of.
        let wall_ms = period.instant_ms - (self.now.at_ms - self.now.wall_ms);
        let paused = self.pauses.hold_at(wall_ms, self.now.wall_ms);
        decide_period(
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

    /// Enqueues the run of a period.
    fn start(
        &mut self,
        period: &Period,
        (caught_up, after): (bool, Vec<RunId>),
        replace: bool,
    ) -> Result<Result<RunId, String>> {
        let PeriodPolicy::Schedule(entry, schedule) = self.policy else {
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

/// A period that gets a run.
pub(super) struct Wanted<'a> {
    pub(super) job: &'a str,
    pub(super) intake: &'a Intake,
    /// Parameters from the schedule.
    pub(super) params: &'a BTreeMap<String, String>,
    pub(super) period: RunPeriod,
    /// How long after its instant it may start, milliseconds.
    pub(super) delay_ms: i64,
    pub(super) trigger: Trigger,
}

/// The run of a period.
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
    // After the clock was set back, elapsed time is ahead of it; the run must not wait for the difference.
    let instant_ms = wanted.period.scheduled_ms.min(wall_ms);
    let due_ms = instant_ms.saturating_add(wanted.delay_ms);
    let moved_ms = due_ms.max(wall_ms) - run.due_ms;
    run.due_ms += moved_ms;
    run.deadline_ms = run.deadline_ms.map(|deadline_ms| deadline_ms + moved_ms);
    // The key of the period already prevents duplicates.
    run.dedup = None;
    run.period = Some(wanted.period);
    Ok(run)
}
