//! `jobctl queues`: what waits and runs, queue by queue; pauses and settings that hold at the next claim of every worker.

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

/// Queues and what is in them
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List queues in the order in which they are served
    List,
    /// Keep the runs of a queue waiting; what runs goes on
    Pause(pause::PauseArgs),
    /// Let the runs of a paused queue start again, also where the catalogue pauses it
    Resume(pause::ResumeArgs),
    /// Change settings of a queue, over the catalogue, without a restart
    ///
    /// They hold from the next claim of every worker on, over reloads and restarts, until `KEY=catalogue` takes them back or
    /// their time is over. What runs is never ended by it.
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

/// A queue is known if a catalogue has it, runs are in it, or somebody changed it.
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
