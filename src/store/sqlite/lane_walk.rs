//! Which ready runs a worker gets: queues by rank or weight, tenants in turn by weight, then each lane in its order.
//!
//! A lane is (queue, tenant, job). Whether its gates are open is judged before any of its rows is read, so a million runs of a
//! paused job in front cost one seek; and again before each run, with all that was taken counted.

use std::collections::{HashMap, VecDeque};

use rusqlite::{Row, params};

use super::flow;
use super::lanes::{first_lane_behind, next_lane};
use super::writer::Tx;
use crate::error::Result;
use crate::flow::{Gates, LaneGates, Why};
use crate::run::WorkerId;
use crate::store::{ClaimRequest, Claims, ServedQueue};

/// Tenants looked at per queue and claim; the next claim goes on behind them.
const TENANTS_MAX: usize = 256;

/// Whose turn it is; kept by the worker between claims.
#[derive(Debug, Default)]
pub struct Turns {
    /// Of the tenants of each queue.
    tenants: HashMap<String, Turn>,
    /// Of the queues, where they have weights.
    queues: Turn,
}

/// The one in a ring whose turn it is, and how many it may still take.
#[derive(Debug, Default, Clone)]
struct Turn {
    name: String,
    left: i64,
    /// Where a walk began that found nothing so far: it need not pass there again.
    walked: Option<String>,
}

impl Turn {
    /// Counts a run that `name` took; whether its turn goes on.
    fn take(&mut self, name: &str, weight: i64) -> bool {
        if self.name != name || self.left <= 0 {
            name.clone_into(&mut self.name);
            self.left = weight;
        }
        self.walked = None;
        self.left -= 1;
        self.left > 0
    }
}

/// Why a walk through a queue ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing more may start from it.
    Dry,
    /// It had its share.
    Share,
    /// The worker has enough, or must be alone with what it got or wants.
    Claim,
}

/// One claim, as it goes on.
struct Desk<'a> {
    request: &'a ClaimRequest<'a>,
    gates: Gates<'a>,
    reserves: Reserves<'a>,
    /// When what an operator changed ends by itself.
    changes_ms: Option<i64>,
    claims: Claims,
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
            reserves: Reserves::new(self, request, &rules.rules)?,
            changes_ms: rules.until_ms,
            claims: Claims {
                full: request.max == 0,
                ..Claims::default()
            },
        };
        if desk.claims.full {
            return Ok(desk.claims);
        }
        if request.queues.iter().any(|queue| queue.weight.is_some()) {
            self.claim_by_weight(&mut desk, turns)?;
        } else {
            for queue in request.queues {
                if self.claim_from(&queue.name, request.max, &mut desk, turns)? == End::Claim {
                    break;
                }
            }
        }
        for (subject, throttle) in desk.gates.changed() {
            self.keep_throttle(subject, throttle)?;
        }
        Ok(desk.claims)
    }

    /// In rounds: each queue gets as many runs as its weight says, and what it does not use is the others'.
    fn claim_by_weight(&mut self, desk: &mut Desk<'_>, turns: &mut Turns) -> Result<()> {
        let weight = |queue: &ServedQueue| queue.weight.unwrap_or(1);
        let mut ring: VecDeque<&ServedQueue> = desk.request.queues.iter().collect();
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
            let claimed = self.take(run, request, desk.claims.fence)?;
            desk.claims.fence += 1;
            let alone = claimed.must_be_alone();
            if alone && !(request.idle && desk.claims.runs.is_empty()) {
                // It stays where it is until the worker is idle.
                self.unclaim(claimed.run, claimed.fence)?;
                desk.claims.wants_idle = true;
                end = End::Claim;
                break;
            }
            tenant.lanes[lane].rows.pop_front();
            desk.gates.take(&tenant.lanes[lane].gates);
            desk.reserves.take(queue);
            desk.claims.runs.push(claimed);
            let goes_on = turn.take(&tenant.name, desk.gates.rules().weight(&tenant.name));
            if alone {
                desk.claims.wants_idle = true;
                end = End::Claim;
                break;
            }
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
    /// The gates of a lane if it is open and this worker can run its job; else notes what would open it.
    fn open(&mut self, queue: &str, tenant: &str, job: &str) -> Option<LaneGates> {
        if !(self.request.knows)(job) {
            return None;
        }
        let lane = self.gates.lane(queue, tenant, job);
        self.is_open(&lane).then_some(lane)
    }

    fn is_open(&mut self, lane: &LaneGates) -> bool {
        let Some(closed) = self.gates.closed(lane) else {
            return true;
        };
        // What is paused comes back when somebody says so; all else by itself.
        self.claims.comes |= closed.why != Why::Paused;
        self.claims.gated |= closed.until_ms.is_none() && closed.why != Why::Paused;
        let opens_ms = [self.claims.opens_ms, closed.until_ms, self.changes_ms];
        self.claims.opens_ms = opens_ms.into_iter().flatten().min();
        false
    }

    /// Whether a run of this lane may be taken: for a free slot, or ahead of one if it is short and shares nothing. What is not
    /// would wait here while another worker is idle, or hold what others could use.
    fn has_room(&self, queue: &str, tenant: &str, job: &str) -> bool {
        let taken = self.claims.runs.len();
        if taken < self.reserves.room(queue, self.request.free) {
            return true;
        }
        !self.reserves.bind(queue)
            && taken >= self.request.free
            && (self.request.is_short)(job)
            && self.gates.rules().is_unlimited(queue, tenant, job)
    }

    /// Without room for one lane nothing more is taken, unless the free slots are only kept for other queues.
    fn end_without_room(&mut self, queue: &str) -> End {
        if self.reserves.bind(queue) && self.claims.runs.len() < self.request.free {
            self.claims.gated = true;
            self.claims.comes = true;
            return End::Dry;
        }
        self.claims.full = true;
        End::Claim
    }
}

