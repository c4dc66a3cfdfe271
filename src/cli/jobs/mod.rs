//! `jobctl jobs`: the definitions of the catalogue, and whether their runs may start.

mod list;
mod pause;
mod show;
mod words;

use clap::Subcommand;

use super::Context;
use super::history::{self, HistoryArgs};

pub(super) use pause::check_job;

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
    /// Show one job with all that holds for it
    Show(show::Args),
    /// Keep the runs of a job waiting; what runs goes on
    Pause(pause::PauseArgs),
    /// Let the runs of a paused job start again; closes its breaker too, if that is open
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
