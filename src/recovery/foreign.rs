//! Workers of other pid namespaces on the same store: their pids mean nothing here, so the store is not shared with them.
//!
//! Rule: such a store is refused at the start of a worker. A worker of another namespace is never judged or signalled by its pid (see
//! `reaper`).

use std::path::Path;

use crate::advice::{Advice, Text};
use crate::error::{Error, Kind, Result};
use crate::local::Local;
use crate::run::WorkerId;
use crate::store::Store;

/// Refuses to share a store with a worker of another pid namespace, if that worker is alive or if processes of its runs may be.
///
/// # Errors
/// [`Kind::Unavailable`], with a hint; those of the store.
pub fn refuse_foreign(store: &Store, local: &Local, own: WorkerId) -> Result<()> {
    check_proc()?;
    for row in store.workers()? {
        if row.worker == own || row.registration().is_ours() {
            continue;
        }
        let (worker, host) = (row.worker, &row.host);
        if local.is_locked(worker) {
            let message = format!(
                "worker {worker} on host `{host}` works on this store in another pid namespace, a container or another machine; no worker was started"
            );
            return Err(Error::new(Kind::Unavailable, message).hint(
                "run all workers of a store in one container, or give the containers one pid namespace",
            ));
        }
        if row.registration().may_leave_hidden_processes() && !store.held_by(worker)?.is_empty() {
            let message = format!(
                "worker {worker} on host `{host}` died in another pid namespace, and its commands may live on there; no worker was started"
            );
            let hint = Text::from("when that container is gone: ").and(Advice::DeclareGone(worker));
            return Err(Error::new(Kind::Unavailable, message).hint(hint));
        }
    }
    Ok(())
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
