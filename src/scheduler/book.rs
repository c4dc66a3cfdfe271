//! The schedules of a catalogue, ready to be opened.
//!
//! Rule: the digest of an entry covers everything that opening one of its periods uses, so two processes with equal digests
//! open the same.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::catalogue::{Catalogue, Intake, Schedule};
use crate::error::{Error, Kind, Result};
use crate::policy::Backlog;
use crate::schedule::{Rule, StoredRule};
use crate::store::Settings;
use crate::units::hex;

/// All schedules of one load.
pub(super) struct Book {
    /// Path of the catalogue.
    pub(super) path: String,
    /// Identity of its files.
    pub(super) stamp: String,
    /// What every enqueue needs.
    pub(super) settings: Settings,
    /// Release of the zone data.
    pub(super) data_version: String,
    /// By name.
    pub(super) entries: Vec<Entry>,
}

/// A job with a schedule.
pub(super) struct Entry {
    pub(super) job: Box<str>,
    pub(super) schedule: Schedule,
    pub(super) intake: Arc<Intake>,
    digest: [u8; 16],
    /// The offsets of its zone, shared by all entries of that zone.
    zone: Arc<str>,
    /// What was missed, as it was found; kept until all of it is decided.
    pub(super) backlog: Option<Box<(i64, Backlog)>>,
}

impl Book {
    pub(super) fn of(catalogue: &Catalogue) -> Result<Self> {
        let mut zones: HashMap<String, Arc<str>> = HashMap::new();
        let mut rules = HashMap::new();
        let mut intakes = HashMap::new();
        let mut entries = Vec::with_capacity(catalogue.jobs.len());
        for (name, job) in &catalogue.jobs {
            let Some(schedule) = &job.schedule else {
                continue;
            };
            let zone = schedule.rule.zone();
            let zone = zones
                .entry(zone.name().to_owned())
                .or_insert_with(|| zone.offsets_text().into());
            let digest = digest(schedule, &job.intake, zone)?;
            // Copies, so that nothing of the catalogue stays; equal ones are one.
            let rule = rules
                .entry((schedule.rule.normalised(), schedule.splay_ms))
                .or_insert_with(|| Arc::new(Rule::clone(&schedule.rule)));
            let intake = intakes
                .entry(to_json(&job.intake)?)
                .or_insert_with(|| Arc::new(job.intake.clone()));
            entries.push(Entry {
                job: name.as_str().into(),
                schedule: Schedule {
                    rule: Arc::clone(rule),
                    ..schedule.clone()
                },
                intake: Arc::clone(intake),
                digest,
                zone: Arc::clone(zone),
                backlog: None,
            });
        }
        Ok(Self {
            path: catalogue.path.to_string_lossy().into_owned(),
            stamp: catalogue.stamp.clone(),
            settings: Settings::of(catalogue),
            data_version: catalogue.zones.versions().used().to_owned(),
            entries,
        })
    }

    pub(super) fn has(&self, job: &str) -> bool {
        self.entries
            .binary_search_by(|entry| (*entry.job).cmp(job))
            .is_ok()
    }
}

impl Entry {
    /// As the store keeps it.
    pub(super) fn digest(&self) -> String {
        hex(&self.digest)
    }

    pub(super) fn stored(&self) -> StoredRule {
        StoredRule {
            rule: self.schedule.rule.normalised(),
            zone: self.zone.to_string(),
        }
    }
}

fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::new(Kind::Bug, format!("cannot write a schedule: {error}")))
}

fn digest(schedule: &Schedule, intake: &Intake, zone: &str) -> Result<[u8; 16]> {
    let facts = json!({
        "rule": schedule.rule.normalised(),
        "splay_ms": schedule.splay_ms,
        "late_grace_ms": schedule.late_grace_ms,
        "catch_up": schedule.catch_up,
        "catch_up_within_ms": schedule.catch_up_within_ms,
        "catch_up_max": schedule.catch_up_max,
        "overlap": schedule.overlap,
        "params": schedule.params,
        "intake": intake,
    });
    let mut hasher = Sha256::new();
    hasher.update(zone);
    hasher.update(to_json(&facts)?);
    let mut digest = [0; 16];
    digest.copy_from_slice(&hasher.finalize()[..16]);
    Ok(digest)
}
