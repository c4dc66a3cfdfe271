//! `jobctl jobs list`: the jobs of the catalogue, and which of them are paused.

use std::collections::BTreeMap;

use serde_json::json;

use crate::catalogue::Catalogue;
use crate::cli::{Context, Paint, Table, when};
use crate::document;
use crate::error::{Error, Kind};
use crate::store::{Create, Pause};

/// List the jobs of the catalogue
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Lists.
pub(super) fn run(context: &mut Context) -> anyhow::Result<u8> {
    let catalogue = Catalogue::load(&context.catalogue_path()).map_err(Error::from)?;
    let pauses = pauses(context)?;
    if context.screen.json() {
        let items: Vec<_> = catalogue
            .jobs
            .values()
            .map(|job| document::job_item(job, pauses.get(&job.name)))
            .collect();
        context.screen.document("jobs", json!({ "items": items }));
        return Ok(0);
    }
    if catalogue.jobs.is_empty() {
        let path = catalogue.path.display();
        context.screen.say(&format!("no jobs in `{path}`"));
    }
    let mut table = Table::new(&["~JOB", "~QUEUE", ">PRIORITY", "PAUSED", "~DESCRIPTION"]);
    for job in catalogue.jobs.values() {
        let since = match pauses.get(&job.name) {
            Some(pause) => when::relative(pause.paused_ms, context.now_ms()),
            None => "-".to_owned(),
        };
        let color = if since == "-" {
            Paint::Plain
        } else {
            Paint::Bad
        };
        table.painted([
            (&job.name, Paint::Plain),
            (&job.intake.queue, Paint::Plain),
            (&job.intake.priority.to_string(), Paint::Plain),
            (&since, color),
            (job.description.as_deref().unwrap_or("-"), Paint::Plain),
        ]);
    }
    context.screen.table(&table);
    Ok(0)
}

/// The pauses of the store by job; none where there is no store yet.
pub(super) fn pauses(context: &mut Context) -> anyhow::Result<BTreeMap<String, Pause>> {
    let opened = context.open_store(Create::Never);
    let store = match opened {
        Ok(store) => store,
        Err(error) if is_no_store(&error, context) => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let pauses = store.pauses()?;
    Ok(pauses
        .into_iter()
        .map(|pause| (pause.job.clone(), pause))
        .collect())
}

/// Whether nothing was ever stored there, which is no mistake of who only looks at definitions.
fn is_no_store(error: &anyhow::Error, context: &Context) -> bool {
    let unavailable = error
        .downcast_ref::<Error>()
        .is_some_and(|error| error.kind == Kind::Unavailable);
    let place = context.state_place();
    unavailable && place.is_ok_and(|place| !place.dir.join("jobctl.db").exists())
}
