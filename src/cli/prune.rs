//! `jobctl prune`: removes ended runs by age and number, with their output files.
//!
//! Rule: rows first, files after COMMIT; transactions are short, so that enqueues and workers do not wait for them.

use serde_json::json;

use super::Context;
use super::progress::Progress;
use super::signals::Signals;
use crate::catalogue::Catalogue;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::local::Local;
use crate::run::RunId;
use crate::store::{Create, PruneRule, Pruning, Store};
use crate::units::{format_size, parse_duration};

/// Rows of the first transaction; later ones depend on how long it took.
const FIRST_SLICE: i64 = 200;

/// Size of the write-ahead log above which it is copied into the database.
const LOG_BYTES: u64 = 64 << 20;

/// Rows of one read, which locks nothing.
const PAGE: i64 = 20_000;

/// Remove ended runs and their output, by age or number [default: as `[store] retention` says].
/// Runs with an open dead letter are kept
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Remove runs that ended longer ago than this
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    age: Option<i64>,
    /// Remove all but the newest N ended runs
    #[arg(long, value_name = "N")]
    all_but: Option<u64>,
}

/// What was removed.
#[derive(Default)]
struct Removed {
    runs: u64,
    files: u64,
    bytes: u64,
}

/// Prunes.
pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<u8> {
    let (age_ms, keep) = limits(args, context)?;
    let mut store = context.open_store(Create::Never)?;
    let rule = PruneRule {
        ended_before_ms: age_ms.map(|age_ms| context.now_ms().saturating_sub(age_ms)),
        upto: keep
            .map(|keep| store.beyond_newest(keep, PAGE))
            .transpose()?
            .flatten(),
    };
    let signals = Signals::new()?;
    let mut removed = Removed::default();
    let stopped = remove(&mut store, rule, &signals, &mut removed, context)?;
    if stopped.is_none() {
        sweep(&store, context.local()?, &mut removed)?;
    }
    let Removed { runs, files, bytes } = removed;
    context
        .screen
        .done(format!("{runs} runs and {files} files are removed"));
    if context.screen.json() {
        context.screen.document(
            "prune",
            json!({ "runs": runs, "files": files, "bytes": bytes }),
        );
    } else {
        let size = format_size(bytes);
        context.screen.line(&format!(
            "removed {runs} runs and {files} files ({size} bytes)"
        ));
    }
    if let Some(code) = stopped {
        context
            .screen
            .say(&format!("interrupted after removing {runs} runs"));
        return Ok(code);
    }
    Ok(0)
}

/// Age in milliseconds and number of runs, from the arguments, else from the catalogue.
fn limits(args: &Args, context: &Context) -> Result<(Option<i64>, Option<u64>)> {
    if args.age.is_some() || args.all_but.is_some() {
        return Ok((args.age, args.all_but));
    }
    let catalogue = Catalogue::load(&context.catalogue_path()).map_err(Error::from)?;
    let retention = catalogue.store.retention;
    if retention.age_ms.is_none() && retention.runs.is_none() {
        return Err(Error::new(
            Kind::Usage,
            "`[store] retention` keeps everything; nothing was removed",
        )
        .hint("give `--age` or `--all-but`"));
    }
    Ok((retention.age_ms, retention.runs))
}

/// Removes in slices. Returns the exit code if a signal ended it early.
fn remove(
    store: &mut Store,
    rule: PruneRule,
    signals: &Signals,
    removed: &mut Removed,
    context: &mut Context,
) -> Result<Option<u8>> {
    let mut progress = Progress::start(&context.screen, ("removed", "runs"), None);
    let mut limit = FIRST_SLICE;
    let mut at = Some(Pruning::default());
    while let Some(here) = at {
        if let Some(code) = signals.pending() {
            return Ok(Some(code));
        }
        let now_ms = context.now_ms();
        let start = clock::monotonic();
        let pruned = store.write(|tx| tx.prune(&rule, &here, limit, now_ms))?;
        limit = Pruning::next_page(limit, start.elapsed());
        let (files, bytes) = context.local()?.remove_output(&pruned.runs, &pruned.keys);
        if store.wal_bytes() >= LOG_BYTES {
            store.checkpoint(false)?;
        }
        removed.runs += pruned.runs.len() as u64;
        removed.files += files;
        removed.bytes += bytes;
        progress.at(removed.runs, &mut context.screen);
        at = pruned.next;
    }
    Ok(None)
}

/// Removes output and checkpoints of runs that no longer exist: an interrupted prune leaves them.
fn sweep(store: &Store, local: &Local, removed: &mut Removed) -> Result<()> {
    let mut orphans = Vec::new();
    // Files before rows: a run that starts meanwhile has its row before its file.
    local.each_thousand(|thousand, runs| {
        orphans.extend(without_row(store, thousand, runs)?);
        Ok(())
    })?;
    let (files, bytes) = local.remove_orphans(&orphans);
    removed.files += files;
    removed.bytes += bytes;
    Ok(())
}

/// Which of these runs, all of the same thousand, no longer exist.
fn without_row(store: &Store, thousand: i64, runs: &[i64]) -> Result<Vec<RunId>> {
    let first = thousand.saturating_mul(1000);
    let existing = store.existing(RunId(first), RunId(first.saturating_add(999)))?;
    let runs = runs.iter().copied().map(RunId);
    Ok(runs
        .filter(|run| existing.binary_search(run).is_err())
        .collect())
}
