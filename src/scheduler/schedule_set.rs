//! The schedules of a catalogue, ready to be opened.
//!
//! Rule: the digest of an entry covers everything that opening one of its periods uses, so two processes with equal digests open
//! equal runs.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::catalogue::{Catalogue, Intake, Schedule};
use crate::error::{Error, Kind, Result};
use crate::records::Settings;
use crate::schedule::{Rule, StoredRule};
use crate::units::hex;

/// All schedules of one load.
pub struct ScheduleSet {
    /// Path of the catalogue.
    pub(super) path: String,
    /// Identity of its files.
    pub(super) stamp: String,
    /// Settings of the catalogue that every enqueue needs.
    pub(super) settings: Settings,
    /// Release of the zone data.
    pub(super) data_version: String,
    /// Sorted by job name.
    pub(super) entries: Vec<Entry>,
}

/// A job with a schedule.
pub(super) struct Entry {
    pub(super) job: Box<str>,
    pub(super) plan: Arc<Plan>,
}

/// Everything that opening a period uses, besides the name of the job; shared by all jobs with equal plans.
pub(super) struct Plan {
    pub(super) schedule: Schedule,
    pub(super) intake: Intake,
    pub(super) digest: String,
    /// The offsets of its zone.
    zone: Arc<str>,
}

impl ScheduleSet {
    pub(super) fn of(catalogue: &Catalogue) -> Result<Self> {
        let mut zones: HashMap<String, Arc<str>> = HashMap::new();
        let mut plans: HashMap<String, Arc<Plan>> = HashMap::new();
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
            let plan = plans.entry(digest).or_insert_with_key(|digest| {
                Arc::new(Plan {
                    // Copies, so that the catalogue can be freed.
                    schedule: Schedule {
                        rule: Arc::new(Rule::clone(&schedule.rule)),
                        ..schedule.clone()
                    },
                    intake: job.intake.clone(),
                    digest: digest.clone(),
                    zone: Arc::clone(zone),
                })
            });
            entries.push(Entry {
                job: name.as_str().into(),
                plan: Arc::clone(plan),
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

    /// A set for this catalogue before any of its schedules is in force.
    pub(super) fn empty(of: &Self) -> Self {
        Self {
            path: of.path.clone(),
            stamp: of.stamp.clone(),
            settings: of.settings.clone(),
            data_version: of.data_version.clone(),
            entries: Vec::new(),
        }
    }

    /// Whether both sets open equal runs.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let key = |entry: &Entry| (entry.job.clone(), entry.plan.digest.clone());
        self.stamp == other.stamp
            && self
                .entries
                .iter()
                .map(key)
                .eq(other.entries.iter().map(key))
    }

    pub(super) fn has(&self, job: &str) -> bool {
        self.entries
            .binary_search_by(|entry| (*entry.job).cmp(job))
            .is_ok()
    }
}

impl Entry {
    /// Whether its rule is one of elapsed time.
    pub(super) fn is_elapsed(&self) -> bool {
        self.plan.schedule.rule.is_elapsed()
    }
}

impl Plan {
    pub(super) fn stored(&self) -> StoredRule {
        self.schedule.rule.stored(&self.zone)
    }
}

fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::new(Kind::Bug, format!("cannot write a schedule: {error}")))
}

fn digest(schedule: &Schedule, intake: &Intake, zone: &str) -> Result<String> {
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
    Ok(hex(&hasher.finalize()[..16]))
}
