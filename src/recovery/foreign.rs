//! Workers of other pid namespaces on the same store: their pids mean nothing here, so the store is not shared with them.
//!
//! Rule: such a store is refused at the start of a worker. A worker of another namespace is never judged or signalled by its pid (see
//! `reaper`).

use std::path::Path;

use fs2::FileExt;

use super::files::{in_our_namespace, open_lock, pid_namespace};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::run::WorkerId;
use crate::store::{Store, WorkerRow};

/// Refuses to share a store with a worker of another pid namespace, if that worker is alive or if processes of its runs may be.
///
/// # Errors
/// [`Kind::Unavailable`], with a hint; those of the store.
pub fn refuse_foreign(store: &Store, own: WorkerId) -> Result<()> {
    check_proc()?;
    for row in store.workers()? {
        if row.worker == own || is_ours(&row) {
            continue;
        }
        let (worker, host) = (row.worker, &row.host);
        if is_locked(store.dir(), &row) {
            let message = format!(
                "worker {worker} on host `{host}` works on this store in another pid namespace, a container or another machine; no worker was started"
            );
            return Err(Error::new(Kind::Unavailable, message).hint(
                "run all workers of a store in one container, or give the containers one pid namespace",
            ));
        }
        if may_leave_hidden_processes(&row) && !store.held_by(worker)?.is_empty() {
            let message = format!(
                "worker {worker} on host `{host}` died in another pid namespace, and its commands may live on there; no worker was started"
            );
            return Err(Error::new(Kind::Unavailable, message).hint(format!(
                "when that container is gone: `jobctl workers kill {worker} --gone`"
            )));
        }
    }
    Ok(())
}

/// Whether a worker holds its lock. File locks work across namespaces.
fn is_locked(state: &Path, row: &WorkerRow) -> bool {
    let contended = fs2::lock_contended_error().raw_os_error();
    // A shared lock, so that two processes that check do not take each other for the worker.
    open_lock(state, row.worker).is_ok_and(|lock| {
        FileExt::try_lock_shared(&lock).is_err_and(|error| error.raw_os_error() == contended)
    })
}

/// Whether a worker's pids are valid in our namespace.
fn is_ours(row: &WorkerRow) -> bool {
    clock::same_boot(&row.boot_id, &clock::boot_id()) == Some(true) && in_our_namespace(row)
}

/// Whether processes of a dead worker may be alive in a namespace that we cannot see. None are after a reboot, or if the worker was
/// pid 1 of its namespace: then the kernel killed all others.
pub fn may_leave_hidden_processes(row: &WorkerRow) -> bool {
    match clock::same_boot(&row.boot_id, &clock::boot_id()) {
        Some(true) => !in_our_namespace(row) && row.pid != 1,
        Some(false) => false,
        None => !(row.pid_ns == Some(pid_namespace()) && row.pid_ns != Some(0)),
    }
}

/// Checks that `/proc` shows our own pid namespace; otherwise pids of another namespace would be taken for ours.
fn check_proc() -> Result<()> {
    let own = std::process::id().to_string();
    let seen = std::fs::read_link("/proc/self");
    if seen.as_deref().is_ok_and(|seen| seen == Path::new(&own)) {
        return Ok(());
    }
    let message = match seen {
        Ok(_) => "`/proc` shows another pid namespace; no worker was started".to_owned(),
        Err(error) => format!(
            "cannot read `/proc/self`: {}; no worker was started",
            crate::error::os_words(&error)
        ),
    };
    Err(Error::new(Kind::Unavailable, message)
        .hint("mount `/proc` in the container, as `unshare --mount-proc` does"))
}
