//! One claim as it goes on: what it may take, and what it passed over.

use super::reserves::Reserves;
use crate::flow::{Gates, LaneGates, Why};
use crate::records::{ClaimRequest, Claims};

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::flow::{Paused, QueueRules, Rules};
    use crate::records::ServedQueue;
    use crate::run::WorkerId;

    const JOBS: [&str; 4] = ["a", "b", "c", "d"];

    /// Does something at the desk of a worker that knows `JOBS`, of which `a`, `b` and `d` are paused, with `free` slots.
    fn at_desk<T>(rules: &Rules, free: usize, act: impl FnOnce(&mut Desk<'_>) -> T) -> T {
        let queues = ["q", "urgent"].map(ServedQueue::from);
        let behind = |job: &str| JOBS.iter().find(|it| **it > job).map(ToString::to_string);
        let request = ClaimRequest {
            worker: WorkerId(1),
            queues: &queues,
            knows: &|job| JOBS.contains(&job),
            terms: &|_| None,
            known_behind: &behind,
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
        let mut desk = Desk {
            request: &request,
            gates: Gates::new(rules, &[], BTreeMap::new(), paused.into(), 0),
            reserves: Reserves::of(&queues, rules, |_| Ok(0)).unwrap(),
            changes_ms: Some(900),
            leaps: true,
            leapt: false,
            claims: Claims::default(),
        };
        act(&mut desk)
    }

    #[test]
    fn a_closed_lane_is_noted_with_the_first_time_that_may_open_it() {
        at_desk(&Rules::default(), 1, |desk| {
            assert!(desk.open("q", "", "unknown").is_none(), "not its job");
            assert!(desk.open("q", "", "c").is_some());
            assert_eq!(desk.claims.passed.opens_ms, None);
            assert!(desk.open("q", "", "a").is_none());
            let passed = desk.claims.passed;
            assert_eq!(passed.opens_ms, Some(700));
            assert!(!passed.comes && !passed.gated, "somebody has to say so");
        });
    }

    #[test]
    fn closed_jobs_in_a_row_are_passed_over_at_once_up_to_one_that_is_open() {
        at_desk(&Rules::default(), 1, |desk| {
            assert_eq!(desk.leap("q", "", "a".to_owned()), "b");
            assert!(desk.leapt);
            assert_eq!(desk.leap("q", "", "b".to_owned()), "b", "`c` is open");
            assert_eq!(desk.leap("q", "", "d".to_owned()), "d", "the last one");
            desk.leaps = false;
            assert_eq!(desk.leap("q", "", "a".to_owned()), "a");
        });
    }

    #[test]
    fn only_short_runs_that_share_nothing_are_taken_ahead_of_a_free_slot() {
        let room = |desk: &mut Desk<'_>| ["a", "c"].map(|job| desk.has_room("q", "", job));
        let mut rules = Rules::default();
        assert_eq!(at_desk(&rules, 1, room), [true, true]);
        assert_eq!(at_desk(&rules, 0, room), [false, true]);
        let urgent = QueueRules {
            reserve: 1,
            ..QueueRules::default()
        };
        rules.queues.insert("urgent".to_owned(), urgent);
        assert_eq!(
            at_desk(&rules, 0, room),
            [false, false],
            "it could take the slot"
        );
        assert_eq!(at_desk(&rules, 1, room), [false, false]);
        assert_eq!(at_desk(&rules, 2, room), [true, true]);
    }
}
