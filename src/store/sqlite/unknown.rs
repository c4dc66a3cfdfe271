//! Ready runs that no worker can take: no loaded catalogue has their job, or their queue.

use std::collections::BTreeSet;

use super::lanes::Lanes;
use crate::error::Result;
use crate::store::UnknownLane;

/// Number of lanes that are checked.
const LANES_MAX: usize = 256;

impl super::Store {
    /// Lanes of ready runs whose job or queue no catalogue has; of many only the first. Empty before a catalogue was loaded.
    pub fn unknown_lanes(&self) -> Result<BTreeSet<UnknownLane>> {
        const PLACES: &str = "SELECT queue, tenant FROM depth WHERE ready > 0 LIMIT ?1";
        const KNOWS_QUEUE: &str = "
            SELECT EXISTS (SELECT 1 FROM queue WHERE queue = ?1) OR NOT EXISTS (SELECT 1 FROM queue)";
        let conn = self.connection()?;
        let mut places = conn.prepare_cached(PLACES)?;
        let places = places.query_map([LANES_MAX as i64], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })?;
        let mut knows_queue = conn.prepare_cached(KNOWS_QUEUE)?;
        let mut unknown = BTreeSet::new();
        let mut looked_at = 0;
        for place in places {
            let (queue, tenant) = place?;
            let queue_known: bool = knows_queue.query_row([&queue], |row| row.get(0))?;
            let mut lanes = Lanes::of(conn, &queue)?;
            let mut at = String::new();
            while let Some(head) = lanes.behind(&tenant, &at)? {
                looked_at += 1;
                if looked_at > LANES_MAX {
                    return Ok(unknown);
                }
                let is_job = super::why::knows_job(conn, &head.job)? == Some(false);
                if is_job || !queue_known {
                    unknown.insert(UnknownLane {
                        queue: queue.clone(),
                        job: head.job.clone(),
                        is_job,
                    });
                }
                at = head.job;
            }
        }
        Ok(unknown)
    }
}
