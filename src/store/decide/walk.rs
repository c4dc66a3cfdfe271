//! Selects the ready runs for a worker: queues by rank or weight, tenants in turn by weight, then each lane in its order.
//!
//! A lane is (queue, tenant, job). Its gates are checked before its runs are read, so that a million runs of a paused job cost one
//! seek, and again before each run, counting all runs that were taken.

use std::collections::VecDeque;

use super::claim_in_progress::ClaimInProgress;
use super::ready_runs::{LaneName, ReadyRuns, Taken, Wanted};
use super::ring::{Tenant, Walk};
use super::turns::{Turn, Turns, Walked};
use crate::error::Result;
use crate::records::ServedQueue;

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

/// Takes up to as many runs as the claim asks for, and at least one.
///
/// # Errors
/// Those of the store.
pub fn take_runs(
    runs: &mut impl ReadyRuns,
    claim: &mut ClaimInProgress<'_>,
    turns: &mut Turns,
) -> Result<()> {
    let mut queues: Vec<&ServedQueue> = claim.request.queues.iter().collect();
    let rules = claim.gates.rules();
    queues.sort_by_key(|queue| (rules.rank(&queue.name), &queue.name));
    // The last part of a walk answers for all of it, so none of its parts may skip lanes that nobody visits later.
    let is_part = |queue: &&ServedQueue| {
        let turn = turns.tenants.get(&queue.name);
        turn.is_some_and(|turn| turn.walked.is_some())
    };
    claim.may_skip = !queues.iter().any(is_part);
    let mut selection = Selection { runs, claim, turns };
    selection.take_from_queues(&queues)?;
    if selection.claim.skipped && !selection.claim.claims.full {
        // The worker has free slots, so it must know when the skipped lanes may open: visit them too.
        selection.claim.may_skip = false;
        selection.take_from_queues(&queues)?;
    }
    Ok(())
}

/// The parameters that all steps of a claim share.
struct Selection<'s, 'a, R> {
    runs: &'s mut R,
    claim: &'s mut ClaimInProgress<'a>,
    turns: &'s mut Turns,
}

impl<R: ReadyRuns> Selection<'_, '_, R> {
    /// Takes runs from the queues in order.
    fn take_from_queues(&mut self, queues: &[&ServedQueue]) -> Result<()> {
        if queues.iter().any(|queue| queue.weight.is_some()) {
            return self.take_by_weight(queues);
        }
        for queue in queues {
            if self.take_from_queue(&queue.name, self.claim.request.max)? == End::Claim {
                break;
            }
        }
        Ok(())
    }

    /// Takes runs in rounds: each queue gets as many runs as its weight, and other queues get the unused share.
    fn take_by_weight(&mut self, queues: &[&ServedQueue]) -> Result<()> {
        let weight = |queue: &ServedQueue| queue.weight.unwrap_or(1);
        let mut ring: VecDeque<&ServedQueue> = queues.iter().copied().collect();
        let turn = &self.turns.queues;
        if let Some(place) = ring.iter().position(|queue| queue.name == turn.name) {
            // A queue whose turn is over comes last.
            ring.rotate_left(place + usize::from(turn.left <= 0));
        }
        while let Some(queue) = ring.pop_front() {
            let turn = &self.turns.queues;
            let is_continued = turn.name == queue.name && turn.left > 0;
            let share = if is_continued {
                turn.left
            } else {
                weight(queue)
            };
            let before = self.taken();
            let end = self.take_from_queue(&queue.name, share as usize)?;
            let turn = &mut self.turns.queues;
            for _ in before..self.claim.claims.runs.len() {
                turn.take(&queue.name, weight(queue));
            }
            match end {
                End::Claim => return Ok(()),
                End::Share => ring.push_back(queue),
                End::NothingClaimable => {
                    if turn.name == queue.name {
                        turn.left = 0;
                    }
                }
            }
        }
        Ok(())
    }

    /// Number of runs that were taken.
    fn taken(&self) -> usize {
        self.claim.claims.runs.len()
    }

