//! `jobctl periods audit`: recomputes every period and compares it with the store.

use serde_json::json;

use crate::cli::{Context, Paint, Table, when};
use crate::document;
use crate::error::{Kind, Result};
use crate::scheduler::{Finding, audit};
use crate::store::{Create, ScheduleRow, Store};

use crate::cli::scheduler::OVERDUE_MS;
use crate::units::counted;

use super::has_history;

/// Check that each period was opened exactly once
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only periods of this job
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
}

/// What was audited, and the findings.
struct Total {
    schedules: Vec<ScheduleRow>,
    periods: i64,
    findings: Vec<Finding>,
}

/// Audits.
pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<u8> {
    let store = context.open_store(Create::Never)?;
    if let Some(job) = &args.job {
        has_history(&store, job, context)?;
    }
    let total = store.snapshot(|store| audit_all(store, args.job.as_deref()))?;
    report_overdue(&total.schedules, context);
    let count = total.schedules.len();
    if context.screen.json() {
        let item = |Finding {
                        job,
                        period,
                        trouble,
                        detail,
                    }: &Finding| {
            document::finding(job, period.as_deref(), trouble.word(), detail)
        };
        let items: Vec<_> = total.findings.iter().map(item).collect();
        let body = json!({ "items": items, "schedules": count, "periods": total.periods });
        context.screen.document("periods.audit", body);
    } else {
        context.screen.table(&table(&total.findings));
        let audited = format!(
            "audited {}, {}",
            counted(count as i64, "schedule"),
            counted(total.periods, "period")
        );
        if total.findings.is_empty() {
            context
                .screen
                .line(&format!("{audited}: no gaps, no duplicates"));
        } else {
            let findings = counted(total.findings.len() as i64, "finding");
            context
                .screen
                .painted(&format!("{audited}: {findings}"), Paint::Bad);
        }
    }
    Ok(if total.findings.is_empty() {
        0
    } else {
        Kind::Failed.exit_code()
    })
}

fn audit_all(store: &Store, job: Option<&str>) -> Result<Total> {
    let schedules = match job {
        Some(job) => store.schedule(job)?.into_iter().collect(),
        None => store.schedules()?,
    };
    let mut total = Total {
        schedules,
        periods: 0,
        findings: Vec::new(),
    };
    for schedule in &total.schedules {
        let audited = audit(store, schedule)?;
        total.periods += audited.periods;
        total.findings.extend(audited.findings);
    }
    Ok(total)
}

/// Prints a notice about periods that are due and not opened yet, which are not findings.
fn report_overdue(schedules: &[ScheduleRow], context: &mut Context) {
    let now_ms = context.now_ms();
    let late = |row: &&ScheduleRow| {
        row.next_ms
            .is_some_and(|next_ms| next_ms < now_ms - OVERDUE_MS)
    };
    let Some(first) = schedules.iter().filter(late).min_by_key(|row| row.next_ms) else {
        return;
    };
    let since = when::relative(first.next_ms.unwrap_or(now_ms), now_ms);
    let more = match schedules.iter().filter(late).count() {
        1 => String::new(),
        n => format!(", and {} more", counted(n as i64 - 1, "schedule")),
    };
    context.screen.say(&format!(
        "not opened yet: job `{}`, due {since}{more}; `jobctl schedule` opens what is due",
        first.job
    ));
}

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new(&["~JOB", "PERIOD", "FINDING", "~DETAIL"]);
    for finding in findings {
        table.painted([
            (&finding.job, Paint::Plain),
            (finding.period.as_deref().unwrap_or("-"), Paint::Plain),
            (finding.trouble.word(), Paint::Bad),
            (&finding.detail, Paint::Plain),
        ]);
    }
    table
}
