//! `jobctl limits`: what jobs share, what stops it, and changes that hold at the next claim of every worker.

mod list;
mod open;
mod set;

use clap::Subcommand;

use super::Context;
use super::control::{self, HistoryArgs};
use crate::error::Result;
use crate::flow::{FlowView, Rules};

/// Limits that jobs share
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List limits, with what runs under them and what stops it
    List,
    /// Change settings of a limit, over the catalogue, without a restart
    ///
    /// They hold from the next claim of every worker on, over reloads and restarts, until `KEY=catalogue` takes them back or
    /// their time is over. What runs is never ended by it.
    Set(set::Args),
    /// Open the breaker of a limit by hand: nothing under it starts
    ///
    /// As with an electric breaker, open means that nothing flows: no run under the limit starts until it is closed. What runs
    /// goes on.
    Open(open::OpenArgs),
    /// Close a limit that was opened, and reset its breaker: runs start again
    ///
    /// Ends an opening by hand, resets a breaker that opened by itself, and forgets a wait that a service asked for. The
    /// concurrency and the rate of the limit still hold.
    Close(open::CloseArgs),
    /// Show who changed limits, when and why
    History(HistoryArgs),
}

/// Does what was asked.
pub(super) fn run(args: Args, context: &mut Context) -> anyhow::Result<u8> {
    match args.verb {
        Verb::List => list::list(context),
        Verb::Set(args) => set::set(&args, context),
        Verb::Open(args) => open::open(&args, context),
        Verb::Close(args) => open::close(&args, context),
        Verb::History(args) => control::history("limit", &args, context),
    }
}

/// A limit is known if a catalogue has it, or somebody changed it.
fn check_limit(flow: &FlowView, limit: &str, context: &Context) -> Result<()> {
    let mut known: Vec<String> = flow.rules.limits.keys().cloned().collect();
    let changed = flow.overrides.iter().filter(|it| !it.key.is_of_queue());
    known.extend(changed.map(|change| change.name.clone()));
    let of_file = |rules: Rules| rules.limits.into_keys().collect();
    control::check_known("limit", limit, known, of_file, context)
}
