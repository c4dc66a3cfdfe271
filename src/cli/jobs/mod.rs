//! `jobctl jobs`: the jobs of the catalogue, and whether they are paused.

mod list;
mod pause;
mod show;
mod words;

use clap::Subcommand;

use super::Context;
use super::history::{self, HistoryArgs};
use super::rules;
use super::unknown::not_done;
use crate::error::Result;
use crate::operate;
use crate::store::Store;

/// Jobs of the catalogue
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the jobs of the catalogue
    List(list::Args),
    /// Show one job with all its settings, defaults included
    Show(show::Args),
    /// Stop starting runs of a job; running ones continue
    Pause(pause::PauseArgs),
    /// Start runs of a paused job again; also closes its breaker, if that is open
    Resume(pause::ResumeArgs),
    /// Show who paused and resumed jobs, when and why
    History(HistoryArgs),
}

/// Does what was asked.
pub(super) fn run(args: Args, context: &mut Context) -> anyhow::Result<u8> {
    match args.verb {
        Verb::List(_) => list::run(context),
        Verb::Show(args) => show::run(&args, context),
        Verb::Pause(args) => pause::pause(&args, context),
        Verb::Resume(args) => pause::resume(&args, context),
        Verb::History(args) => history::run("job", &args, check_job, context),
    }
}

/// Fails unless the store or the catalogue has this job: one that was removed from the catalogue may still have runs.
pub(super) fn check_job(store: &Store, job: &str, context: &Context) -> Result<()> {
    operate::check_job(store, job, &|| rules::in_file(context)).map_err(not_done)
}
