//! `jobctl runs`: the runs in the store, and operations on them.

mod act;
mod list;
mod logs;
mod pieces;
mod show;
mod tail;
mod wait;
mod why;

use clap::Subcommand;

use super::Context;

pub(super) use show::paint;

/// List, show, explain, follow, cancel, retry and wait for runs
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List runs, the newest first
    List(list::Args),
    /// Show one run with its attempts
    Show(show::Args),
    /// Print the output of an attempt
    Logs(logs::Args),
    /// Cancel runs: waiting runs at once, running runs through their worker
    Cancel(act::CancelArgs),
    /// Queue ended runs again, due now
    Retry(act::RetryArgs),
    /// Wait for a run to end; the exit code tells how it ended
    Wait(wait::Args),
    /// Explain why a run does not start: every gate between it and a slot
    Why(why::Args),
}

/// Does what was asked.
pub(super) fn run(args: Args, context: &mut Context) -> anyhow::Result<u8> {
    match args.verb {
        Verb::List(args) => list::run(args, context),
        Verb::Show(args) => show::run(&args, context),
        Verb::Logs(args) => logs::run(&args, context),
        Verb::Cancel(args) => act::cancel(&args, context),
        Verb::Retry(args) => act::retry(&args, context),
        Verb::Wait(args) => wait::run(&args, context),
        Verb::Why(args) => why::run(&args, context),
    }
}
