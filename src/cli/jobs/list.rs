//! `jobctl jobs list`: the jobs of the catalogue, and which of them are paused.

use std::collections::BTreeMap;

use serde_json::json;

use crate::catalogue::Catalogue;
use crate::cli::{Context, Paint, Table, when};
use crate::document;
use crate::error::{Error, Kind};
use crate::store::{Create, Pause, Store};

/// List the jobs of the catalogue
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Lists.
pub(super) fn run(context: &mut Context) -> anyhow::Result<u8> {
    let catalogue = Catalogue::load(&context.catalogue_path()).map_err(Error::from)?;
    let pauses = pauses(store(context)?.as_ref(), context.now_ms())?;
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
    let scheduled = catalogue.jobs.values().any(|job| job.schedule.is_some());
    let mut table = if scheduled {
        Table::new(&[
            "~JOB",
            "~QUEUE",
            ">PRIORITY",
            "PAUSED",
            "~SCHEDULE",
            "~DESCRIPTION",
        ])
    } else {
        Table::new(&["~JOB", "~QUEUE", ">PRIORITY", "PAUSED", "~DESCRIPTION"])
    };
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
        let priority = job.intake.priority.to_string();
        let name = (job.name.as_str(), Paint::Plain);
        let queue = (job.intake.queue.as_str(), Paint::Plain);
        let priority = (priority.as_str(), Paint::Plain);
        let since = (since.as_str(), color);
        let description = (job.description.as_deref().unwrap_or("-"), Paint::Plain);
        if scheduled {
            let words = job.schedule.as_ref().map(|schedule| schedule.rule.words());
            let schedule = (words.as_deref().unwrap_or("-"), Paint::Plain);
            table.painted([name, queue, priority, since, schedule, description]);
        } else {
            table.painted([name, queue, priority, since, description]);
        }
    }
    context.screen.table(&table);
    Ok(0)
}

/// The store; `None` where there is none yet.
pub(super) fn store(context: &mut Context) -> anyhow::Result<Option<Store>> {
    match context.open_store(Create::Never) {
        Ok(store) => Ok(Some(store)),
        Err(error) if is_no_store(&error, context) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The pauses in the store, by job.
pub(super) fn pauses(
    store: Option<&Store>,
    now_ms: i64,
) -> anyhow::Result<BTreeMap<String, Pause>> {
    let pauses = store.map(|store| store.pauses(now_ms)).transpose()?;
    let pauses = pauses.unwrap_or_default();
    Ok(pauses
        .into_iter()
        .map(|pause| (pause.job.clone(), pause))
        .collect())
}

/// Whether the error only says that no store exists yet: the definitions can be shown without one.
fn is_no_store(error: &anyhow::Error, context: &Context) -> bool {
    let unavailable = error
        .downcast_ref::<Error>()
        .is_some_and(|error| error.kind == Kind::Unavailable);
    let dir = context.store_dir();
    unavailable && dir.is_ok_and(|dir| !dir.join("jobctl.db").exists())
}
