//! Why enqueues are refused now: full queues and tenants, too little disk space, a database near its maximum size.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Context;
use crate::catalogue::{self, Catalogue};
use crate::error::Result;
use crate::flow::{FlowView, Space, SpaceShortage, waiting_words};
use crate::store::{QueueRow, Settings, Store};

/// Which queues are refused, and why.
pub(super) struct Pressure {
    space: Option<Space>,
    shortages: BTreeMap<String, SpaceShortage>,
    full: BTreeMap<String, (i64, i64)>,
    full_tenants: BTreeMap<String, (i64, i64)>,
}

/// Number of full tenants that are listed; the rest are counted.
const TENANTS_TOLD: usize = 5;

impl Pressure {
    /// Reads the store. Without a catalogue the limits on space are unknown and not checked.
    pub(super) fn of(
        queues: &[QueueRow],
        flow: &FlowView,
        store: &Store,
        context: &Context,
    ) -> Result<Self> {
        let full = queues.iter().filter_map(|row| {
            let max = flow.queue(&row.queue).max_waiting?;
            let waiting = row.waiting();
            (waiting >= max).then(|| (row.queue.clone(), (waiting, max)))
        });
        let full = full.collect();
        let full_tenants = full_tenants(flow, store)?;
        let Some(settings) = settings(store, context)? else {
            return Ok(Self {
                space: None,
                shortages: BTreeMap::new(),
                full,
                full_tenants,
            });
        };
        let space = store.space(&settings)?;
        let refused = space.refused(&settings.ranks).into_iter();
        Ok(Self {
            space: Some(space),
            shortages: refused.map(|(name, why)| (name.to_owned(), why)).collect(),
            full,
            full_tenants,
        })
    }

    /// Why a queue refuses enqueues, in a word.
    pub(super) fn refuses(&self, queue: &str) -> Option<String> {
        let shortage = self.shortages.get(queue).map(SpaceShortage::to_string);
        shortage.or_else(|| self.full.contains_key(queue).then(|| "full".to_owned()))
    }

    /// Lines for people; none if all enqueues are accepted.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for why in [SpaceShortage::Disk, SpaceShortage::Size] {
            let refused = self
                .shortages
                .iter()
                .filter(|(_, shortage)| **shortage == why);
            let names: Vec<&str> = refused.map(|(name, _)| name.as_str()).collect();
            if let (Some(space), false) = (&self.space, names.is_empty()) {
                let (word, verb) = match names.len() {
                    1 => ("queue", "is"),
                    _ => ("queues", "are"),
                };
                let names = names.join("`, `");
                lines.push(format!(
                    "{word} `{names}` {verb} refused: {}",
                    space.words(why)
                ));
            }
        }
        for (queue, (waiting, max)) in &self.full {
            lines.push(format!(
                "queue `{queue}` is full and refuses enqueues: {}",
                waiting_words(*waiting, *max)
            ));
        }
        for (tenant, (waiting, max)) in self.full_tenants.iter().take(TENANTS_TOLD) {
            lines.push(format!(
                "tenant `{tenant}` is full and refuses enqueues: {}",
                waiting_words(*waiting, *max)
            ));
        }
        match self.full_tenants.len().saturating_sub(TENANTS_TOLD) {
            0 => {}
            more => lines.push(format!("{more} more tenants are full and refuse enqueues")),
        }
        lines
    }

    /// Tenants that are full.
    pub(super) fn full_tenants(&self) -> Vec<&str> {
        self.full_tenants.keys().map(String::as_str).collect()
    }

    /// The space of `status`.
    pub(super) fn space(&self) -> Value {
        let Some(space) = &self.space else {
            return Value::Null;
        };
        json!({
            "free_bytes": space.free,
            "min_free_bytes": space.min_free,
            "used_bytes": space.max_size.map(|_| space.used),
            "max_size_bytes": space.max_size,
            "refused": self.shortages.keys().collect::<Vec<_>>(),
        })
    }
}

/// Full tenants, with the number of waiting runs and the maximum.
fn full_tenants(flow: &FlowView, store: &Store) -> Result<BTreeMap<String, (i64, i64)>> {
    let tenants = &flow.rules.tenants;
    let named = tenants.named.values().map(|tenant| tenant.quota);
    let bounds = named.chain([tenants.each]);
    let Some(least) = bounds.filter_map(|quota| quota.max_waiting).min() else {
        return Ok(BTreeMap::new());
    };
    let waiting = store.tenants_with_waiting(least)?.into_iter();
    let full = waiting.filter_map(|(tenant, waiting)| {
        let max = flow.rules.quota(&tenant).max_waiting?;
        (waiting >= max).then_some((tenant, (waiting, max)))
    });
    Ok(full.collect())
}

/// The settings about space and ranks, from the copy in the store if that is current, else from the catalogue.
fn settings(store: &Store, context: &Context) -> Result<Option<Settings>> {
    let path = context.catalogue_path();
    let Ok(stamp) = catalogue::stamp(&path, context.now_ms()) else {
        return Ok(None);
    };
    if let Some(kept) = store.cached_settings(&path.to_string_lossy(), &stamp.text)? {
        return Ok(Some(kept));
    }
    let catalogue = Catalogue::load(&path).ok();
    Ok(catalogue.as_ref().map(Settings::of))
}
