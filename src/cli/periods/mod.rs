//! `jobctl periods`: what each period of the schedules came to.

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

/// Periods of schedules: what each came to
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List what periods came to, the newest first
    ///
    /// Those of one job are in the order of their instants, those of all jobs in the order in which they were decided.
    /// Neighbours that came to the same and have no run share a line.
    List(list::Args),
    /// Prove that each period was opened exactly once
    ///
    /// Computes all periods anew, each by the rule, the calendar and the zone data that were in force at its time, and
    /// compares them with what is stored. Exits with 1 and names them if some are missing, doubled or unknown.
    Audit(audit::Args),
    /// Work a period that was skipped or merged, now
    ///
    /// Its run has the key, the instant and the business date of the period; all else is as the catalogue has it today. It does
    /// not count for `overlap`. A period that has a run is refused: that run can be retried.
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

/// Whether a job has or had a schedule. One that was taken out of the catalogue still has its history.
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
