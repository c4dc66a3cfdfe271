//! Which ready runs a worker gets: queues by rank or weight, tenants in turn by weight, then each lane in its order.
//!
//! A lane is (queue, tenant, job). Whether its gates are open is judged before any of its rows is read, so a million runs of a
//! paused job in front cost one seek; and again before each run, with all that was taken counted.

use std::collections::VecDeque;

use super::claim::{Taken, Wanted};
use super::flow;
use super::ring::Walk;
use super::writer::Tx;
use crate::error::Result;
use crate::store::decide::Desk;
use crate::store::{ClaimRequest, Claims, ServedQueue, Turns};

/// Why a walk through a queue ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing more may start from it.
    Dry,
    /// It had its share.
    Share,
    /// The worker has enough.
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
        let mut desk = Desk {
            request,
            gates: flow::gates(self.conn, &rules.rules, now_ms)?,
            reserves: self.reserves(request, &rules.rules)?,
            changes_ms: rules.until_ms,
            leaps: true,
            leapt: false,
            claims: Claims {
                full: request.max == 0,
                ..Claims::default()
            },
        };
        if desk.claims.full {
            return Ok(desk.claims);
        }
        let mut queues: Vec<&ServedQueue> = request.queues.iter().collect();
        queues.sort_by_key(|queue| (rules.rules.rank(&queue.name), &queue.name));
        self.walk(&queues, &mut desk, turns)?;
        if desk.leapt && !desk.claims.full {
            // There is room for more: what was leapt over may be what one has to wait for.
            desk.leaps = false;
            self.walk(&queues, &mut desk, turns)?;
        }
        for (subject, throttle) in desk.gates.changed() {
            self.keep_throttle(subject, throttle)?;
        }
        Ok(desk.claims)
    }

    /// Takes what may start, from queue after queue.
    fn walk(
        &mut self,
        queues: &[&ServedQueue],
        desk: &mut Desk<'_>,
        turns: &mut Turns,
    ) -> Result<()> {
        if queues.iter().any(|queue| queue.weight.is_some()) {
            return self.claim_by_weight(queues, desk, turns);
        }
        for queue in queues {
            if self.claim_from(&queue.name, desk.request.max, desk, turns)? == End::Claim {
                break;
            }
        }
        Ok(())
    }

    /// In rounds: each queue gets as many runs as its weight says, and what it does not use is the others'.
    fn claim_by_weight(
        &mut self,
        queues: &[&ServedQueue],
        desk: &mut Desk<'_>,
        turns: &mut Turns,
    ) -> Result<()> {
        let weight = |queue: &ServedQueue| queue.weight.unwrap_or(1);
        let mut ring: VecDeque<&ServedQueue> = queues.iter().copied().collect();
        if let Some(place) = ring
            .iter()
            .position(|queue| queue.name == turns.queues.name)
        {
            // Whose turn is over comes last.
            ring.rotate_left(place + usize::from(turns.queues.left <= 0));
        }
        while let Some(queue) = ring.pop_front() {
            let goes_on = turns.queues.name == queue.name && turns.queues.left > 0;
            let share = if goes_on {
                turns.queues.left
            } else {
                weight(queue)
            };
            let before = desk.claims.runs.len();
            let end = self.claim_from(&queue.name, share as usize, desk, turns)?;
            for _ in before..desk.claims.runs.len() {
                turns.queues.take(&queue.name, weight(queue));
            }
            match end {
                End::Claim => return Ok(()),
                End::Share => ring.push_back(queue),
                End::Dry => {
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
        desk: &mut Desk<'_>,
        turns: &mut Turns,
    ) -> Result<End> {
        let request = desk.request;
        let taken_before = desk.claims.runs.len();
        let mut turn = turns.tenants.remove(queue).unwrap_or_default();
        let wanted = share.min(request.max - taken_before);
        let mut walk = Walk::new(queue, &turn);
        let mut tenants = walk.tenants(self, desk, wanted)?;
        let mut end = End::Dry;
        while let Some(mut tenant) = tenants.pop_front() {
            let Some((lane, run)) = tenant.front(self, queue, wanted, desk)? else {
                continue;
            };
            let job = &tenant.lanes[lane].job;
            if !desk.has_room(queue, &tenant.name, job) {
                end = desk.end_without_room(queue);
                break;
            }
            if desk.claims.fence == 0 {
                // A number for each run that may be taken; what is left over is never used. Not before there is one: a
                // claim that takes nothing writes nothing and wakes nobody.
                desk.claims.fence = self.fences(request.max as i64)?;
            }
            let wanted_run = Wanted {
                run,
                lane: (queue, &tenant.name, job),
                limits: tenant.lanes[lane].limits.as_deref(),
            };
            let taken = self.take(&wanted_run, request, desk.claims.fence, desk.gates.now_ms())?;
            let claimed = match taken {
                Taken::Claimed(claimed) => *claimed,
                other => {
                    desk.pass_over(other);
                    tenant.pass_over(lane);
                    tenants.push_front(tenant);
                    continue;
                }
            };
            desk.claims.fence += 1;
            tenant.lanes[lane].rows.pop_front();
            desk.gates.take(&tenant.lanes[lane].gates);
            desk.reserves.take(queue);
            desk.claims.runs.push(claimed);
            let goes_on = turn.take(&tenant.name, desk.gates.rules().weight(&tenant.name));
            if desk.claims.runs.len() >= request.max {
                desk.claims.full = true;
                end = End::Claim;
                break;
            }
            if desk.claims.runs.len() - taken_before >= share {
                end = End::Share;
                break;
            }
            if goes_on {
                tenants.push_front(tenant);
            } else {
                tenants.push_back(tenant);
            }
        }
        if end == End::Dry && walk.is_partial && desk.claims.runs.len() > taken_before {
            // What was taken closed the lanes of the other tenants found; the next claim looks behind them.
            desk.claims.full = true;
            end = End::Claim;
        }
        if let (End::Dry, Some(last)) = (end, walk.cut) {
            // Too many tenants without an open lane: the next claim looks further, once around.
            if desk.claims.runs.len() == taken_before {
                turn.walked.get_or_insert(walk.end);
            }
            turn.name = last;
            turn.left = 0;
            desk.claims.full = true;
            end = End::Claim;
        } else if desk.claims.runs.len() == taken_before {
            turn.walked = None;
        }
        turns.tenants.insert(queue.to_owned(), turn);
        Ok(end)
    }
}

impl Desk<'_> {
    /// A run that was next could not be taken. The next claim finds less of what is in its way.
    fn pass_over(&mut self, taken: Taken) {
        if let Taken::Buried(burial) = taken {
            // Its fence was written.
            self.claims.fence += 1;
            self.claims.buried.push(burial);
        }
        self.claims.full = true;
    }

    /// Without room for one lane nothing more is taken, unless the free slots are only kept for other queues.
    fn end_without_room(&mut self, queue: &str) -> End {
        if self.reserves.bind(queue) && self.claims.runs.len() < self.request.free {
            self.claims.passed.gated = true;
            self.claims.passed.comes = true;
            return End::Dry;
        }
        self.claims.full = true;
        End::Claim
    }
}
