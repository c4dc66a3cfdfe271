//! `jobctl workers stop`: stores a request; the worker stops once it has read it and its runs have ended.

use serde_json::{Map, Value, json};

use super::unknown_worker;
use crate::cli::Context;
use crate::cli::ids::worker_id;
use crate::error::{Error, Kind};
use crate::operate::{StopAnswer, living_workers, stop_worker};
use crate::run::WorkerId;
use crate::store::Create;

/// Ask workers to stop, as SIGTERM does: they let their runs finish for a while. A service manager may restart them, as it does with
/// the units of jobctl: use `systemctl stop` to stop those permanently
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Ids of the workers
    #[arg(value_name = "ID", value_parser = worker_id, required_unless_present = "all")]
    workers: Vec<WorkerId>,
    /// All workers
    #[arg(long, conflicts_with = "workers")]
    all: bool,
}

/// Asks.
pub(super) fn run(args: Args, context: &mut Context) -> anyhow::Result<u8> {
    let mut store = context.open_store(Create::Never)?;
    let local = context.local()?.clone();
    let workers = if args.all {
        living_workers(&store, &local)?
    } else {
        args.workers
    };
    let mut items = Vec::new();
    let mut refusals = Vec::new();
    context
        .screen
        .done(format!("{} workers were asked to stop", workers.len()));
    for worker in workers {
        let answer = stop_worker(&mut store, &local, worker, context.now_ms())?;
        let refusal = refusal(worker, answer);
        let reason = refusal.as_ref().map(|error| error.message.clone());
        items.push(json!({ "worker": worker, "done": refusal.is_none(), "reason": reason }));
        match refusal {
            Some(error) => refusals.push(error),
            None if context.screen.json() => {}
            None => context
                .screen
                .line(&format!("worker {worker} was asked to stop")),
        }
    }
    let Some(last) = refusals.pop() else {
        if context.screen.json() {
            context
                .screen
                .document("workers.stop", json!({ "items": items }));
        } else if items.is_empty() {
            context.screen.say("no workers");
        }
        return Ok(0);
    };
    if !context.screen.json() {
        for refusal in &refusals {
            context.screen.warn(&refusal.message);
        }
    }
    let details = Map::from_iter([("items".to_owned(), Value::Array(items))]);
    Err(last.details(details).into())
}

/// Why the worker could not be asked to stop; `None` if it was.
fn refusal(worker: WorkerId, answer: StopAnswer) -> Option<Error> {
    match answer {
        StopAnswer::Asked => None,
        StopAnswer::Unknown => Some(unknown_worker(worker)),
        StopAnswer::Gone => {
            let message = format!("cannot stop worker {worker}: it is already gone");
            Some(Error::new(Kind::Refused, message).hint("any other worker recovers its runs"))
        }
    }
}
