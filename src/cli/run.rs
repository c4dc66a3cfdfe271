//! `jobctl run JOB`: enqueues one run and executes it here, in the foreground, retries included.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::request::{PreparedRun, RequestArgs};
use super::{Context, wait};
use crate::catalogue::Catalogue;
use crate::clock;
use crate::error::{Error, Kind};
use crate::observe::notify::Notify;
use crate::store::Create;
use crate::worker::{self, Foreground, Options};

/// Longer than for other commands: no person waits for the store here.
const BUSY_WAIT: Duration = Duration::from_secs(30);

/// Enqueues one run and executes it here, in the foreground, retries included; its output goes to standard output. If the
/// request duplicates a waiting run, that run is executed here; if another worker already runs it, the command waits for its end.
/// Ctrl-C stops the command of the job and leaves the run in the queue
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Job of the catalogue
    job: String,
    #[command(flatten)]
    request: RequestArgs,
}

/// Enqueues and executes.
pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<u8> {
    context.log_to_stderr();
    let catalogue = Arc::new(Catalogue::load(&context.catalogue_path()).map_err(Error::from)?);
    let PreparedRun {
        mut store,
        local,
        new,
        read,
        ..
    } = args
        .request
        .prepare(&args.job, clock::random_bytes(), context)?;
    if let Some(read) = read {
        store.write(|tx| read.save(tx, &local))?;
    }
    drop(store);
    let json = context.screen.json();
    let options = Options {
        open: context.open_options(Create::AndMigrate, BUSY_WAIT)?,
        stop_after: Duration::from_millis(catalogue.worker.stop_after_ms.max(0) as u64),
        catalogue,
        queues: Vec::new(),
        slots: 1,
        max_runs: None,
        drain: None,
        // It is only a part of a service, so it does not report for the service.
        notify: Notify::default(),
        handed_over: None,
        own_arguments: Vec::new(),
        foreground: Some(Foreground {
            new,
            show_output: !json,
        }),
    };
    let path = context.catalogue_path();
    let summary = worker::run(options, Arc::new(move || Ok(Catalogue::load(&path)?)))?;
    let run = summary
        .foreground
        .ok_or_else(|| Error::new(Kind::Bug, "the worker did not report its run"))?;
    let store = context.open_store(Create::Never)?;
    let state = store.state_of(run)?.ok_or_else(|| {
        Error::new(
            Kind::NotFound,
            format!("run {run} no longer exists: it was pruned"),
        )
    })?;
    if json {
        let body = json!({ "run": run, "job": args.job, "state": state });
        context.screen.document("run", body);
    }
    if summary.attempts == 0 && state.is_final() {
        // The request duplicated an ended run, or another worker executed it.
        let text = format!("nothing was started: run {run} is already {state}");
        context.screen.say(&text);
    }
    let Some(code) = wait::exit_code(state) else {
        context.screen.say(&format!("run {run} stays in the queue"));
        return Ok(wait::INTERRUPTED);
    };
    Ok(code)
}
