//! `jobctl limits`: limits that jobs share, and changes to them, which apply from the next claim of every worker.

mod list;
mod pause;
mod set;

use clap::Subcommand;

use super::Context;
use super::history::{self, HistoryArgs};
use super::rules;
use super::unknown::not_done;
use crate::error::Result;
use crate::operate;
use crate::store::Store;

/// Limits that jobs share
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List limits with their running runs, rates, breakers and pauses
    List,
    /// Change settings of a limit, over the catalogue, without a restart
    ///
    /// A change applies from the next claim of every worker, and survives reloads and restarts, until `KEY=catalogue` removes it or
    /// its time is over. Running runs are not stopped.
    Set(set::Args),
    /// Stop starting runs under a limit, until `limits resume`; running ones continue
    Pause(pause::PauseArgs),
    /// Start runs under a paused limit again
    ///
    /// Its concurrency, its rate and its breaker still apply.
    Resume(pause::ResumeArgs),
    /// Close the breaker of a limit, and cancel a wait that a service asked for
    ///
    /// Runs under it start again at once. Its concurrency, its rate and a pause still apply.
    Reset(pause::ResetArgs),
    /// Show who changed limits, when and why
    History(HistoryArgs),
}

/// Does what was asked.
pub(super) fn run(args: Args, context: &mut Context) -> anyhow::Result<u8> {
    match args.verb {
        Verb::List => list::list(context),
        Verb::Set(args) => set::set(&args, context),
        Verb::Pause(args) => pause::pause(&args, context),
        Verb::Resume(args) => pause::resume(&args, context),
        Verb::Reset(args) => pause::reset(&args, context),
        Verb::History(args) => history::run("limit", &args, known, context),
    }
}

/// Fails unless a catalogue has this limit or an operator changed it.
fn known(store: &Store, limit: &str, context: &Context) -> Result<()> {
    operate::check_limit(store, limit, &|| rules::in_file(context), context.now_ms())
        .map_err(not_done)
}
