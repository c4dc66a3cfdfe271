//! `jobctl doctor`: checks this installation, and says what to do about each problem.
//!
//! Rule: it changes nothing; every warning and every error has a hint.

mod life;
mod place;
mod rights;
mod selftest;
mod trial;

use serde_json::{Value, json};

use super::advice::hint_of;
use super::{Context, Paint};
use crate::error::Kind;
use crate::store::{Create, Store, is_begun};
use crate::units::counted;

/// Check everything that jobctl depends on: directory and permissions of the store, file system, disk, clock, zone data, limits,
/// workers, scheduler. Exit code 1 if there is an error, else 0, also with warnings
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Also check every row of the store for losses, duplicates and damage
    #[arg(long)]
    pub verify: bool,
    /// Test the guarantees for some seconds in a temporary directory beside the store: processes are killed, and no acknowledged
    /// run may be lost
    #[arg(long, conflicts_with = "verify")]
    pub selftest: bool,
}

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Ok,
    Warning,
    Error,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

/// The result of one check.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    /// Name of the check.
    check: &'static str,
    level: Level,
    message: String,
    hint: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Ok,
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn warning(
        check: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            check,
            level: Level::Warning,
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    pub(super) fn error(
        check: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Error,
            ..Self::warning(check, message, hint)
        }
    }

    /// Whether it is an error about the permissions of the store directory.
    fn refuses_directory(&self) -> bool {
        self.check == "directory" && self.level == Level::Error
    }

    fn document(&self) -> Value {
        json!({
            "check": self.check,
            "level": self.level.word(),
            "file": null,
            "line": null,
            "column": null,
            "message": self.message,
            "hint": self.hint,
        })
    }
}

/// Runs all checks and prints the findings.
pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<u8> {
    if args.selftest {
        let findings = selftest::run(context)?;
        return Ok(show("doctor.selftest", &findings, context));
    }
    let mut findings = place::check(context);
    let is_refused = findings.iter().any(Finding::refuses_directory);
    match open(context) {
        Ok(Some(store)) => {
            findings.extend(life::check(&store, context));
            if args.verify {
                findings.extend(verify(&store));
            }
        }
        Ok(None) => findings.push(Finding::ok("store", "no store exists yet")),
        // The findings already name each reason.
        Err(error) if error.kind == Kind::Permission && is_refused => {}
        Err(error) => {
            let hint = hint_of(&error).unwrap_or_else(|| "see above".to_owned());
            findings.push(Finding::error("store", error.message, hint));
        }
    }
    Ok(show("doctor", &findings, context))
}

/// The store; `None` if it does not exist yet.
fn open(context: &Context) -> Result<Option<Store>, crate::error::Error> {
    if !is_begun(&context.store_dir()?) {
        return Ok(None);
    }
    let opened = context.open(Create::Never, place::PATIENCE)?;
    Ok(Some(opened.store))
}

fn verify(store: &Store) -> Vec<Finding> {
    const HINT: &str =
        "stop all jobctl processes, keep a copy of the store directory, and report this";
    let mut findings = match store.verify() {
        Ok(violations) if violations.is_empty() => {
            let n = Store::invariants() as i64;
            vec![Finding::ok(
                "rows",
                format!("{} hold", counted(n, "invariant")),
            )]
        }
        Ok(violations) => violations
            .into_iter()
            .map(|violation| {
                let rows = violation.rows.join(", ");
                let message = format!("violated: {}: {rows}", violation.invariant);
                Finding::error("rows", message, HINT)
            })
            .collect(),
        Err(error) => vec![Finding::error("rows", error.message, HINT)],
    };
    findings.push(match store.snapshot(audited) {
        Ok((periods, 0)) => Finding::ok(
            "periods",
            format!("{} recorded exactly once", counted(periods, "period")),
        ),
        Ok((_, wrong)) => Finding::error(
            "periods",
            format!("{} wrong", counted(wrong, "period")),
            "see `jobctl periods audit`",
        ),
        Err(error) => Finding::error("periods", error.message, HINT),
    });
    findings
}

/// Number of periods that must have a row, and of findings about them.
fn audited(store: &Store) -> crate::error::Result<(i64, i64)> {
    let (mut periods, mut wrong) = (0, 0);
    for schedule in store.schedules()? {
        let audited = crate::scheduler::audit(store, &schedule)?;
        periods += audited.periods;
        wrong += audited.findings.len() as i64;
    }
    Ok((periods, wrong))
}

fn show(name: &str, findings: &[Finding], context: &mut Context) -> u8 {
    let worst = findings.iter().map(|finding| finding.level).max();
    if context.screen.json() {
        let items: Vec<Value> = findings.iter().map(Finding::document).collect();
        context.screen.document(name, json!({ "items": items }));
    } else {
        for finding in findings {
            let paint = match finding.level {
                Level::Ok => Paint::Plain,
                Level::Warning => Paint::Dim,
                Level::Error => Paint::Bad,
            };
            let line = format!(
                "{:<8} {:<11} {}",
                finding.level.word(),
                finding.check,
                finding.message
            );
            context.screen.painted(&line, paint);
            if let Some(hint) = &finding.hint {
                context
                    .screen
                    .line(&format!("{:<8} {:<11} hint: {hint}", "", ""));
            }
        }
    }
    if worst == Some(Level::Error) {
        Kind::Failed.exit_code()
    } else {
        0
    }
}
