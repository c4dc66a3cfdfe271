//! Loads a [`Catalogue`]: reads and merges its files, and checks references between sections.
//!
//! Rule: a catalogue with any error is not used at all, and all errors of all files are reported at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::complaint::{Complaint, Level, LoadError};
use super::job::{self, JobKeys, Read};
use super::reader::{Entry, Table};
use super::schedule::Calendars;
use super::settings::{self, Context, DefaultZone, check_name};
use super::source::{Place, Source};
use super::{Catalogue, calendars, file, flow, keys, references, starvation, trust};
use crate::zone_files;

impl Catalogue {
    /// Reads `path` and `jobs.d/*.toml` beside it. Warnings are dropped; see [`Catalogue::check`].
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let (catalogue, complaints) = read(path, None);
        if complaints.iter().any(|c| c.level == Level::Error) {
            return Err(LoadError {
                path: path.to_owned(),
                complaints,
            });
        }
        Ok(catalogue)
    }

    /// All errors and warnings of these files; they can be loaded if there is no error.
    ///
    /// Some warnings about schedules look ahead from `now_ms`: clock changes, holiday lists that end, old zone data.
    pub fn check(path: &Path, now_ms: i64) -> Vec<Complaint> {
        read(path, Some(now_ms)).1
    }
}

/// The catalogue as far as it can be read, and the complaints by file and line.
fn read(path: &Path, now_ms: Option<i64>) -> (Catalogue, Vec<Complaint>) {
    let opened = file::open(path);
    let mut complaints = opened.complaints;
    let shared = opened.shared;
    let files = opened.files.into_iter().enumerate();
    let sources: Vec<Source> = files
        .map(|(index, (path, bytes))| Source::new(&path, index == 0, bytes))
        .collect();
    let documents: Vec<_> = sources
        .iter()
        .map(|source| (source, source.parse()))
        .collect();
    let broken = !complaints.is_empty() || sources.iter().any(Source::has_errors);
    let zones = Arc::new(zone_files::zones());
    let context = Context::new(settings::base_of(path), broken, zones, now_ms);
    let roots: Vec<Table<'_>> = documents
        .iter()
        .map(|(source, table)| Table::root(source.place(0..0), table))
        .collect();
    let catalogue = Catalogue {
        path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        stamp: opened.stamp,
        ..walk(&roots, &context)
    };
    drop(roots);
    drop(documents);
    if now_ms.is_some() {
        complaints.extend(trust::group_warnings(path, &shared));
    }
    complaints.extend(sources.into_iter().flat_map(Source::into_complaints));
    complaints.extend(context.into_file_complaints());
    complaints.extend(now_ms.and_then(|now_ms| old_zone_data(&catalogue, now_ms)));
    (catalogue, complaints)
}

/// A warning about old zone data: changes of zone rules since then are unknown.
fn old_zone_data(catalogue: &Catalogue, now_ms: i64) -> Option<Complaint> {
    let scheduled = catalogue.jobs.values().any(|job| job.schedule.is_some());
    let warning = catalogue.zones.age_warning(now_ms).filter(|_| scheduled)?;
    let (message, hint) = warning.split_once(": ").unwrap_or((&warning, ""));
    Some(Complaint {
        level: Level::Warning,
        ..Complaint::about_file(&catalogue.path, message, Some(hint.to_owned()))
    })
}

