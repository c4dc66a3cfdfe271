//! `jobctl queues`: counts of each queue, and changes to queues, which apply from the next claim of every worker.

mod list;
mod pause;
mod set;

use clap::Subcommand;

use super::Context;
use super::history::{self, HistoryArgs};
use super::rules;
use crate::error::Result;
use crate::flow::FlowView;
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
fn check_queue(store: &Store, flow: &FlowView, queue: &str, context: &Context) -> Result<()> {
    let rows = store.queues(context.now_ms())?;
    let mut known: Vec<String> = rows.into_iter().map(|row| row.queue).collect();
    known.extend(flow.rules.queues.keys().cloned());
    let of_file = |rules: crate::flow::Rules| rules.queues.into_keys().collect();
    rules::check_known("queue", queue, known, of_file, context)
}

fn known(store: &Store, queue: &str, context: &Context) -> Result<()> {
    check_queue(store, &rules::flow(store, context)?, queue, context)
}
