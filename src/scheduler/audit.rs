//! Checks that exactly one row covers each period, and reports the exceptions.
//!
//! Rule: each version is checked with its own rule and zone data, as they were stored, and all reads are of one snapshot.

use std::collections::HashMap;

use crate::error::Result;
use crate::store::{ScheduleRow, Store};

use super::coverage::{Version, covering_rows, versions};
use super::findings::{Finding, Findings, Trouble};
use super::stream::Stream;
use super::walk::{Part, walk};

/// Rows per read.
const ROWS: i64 = 5_000;

/// The result of the audit of one schedule.
#[derive(Debug)]
pub struct Audited {
    /// The errors found, by version and instant.
    pub findings: Vec<Finding>,
    /// The number of periods that must be covered by rows.
    pub periods: i64,
}

/// Audits the history of one schedule; call it inside [`Store::snapshot`].
///
/// # Errors
/// Those of the store.
pub fn audit(store: &Store, schedule: &ScheduleRow) -> Result<Audited> {
    let job = schedule.job.as_str();
    let mut findings = Findings::new(job);
    let versions = versions(store, job)?;
    let mut stored: HashMap<i64, (i64, i64)> = store
        .row_versions(job)?
        .into_iter()
        .map(|rows| (rows.version, (rows.rows, rows.first_due_ms)))
        .collect();
    let mut periods = 0;
    for version in &versions {
        let (rows, first_ms) = stored.remove(&version.number).unwrap_or((0, 0));
        let rule = match &version.rule {
            Ok(rule) => rule,
            Err(cause) => {
                let detail = format!(
                    "version {} cannot be read: {cause}; {rows} rows were not looked at",
                    version.number
                );
                findings.add(None, Trouble::Unreadable, detail);
                continue;
            }
        };
        let part = Part {
            rule,
            version: version.number,
            from_ms: version.from_ms,
            until_ms: version.until_ms.unwrap_or(schedule.watermark_ms),
        };
        let mut rows = stream(store, job, version.number, rows, first_ms);
        periods += walk(
            &part,
            &mut rows,
            &|period| {
                let near = versions.iter().filter(|other| {
                    other.number != version.number && other.is_near(period.instant_ms)
                });
                covering_rows(store, near, job, &period.key)
            },
            &mut findings,
        )?;
    }
    let mut unknown: Vec<_> = stored.into_iter().collect();
    unknown.sort_unstable();
    for (version, (rows, first_ms)) in unknown {
        let first = store.version_rows_after(job, version, (first_ms - 1, ""), 1)?;
        let period = first.first().map(|row| row.period.as_str());
        let detail =
            format!("version {version} of its schedule is not known, which {rows} rows are from");
        findings.add(period, Trouble::Unknown, detail);
    }
    check_runs(store, job, &versions, &mut findings)?;
    Ok(Audited {
        findings: findings.into_list(),
        periods,
    })
}

/// The `rows` rows of one version.
fn stream<'a>(
    store: &'a Store,
    job: &'a str,
    version: i64,
    rows: i64,
    first_ms: i64,
) -> Stream<'a> {
    let mut left = rows;
    Stream::new(move |last| {
        if left <= 0 {
            return Ok(Vec::new());
        }
        let after = last.map_or((first_ms - 1, ""), |last| {
            (last.due_ms, last.period.as_str())
        });
        // The limit is the number of rows left: a larger page would scan the rows of other versions.
        let page = store.version_rows_after(job, version, after, left.min(ROWS))?;
        left -= page.len() as i64;
        Ok(page)
    })
}

/// Compares rows with the runs that have not been pruned.
fn check_runs(
    store: &Store,
    job: &str,
    versions: &[Version],
    findings: &mut Findings,
) -> Result<()> {
    for run in store.foreign_runs(job)? {
        let works = run
            .run_period
            .map_or("no period".to_owned(), |key| format!("period `{key}`"));
        let detail = format!(
            "its row names run {}, which is {works} of job `{}`",
            run.run, run.job
        );
        findings.add(Some(&run.period), Trouble::WrongRun, detail);
    }
    let from_ms = versions.first().map_or(i64::MAX, |version| version.from_ms);
    let mut alone: HashMap<String, crate::run::RunId> = HashMap::new();
    for run in store.unrecorded_runs(job)? {
        let (id, key) = (run.run, run.period.as_str());
        if run.has_row {
            if let Some(told) = run.row_run {
                let detail = format!("it has run {id} besides run {told}, which its row names");
                findings.add(Some(key), Trouble::Doubled, detail);
            } else {
                let detail = format!("it has run {id}, and its row names none");
                findings.add(Some(key), Trouble::WrongRun, detail);
            }
            continue;
        }
        // Periods before the first version were pruned from the history.
        if run.scheduled_ms.is_none_or(|at_ms| at_ms <= from_ms) {
            continue;
        }
        if let Some(row) = covering_rows(store, versions.iter(), job, key)?.first() {
            let detail = format!(
                "it has run {id}, and the row from `{}` names none",
                row.period
            );
            findings.add(Some(key), Trouble::WrongRun, detail);
        } else if let Some(first) = alone.insert(run.period.clone(), id) {
            let detail = format!("it has the runs {first} and {id}");
            findings.add(Some(key), Trouble::Doubled, detail);
        }
    }
    Ok(())
}
