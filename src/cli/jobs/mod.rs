//! `jobctl jobs`: the definitions of the catalogue, and whether their runs may start.

mod pause;

use clap::Subcommand;

use super::Context;

/// Jobs of the catalogue
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Keep the runs of a job waiting
    Pause(pause::PauseArgs),
    /// Let the runs of a paused job start again
    Resume(pause::ResumeArgs),
}

/// Does what was asked.
pub fn run(args: Args, context: &mut Context) -> anyhow::Result<u8> {
    match args.verb {
        Verb::Pause(args) => pause::pause(&args, context),
        Verb::Resume(args) => pause::resume(&args, context),
    }
}