    /// Takes up to `share` runs from one queue.
    fn take_from_queue(&mut self, queue: &str, share: usize) -> Result<End> {
        let before = self.taken();
        let wanted = share.min(self.claim.request.max - before);
        let mut turn = self.turns.tenants.remove(queue).unwrap_or_default();
        if let Some(walked) = &turn.walked {
            // The answer of the last claim must cover the whole walk, because the worker uses only that one.
            self.claim.claims.passed.add(walked.passed);
        }
        let mut walk = Walk::new(queue, &turn);
        let tenants = walk.tenants(self.runs, self.claim, wanted)?;
        let mut end = self.take_from_tenants(queue, tenants, &mut turn, wanted)?;
        let took_none = self.taken() == before;
        if end == End::NothingClaimable && walk.is_partial && !took_none {
            // The taken runs closed the lanes of the other tenants that were found; the next claim must visit the following tenants.
            self.claim.claims.full = true;
            end = End::Claim;
        }
        if let (End::NothingClaimable, Some(last)) = (end, walk.cut) {
            // Too many tenants without an open lane: the next claims continue the walk, at most once around the ring.
            if took_none {
                turn.walked = Some(Walked {
                    begin: walk.end,
                    passed: self.claim.claims.passed,
                });
            }
            // A part that skipped lanes is made again by the next claim, which skips nothing.
            let again = took_none && self.claim.skipped && self.claim.may_skip;
            if !again {
                turn.name = last;
                turn.left = 0;
            }
            self.claim.claims.full = true;
            end = End::Claim;
        } else if took_none {
            turn.walked = None;
        }
        self.turns.tenants.insert(queue.to_owned(), turn);
        Ok(end)
    }

    /// Takes up to `wanted` runs from these tenants in turn.
    fn take_from_tenants(
        &mut self,
        queue: &str,
        mut tenants: VecDeque<Tenant>,
        turn: &mut Turn,
        wanted: usize,
    ) -> Result<End> {
        let mut left = wanted;
        while let Some(mut tenant) = tenants.pop_front() {
            let Some((lane, run)) = tenant.front(self.runs, queue, wanted, self.claim)? else {
                continue;
            };
            let of_lane = &mut tenant.lanes[lane];
            let wanted_run = Wanted {
                run,
                lane: LaneName {
                    queue,
                    tenant: &tenant.name,
                    job: &of_lane.job,
                },
                limits: of_lane.limits.as_deref(),
            };
            if !self.claim.has_room(queue, &tenant.name, &of_lane.job) {
                return Ok(self.claim.end_without_room(queue));
            }
            if !self.take_run(&wanted_run)? {
                tenant.pass_over(lane);
                tenants.push_front(tenant);
                continue;
            }
            of_lane.runs.pop_front();
            self.claim.gates.take(&of_lane.gates);
            self.claim.reserves.take(queue);
            let weight = self.claim.gates.rules().weight(&tenant.name);
            let is_continued = turn.take(&tenant.name, weight);
            left -= 1;
            if self.taken() >= self.claim.request.max {
                self.claim.claims.full = true;
                return Ok(End::Claim);
            }
            if left == 0 {
                return Ok(End::Share);
            }
            if is_continued {
                tenants.push_front(tenant);
            } else {
                tenants.push_back(tenant);
            }
        }
        Ok(End::NothingClaimable)
    }

    /// Takes a run. Returns whether it could be taken.
    fn take_run(&mut self, wanted: &Wanted<'_>) -> Result<bool> {
        let request = self.claim.request;
        let fences = &mut self.claim.fences;
        if fences.is_empty() {
            // One for each run that may be taken; unused ones are lost, and buried runs may need more. Not allocated earlier: a claim
            // without runs must write nothing, so that it wakes no worker.
            let count = request.max as i64;
            let first = self.runs.allocate_fences(count)?;
            *fences = first..first + count;
        }
        let now_ms = self.claim.gates.now_ms();
        match self.runs.take(wanted, request, fences.start, now_ms)? {
            Taken::Claimed(claimed) => {
                fences.next();
                self.claim.claims.runs.push(*claimed);
                return Ok(true);
            }
            Taken::Late => {}
            Taken::Buried(burial) => {
                fences.next();
                self.claim.claims.buried.push(burial);
            }
        }
        // The caller should claim again.
        self.claim.claims.full = true;
        Ok(false)
    }
}

impl ClaimInProgress<'_> {
    /// The end of a walk that found no slot for a lane: the claim is over, unless the free slots are reserved for other queues.
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

#[cfg(test)]
mod tests;