/// Slots that are kept for queues with a reserve.
struct Reserves<'a>(Vec<(&'a str, usize)>);

impl<'a> Reserves<'a> {
    fn new(tx: &Tx<'_>, request: &'a ClaimRequest<'_>, rules: &crate::flow::Rules) -> Result<Self> {
        let mut reserves = Vec::new();
        for served in request.queues {
            let reserve = rules
                .queues
                .get(&served.name)
                .map_or(0, |queue| queue.reserve);
            if reserve > 0 {
                let held = tx.held_from(request.worker, &served.name)?;
                reserves.push((served.name.as_str(), (reserve - held).max(0) as usize));
            }
        }
        Ok(Self(reserves))
    }

    fn others(&self, queue: &str) -> impl Iterator<Item = usize> {
        let others = self.0.iter().filter(move |(name, _)| *name != queue);
        others.map(|(_, slots)| *slots)
    }

    /// Whether other queues have a reserve: then nothing is claimed ahead, it could take their slots.
    fn bind(&self, queue: &str) -> bool {
        self.0.iter().any(|(name, _)| *name != queue)
    }

    /// Of the free slots, those that this queue may use, with those that were just taken.
    fn room(&self, queue: &str, free: usize) -> usize {
        free.saturating_sub(self.others(queue).sum())
    }

    fn take(&mut self, queue: &str) {
        if let Some((_, slots)) = self.0.iter_mut().find(|(name, _)| *name == queue) {
            *slots = slots.saturating_sub(1);
        }
    }
}

impl Tx<'_> {
    /// Runs of a queue that a worker holds.
    fn held_from(&self, worker: WorkerId, queue: &str) -> Result<i64> {
        const SQL: &str = "
            SELECT count(*) FROM run INDEXED BY run_worker
            WHERE worker IS NOT NULL AND worker = ?1 AND state = 'running' AND queue = ?2";
        let mut statement = self.conn.prepare_cached(SQL)?;
        Ok(statement.query_row(params![worker.0, queue], |row| row.get(0))?)
    }
}

/// A walk around the ring of a queue's tenants, from whose turn it is.
struct Walk<'w> {
    queue: &'w str,
    begin: String,
    /// Its turn is not over: the walk begins with it, not behind it.
    with_begin: bool,
    /// Where it ends.
    end: String,
    /// The last tenant looked at, where there were too many.
    cut: Option<String>,
}

impl<'w> Walk<'w> {
    fn new(queue: &'w str, turn: &Turn) -> Self {
        Self {
            queue,
            begin: turn.name.clone(),
            with_begin: turn.left > 0,
            end: turn.walked.clone().unwrap_or_else(|| turn.name.clone()),
            cut: None,
        }
    }

