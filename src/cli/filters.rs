//! Names in the filters of lists: if nothing matches, the name may be a typing error.
//!
//! Rule: in every list, a name that neither the catalogue nor the store has is exit 3; a known name gives an empty list.

use super::{Context, jobs, rules};
use crate::error::Result;
use crate::intake::unknown_queue;
use crate::store::{RunFilter, Store};

/// Checks the names of a filter that matched nothing.
///
/// # Errors
/// [`crate::error::Kind::NotFound`] for an unknown name.
pub(super) fn check(
    job: Option<&str>,
    queue: Option<&str>,
    store: &Store,
    context: &Context,
) -> Result<()> {
    if let Some(job) = job {
        jobs::check_job(store, job, context)?;
    }
    match queue {
        Some(queue) => check_queue(queue, store, context),
        None => Ok(()),
    }
}

fn check_queue(queue: &str, store: &Store, context: &Context) -> Result<()> {
    let any = RunFilter {
        queue: Some(queue.to_owned()),
        limit: 1,
        ..RunFilter::default()
    };
    if !store.list_runs(&any, context.now_ms())?.is_empty() {
        return Ok(());
    }
    let flow = rules::flow(store, context)?;
    let mut known: Vec<&str> = flow.rules.queues.keys().map(String::as_str).collect();
    known.extend(flow.catalogue.queues.keys().map(String::as_str));
    known.sort_unstable();
    known.dedup();
    if known.contains(&queue) {
        return Ok(());
    }
    Err(unknown_queue(queue, &known))
}
