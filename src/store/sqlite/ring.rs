//! A walk around the ring of a queue's tenants, and the first rows of their lanes.
//!
//! Rule: of a lane with closed gates only the first row is read, which the seek for the lane returns.

use std::collections::VecDeque;

use rusqlite::{Row, params};

use super::lanes::Lanes;
use super::writer::Tx;
use crate::error::Result;
use crate::flow::LaneGates;
use crate::store::decide::{ClaimInProgress, Turn};

/// Tenants that are visited per queue and claim; the next claim continues after them.
const TENANTS_MAX: usize = 256;

/// Runs at the front of a lane that a claim passes over because their deadline has passed or their row is invalid. Each claim buries
/// some of them.
const PASSED_OVER_MAX: u32 = 16;

/// A walk around the ring of a queue's tenants, from the tenant whose turn it is.
pub(super) struct Walk<'w> {
    queue: &'w str,
    begin: String,
    /// Whether its turn is not over: then the walk begins with it, else after it.
    with_begin: bool,
    /// Where it ends.
    pub(super) end: String,
    /// The last visited tenant, if there were too many.
    pub(super) cut: Option<String>,
    /// Whether it ended because it had found enough tenants, so that the following ones were not visited.
    pub(super) is_partial: bool,
}

impl<'w> Walk<'w> {
    pub(super) fn new(queue: &'w str, turn: &Turn) -> Self {
        Self {
            queue,
            begin: turn.name.clone(),
            with_begin: turn.left > 0,
            end: turn.walked.clone().unwrap_or_else(|| turn.name.clone()),
            cut: None,
            is_partial: false,
        }
    }

    /// Up to `max` tenants that have an open lane.
    pub(super) fn tenants(
        &mut self,
        tx: &Tx<'_>,
        claim: &mut ClaimInProgress<'_>,
        max: usize,
    ) -> Result<VecDeque<Tenant>> {
        let mut lanes = Lanes::of(tx.conn, self.queue)?;
        let mut seen = Seen {
            tenants: VecDeque::new(),
            visited: 0,
            max,
        };
        let first = if self.with_begin {
            Some(self.begin.clone())
        } else {
            lanes.tenant_behind(&self.begin)?
        };
        let short = self.end > self.begin;
        let upto = short.then(|| self.end.clone());
        self.pass(&mut lanes, claim, first, upto.as_deref(), &mut seen)?;
        self.is_partial |= !short && seen.tenants.len() >= max;
        if !short && self.cut.is_none() && seen.tenants.len() < max {
            // Continue at the beginning of the ring.
            let upto = self.end.clone();
            self.pass(
                &mut lanes,
                claim,
                Some(String::new()),
                Some(&upto),
                &mut seen,
            )?;
        }
        Ok(seen.tenants)
    }

    fn pass(
        &mut self,
        lanes: &mut Lanes<'_>,
        claim: &mut ClaimInProgress<'_>,
        mut next: Option<String>,
        upto: Option<&str>,
        seen: &mut Seen,
    ) -> Result<()> {
        let mut last: Option<String> = None;
        while let Some(name) = next {
            // The first tenant of the walk is not visited again at its end.
            let again = self.with_begin && upto == Some(&self.begin) && name == self.begin;
            if again || upto.is_some_and(|upto| name.as_str() > upto) {
                break;
            }
            if seen.tenants.len() >= seen.max {
                self.is_partial = true;
                break;
            }
            if seen.visited >= TENANTS_MAX {
                self.cut = last;
                break;
            }
            let open = open_lanes(lanes, claim, self.queue, &name)?;
            next = lanes.tenant_behind(&name)?;
            seen.visited += 1;
            last = Some(name.clone());
            if !open.is_empty() {
                seen.tenants.push_back(Tenant { name, lanes: open });
            }
        }
        Ok(())
    }
}

/// The tenants that a walk has visited.
struct Seen {
    /// Tenants with an open lane.
    tenants: VecDeque<Tenant>,
    /// Number of all visited tenants.
    visited: usize,
    /// Number of tenants with an open lane that is enough.
    max: usize,
}

