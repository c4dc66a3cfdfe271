//! What an enqueue needs of a catalogue besides its job.

use crate::catalogue::Catalogue;

/// What `enqueue` needs besides the job.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Settings {
    /// Zone of times without an offset.
    pub timezone: Option<chrono_tz::Tz>,
    /// `[store] min_free`
    pub min_free: u64,
    /// `[store] max_size`
    pub max_size: Option<u64>,
    /// Rank of each queue.
    pub ranks: std::collections::BTreeMap<String, i64>,
}

impl Settings {
    /// Those of a catalogue.
    pub fn of(catalogue: &Catalogue) -> Self {
        Self {
            timezone: catalogue.timezone,
            min_free: catalogue.store.min_free,
            max_size: catalogue.store.max_size,
            ranks: catalogue
                .queues
                .iter()
                .map(|(name, queue)| (name.clone(), queue.rank))
                .collect(),
        }
    }
}