/// Reads all sections of all files.
fn walk(roots: &[Table<'_>], context: &Context) -> Catalogue {
    for root in roots {
        check_sections(root);
    }
    let main = roots.first().filter(|root| root.place.source.is_main);
    let section = |key, known: &[&str]| main.and_then(|root| root.table(key, known));
    let known: Vec<&str> = [keys::TIMEZONE]
        .iter()
        .chain(keys::SHARED)
        .copied()
        .collect();
    let defaults = main
        .and_then(|root| root.get("defaults"))
        .and_then(|value| value.table());
    if let Some(table) = &defaults {
        check_defaults(table, &known);
    }
    let inherited = defaults
        .as_ref()
        .map(|table| JobKeys::read(table, context))
        .unwrap_or_default();
    let timezone = defaults
        .as_ref()
        .and_then(|table| table.get(keys::TIMEZONE));
    let store = settings::store(section("store", keys::STORE).as_ref());
    let worker = settings::worker(section("worker", keys::WORKER).as_ref());
    let queue_sections = named(roots, "queue");
    let queues = flow::queues(&queue_sections, context);
    let limits = flow::limits(&named(roots, "limit"), context);
    let tenants = flow::tenants(main.and_then(|root| root.get("tenants")).as_ref());
    let calendars = calendars::calendars(&named(roots, "calendar"), context);
    let shared = Calendars {
        calendars: &calendars,
        timezone: DefaultZone::read(timezone.as_ref(), context),
    };
    let jobs = jobs(roots, &inherited, &shared, context);
    references::check(&jobs, &queues, &limits, context);
    starvation::check(&jobs, &queues, &limits, &queue_sections);
    Catalogue {
        path: std::path::PathBuf::new(),
        stamp: String::new(),
        zones: Arc::clone(&context.zones),
        timezone: shared.timezone.zone(),
        store,
        worker,
        queues,
        limits,
        tenants,
        jobs: jobs
            .into_iter()
            .map(|(name, read)| (name, Arc::new(read.job)))
            .collect(),
    }
}

/// Refuses unknown sections, and in `jobs.d` those that apply to all jobs.
fn check_sections(root: &Table<'_>) {
    root.check_keys(keys::ROOT, "a catalogue");
    for entry in root.entries() {
        if !root.place.source.is_main
            && matches!(entry.key, "defaults" | "store" | "worker" | "tenants")
        {
            let message = format!("`{}` in a file of `jobs.d`", entry.key);
            entry
                .place
                .error(message, "move it to the main file: it applies to every job");
        }
    }
}

/// Refuses unknown keys, and keys of a job that cannot have a default.
fn check_defaults(table: &Table<'_>, known: &[&str]) {
    let both: Vec<&str> = known.iter().chain(keys::OWN).copied().collect();
    table.check_keys(&both, "`defaults`");
    for entry in table.entries() {
        if keys::OWN.contains(&entry.key) {
            let message = format!("`{}` cannot have a default", entry.key);
            entry
                .place
                .error(message, "move it to the jobs that it is meant for");
        }
    }
}

/// The named tables below `[queue]`, `[calendar]` or `[job]` of all files; duplicate names are reported.
fn named<'a>(roots: &[Table<'a>], section: &str) -> Vec<Entry<'a>> {
    let mut seen: BTreeMap<&str, Place<'a>> = BTreeMap::new();
    let mut all = Vec::new();
    for value in roots.iter().filter_map(|root| root.get(section)) {
        for entry in value
            .table()
            .map(|table| table.entries())
            .unwrap_or_default()
        {
            check_name(&entry, section);
            if let Some(first) = seen.get(entry.key) {
                let message = format!(
                    "{section} `{}` is already defined in {}",
                    entry.key,
                    first.named()
                );
                entry
                    .place
                    .error(message, "remove or rename one of the two");
                continue;
            }
            seen.insert(entry.key, entry.place);
            all.push(entry);
        }
    }
    all
}

fn jobs<'a>(
    roots: &[Table<'a>],
    inherited: &JobKeys<'a>,
    shared: &Calendars<'_>,
    context: &Context,
) -> BTreeMap<String, Read<'a>> {
    let known: Vec<&str> = keys::OWN.iter().chain(keys::SHARED).copied().collect();
    let mut jobs = BTreeMap::new();
    for entry in named(roots, "job") {
        let Some(table) = entry.value.table() else {
            continue;
        };
        table.check_keys(&known, "a job");
        jobs.insert(
            entry.key.to_owned(),
            job::read(&entry, &table, inherited, shared, context),
        );
    }
    // A default `on_dead` does not apply to the job that it names, which would report its own failures.
    for (name, read) in &mut jobs {
        if read.job.on_dead.as_ref() == Some(name) && matches!(read.on_dead_place, Some((_, false)))
        {
            read.job.on_dead = None;
        }
    }
    jobs
}
