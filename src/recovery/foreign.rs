//! Workers of other pid namespaces on the same store: their numbers mean nothing here, so the store is not shared with them.
//!
//! Rule: refused at the start, in words; at work nobody judges or signals them by number (see `reaper`).

use std::path::Path;

use fs2::FileExt;

use super::files::{in_our_namespace, open_lock, pid_namespace};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::local::Local;
use crate::run::WorkerId;
use crate::store::{Store, WorkerRow};

/// Refuses to work on a store beside a worker whose processes cannot be seen from here: one that lives, or one that is dead with
/// runs whose processes may live.
///
/// # Errors
/// [`Kind::Unavailable`], with what to do; those of the store.
pub fn refuse_foreign(store: &Store, local: &Local, own: WorkerId) -> Result<()> {
    check_proc()?;
    for row in store.workers()? {
        if row.worker == own || is_ours(&row) {
            continue;
        }
        let (worker, host) = (row.worker, &row.host);
        if is_locked(local.dir(), &row) {
            let message = format!(
                "worker {worker} on host `{host}` works on this store in another pid namespace, a container or another machine; no worker was started"
            );
            return Err(Error::new(Kind::Unavailable, message).hint(
                "run all workers of a store in one container, or give the containers one pid namespace",
            ));
        }
        if leaves_processes(&row) && !store.held_by(worker)?.is_empty() {
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

/// Whether a worker holds its lock, which the kernel keeps over all namespaces.
fn is_locked(state: &Path, row: &WorkerRow) -> bool {
    let contended = fs2::lock_contended_error().raw_os_error();
    // Shared, so that two who look do not take each other for the worker.
    open_lock(state, row.worker).is_ok_and(|lock| {
        FileExt::try_lock_shared(&lock).is_err_and(|error| error.raw_os_error() == contended)
    })
}

/// Whether a worker's numbers are those that we see, or nobody's any more because the host was booted since.
fn is_ours(row: &WorkerRow) -> bool {
    clock::same_boot(&row.boot_id, &clock::boot_id()) == Some(true) && in_our_namespace(row)
}

/// Whether processes of a dead worker may live where nobody here sees them. The first process of a namespace takes all others
/// with it, and so does a boot.
pub fn leaves_processes(row: &WorkerRow) -> bool {
    match clock::same_boot(&row.boot_id, &clock::boot_id()) {
        Some(true) => !in_our_namespace(row) && row.pid != 1,
        Some(false) => false,
        None => !(row.pid_ns == Some(pid_namespace()) && row.pid_ns != Some(0)),
    }
}

/// `/proc` must tell of our own namespace: numbers of another would be taken for ours.
fn check_proc() -> Result<()> {
    let own = std::process::id().to_string();
    let seen = std::fs::read_link("/proc/self");
    if seen.as_deref().is_ok_and(|seen| seen == Path::new(&own)) {
        return Ok(());
    }
    let message = match seen {
        Ok(_) => "`/proc` tells of another pid namespace; no worker was started".to_owned(),
        Err(error) => format!(
            "cannot read `/proc/self`: {}; no worker was started",
            crate::error::os_words(&error)
        ),
    };
    Err(Error::new(Kind::Unavailable, message)
        .hint("mount `/proc` in the container, as `unshare --mount-proc` does"))
}
