//! Selects the ready runs for a worker: queues by rank or weight, tenants in turn by weight, then each lane in its order.
//!
//! A lane is (queue, tenant, job). Its gates are checked before its rows are read, so that a million runs of a paused job cost one
//! seek, and again before each run, counting all runs that were taken.

use std::collections::VecDeque;

use super::claim::{Taken, Wanted};
use super::flow;
use super::ring::Walk;
use super::writer::Tx;
use crate::error::Result;
use crate::store::decide::ClaimInProgress;
use crate::store::{ClaimRequest, Claims, ServedQueue, Turns};

/// Why a walk through a queue ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// No further run of the queue may start.
    NothingClaimable,
    /// The queue had its share.
    Share,
    /// The worker has enough runs.
    Claim,
}

impl Tx<'_> {
    /// Takes up to `max` runs for a worker.
    pub fn claim(
        &mut self,
        request: &ClaimRequest<'_>,
        turns: &mut Turns,
        now_ms: i64,
    ) -> Result<Claims> {
        let rules = self.rules(now_ms)?;
        let mut claim = ClaimInProgress {
            request,
            gates: flow::gates(self.conn, &rules.rules, now_ms)?,
            reserves: self.reserves(request, &rules.rules)?,
            changes_ms: rules.until_ms,
            may_skip: true,
            skipped: false,
            claims: Claims {
                full: request.max == 0,
                ..Claims::default()
            },
        };
        if claim.claims.full {
            return Ok(claim.claims);
        }
        let mut queues: Vec<&ServedQueue> = request.queues.iter().collect();
        queues.sort_by_key(|queue| (rules.rules.rank(&queue.name), &queue.name));
        self.walk(&queues, &mut claim, turns)?;
        if claim.skipped && !claim.claims.full {
            // The worker has free slots, so it must know when the skipped lanes may open: visit them too.
            claim.may_skip = false;
            self.walk(&queues, &mut claim, turns)?;
        }
        for (subject, throttle) in claim.gates.changed() {
            self.save_throttle(subject, throttle)?;
        }
        Ok(claim.claims)
    }

    /// Takes runs from the queues in order.
    fn walk(
        &mut self,
        queues: &[&ServedQueue],
        claim: &mut ClaimInProgress<'_>,
        turns: &mut Turns,
    ) -> Result<()> {
        if queues.iter().any(|queue| queue.weight.is_some()) {
            return self.claim_by_weight(queues, claim, turns);
        }
        for queue in queues {
            if self.claim_from(&queue.name, claim.request.max, claim, turns)? == End::Claim {
                break;
            }
        }
        Ok(())
    }

    /// Takes runs in rounds: each queue gets as many runs as its weight, and other queues get the unused share.
    fn claim_by_weight(
        &mut self,
        queues: &[&ServedQueue],
        claim: &mut ClaimInProgress<'_>,
        turns: &mut Turns,
    ) -> Result<()> {
        let weight = |queue: &ServedQueue| queue.weight.unwrap_or(1);
        let mut ring: VecDeque<&ServedQueue> = queues.iter().copied().collect();
        if let Some(place) = ring
            .iter()
            .position(|queue| queue.name == turns.queues.name)
        {
            // A queue whose turn is over comes last.
            ring.rotate_left(place + usize::from(turns.queues.left <= 0));
        }
        while let Some(queue) = ring.pop_front() {
            let goes_on = turns.queues.name == queue.name && turns.queues.left > 0;
            let share = if goes_on {
                turns.queues.left
            } else {
                weight(queue)
            };
            let before = claim.claims.runs.len();
            let end = self.claim_from(&queue.name, share as usize, claim, turns)?;
            for _ in before..claim.claims.runs.len() {
                turns.queues.take(&queue.name, weight(queue));
            }
            match end {
                End::Claim => return Ok(()),
                End::Share => ring.push_back(queue),
                End::NothingClaimable => {
                    if turns.queues.name == queue.name {
                        turns.queues.left = 0;
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes up to `share` runs from one queue.
    fn claim_from(
        &mut self,
        queue: &str,
        share: usize,
        claim: &mut ClaimInProgress<'_>,
        turns: &mut Turns,
    ) -> Result<End> {
        let request = claim.request;
        let taken_before = claim.claims.runs.len();
        let mut turn = turns.tenants.remove(queue).unwrap_or_default();
        let wanted = share.min(request.max - taken_before);
        let mut walk = Walk::new(queue, &turn);
        let mut tenants = walk.tenants(self, claim, wanted)?;
        let mut end = End::NothingClaimable;
        while let Some(mut tenant) = tenants.pop_front() {
            let Some((lane, run)) = tenant.front(self, queue, wanted, claim)? else {
                continue;
            };
            let job = &tenant.lanes[lane].job;
            if !claim.has_room(queue, &tenant.name, job) {
                end = claim.end_without_room(queue);
                break;
            }
            if claim.claims.fence == 0 {
                // A fence for each run that may be taken; the rest is never used. Not earlier: a claim without runs must
                // write nothing, so that it wakes no worker.
                claim.claims.fence = self.fences(request.max as i64)?;
            }
            let wanted_run = Wanted {
                run,
                lane: (queue, &tenant.name, job),
                limits: tenant.lanes[lane].limits.as_deref(),
            };
            let taken = self.take(
                &wanted_run,
                request,
                claim.claims.fence,
                claim.gates.now_ms(),
            )?;
            let claimed = match taken {
                Taken::Claimed(claimed) => *claimed,
                other => {
                    claim.pass_over(other);
                    tenant.pass_over(lane);
                    tenants.push_front(tenant);
                    continue;
                }
            };
            claim.claims.fence += 1;
            tenant.lanes[lane].rows.pop_front();
            claim.gates.take(&tenant.lanes[lane].gates);
            claim.reserves.take(queue);
            claim.claims.runs.push(claimed);
            let goes_on = turn.take(&tenant.name, claim.gates.rules().weight(&tenant.name));
            if claim.claims.runs.len() >= request.max {
                claim.claims.full = true;
                end = End::Claim;
                break;
            }
            if claim.claims.runs.len() - taken_before >= share {
                end = End::Share;
                break;
            }
            if goes_on {
                tenants.push_front(tenant);
            } else {
                tenants.push_back(tenant);
            }
        }
        if end == End::NothingClaimable && walk.is_partial && claim.claims.runs.len() > taken_before
        {
            // The taken runs closed the lanes of the other tenants that were found; the next claim visits further ones.
            claim.claims.full = true;
            end = End::Claim;
        }
        if let (End::NothingClaimable, Some(last)) = (end, walk.cut) {
            // Too many tenants without an open lane: the next claims continue, up to once around the ring.
            if claim.claims.runs.len() == taken_before {
                turn.walked.get_or_insert(walk.end);
            }
            turn.name = last;
            turn.left = 0;
            claim.claims.full = true;
            end = End::Claim;
        } else if claim.claims.runs.len() == taken_before {
            turn.walked = None;
        }
        turns.tenants.insert(queue.to_owned(), turn);
        Ok(end)
    }
}

impl ClaimInProgress<'_> {
    /// Notes that the next run could not be taken; the caller should claim again.
    fn pass_over(&mut self, taken: Taken) {
        if let Taken::Buried(burial) = taken {
            // Its row has the fence.
            self.claims.fence += 1;
            self.claims.buried.push(burial);
        }
        self.claims.full = true;
    }

    /// Why the walk ends if a lane has no room: no run is taken any more, unless the free slots are only reserved for other queues.
    fn end_without_room(&mut self, queue: &str) -> End {
        if self.reserves.bind(queue) && self.claims.runs.len() < self.request.free {
            self.claims.passed.gated = true;
            self.claims.passed.comes = true;
            return End::NothingClaimable;
        }
        self.claims.full = true;
        End::Claim
    }
}
