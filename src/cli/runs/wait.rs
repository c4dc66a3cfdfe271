//! `jobctl runs wait`.

use std::time::Duration;

use crate::cli::ids::{find_run, run_id};
use crate::cli::{Context, wait};
use crate::document;
use crate::run::RunId;
use crate::store::Create;
use crate::units::parse_duration;

/// Wait for a run to end: exit 0 if it succeeded, 101 dead, 102 cancelled, 124 out of time, 130 interrupted
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Id of the run
    #[arg(value_name = "ID", value_parser = run_id)]
    run: RunId,
    /// Wait at most this long
    #[arg(long, alias = "wait", value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<i64>,
}

/// Waits.
pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<u8> {
    let store = context.open_store(Create::Never)?;
    find_run(&store, args.run, context.now_ms())?;
    let limit = args
        .timeout
        .map(|ms| Duration::from_millis(ms.max(0) as u64));
    let code = wait::wait(&store, args.run, limit, context)?;
    let detail = find_run(&store, args.run, context.now_ms())?;
    if context.screen.json() {
        context
            .screen
            .document("runs.wait", document::run(&detail.row));
    } else if detail.row.state.is_final() {
        context.screen.line(detail.row.state.word());
    }
    Ok(code)
}
