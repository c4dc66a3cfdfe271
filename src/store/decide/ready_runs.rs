//! The interface to the ready runs of a store that a claim uses: it reads them lane by lane and takes one at a time.
//!
//! Rule: each call costs one or two seeks, so a claim reads only the rows that it needs next.

use std::collections::VecDeque;

use crate::error::Result;
use crate::records::{Burial, ClaimRequest, Claimed};
use crate::run::RunId;

/// The place of a ready run in its lane; runs are claimed in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Its due time, moved by its priority, milliseconds.
    pub order_key: i64,
    /// Its id, which decides among equal keys.
    pub run: RunId,
}

/// A lane with its first run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The job of the lane.
    pub job: String,
    /// The first of its runs.
    pub first: Position,
}

/// The name of a lane.
#[derive(Debug, Clone, Copy)]
pub struct LaneName<'a> {
    /// Its queue.
    pub queue: &'a str,
    /// Its tenant; empty for none.
    pub tenant: &'a str,
    /// Its job.
    pub job: &'a str,
}

/// A run to take.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its id.
    pub run: RunId,
    /// Its lane.
    pub lane: LaneName<'a>,
    /// The limits that count it while it is claimed, comma separated.
    pub limits: Option<&'a str>,
}

/// Result of taking one run.
#[derive(Debug)]
pub enum Taken {
    /// It is running now.
    Claimed(Box<Claimed>),
    /// Its deadline has passed; `Tx::expire` will bury it.
    Late,
    /// Its row was invalid, so it is dead now. The fence is used up.
    Buried(Burial),
}

/// The lanes of one queue that have ready runs.
pub trait LanesOfQueue {
    /// The first lane of a tenant after this job, in the order of names; "" is before every job.
    ///
    /// # Errors
    /// Those of the store.
    fn lane_after(&mut self, tenant: &str, job: &str) -> Result<Option<Head>>;

    /// The first tenant with lanes after this one. Runs without a tenant have the empty text, which is before every other.
    ///
    /// # Errors
    /// Those of the store.
    fn tenant_after(&mut self, tenant: &str) -> Result<Option<String>>;
}

/// The ready runs of a store, inside the transaction of a claim.
pub trait ReadyRuns {
    /// The lanes of a queue.
    ///
    /// # Errors
    /// Those of the store.
    fn lanes<'s>(&'s self, queue: &'s str) -> Result<impl LanesOfQueue + 's>;

    /// Appends up to `max` runs of a lane that come after this position, in their order; fewer only if there are no more.
    ///
    /// # Errors
    /// Those of the store.
    fn runs_after(
        &self,
        lane: LaneName<'_>,
        last: Position,
        max: usize,
        found: &mut VecDeque<Position>,
    ) -> Result<()>;

    /// Allocates `count` consecutive new fences and returns the first.
    ///
    /// # Errors
    /// Those of the store.
    fn allocate_fences(&mut self, count: i64) -> Result<i64>;

    /// Takes a run with this fence, unless its deadline has passed or its row is invalid.
    ///
    /// # Errors
    /// Those of the store.
    fn take(
        &mut self,
        wanted: &Wanted<'_>,
        request: &ClaimRequest<'_>,
        fence: i64,
        now_ms: i64,
    ) -> Result<Taken>;
}
