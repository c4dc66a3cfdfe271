//! One claim as it goes on: what it may take, and what it passed over.

use super::reserves::Reserves;
use crate::flow::{Gates, LaneGates, Why};
use crate::store::{ClaimRequest, Claims};

/// So many closed jobs are passed over for one seek: to judge a job costs a tenth of it.
const LEAP_MAX: usize = 16;

/// One claim, as it goes on.
pub struct Desk<'a> {
    /// What the worker asks for.
    pub request: &'a ClaimRequest<'a>,
    /// Which lanes are open.
    pub gates: Gates<'a>,
    /// Slots that are kept for other queues.
    pub reserves: Reserves<'a>,
    /// When what an operator changed ends by itself.
    pub changes_ms: Option<i64>,
    /// Whether closed lanes may be leapt over without a look whether they have runs.
    pub leaps: bool,
    /// Whether one was.
    pub leapt: bool,
    /// What it has so far.
    pub claims: Claims,
}

impl Desk<'_> {
    /// The gates of a lane if it is open and this worker can run its job; else notes what would open it.
    pub fn open(&mut self, queue: &str, tenant: &str, job: &str) -> Option<LaneGates> {
        if !(self.request.knows)(job) {
            return None;
        }
        let lane = self.gates.lane(queue, tenant, job);
        self.is_open(&lane).then_some(lane)
    }

    /// Behind a closed lane: the last of the known jobs next to it that are closed as well. Nobody seeks for their lanes then.
    pub fn leap(&mut self, queue: &str, tenant: &str, closed: String) -> String {
        let mut at = closed;
        for _ in 0..if self.leaps { LEAP_MAX } else { 0 } {
            let Some(next) = (self.request.known_behind)(&at) else {
                break;
            };
            let lane = self.gates.lane(queue, tenant, &next);
            if self.gates.closed(&lane).is_none() {
                break;
            }
            self.leapt = true;
            at = next;
        }
        at
    }

    /// Whether the gates of a lane are open; else notes what would open it.
    pub fn is_open(&mut self, lane: &LaneGates) -> bool {
        let Some(closed) = self.gates.closed(lane) else {
            return true;
        };
        // What is paused comes back when somebody says so; all else by itself.
        let passed = &mut self.claims.passed;
        passed.comes |= closed.why != Why::Paused;
        passed.gated |= closed.until_ms.is_none() && closed.why != Why::Paused;
        let opens_ms = [passed.opens_ms, closed.until_ms, self.changes_ms];
        passed.opens_ms = opens_ms.into_iter().flatten().min();
        false
    }

    /// Whether a run of this lane may be taken: for a free slot, or ahead of one if it is short and shares nothing. What is not
    /// would wait here while another worker is idle, or hold what others could use.
    pub fn has_room(&self, queue: &str, tenant: &str, job: &str) -> bool {
        let taken = self.claims.runs.len();
        if taken < self.reserves.room(queue, self.request.free) {
            return true;
        }
        !self.reserves.bind(queue)
            && taken >= self.request.free
            && (self.request.is_short)(job)
            && self.gates.rules().is_unlimited(queue, tenant, job)
    }
}
