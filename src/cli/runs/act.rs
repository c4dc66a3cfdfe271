//! `jobctl runs cancel` and `jobctl runs retry`.

use crate::cli::Context;
use crate::cli::act::{Verb, confirmed, on_each};
use crate::cli::ids::run_id;
use crate::operate::RunAct;
use crate::run::RunId;
use crate::store::Create;

const CANCEL: Verb = Verb {
    act: RunAct::Cancel,
    document: "runs.cancel",
    word: "cancel",
    done: "cancelled",
    needs: "only waiting and running runs can be cancelled",
};

const RETRY: Verb = Verb {
    act: RunAct::Retry,
    document: "runs.retry",
    word: "retry",
    done: "retried",
    needs: "only ended runs can be retried",
};

/// Cancel runs: waiting runs at once, running runs through their worker
#[derive(Debug, clap::Args)]
pub(super) struct CancelArgs {
    /// Ids of the runs
    #[arg(value_name = "ID", required = true, value_parser = run_id)]
    runs: Vec<RunId>,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

/// Queue ended runs again, due now; history and idempotency key are kept, the deadline is dropped
#[derive(Debug, clap::Args)]
pub(super) struct RetryArgs {
    /// Ids of the runs
    #[arg(value_name = "ID", required = true, value_parser = run_id)]
    runs: Vec<RunId>,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

/// Cancels.
pub(super) fn cancel(args: &CancelArgs, context: &mut Context) -> anyhow::Result<u8> {
    let mut store = context.open_store(Create::Never)?;
    if !confirmed(context, CANCEL, args.runs.len(), args.yes) {
        return Ok(1);
    }
    let code = on_each(context, &mut store, CANCEL, &args.runs)?;
    store.leave();
    Ok(code)
}

/// Retries.
pub(super) fn retry(args: &RetryArgs, context: &mut Context) -> anyhow::Result<u8> {
    let mut store = context.open_store(Create::Never)?;
    if !confirmed(context, RETRY, args.runs.len(), args.yes) {
        return Ok(1);
    }
    let code = on_each(context, &mut store, RETRY, &args.runs)?;
    store.leave();
    Ok(code)
}