fn open_lanes(
    lanes: &mut Lanes<'_>,
    claim: &mut ClaimInProgress<'_>,
    queue: &str,
    tenant: &str,
) -> Result<Vec<Lane>> {
    let mut open = Vec::new();
    let mut at = String::new();
    while let Some(head) = lanes.behind(tenant, &at)? {
        at = match claim.open(queue, tenant, &head.job) {
            Some(gates) => {
                open.push(Lane {
                    job: head.job.clone(),
                    gates,
                    rows: VecDeque::from([(head.order_key, head.run)]),
                    last: (head.order_key, head.run),
                    ended: false,
                    limits: claim.gates.limits_of_claim(&head.job),
                    passed_over: 0,
                });
                head.job
            }
            None => claim.skip_closed(queue, tenant, head.job),
        };
    }
    Ok(open)
}

/// A tenant with the open lanes that it has in one queue.
pub(super) struct Tenant {
    pub(super) name: String,
    pub(super) lanes: Vec<Lane>,
}

/// The front rows of one (queue, tenant, job).
pub(super) struct Lane {
    pub(super) job: String,
    pub(super) gates: LaneGates,
    /// (order key, run), not yet taken.
    pub(super) rows: VecDeque<(i64, i64)>,
    /// The limits under which its runs are claimed.
    pub(super) limits: Option<String>,
    /// The last row read.
    last: (i64, i64),
    ended: bool,
    passed_over: u32,
}

impl Tenant {
    /// The lane and run that are next: the smallest order key over all open lanes, then the smallest id.
    pub(super) fn front(
        &mut self,
        tx: &Tx<'_>,
        queue: &str,
        wanted: usize,
        claim: &mut ClaimInProgress<'_>,
    ) -> Result<Option<(usize, i64)>> {
        // A tenant with many lanes gives few rows from each.
        let page = (wanted / self.lanes.len().max(1)).clamp(1, 64);
        loop {
            for lane in &mut self.lanes {
                // Runs that were taken since may have closed it.
                if lane.rows.is_empty() && !lane.ended && claim.is_open(&lane.gates) {
                    lane.fill(tx, queue, &self.name, page)?;
                }
            }
            let heads = self.lanes.iter().enumerate();
            let best = heads
                .filter_map(|(index, lane)| Some((*lane.rows.front()?, index)))
                .min();
            let Some(((_, run), index)) = best else {
                return Ok(None);
            };
            if claim.is_open(&self.lanes[index].gates) {
                return Ok(Some((index, run)));
            }
            // A closed lane does not open again within this claim.
            self.lanes.swap_remove(index);
        }
    }
}

impl Tenant {
    /// Notes that the first run of this lane could not be taken.
    pub(super) fn pass_over(&mut self, lane: usize) {
        let it = &mut self.lanes[lane];
        it.rows.pop_front();
        it.passed_over += 1;
        if it.passed_over >= PASSED_OVER_MAX {
            self.lanes.swap_remove(lane);
        }
    }
}

impl Lane {
    fn fill(&mut self, tx: &Tx<'_>, queue: &str, tenant: &str, page: usize) -> Result<()> {
        const EQUAL: &str = "
            SELECT order_key, id FROM run INDEXED BY run_ready
            WHERE ready = 1 AND queue = ?1 AND tenant = ?2 AND job = ?3 AND order_key = ?4 AND id > ?5
            ORDER BY id LIMIT ?6";
        const BEHIND: &str = "
            SELECT order_key, id FROM run INDEXED BY run_ready
            WHERE ready = 1 AND queue = ?1 AND tenant = ?2 AND job = ?3 AND order_key > ?4
            ORDER BY order_key, id LIMIT ?5";
        let pair = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let (key, run) = self.last;
        // Runs that were enqueued together have the same order key: among them the id decides. Two statements, for the reason
        // given in `lanes`.
        let mut statement = tx.conn.prepare_cached(EQUAL)?;
        let values = params![queue, tenant, self.job, key, run, page as i64];
        for row in statement.query_map(values, pair)? {
            self.rows.push_back(row?);
        }
        let missing = page - self.rows.len();
        if missing > 0 {
            let mut statement = tx.conn.prepare_cached(BEHIND)?;
            let values = params![queue, tenant, self.job, key, missing as i64];
            for row in statement.query_map(values, pair)? {
                self.rows.push_back(row?);
            }
        }
        self.last = self.rows.back().copied().unwrap_or(self.last);
        self.ended = self.rows.len() < page;
        Ok(())
    }
}
