//! What is going on in the store: who holds it, who works, what is stuck.

use super::Finding;
use crate::cli::pressure::Pressure;
use crate::cli::scheduler::Outlook;
use crate::cli::status::unknown_words;
use crate::cli::{Context, Paint, queues, rules, workers};
use crate::store::{DeadFilter, Store};
use crate::units::counted;

/// From this size of the log on nobody seems to copy it back.
const LOG_BYTES: u64 = 256 << 20;

pub(super) fn look(store: &Store, context: &Context) -> Vec<Finding> {
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
        let hint = error.hint.unwrap_or_else(|| "try again".to_owned());
        Finding::error("store", error.message, hint)
    };
    all.into_iter()
        .map(|finding| finding.unwrap_or_else(failed))
        .collect()
}

/// Whether somebody keeps the store from all others.
fn turn(store: &Store) -> Finding {
    match store.who_writes(super::place::PATIENCE) {
        Ok(None) => Finding::ok("writers", "nobody holds up others"),
        Ok(Some(error)) => {
            let hint = error.hint.unwrap_or_default();
            Finding::error("writers", error.message, hint)
        }
        Err(error) => Finding::error("writers", error.message, error.hint.unwrap_or_default()),
    }
}

fn log(store: &Store) -> Finding {
    let bytes = store.wal_bytes();
    if bytes > LOG_BYTES {
        return Finding::warning(
            "log",
            format!(
                "`jobctl.db-wal` has {} MiB: a reader stays for long, or nobody copies it back",
                bytes >> 20
            ),
            "end what reads the database for long; a running worker or scheduler copies it back",
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
                "gone, and their runs wait to be recovered: {}",
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
            "nothing is lost; the workers go on by themselves once they have what they lack",
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

/// Whether enqueues are refused.
fn pressure(store: &Store, context: &Context) -> crate::error::Result<Finding> {
    let queues = queues::all(store, context)?;
    let flow = rules::flow(store, context)?;
    let lines = Pressure::of(&queues, &flow, store, context)?.lines();
    if lines.is_empty() {
        return Ok(Finding::ok("enqueue", "no queue is refused"));
    }
    Ok(Finding::warning(
        "enqueue",
        lines.join("; "),
        "make space or room: see `max_waiting`, `min_free` and `max_size` in jobctl.toml(5)",
    ))
}

/// Whether runs wait that no worker can take.
fn unknown(store: &Store) -> crate::error::Result<Finding> {
    let lanes = store.unknown_lanes()?;
    if lanes.is_empty() {
        return Ok(Finding::ok(
            "jobs",
            "every run that is ready has a job and a queue",
        ));
    }
    let words: Vec<String> = lanes.iter().map(unknown_words).collect();
    Ok(Finding::warning(
        "jobs",
        words.join("; "),
        "put the job or the queue back, or `jobctl runs cancel` what nobody wants",
    ))
}

fn dead(store: &Store) -> crate::error::Result<Finding> {
    Ok(match store.count_dead(&DeadFilter::default())? {
        0 => Finding::ok("dead", "no dead letters"),
        n => Finding::warning("dead", counted(n, "dead letter"), "`jobctl dlq list`"),
    })
}
