//! `jobctl workers kill`: SIGKILL for a worker that hangs.
//!
//! Rule: a row of the store does not prove which process is the worker. A pidfd is opened first; then pid and start time are
//! compared, and the kernel must show that the process holds the worker's lock. Other workers recover its runs.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::json;

use super::find;
use crate::cli::Context;
use crate::cli::ids::worker_id;
use crate::clock;
use crate::error::{Error, Kind, Result, os_words};
use crate::local::{Local, ProcessState};
use crate::run::WorkerId;
use crate::store::{Store, WorkerRow};
use crate::units::counted;

/// A killed process is gone in milliseconds, unless the kernel itself hangs with it.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Kill a worker that hangs, with SIGKILL; other workers recover its runs
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Id of the worker
    #[arg(value_name = "ID", value_parser = worker_id)]
    worker: WorkerId,
    /// Declare that the dead worker's container is gone with all its processes, so that its runs can be recovered
    #[arg(long)]
    gone: bool,
}

/// Kills the worker and waits until its lock is free.
pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<u8> {
    let (mut store, row) = find(context, args.worker)?;
    if args.gone {
        return declare_gone(&mut store, &row, context);
    }
    let local = context.local()?.clone();
    kill(&local, &row)?;
    context
        .screen
        .done(format!("worker {} was killed", row.worker));
    let start = clock::monotonic();
    while local.is_alive(&row.registration()) == Some(true) {
        if start.elapsed() >= GONE_WITHIN {
            let message = format!(
                "worker {} was killed, but its lock is still held",
                row.worker
            );
            return Err(Error::new(Kind::Failed, message)
                .hint(format!(
                    "`fuser -v workers/{}.lock` in the store directory shows by whom",
                    row.worker
                ))
                .into());
        }
        // A child of it between clone and exec still holds the lock; nothing signals its end.
        clock::pause(Duration::from_millis(5));
    }
    let others = store.workers()?.iter().any(|other| {
        other.worker != row.worker && local.is_alive(&other.registration()) == Some(true)
    });
    let line = format!("worker {} was killed", row.worker);
    report(&store, row.worker, &line, others, context)
}

/// Records that the container of a dead worker is gone, which this process cannot check.
fn declare_gone(store: &mut Store, row: &WorkerRow, context: &mut Context) -> anyhow::Result<u8> {
    let worker = row.worker;
    let refused = |cause: &str, hint: String| {
        let message = format!("cannot declare worker {worker} gone: {cause}; nothing was changed");
        Err(Error::new(Kind::Refused, message).hint(hint).into())
    };
    if context.local()?.is_alive(&row.registration()) != Some(false) {
        return refused("it is alive", format!("`jobctl workers stop {worker}`"));
    }
    if !row.registration().may_leave_hidden_processes() {
        let hint = "start a worker: it recovers its runs".to_owned();
        return refused("its processes are visible from here", hint);
    }
    store.write(|tx| tx.declare_gone(worker))?;
    let line = format!("worker {worker} is gone with all its processes");
    context.screen.done(line.clone());
    report(store, worker, &line, false, context)
}

/// Reports what was done, and what happens to the worker's runs.
fn report(
    store: &Store,
    worker: WorkerId,
    line: &str,
    others: bool,
    context: &mut Context,
) -> anyhow::Result<u8> {
    let held = store.held_by(worker)?.len();
    if context.screen.json() {
        let body = json!({ "worker": worker, "done": true, "runs": held, "reason": null });
        context.screen.document("workers.kill", body);
        return Ok(0);
    }
    context.screen.line(line);
    if held > 0 {
        let who = if others {
            "another worker recovers them"
        } else {
            "the next worker recovers them"
        };
        context
            .screen
            .say(&format!("it held {}; {who}", counted(held as i64, "run")));
    }
    Ok(0)
}

fn kill(local: &Local, row: &WorkerRow) -> Result<()> {
    let refused = |cause: &str| {
        Error::new(
            Kind::Refused,
            format!("cannot kill worker {}: {cause}", row.worker),
        )
        .hint("any other worker recovers its runs")
    };
    let failed = |error: rustix::io::Errno| {
        let kind = match error {
            rustix::io::Errno::PERM | rustix::io::Errno::ACCESS => Kind::Permission,
            _ => Kind::Failed,
        };
        let words = os_words(&error.into());
        Error::new(
            kind,
            format!(
                "cannot kill worker {} (pid {}): {words}",
                row.worker, row.pid
            ),
        )
    };
    let gone = || refused("its process is already gone");
    let pid = i32::try_from(row.pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(gone)?;
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(rustix::io::Errno::SRCH) => return Err(gone()),
        Err(error) => return Err(failed(error)),
    };
    // From now on the pid cannot be reused for another process.
    match row.registration().process_state() {
        ProcessState::Exists(_) => {}
        ProcessState::Gone => return Err(gone()),
        ProcessState::Unknown => {
            return Err(refused(
                "its process id belongs to another pid namespace or to an unknown boot",
            ));
        }
    }
    if !local.holds_lock(pid.as_raw_pid(), row.worker) {
        let cause = format!("process {} does not hold its lock", row.pid);
        return Err(refused(&cause));
    }
    pidfd_send_signal(&process, Signal::KILL).map_err(failed)?;
    let limit = Timespec {
        tv_sec: GONE_WITHIN.as_secs() as i64,
        tv_nsec: 0,
    };
    // Readable means that the process ended. A timeout is not an error: the caller checks the lock.
    let _ = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit));
    Ok(())
}
