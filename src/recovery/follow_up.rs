//! The follow-up of a dead run: the job that `on_dead` names.

use crate::catalogue::Catalogue;
use crate::clock;
use crate::document::{document, run_detail};
use crate::error::Result;
use crate::intake::Request;
use crate::observe::event::LogEvent;
use crate::observe::log;
use crate::records::Labels;
use crate::run::Trigger;
use crate::store::{Burial, Settings, Tx};

/// Enqueues the job that `on_dead` names, with the document of the dead run as payload. A run with trigger `on_dead` has no follow-up
/// itself.
pub fn follow_up(
    tx: &mut Tx<'_>,
    burial: &Burial,
    catalogue: &Catalogue,
    now_ms: i64,
) -> Result<()> {
    let Some(name) = catalogue
        .jobs
        .get(&burial.job)
        .and_then(|job| job.on_dead.as_ref())
    else {
        return Ok(());
    };
    let Some(job) = catalogue.jobs.get(name) else {
        return Ok(());
    };
    let Some(detail) = tx.show_run(burial.run, now_ms)? else {
        return Ok(());
    };
    if detail.trigger == Trigger::OnDead {
        return Ok(());
    }
    let facts = document("runs.show", run_detail(&detail));
    let request = Request {
        job: name,
        payload: Some(facts.to_string().into_bytes()),
        labels: Labels {
            correlation_id: detail.row.labels.correlation_id.clone(),
            ..Labels::default()
        },
        ..Request::default()
    };
    let key = clock::random_bytes();
    let mut new = match request.prepare(&job.intake, &Settings::of(catalogue), now_ms, key) {
        Ok(new) => new,
        Err(error) => {
            log::write(&LogEvent::OnDeadRefused {
                run: burial.run,
                error: error.message.into(),
            });
            return Ok(());
        }
    };
    new.trigger = Trigger::OnDead;
    new.parent = Some(burial.run);
    tx.enqueue(&new, now_ms)?;
    Ok(())
}
