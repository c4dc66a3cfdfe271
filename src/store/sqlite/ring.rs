//! A walk around the ring of a queue's tenants, and the front rows of their lanes.
//!
//! Rule: no row of a lane is read before its gates were found open.

use std::collections::VecDeque;

use rusqlite::{Row, params};

use super::lane_walk::Desk;
use super::lanes::{first_lane_behind, next_lane};
use super::turns::Turn;
use super::writer::Tx;
use crate::error::Result;
use crate::flow::LaneGates;

/// Tenants looked at per queue and claim; the next claim goes on behind them.
const TENANTS_MAX: usize = 256;

/// A walk around the ring of a queue's tenants, from whose turn it is.
pub(super) struct Walk<'w> {
    queue: &'w str,
    begin: String,
    /// Its turn is not over: the walk begins with it, not behind it.
    with_begin: bool,
    /// Where it ends.
    pub(super) end: String,
    /// The last tenant looked at, where there were too many.
    pub(super) cut: Option<String>,
}

impl<'w> Walk<'w> {
    pub(super) fn new(queue: &'w str, turn: &Turn) -> Self {
        Self {
            queue,
            begin: turn.name.clone(),
            with_begin: turn.left > 0,
            end: turn.walked.clone().unwrap_or_else(|| turn.name.clone()),
            cut: None,
        }
    }

    /// Up to `max` tenants that have an open lane.
    pub(super) fn tenants(
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
    /// The last row read.
    last: Option<(i64, i64)>,
    ended: bool,
}

impl Tenant {
    /// The lane and run that are next: the smallest order key over all open lanes, then the smallest id.
    pub(super) fn front(
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