    /// Up to `max` tenants that have an open lane.
    fn tenants(
        &mut self,
        tx: &Tx<'_>,
        desk: &mut Desk<'_>,
        max: usize,
    ) -> Result<VecDeque<Tenant>> {
        let mut tenants = VecDeque::new();
        let first = if self.with_begin {
            next_lane(tx.conn, self.queue, &self.begin, "")?
        } else {
            first_lane_behind(tx.conn, self.queue, &self.begin)?
        };
        let short = self.end > self.begin;
        let mut visited = 0;
        let upto = short.then(|| self.end.clone());
        self.pass(
            tx,
            desk,
            first,
            upto.as_deref(),
            max,
            &mut visited,
            &mut tenants,
        )?;
        if short || self.cut.is_some() || tenants.len() >= max {
            return Ok(tenants);
        }
        let first = next_lane(tx.conn, self.queue, "", "")?;
        let upto = self.end.clone();
        self.pass(
            tx,
            desk,
            first,
            Some(&upto),
            max,
            &mut visited,
            &mut tenants,
        )?;
        Ok(tenants)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one pass of two over the same state"
    )]
    fn pass(
        &mut self,
        tx: &Tx<'_>,
        desk: &mut Desk<'_>,
        mut found: Option<(String, String)>,
        upto: Option<&str>,
        max: usize,
        visited: &mut usize,
        tenants: &mut VecDeque<Tenant>,
    ) -> Result<()> {
        let mut last: Option<String> = None;
        while let Some((tenant, job)) = found {
            let new = last.as_ref() != Some(&tenant);
            // A tenant with which the walk began does not come again at its end.
            let again = self.with_begin && upto == Some(&self.begin) && tenant == self.begin;
            if upto.is_some_and(|upto| tenant.as_str() > upto) || again {
                break;
            }
            if new && tenants.len() >= max {
                break;
            }
            if new && *visited >= TENANTS_MAX {
                self.cut = last;
                break;
            }
            if let Some(gates) = desk.open(self.queue, &tenant, &job) {
                if tenants.back().is_none_or(|last| last.name != tenant) {
                    tenants.push_back(Tenant {
                        name: tenant.clone(),
                        lanes: Vec::new(),
                    });
                }
                if let Some(tenant) = tenants.back_mut() {
                    tenant.lanes.push(Lane {
                        job: job.clone(),
                        gates,
                        rows: VecDeque::new(),
                        last: None,
                        ended: false,
                    });
                }
            }
            *visited += usize::from(new);
            found = next_lane(tx.conn, self.queue, &tenant, &job)?;
            last = Some(tenant);
        }
        Ok(())
    }
}

/// A tenant with the open lanes that it has in one queue.
struct Tenant {
    name: String,
    lanes: Vec<Lane>,
}

/// The front rows of one (queue, tenant, job).
struct Lane {
    job: String,
    gates: LaneGates,
    /// (order key, run), not yet taken.
    rows: VecDeque<(i64, i64)>,
    /// The last row read.
    last: Option<(i64, i64)>,
    ended: bool,
}

impl Tenant {
    /// The lane and run that are next: the smallest order key over all open lanes, then the smallest id.
    fn front(
        &mut self,
        tx: &Tx<'_>,
        queue: &str,
        wanted: usize,
        desk: &mut Desk<'_>,
    ) -> Result<Option<(usize, i64)>> {
        // A tenant with many lanes gives few rows from each.
        let page = (wanted / self.lanes.len().max(1)).clamp(1, 64);
        let mut best: Option<(i64, i64, usize)> = None;
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            // What was taken since may have closed it.
            if !desk.is_open(&lane.gates) {
                continue;
            }
            lane.fill(tx, queue, &self.name, page)?;
            if let Some(&(key, run)) = lane.rows.front()
                && best.is_none_or(|(best_key, best_run, _)| (key, run) < (best_key, best_run))
            {
                best = Some((key, run, index));
            }
        }
        Ok(best.map(|(_, run, index)| (index, run)))
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
        if !self.rows.is_empty() || self.ended {
            return Ok(());
        }
        let pair = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        // Runs that were enqueued together have the same order key: among them the id decides. Two statements, for the reason
        // given in `lanes`.
        if let Some((key, run)) = self.last {
            let mut statement = tx.conn.prepare_cached(EQUAL)?;
            let values = params![queue, tenant, self.job, key, run, page as i64];
            self.rows = statement
                .query_map(values, pair)?
                .collect::<Result<_, _>>()?;
        }
        let missing = page - self.rows.len();
        if missing > 0 {
            let behind = self.last.map_or(i64::MIN, |(key, _)| key);
            let mut statement = tx.conn.prepare_cached(BEHIND)?;
            let values = params![queue, tenant, self.job, behind, missing as i64];
            for row in statement.query_map(values, pair)? {
                self.rows.push_back(row?);
            }
        }
        self.last = self.rows.back().copied().or(self.last);
        self.ended = self.rows.len() < page;
        Ok(())
    }
}
