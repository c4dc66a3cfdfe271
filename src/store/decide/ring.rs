//! A walk around the ring of a queue's tenants, which reads the first runs of their lanes.
//!
//! Rule: only the first run of a lane with closed gates is read; the seek for the lane returns it anyway.

use std::collections::VecDeque;

use super::claim_in_progress::ClaimInProgress;
use super::ready_runs::{LaneName, LanesOfQueue, Position, ReadyRuns};
use super::turns::Turn;
use crate::error::Result;
use crate::flow::LaneGates;
use crate::run::RunId;

/// Most tenants that are visited per queue and claim; the next claim continues after them.
pub(super) const TENANTS_MAX: usize = 256;

/// Most runs at the front of a lane that a claim passes over because their deadline has passed or their row is invalid. Each claim buries
/// some of them.
pub(super) const PASSED_OVER_MAX: usize = 16;

/// Most runs of a lane that are read at once.
const PAGE_MAX: usize = 64;

/// A walk around the ring of a queue's tenants, from the tenant whose turn it is.
pub(super) struct Walk<'w> {
    queue: &'w str,
    begin: String,
    /// Whether the walk begins with the tenant `begin`, because its turn is not over; otherwise it begins after it.
    with_begin: bool,
    /// The tenant at which it ends.
    pub(super) end: String,
    /// The last visited tenant, if the walk stopped at [`TENANTS_MAX`].
    pub(super) cut: Option<String>,
    /// Whether it stopped because it had found enough tenants, so that the following ones were not visited.
    pub(super) is_partial: bool,
}

impl<'w> Walk<'w> {
    pub(super) fn new(queue: &'w str, turn: &Turn) -> Self {
        Self {
            queue,
            begin: turn.name.clone(),
            with_begin: turn.left > 0,
            end: turn
                .walked
                .as_ref()
                .map_or(&turn.name, |walked| &walked.begin)
                .clone(),
            cut: None,
            is_partial: false,
        }
    }

    /// Up to `max` tenants that have an open lane.
    pub(super) fn tenants(
        &mut self,
        runs: &impl ReadyRuns,
        claim: &mut ClaimInProgress<'_>,
        max: usize,
    ) -> Result<VecDeque<Tenant>> {
        let mut lanes = runs.lanes(self.queue)?;
        let mut seen = Seen {
            tenants: VecDeque::new(),
            visited: 0,
            last: None,
            max,
        };
        let first = if self.with_begin {
            Some(self.begin.clone())
        } else {
            lanes.tenant_after(&self.begin)?
        };
        let ends_before_wrap = self.end > self.begin;
        let up_to = ends_before_wrap.then(|| self.end.clone());
        self.visit(&mut lanes, claim, first, up_to.as_deref(), &mut seen)?;
        self.is_partial |= !ends_before_wrap && seen.tenants.len() >= max;
        if !ends_before_wrap && self.cut.is_none() && seen.tenants.len() < max {
            // Continue at the beginning of the ring.
            let up_to = self.end.clone();
            self.visit(
                &mut lanes,
                claim,
                Some(String::new()),
                Some(&up_to),
                &mut seen,
            )?;
        }
        Ok(seen.tenants)
    }

    fn visit(
        &mut self,
        lanes: &mut impl LanesOfQueue,
        claim: &mut ClaimInProgress<'_>,
        mut next: Option<String>,
        up_to: Option<&str>,
        seen: &mut Seen,
    ) -> Result<()> {
        while let Some(name) = next {
            // The first tenant of the walk is not visited again at its end.
            let again = self.with_begin && up_to == Some(&self.begin) && name == self.begin;
            if again || up_to.is_some_and(|up_to| name.as_str() > up_to) {
                break;
            }
            if seen.tenants.len() >= seen.max {
                self.is_partial = true;
                break;
            }
            if seen.visited >= TENANTS_MAX {
                self.cut.clone_from(&seen.last);
                break;
            }
            let open = open_lanes(lanes, claim, self.queue, &name)?;
            next = lanes.tenant_after(&name)?;
            seen.visited += 1;
            seen.last = Some(name.clone());
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
    /// The last of them, which may be the last of the ring.
    last: Option<String>,
    /// The walk stops after this many tenants with an open lane.
    max: usize,
}

fn open_lanes(
    lanes: &mut impl LanesOfQueue,
    claim: &mut ClaimInProgress<'_>,
    queue: &str,
    tenant: &str,
) -> Result<Vec<Lane>> {
    let mut open = Vec::new();
    let mut at = String::new();
    while let Some(head) = lanes.lane_after(tenant, &at)? {
        at = match claim.open(queue, tenant, &head.job) {
            Some(gates) => {
                open.push(Lane {
                    job: head.job.clone(),
                    gates,
                    runs: VecDeque::from([head.first]),
                    last: head.first,
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

/// The first runs of one (queue, tenant, job).
pub(super) struct Lane {
    pub(super) job: String,
    pub(super) gates: LaneGates,
    /// Runs that were read and not yet taken.
    pub(super) runs: VecDeque<Position>,
    /// The limits under which its runs are claimed.
    pub(super) limits: Option<String>,
    /// The last run read.
    last: Position,
    ended: bool,
    passed_over: usize,
}

impl Tenant {
    /// The next run and the index of its lane: the smallest order key over all open lanes, then the smallest id.
    pub(super) fn front(
        &mut self,
        runs: &impl ReadyRuns,
        queue: &str,
        wanted: usize,
        claim: &mut ClaimInProgress<'_>,
    ) -> Result<Option<(usize, RunId)>> {
        // A tenant with many lanes gives few runs from each.
        let page = (wanted / self.lanes.len().max(1)).clamp(1, PAGE_MAX);
        loop {
            for lane in &mut self.lanes {
                // Runs taken in the meantime may have closed the lane.
                if lane.runs.is_empty() && !lane.ended && claim.is_open(&lane.gates) {
                    lane.fill(runs, queue, &self.name, page)?;
                }
            }
            let heads = self.lanes.iter().enumerate();
            let best = heads
                .filter_map(|(index, lane)| Some((*lane.runs.front()?, index)))
                .min();
            let Some((first, index)) = best else {
                return Ok(None);
            };
            if claim.is_open(&self.lanes[index].gates) {
                return Ok(Some((index, first.run)));
            }
            // A closed lane does not open again within this claim.
            self.lanes.swap_remove(index);
        }
    }

    /// Records that the first run of this lane could not be taken.
    pub(super) fn pass_over(&mut self, lane: usize) {
        let it = &mut self.lanes[lane];
        it.runs.pop_front();
        it.passed_over += 1;
        if it.passed_over >= PASSED_OVER_MAX {
            self.lanes.swap_remove(lane);
        }
    }
}

impl Lane {
    fn fill(
        &mut self,
        runs: &impl ReadyRuns,
        queue: &str,
        tenant: &str,
        page: usize,
    ) -> Result<()> {
        let lane = LaneName {
            queue,
            tenant,
            job: &self.job,
        };
        runs.runs_after(lane, self.last, page, &mut self.runs)?;
        self.last = self.runs.back().copied().unwrap_or(self.last);
        self.ended = self.runs.len() < page;
        Ok(())
    }
}
