//! `jobctl queues`: counts of each queue, and changes to queues, which apply from the next claim of every worker.

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

pub(super) use list::{all, document, table};

/// Queues and their counts
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List queues in the order in which they are served
    List,
    /// Stop starting runs of a queue; running ones continue
    Pause(pause::PauseArgs),
    /// Start runs of a paused queue again, even if the catalogue pauses it
    Resume(pause::ResumeArgs),
    /// Change settings of a queue, over the catalogue, without a restart
    ///
    /// A change applies from the next claim of every worker, and survives reloads and restarts, until `KEY=catalogue` removes it or
    /// its time is over. Running runs are not stopped.
    Set(set::Args),
    /// Show who changed queues, when and why
    History(HistoryArgs),
}

/// Does what was asked.
pub(super) fn run(args: Args, context: &mut Context) -> anyhow::Result<u8> {
    match args.verb {
        Verb::List => list::list(context),
        Verb::Pause(args) => pause::pause(&args, context),
        Verb::Resume(args) => pause::resume(&args, context),
        Verb::Set(args) => set::set(&args, context),
        Verb::History(args) => history::run("queue", &args, known, context),
    }
}

/// Fails unless a catalogue has this queue, runs are in it, or an operator changed it.
fn known(store: &Store, queue: &str, context: &Context) -> Result<()> {
    let checked = operate::check_queue(store, queue, &|| rules::in_file(context), context.now_ms());
    checked.map(drop).map_err(not_done)
}
