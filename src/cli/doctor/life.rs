//! The state of the store in use: blocked writers, workers, the scheduler, refused enqueues, stuck runs.

use super::Finding;
use crate::cli::advice::hint_of;
use crate::cli::pressure::Pressure;
use crate::cli::scheduler::Outlook;
use crate::cli::status::unknown_words;
use crate::cli::{Context, Paint, queues, rules, workers};
use crate::store::{DeadFilter, Store};
use crate::units::counted;

/// Size of the write-ahead log from which on checkpoints seem to fail, bytes.
const LOG_BYTES: u64 = 256 << 20;

pub(super) fn check(store: &Store, context: &Context) -> Vec<Finding> {
    let all = [
        Ok(turn(store)),
        Ok(log(store)),
        workers(store, context),
        scheduler(store, context),
        pressure(store, context),
        unknown(store),
        dead(store),
    ];
    let failed = |error: crate::error::Error| {
        let hint = hint_of(&error).unwrap_or_else(|| "try again".to_owned());
        Finding::error("store", error.message, hint)
    };
    all.into_iter()
        .map(|finding| finding.unwrap_or_else(failed))
        .collect()
}

/// Whether a process blocks all other writers.
fn turn(store: &Store) -> Finding {
    match store.blocking_writer(super::place::PATIENCE) {
        Ok(None) => Finding::ok("writers", "no process blocks the others"),
        Ok(Some(error)) | Err(error) => {
            let hint = hint_of(&error).unwrap_or_default();
            Finding::error("writers", error.message, hint)
        }
    }
}

fn log(store: &Store) -> Finding {
    let bytes = store.wal_bytes();
    if bytes > LOG_BYTES {
        return Finding::warning(
            "log",
            format!(
                "`jobctl.db-wal` has {} MiB: a long-running reader blocks the checkpoint, or no process runs one",
                bytes >> 20
            ),
            "stop long-running readers of the database; a running worker or scheduler copies the log back",
        );
    }
    Finding::ok("log", format!("{} KiB", bytes >> 10))
}

fn workers(store: &Store, context: &Context) -> crate::error::Result<Finding> {
    let seen = workers::seen(store, context.local()?)?;
    let gone: Vec<String> = seen
        .iter()
        .filter(|worker| worker.alive == Some(false))
        .map(|worker| worker.id().to_string())
        .collect();
    if !gone.is_empty() {
        return Ok(Finding::error(
            "workers",
            format!(
                "gone, with runs that are not recovered yet: {}",
                gone.join(", ")
            ),
            "start a worker as the same user: it recovers them at once",
        ));
    }
    let trouble: Vec<String> = seen
        .iter()
        .filter_map(|it| it.trouble(context.now_ms()))
        .collect();
    if !trouble.is_empty() {
        return Ok(Finding::error(
            "workers",
            trouble.join("; "),
            "nothing is lost; the workers continue by themselves once the shortage is over",
        ));
    }
    Ok(match seen.len() {
        0 => Finding::warning("workers", "none", "`jobctl run-worker` starts one"),
        n => Finding::ok("workers", counted(n as i64, "worker")),
    })
}

fn scheduler(store: &Store, context: &Context) -> crate::error::Result<Finding> {
    let outlook = Outlook::of(store, context)?;
    let lines = outlook.lines(context.now_ms());
    let text: Vec<&str> = lines.iter().map(|(line, _)| line.as_str()).collect();
    let bad = lines.iter().any(|(_, paint)| *paint == Paint::Bad);
    Ok(if text.is_empty() {
        Finding::ok("scheduler", "nothing to schedule")
    } else if bad {
        Finding::error("scheduler", text.join("; "), "see `jobctl status`")
    } else {
        Finding::ok("scheduler", text.join("; "))
    })
}

/// Whether queues refuse enqueues.
fn pressure(store: &Store, context: &Context) -> crate::error::Result<Finding> {
    let queues = queues::all(store, context)?;
    let flow = rules::flow(store, context)?;
    let lines = Pressure::of(&queues, &flow, store, context)?.lines();
    if lines.is_empty() {
        return Ok(Finding::ok("enqueue", "no queue refuses enqueues"));
    }
    Ok(Finding::warning(
        "enqueue",
        lines.join("; "),
        "free disk space, or let the queues drain; see `max_waiting`, `min_free` and `max_size` in jobctl.toml(5)",
    ))
}

/// Whether ready runs have no job or queue, so that no worker can take them.
fn unknown(store: &Store) -> crate::error::Result<Finding> {
    let lanes = store.unknown_lanes()?;
    if lanes.is_empty() {
        return Ok(Finding::ok(
            "jobs",
            "the job and the queue of every ready run exist",
        ));
    }
    let words: Vec<String> = lanes.iter().map(unknown_words).collect();
    Ok(Finding::warning(
        "jobs",
        words.join("; "),
        "restore the job or the queue in the catalogue, or cancel the runs with `jobctl runs cancel`",
    ))
}

fn dead(store: &Store) -> crate::error::Result<Finding> {
    Ok(match store.count_dead(&DeadFilter::default())? {
        0 => Finding::ok("dead", "no dead letters"),
        n => Finding::warning("dead", counted(n, "dead letter"), "`jobctl dlq list`"),
    })
}
