//! `jobctl periods`: the periods of schedules and their results.

mod audit;
mod list;
mod run;

use clap::Subcommand;

use super::Context;
use crate::catalogue::Catalogue;
use crate::cli::ids::unknown_job;
use crate::error::Result;
use crate::store::Store;

pub(super) use list::why;

/// Periods of schedules and their results
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List periods and their results, the newest first
    ///
    /// Periods of one job are in the order of their instants, periods of all jobs in the order in which they were decided.
    /// Consecutive periods with the same result and without a run share a line.
    List(list::Args),
    /// Check that each period was opened exactly once
    ///
    /// Recomputes all periods, each with the rule, the calendar and the zone data that were in force at its time, and compares
    /// them with the store. Exits with 1 and lists the periods that are missing, duplicated or unknown.
    Audit(audit::Args),
    /// Run a period that was skipped or merged, now
    ///
    /// The run has the key, the instant and the business date of the period; everything else is as in the present catalogue. It
    /// does not count for `overlap`. A period that already has a run is refused: that run can be retried.
    Run(run::Args),
}

/// Does what was asked.
pub(super) fn run(args: Args, context: &mut Context) -> anyhow::Result<u8> {
    match args.verb {
        Verb::List(args) => list::run(args, context),
        Verb::Audit(args) => audit::run(&args, context),
        Verb::Run(args) => run::run(&args, context),
    }
}

/// Whether a job has or had a schedule: one that was removed from the catalogue keeps its history.
///
/// # Errors
/// [`crate::error::Kind::NotFound`] for a job that neither the history nor the catalogue has.
fn has_history(store: &Store, job: &str, context: &Context) -> Result<bool> {
    if store.schedule(job)?.is_some() {
        return Ok(true);
    }
    let mut known = store.known_jobs()?;
    if let Ok(catalogue) = Catalogue::load(&context.catalogue_path()) {
        known = catalogue.jobs.keys().cloned().collect();
    }
    if known.iter().any(|name| name == job) || store.has_runs_of(job)? {
        return Ok(false);
    }
    known.extend(store.schedules()?.into_iter().map(|row| row.job));
    known.sort_unstable();
    known.dedup();
    Err(unknown_job(job, known.iter().map(String::as_str)))
}
