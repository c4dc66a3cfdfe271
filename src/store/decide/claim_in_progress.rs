//! The state of a claim while it selects runs: open lanes, free slots, and the runs that it took or passed over.

use std::ops::Range;

use super::reserves::Reserves;
use crate::flow::{ClosedReason, Gates, LaneGates};
use crate::records::{ClaimRequest, Claims};

/// Most closed jobs that are skipped at once: checking the gates of a job costs a tenth of the seek that is saved.
const SKIP_MAX: usize = 16;

/// A claim that is selecting runs.
pub struct ClaimInProgress<'a> {
    /// The request of the worker.
    pub request: &'a ClaimRequest<'a>,
    /// Which lanes are open.
    pub gates: Gates<'a>,
    /// Slots that are reserved for other queues.
    pub reserves: Reserves<'a>,
    /// When the next change by an operator expires, milliseconds.
    pub changes_ms: Option<i64>,
    /// Whether closed lanes may be skipped without checking whether they have runs.
    pub may_skip: bool,
    /// Whether `may_skip` has had any effect.
    pub skipped: bool,
    /// Fences that were allocated for this claim and have no run yet.
    pub fences: Range<i64>,
    /// The result so far.
    pub claims: Claims,
}

impl<'a> ClaimInProgress<'a> {
    /// A claim without runs.
    pub fn new(
        request: &'a ClaimRequest<'a>,
        gates: Gates<'a>,
        reserves: Reserves<'a>,
        changes_ms: Option<i64>,
    ) -> Self {
        Self {
            request,
            gates,
            reserves,
            changes_ms,
            may_skip: true,
            skipped: false,
            fences: 0..0,
            claims: Claims::default(),
        }
    }

    /// The gates of a lane, if it is open and this worker can run its job; otherwise records when it may open.
    pub fn open(&mut self, queue: &str, tenant: &str, job: &str) -> Option<LaneGates> {
        if !(self.request.knows)(job) {
            return None;
        }
        let lane = self.gates.lane(queue, tenant, job);
        self.is_open(&lane).then_some(lane)
    }

    /// Returns the last job of the closed ones that directly follow this closed job. Their lanes need no seek.
    pub fn skip_closed(&mut self, queue: &str, tenant: &str, closed: String) -> String {
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

    /// Whether the gates of a lane are open; otherwise records when they may open.
    pub fn is_open(&mut self, lane: &LaneGates) -> bool {
        let Some(closed) = self.gates.closed(lane) else {
            return true;
        };
        // Only an operator ends a pause; every other gate opens by itself.
        let passed = &mut self.claims.passed;
        passed.comes |= closed.why != ClosedReason::Paused;
        passed.gated |= closed.until_ms.is_none() && closed.why != ClosedReason::Paused;
        let opens_ms = [passed.opens_ms, closed.until_ms, self.changes_ms];
        passed.opens_ms = opens_ms.into_iter().flatten().min();
        false
    }

    /// Whether a run of this lane may be taken: for a free slot, or before one is free if the run is short and has no limit. Other
    /// runs would wait here while another worker is idle, or occupy a limit that others could use.
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::flow::{Paused, QueueRules, Rules};
    use crate::records::ServedQueue;
    use crate::run::WorkerId;

    const JOBS: [&str; 4] = ["a", "b", "c", "d"];

    /// Calls a function with the claim of a worker that knows `JOBS` and has `free` slots; `a`, `b` and `d` are paused.
    fn with_claim<T>(
        rules: &Rules,
        free: usize,
        act: impl FnOnce(&mut ClaimInProgress<'_>) -> T,
    ) -> T {
        let queues = ["q", "urgent"].map(ServedQueue::from);
        let behind = |job: &str| JOBS.iter().find(|it| **it > job).map(ToString::to_string);
        let request = ClaimRequest {
            worker: WorkerId(1),
            queues: &queues,
            knows: &|job| JOBS.contains(&job),
            terms: &|_| None,
            known_after: &behind,
            max: free + 2,
            free,
            is_short: &|job| job == "c",
        };
        let paused = Paused {
            by: "ann".to_owned(),
            reason: None,
            until_ms: Some(700),
        };
        let paused = ["a", "b", "d"].map(|job| (job.to_owned(), paused.clone()));
        let gates = Gates::new(rules, &[], BTreeMap::new(), paused.into(), 0);
        let reserves = Reserves::of(&queues, rules, |_| Ok(0)).unwrap();
        let mut claim = ClaimInProgress::new(&request, gates, reserves, Some(900));
        act(&mut claim)
    }

    #[test]
    fn a_claim_records_when_the_first_closed_lane_may_open() {
        with_claim(&Rules::default(), 1, |claim| {
            assert!(claim.open("q", "", "unknown").is_none(), "not its job");
            assert!(claim.open("q", "", "c").is_some());
            assert_eq!(claim.claims.passed.opens_ms, None);
            assert!(claim.open("q", "", "a").is_none());
            let passed = claim.claims.passed;
            assert_eq!(passed.opens_ms, Some(700));
            assert!(
                !passed.comes && !passed.gated,
                "only an operator ends a pause"
            );
        });
    }

    #[test]
    fn consecutive_closed_jobs_are_skipped_up_to_the_first_open_one() {
        with_claim(&Rules::default(), 1, |claim| {
            assert_eq!(claim.skip_closed("q", "", "a".to_owned()), "b");
            assert!(claim.skipped);
            assert_eq!(
                claim.skip_closed("q", "", "b".to_owned()),
                "b",
                "`c` is open"
            );
            assert_eq!(
                claim.skip_closed("q", "", "d".to_owned()),
                "d",
                "no job follows"
            );
            claim.may_skip = false;
            assert_eq!(claim.skip_closed("q", "", "a".to_owned()), "a");
        });
    }

    #[test]
    fn only_short_runs_without_limits_are_taken_before_a_slot_is_free() {
        let room =
            |claim: &mut ClaimInProgress<'_>| ["a", "c"].map(|job| claim.has_room("q", "", job));
        let mut rules = Rules::default();
        assert_eq!(with_claim(&rules, 1, room), [true, true]);
        assert_eq!(with_claim(&rules, 0, room), [false, true]);
        let urgent = QueueRules {
            reserve: 1,
            ..QueueRules::default()
        };
        rules.queues.insert("urgent".to_owned(), urgent);
        assert_eq!(
            with_claim(&rules, 0, room),
            [false, false],
            "it could take the slot"
        );
        assert_eq!(with_claim(&rules, 1, room), [false, false]);
        assert_eq!(with_claim(&rules, 2, room), [true, true]);
    }
}
