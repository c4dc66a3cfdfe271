//! An operator's request to run a period that has no run.
//!
//! Rule: the run and the row are written together, so of two requests for the same period one makes the run and the other gets its id.

use std::collections::BTreeMap;

use crate::advice::{Advice, Text};
use crate::catalogue::{Intake, Schedule};
use crate::error::{Error, Kind, Result};
use crate::policy::PeriodResult;
use crate::run::{RunId, RunPeriod, Trigger};
use crate::schedule::Period;
use crate::store::{PeriodRow, Settings, Store};

use super::change::replace;
use super::coverage::{Version, covering_rows, defect, versions};
use super::open::{Wanted, period_run};
use super::stretch::{Split, split};

/// A request to run a period.
#[derive(Debug, Clone, Copy)]
pub struct PeriodRequest<'a> {
    /// The job.
    pub job: &'a str,
    /// The key of the period.
    pub key: &'a str,
    /// The part of the job that an enqueue needs.
    pub intake: &'a Intake,
    /// Its schedule, if it still has one.
    pub schedule: Option<&'a Schedule>,
    /// Settings of the catalogue that every enqueue needs.
    pub settings: &'a Settings,
    /// The operator.
    pub initiator: &'a str,
}

/// The result of a request.
#[derive(Debug)]
pub enum PeriodRunAnswer {
    /// The period has this run now.
    Started(RunId),
    /// It has a run already; its row.
    Has(PeriodRow),
    /// It is not due yet.
    NotDue(Period),
    /// It is due, and no scheduler has decided it yet.
    NotOpened(Period),
    /// The schedule has no such period.
    Unknown,
}

/// Enqueues the run of a skipped or merged period, due now.
///
/// # Errors
/// Those of the store; [`Kind::Usage`] when the job needs parameters that its schedule does not give.
pub fn work_period(
    store: &mut Store,
    request: PeriodRequest<'_>,
    now_ms: i64,
) -> Result<PeriodRunAnswer> {
    let versions = versions(store, request.job)?;
    let worked = store.write(|tx| {
        // Newest version first: the request means that one.
        let rows = covering_rows(tx, versions.iter().rev(), request.job, request.key)?;
        let Some(row) = rows.into_iter().next() else {
            return Ok(None);
        };
        if row.run.is_some() || matches!(row.result, PeriodResult::Opened | PeriodResult::CaughtUp)
        {
            return Ok(Some(PeriodRunAnswer::Has(row)));
        }
        let Split {
            before,
            period,
            behind,
        } = isolate(&row, &versions, request.key)?;
        let none = BTreeMap::new();
        let wanted = Wanted {
            job: request.job,
            intake: request.intake,
            params: request.schedule.map_or(&none, |schedule| &schedule.params),
            period: RunPeriod {
                key: period.period.clone(),
                scheduled_ms: period.due_ms,
                business_date: period.business_date.clone(),
            },
            delay_ms: 0,
            trigger: Trigger::Manual,
        };
        let mut new = period_run(wanted, request.settings, now_ms)?;
        new.labels.initiator = Some(request.initiator.to_owned());
        let run = tx.enqueue(&new, now_ms)?.run;
        let period = PeriodRow {
            result: PeriodResult::Opened,
            reason: None,
            into: None,
            run: Some(run),
            decided_ms: now_ms,
            ..period
        };
        replace(tx, &row, [before, Some(period), behind])?;
        Ok(Some(PeriodRunAnswer::Started(run)))
    })?;
    match worked {
        Some(worked) => Ok(worked),
        None => why_not(store, request, &versions, now_ms),
    }
}

/// Splits a row so that this period has a separate row.
fn isolate(row: &PeriodRow, versions: &[Version], key: &str) -> Result<Split> {
    if row.count == 1 {
        return Ok(Split {
            before: None,
            period: row.clone(),
            behind: None,
        });
    }
    let version = versions
        .iter()
        .find(|version| version.number == row.version);
    if let Some(Ok(rule)) = version.map(|version| &version.rule)
        && let Some(parts) = split(row, rule, key).map_err(defect)?
    {
        return Ok(parts);
    }
    let message = format!(
        "the row from `{}` to `{}` cannot be split; nothing was done",
        row.period, row.last_period
    );
    let audit = Text::from(Advice::AuditPeriods(row.job.clone()));
    Err(Error::new(Kind::Refused, message).hint(audit.and(" shows why")))
}

/// Why a period has no row.
fn why_not(
    store: &Store,
    request: PeriodRequest<'_>,
    versions: &[Version],
    now_ms: i64,
) -> Result<PeriodRunAnswer> {
    let Some(in_force) = store.schedule(request.job)? else {
        let rule = request.schedule.map(|schedule| schedule.rule.as_ref());
        let period = rule
            .map(|rule| rule.period_named(request.key))
            .transpose()
            .map_err(defect)?;
        return Ok(match period.flatten() {
            Some(period) if period.instant_ms > now_ms => PeriodRunAnswer::NotDue(period),
            _ => PeriodRunAnswer::Unknown,
        });
    };
    let in_use = versions
        .iter()
        .filter(|version| Some(version.number) == in_force.version)
        .filter_map(|version| version.rule.as_ref().ok());
    let rules = in_use.chain(request.schedule.map(|schedule| schedule.rule.as_ref()));
    for rule in rules {
        if let Some(period) = rule.period_named(request.key).map_err(defect)? {
            if period.instant_ms > now_ms {
                return Ok(PeriodRunAnswer::NotDue(period));
            }
            if period.instant_ms > in_force.watermark_ms {
                return Ok(PeriodRunAnswer::NotOpened(period));
            }
        }
    }
    Ok(PeriodRunAnswer::Unknown)
}
