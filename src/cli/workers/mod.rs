//! `jobctl workers`: lists, stops and kills workers.

mod kill;
mod stop;

use std::collections::BTreeSet;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Context, Paint, Table, when};
use crate::document;
use crate::error::{Error, Kind, Result};
use crate::local::Local;
use crate::owned::user_name;
use crate::run::WorkerId;
use crate::store::{Create, Lacking, Store, WorkerRow};

/// List, stop and kill workers
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List workers
    List,
    /// Ask workers to stop, as SIGTERM does; a service manager may restart them
    Stop(stop::Args),
    /// Kill a worker that hangs; other workers recover its runs
    Kill(kill::Args),
}

/// Does what was asked.
pub(super) fn run(args: Args, context: &mut Context) -> anyhow::Result<u8> {
    match args.verb {
        Verb::List => list(context),
        Verb::Stop(args) => stop::run(args, context),
        Verb::Kill(args) => kill::run(&args, context),
    }
}

/// A worker and what this process can find out about it.
pub(super) struct Seen {
    row: WorkerRow,
    busy: i64,
    user: Option<String>,
    /// A resource that the host lacks to start its runs.
    lacking: Option<Lacking>,
    /// `None` if this process cannot find out.
    pub(super) alive: Option<bool>,
}

/// Workers that are certainly not alive.
pub(super) fn gone(store: &Store, local: &Local) -> Result<BTreeSet<WorkerId>> {
    let rows = store.workers()?.into_iter();
    let gone = rows.filter(|row| local.is_alive(&row.registration()) == Some(false));
    Ok(gone.map(|row| row.worker).collect())
}

impl Seen {
    /// Its id.
    pub(super) fn id(&self) -> WorkerId {
        self.row.worker
    }

    /// Its JSON.
    pub(super) fn document(&self) -> Value {
        let lacking = self
            .lacking
            .as_ref()
            .map(|it| json!({ "words": it.words, "until": document::time(it.until_ms) }));
        document::merged(
            document::worker(&self.row, self.busy, self.alive, self.user.as_deref()),
            json!({ "lacking": lacking }),
        )
    }

    /// Why it cannot start runs, for people; `None` if it can or is gone.
    pub(super) fn trouble(&self, now_ms: i64) -> Option<String> {
        let lacking = self.lacking.as_ref()?;
        if self.alive == Some(false) {
            return None;
        }
        let again = if lacking.until_ms > now_ms {
            when::relative(lacking.until_ms, now_ms)
        } else {
            "now".to_owned()
        };
        let worker = self.id();
        Some(format!(
            "worker {worker}: {}; it tries again {again}",
            lacking.words
        ))
    }
}

/// A message if this worker is gone and its runs were not recovered yet.
pub(super) fn unrecovered_message(
    store: &Store,
    local: &Local,
    worker: WorkerId,
) -> Result<Option<String>> {
    let Some(row) = store.worker(worker)? else {
        return Ok(None);
    };
    let gone = local
        .is_alive(&row.registration())
        .map_or_else(|| row.registration().has_ended(), |alive| !alive);
    Ok(gone.then(|| format!("worker {worker} is gone and its runs are not recovered yet")))
}

/// All registered workers.
pub(super) fn seen(store: &Store, local: &Local) -> Result<Vec<Seen>> {
    let busy = store.busy()?;
    let mut lacking = store.lacking()?;
    let rows = store.workers()?;
    let busy_of = |worker: WorkerId| busy.get(&worker.0).copied().unwrap_or(0);
    // A worker that was started for one run uses a slot of its parent.
    let children = |parent: WorkerId| {
        let children = rows.iter().filter(move |row| row.parent == Some(parent));
        children.map(|row| busy_of(row.worker)).sum::<i64>()
    };
    let all_busy: Vec<i64> = rows
        .iter()
        .map(|row| busy_of(row.worker) + children(row.worker))
        .collect();
    let seen = rows.into_iter().zip(all_busy).map(|(row, busy)| Seen {
        busy,
        user: u32::try_from(row.uid).ok().and_then(user_name),
        alive: local.is_alive(&row.registration()),
        lacking: lacking.remove(&row.worker),
        row,
    });
    Ok(seen.collect())
}

fn list(context: &mut Context) -> anyhow::Result<u8> {
    let store = context.open_store(Create::Never)?;
    let workers = seen(&store, context.local()?)?;
    if context.screen.json() {
        let items: Vec<Value> = workers.iter().map(Seen::document).collect();
        context
            .screen
            .document("workers", json!({ "items": items }));
        return Ok(0);
    }
    if workers.is_empty() {
        context.screen.say("no workers");
    }
    context.screen.table(&table(&workers, context.now_ms()));
    Ok(0)
}

/// The table of `workers list` and `status`.
pub(super) fn table(workers: &[Seen], now_ms: i64) -> Table {
    let mut table = Table::new(&[
        ">WORKER", ">PID", "USER", "~QUEUES", ">BUSY", "STARTED", "STATE",
    ]);
    for seen in workers {
        let row = &seen.row;
        let queues = match row.parent {
            Some(parent) => format!("a run of worker {parent}"),
            None if row.queues.is_empty() => "all".to_owned(),
            None => row.queues.clone(),
        };
        let (state, paint) = match (seen.alive, row.stop_ms) {
            (Some(false), _) => ("gone", Paint::Bad),
            (_, Some(_)) => ("stopping", Paint::Plain),
            (Some(true), None) => ("alive", Paint::Good),
            (None, None) => ("unknown", Paint::Dim),
        };
        table.painted([
            (&row.worker.to_string(), Paint::Plain),
            (&row.pid.to_string(), Paint::Plain),
            (seen.user.as_deref().unwrap_or("?"), Paint::Plain),
            (&queues, Paint::Plain),
            (&format!("{} of {}", seen.busy, row.slots), Paint::Plain),
            (&when::relative(row.started_ms, now_ms), Paint::Plain),
            (state, paint),
        ]);
    }
    table
}

/// The error about a worker that is not registered.
fn unknown_worker(worker: WorkerId) -> Error {
    Error::new(Kind::NotFound, format!("unknown worker {worker}"))
        .hint("`jobctl workers list` shows those that are registered")
}

/// Opens the store and finds a registered worker.
fn find(context: &mut Context, worker: WorkerId) -> anyhow::Result<(Store, WorkerRow)> {
    let store = context.open_store(Create::Never)?;
    let row = store
        .worker(worker)?
        .ok_or_else(|| unknown_worker(worker))?;
    Ok((store, row))
}
