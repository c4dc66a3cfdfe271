//! A claim in progress: what it may take, and what it passed over.

use super::reserves::Reserves;
use crate::flow::{Gates, LaneGates, Why};
use crate::store::{ClaimRequest, Claims};

/// Closed jobs that are skipped for one seek: checking the gates of a job costs a tenth of a seek.
const SKIP_MAX: usize = 16;

/// A claim in progress.
pub(super) struct ClaimInProgress<'a> {
    pub(super) request: &'a ClaimRequest<'a>,
    pub(super) gates: Gates<'a>,
    pub(super) reserves: Reserves<'a>,
    /// When the next change of an operator ends by itself, milliseconds.
    pub(super) changes_ms: Option<i64>,
    /// Whether closed lanes may be skipped without checking whether they have runs.
    pub(super) may_skip: bool,
    /// Whether any lane was skipped that way.
    pub(super) skipped: bool,
    pub(super) claims: Claims,
}

impl ClaimInProgress<'_> {
    /// The gates of a lane, if it is open and this worker can run its job; otherwise records when it may open.
    pub(super) fn open(&mut self, queue: &str, tenant: &str, job: &str) -> Option<LaneGates> {
        if !(self.request.knows)(job) {
            return None;
        }
        let lane = self.gates.lane(queue, tenant, job);
        self.is_open(&lane).then_some(lane)
    }

    /// After a closed lane: the last of the known jobs that follow it and are closed too. Their lanes need no seek.
    pub(super) fn skip_closed(&mut self, queue: &str, tenant: &str, closed: String) -> String {
        let mut at = closed;
        for _ in 0..if self.may_skip { SKIP_MAX } else { 0 } {
            let Some(next) = (self.request.known_after)(&at) else {
                break;
            };
            let lane = self.gates.lane(queue, tenant, &next);
            if self.gates.closed(&lane).is_none() {
                break;
            }
            self.skipped = true;
            at = next;
        }
        at
    }

    pub(super) fn is_open(&mut self, lane: &LaneGates) -> bool {
        let Some(closed) = self.gates.closed(lane) else {
            return true;
        };
        // A pause ends by an operator, every other gate by itself.
        let passed = &mut self.claims.passed;
        passed.comes |= closed.why != Why::Paused;
        passed.gated |= closed.until_ms.is_none() && closed.why != Why::Paused;
        let opens_ms = [passed.opens_ms, closed.until_ms, self.changes_ms];
        passed.opens_ms = opens_ms.into_iter().flatten().min();
        false
    }

    /// Whether a run of this lane may be taken: for a free slot, or before one is free if the run is short and under no limit. Other
    /// runs would wait here while another worker is idle, or occupy a limit that others could use.
    pub(super) fn has_room(&self, queue: &str, tenant: &str, job: &str) -> bool {
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
