//! The ready runs of a store, as a claim sees them: lane by lane, and one run taken at a time.
//!
//! Rule: each call is one or two seeks, so a claim asks only for what it needs next.

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

/// A run that a claim wants to take.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its id.
    pub run: RunId,
    /// Its lane.
    pub lane: LaneName<'a>,
    /// The limits under which it is claimed, comma separated.
    pub limits: Option<&'a str>,
}

/// Result of taking one run.
#[derive(Debug)]
pub enum Taken {
    /// It is running now.
    Claimed(Box<Claimed>),
    /// Its deadline has passed; it waits for its burial.
    Late,
    /// Its row was invalid, so it is dead; its row has the fence.
    Buried(Burial),
}

/// The lanes of one queue that have ready runs.
pub trait LanesOfQueue {
    /// The first lane of a tenant after this job, in the order of names; "" is before every job.
    ///
    /// # Errors
    /// Those of the store.
    fn lane_behind(&mut self, tenant: &str, job: &str) -> Result<Option<Head>>;

    /// The first tenant with lanes after this one. No tenant is the empty text, which is before every other.
    ///
    /// # Errors
    /// Those of the store.
    fn tenant_behind(&mut self, tenant: &str) -> Result<Option<String>>;
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
    fn runs_behind(
        &self,
        lane: LaneName<'_>,
        last: Position,
        max: usize,
        found: &mut VecDeque<Position>,
    ) -> Result<()>;

    /// Allocates so many new fences and returns the first.
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
