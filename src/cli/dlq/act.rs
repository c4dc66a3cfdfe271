//! `jobctl dlq retry` and `jobctl dlq discard`: by id, or all open ones that match.
//!
//! Rule: the runs are selected once, at the beginning: a run that dies again meanwhile is not touched a second time.

use crate::cli::Context;
use crate::cli::act::{Verb, confirmed, dry_run, on_each};
use crate::cli::ids::run_id;
use crate::cli::rules::in_file;
use crate::cli::unknown::not_done;
use crate::error::{Error, Kind};
use crate::operate::{self, RunAct};
use crate::run::RunId;
use crate::store::{Create, DeadFilter};

use super::list::FilterArgs;

const RETRY: Verb = Verb {
    act: RunAct::RetryDead,
    document: "dlq.retry",
    word: "retry",
    done: "retried",
    needs: "only runs with an open dead letter can be retried here",
};

const DISCARD: Verb = Verb {
    act: RunAct::Discard,
    document: "dlq.discard",
    word: "discard",
    done: "discarded",
    needs: "only an open dead letter can be discarded",
};

/// Which dead letters
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Run ids
    #[arg(value_name = "ID", value_parser = run_id, conflicts_with_all = ["all", "job", "reason", "fingerprint"])]
    runs: Vec<RunId>,
    /// All open dead letters
    #[arg(long, conflicts_with_all = ["job", "reason", "fingerprint"])]
    all: bool,
    #[command(flatten)]
    filter: FilterArgs,
    /// Print the ids of the runs and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

/// `dlq retry`
pub(super) fn retry(args: Args, context: &mut Context) -> anyhow::Result<u8> {
    act(args, RETRY, context)
}

/// `dlq discard`
pub(super) fn discard(args: Args, context: &mut Context) -> anyhow::Result<u8> {
    act(args, DISCARD, context)
}

fn act(args: Args, verb: Verb, context: &mut Context) -> anyhow::Result<u8> {
    if args.runs.is_empty() && !args.all && !args.filter.any() {
        let message = format!(
            "no dead letters were selected to {}; nothing was done",
            verb.word
        );
        return Err(Error::new(Kind::Usage, message)
            .hint("give run ids, `--job`, `--reason`, `--fingerprint` or `--all`")
            .into());
    }
    let mut store = context.open_store(Create::Never)?;
    let runs = if args.runs.is_empty() {
        let filter = DeadFilter::from(args.filter);
        operate::dead_runs(&store, &filter, &|| in_file(context)).map_err(not_done)?
    } else {
        args.runs
    };
    if args.dry_run {
        return Ok(dry_run(context, verb, &runs));
    }
    if runs.is_empty() {
        context.screen.say("no dead letters match");
    }
    if !confirmed(context, verb, runs.len(), args.yes) {
        context.screen.say("nothing was done");
        return Ok(Kind::Failed.exit_code());
    }
    let code = on_each(context, &mut store, verb, &runs)?;
    store.leave();
    Ok(code)
}
