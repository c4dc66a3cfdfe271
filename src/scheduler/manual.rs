//! An operator wants a period to be worked that has no run.
//!
//! Rule: the run and the row are written together, so of two who want the same period one gets a run and the other its id.

use std::collections::BTreeMap;

use crate::catalogue::{Intake, Schedule};
use crate::error::{Error, Kind, Result};
use crate::policy::PeriodResult;
use crate::run::{RunId, RunPeriod, Trigger};
use crate::schedule::Period;
use crate::store::{PeriodRow, Settings, Store};

use super::change::replace;
use super::open::{Wanted, period_run};
use super::stretch::{Split, split};
use super::told::{Version, defect, tellers, versions};

/// Which period, and what its run needs.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The job.
    pub job: &'a str,
    /// The key of the period.
    pub key: &'a str,
    /// What an enqueue needs of the job.
    pub intake: &'a Intake,
    /// Its schedule, if it still has one.
    pub schedule: Option<&'a Schedule>,
    /// What every enqueue needs.
    pub settings: &'a Settings,
    /// Who wants it.
    pub initiator: &'a str,
}

/// What came of it.
#[derive(Debug)]
pub enum Worked {
    /// The period has this run now.
    Started(RunId),
    /// It had one already.
    Has(PeriodRow),
    /// It is due at an instant that is still to come.
    NotDue(Period),
    /// It is due, and no scheduler has looked at it yet.
    NotOpened(Period),
    /// The schedule has no such period.
    Unknown,
}

/// Makes the run of a skipped or merged period, due now.
///
/// # Errors
/// Those of the store; [`Kind::Usage`] when the job needs parameters that its schedule does not give.
pub fn work_period(store: &mut Store, order: Order<'_>, now_ms: i64) -> Result<Worked> {
    let versions = versions(store, order.job)?;
    let worked = store.write(|tx| {
        // The newest first: that is the one which is meant.
        let told = tellers(tx, versions.iter().rev(), order.job, order.key)?;
        let Some(row) = told.into_iter().next() else {
            return Ok(None);
        };
        if row.run.is_some() || matches!(row.result, PeriodResult::Opened | PeriodResult::CaughtUp)
        {
            return Ok(Some(Worked::Has(row)));
        }
        let Split {
            before,
            period,
            behind,
        } = alone(&row, &versions, order.key)?;
        let none = BTreeMap::new();
        let wanted = Wanted {
            job: order.job,
            intake: order.intake,
            params: order.schedule.map_or(&none, |schedule| &schedule.params),
            period: RunPeriod {
                key: period.period.clone(),
                scheduled_ms: period.due_ms,
                business_date: period.business_date.clone(),
            },
            delay_ms: 0,
            trigger: Trigger::Manual,
        };
        let mut new = period_run(wanted, order.settings, now_ms)?;
        new.initiator = Some(order.initiator.to_owned());
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
        Ok(Some(Worked::Started(run)))
    })?;
    match worked {
        Some(worked) => Ok(worked),
        None => why_not(store, order, &versions, now_ms),
    }
}

/// The row of one period alone, taken out of a row of several.
fn alone(row: &PeriodRow, versions: &[Version], key: &str) -> Result<Split> {
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
        && let Some(apart) = split(row, rule, key).map_err(defect)?
    {
        return Ok(apart);
    }
    let message = format!(
        "the row from `{}` to `{}` cannot be taken apart; nothing was done",
        row.period, row.last_period
    );
    Err(Error::new(Kind::Refused, message).hint(format!(
        "`jobctl periods audit --job {}` tells why",
        row.job
    )))
}

/// Why a period has no row.
fn why_not(store: &Store, order: Order<'_>, versions: &[Version], now_ms: i64) -> Result<Worked> {
    let Some(in_force) = store.schedule(order.job)? else {
        let rule = order.schedule.map(|schedule| schedule.rule.as_ref());
        let period = rule
            .map(|rule| rule.period_named(order.key))
            .transpose()
            .map_err(defect)?;
        return Ok(match period.flatten() {
            Some(period) if period.instant_ms > now_ms => Worked::NotDue(period),
            _ => Worked::Unknown,
        });
    };
    let kept = versions
        .iter()
        .filter(|version| Some(version.number) == in_force.version)
        .filter_map(|version| version.rule.as_ref().ok());
    let rules = kept.chain(order.schedule.map(|schedule| schedule.rule.as_ref()));
    for rule in rules {
        if let Some(period) = rule.period_named(order.key).map_err(defect)? {
            if period.instant_ms > now_ms {
                return Ok(Worked::NotDue(period));
            }
            if period.instant_ms > in_force.watermark_ms {
                return Ok(Worked::NotOpened(period));
            }
        }
    }
    Ok(Worked::Unknown)
}
