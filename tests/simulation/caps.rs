//! What the catalogues cap, counted beside the store.

use std::collections::BTreeMap;

use super::facts::Fact;

/// The job, limit, queue or tenant of which more runs are under way than may.
pub(super) fn over<'f>(running: impl Iterator<Item = &'f Fact>) -> Option<String> {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for fact in running {
        let limit = matches!(fact.job.as_str(), "charge" | "sync").then(|| "limit bank".to_owned());
        let tenant = (!fact.tenant.is_empty()).then(|| format!("tenant {}", fact.tenant));
        let own = [format!("job {}", fact.job), format!("queue {}", fact.queue)];
        for subject in own.into_iter().chain(limit).chain(tenant) {
            *counts.entry(subject).or_insert(0) += 1;
        }
    }
    let over = counts.into_iter().find(|(subject, count)| {
        let cap = match subject.as_str() {
            "job fragile" | "queue low" => 1,
            "limit bank" => 2,
            _ if subject.starts_with("tenant") => 3,
            _ => return false,
        };
        *count > cap
    });
    over.map(|(subject, _)| subject)
}
