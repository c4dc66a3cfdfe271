//! `jobctl dlq`: dead letters, that is runs that are not retried automatically any more.

mod act;
mod list;
mod show;

use clap::Subcommand;

use super::Context;

/// Dead letters: runs that are not retried automatically any more
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List open dead letters, the newest first
    List(list::Args),
    /// Show the dead letter of a run
    Show(show::Args),
    /// Queue dead runs again, due now
    Retry(act::Args),
    /// Close dead letters; their runs stay dead
    Discard(act::Args),
}

/// Does what was asked.
pub(super) fn run(args: Args, context: &mut Context) -> anyhow::Result<u8> {
    match args.verb {
        Verb::List(args) => list::run(args, context),
        Verb::Show(args) => show::run(&args, context),
        Verb::Retry(args) => act::retry(args, context),
        Verb::Discard(args) => act::discard(args, context),
    }
}
