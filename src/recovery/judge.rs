//! Decides about a dead worker and its runs: why the worker died, and which runs had started.
//!
//! Rule: pure. A run that may have started counts as started.

use crate::attempt::Mark;
use crate::records::{Cause, Death};
use crate::run::{Fence, RunId, WorkerId};

/// Why a worker died: by a reboot, by its parent process (according to its last words), or perhaps by one of its runs. `same_boot` is
/// `None` if the boot is unknown; that does not count as a reboot.
pub fn cause(same_boot: Option<bool>, was_ended_by_parent: bool) -> Cause {
    match (same_boot, was_ended_by_parent) {
        (Some(false), _) => Cause::Reboot,
        (_, true) => Cause::Parent,
        (_, false) => Cause::Unknown,
    }
}

/// Whether the recovery of a dead worker is left to the worker that started it, while that one lives: only the parent knows early
/// that its child died alone.
pub fn is_left_to_parent(
    parent: Option<WorkerId>,
    own: Option<WorkerId>,
    parent_lives: bool,
) -> bool {
    parent.is_some() && parent != own && parent_lives
}

/// Whether the death of a worker may prove that a run kills workers: the worker had no parent, or its parent survived it and recovers
/// it.
pub fn proves(parent: Option<WorkerId>, own: Option<WorkerId>) -> bool {
    parent.is_none() || parent == own
}

/// A dead worker and its claims, before its leftover processes are ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadWorker {
    worker: WorkerId,
    cause: Cause,
    proves: bool,
    /// Every claim, with its process if the start mark names one.
    claims: Vec<Mark>,
    /// The claims that were started.
    started: Vec<Fence>,
}

impl DeadWorker {
    /// From the start marks and the claims in the store. The file may still have marks of finished runs; they are ignored. If a
    /// missing mark proves nothing (`are_proof` is false), every claim counts as started: a run that may have started must not be
    /// given back as never started.
    pub fn of(
        worker: WorkerId,
        (cause, proves): (Cause, bool),
        (marks, are_proof): (&[Mark], bool),
        held: &[(RunId, Fence)],
    ) -> Self {
        let claim = |&(run, fence): &(RunId, Fence)| {
            let mark = marks.iter().find(|mark| mark.fence == fence);
            let process = mark.and_then(|mark| mark.process);
            Mark {
                run,
                fence,
                process,
            }
        };
        let was_started =
            |fence: &Fence| !are_proof || marks.iter().any(|mark| mark.fence == *fence);
        Self {
            worker,
            cause,
            proves,
            claims: held.iter().map(claim).collect(),
            started: held.iter().map(|it| it.1).filter(was_started).collect(),
        }
    }

    /// The claims whose processes must be found and ended first; none after a reboot. All claims are searched, because a command may
    /// have removed its mark.
    pub fn claims_to_search(&self) -> &[Mark] {
        if self.cause == Cause::Reboot {
            return &[];
        }
        &self.claims
    }

    /// The death to store. `remaining` are the runs with processes that could not be ended.
    pub fn death(
        &self,
        remaining: impl IntoIterator<Item = RunId>,
        started_ms: impl Fn(&Mark) -> i64,
    ) -> Death {
        let mut blocked: Vec<RunId> = remaining.into_iter().collect();
        blocked.sort_unstable();
        blocked.dedup();
        let started = self.claims.iter();
        let started = started.filter(|mark| self.started.contains(&mark.fence));
        Death {
            worker: self.worker,
            cause: self.cause,
            proves: self.proves,
            started: started
                .map(|mark| ((mark.run, mark.fence), started_ms(mark)))
                .collect(),
            blocked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reboot_outweighs_last_words_and_an_unknown_boot_does_not() {
        assert_eq!(cause(Some(false), true), Cause::Reboot);
        for same_boot in [Some(true), None] {
            assert_eq!(cause(same_boot, true), Cause::Parent);
            assert_eq!(cause(same_boot, false), Cause::Unknown);
        }
    }

    /// Proves: as `the_death_of_a_worker_and_its_child_at_once_proves_nothing`.
    #[test]
    fn only_a_surviving_parent_can_prove_that_its_child_died_alone() {
        let (parent, other) = (Some(WorkerId(1)), Some(WorkerId(2)));
        for (of, own, lives, left, proof) in [
            (None, other, false, false, true),
            (parent, parent, true, false, true),
            (parent, other, true, true, false),
            (parent, other, false, false, false),
            (parent, None, true, true, false),
            (parent, None, false, false, false),
        ] {
            let case = (of, own, lives);
            assert_eq!(is_left_to_parent(of, own, lives), left, "{case:?}");
            assert_eq!(proves(of, own), proof, "{case:?}");
        }
    }

    fn mark(run: i64, fence: i64) -> Mark {
        Mark {
            run: RunId(run),
            fence: Fence(fence),
            process: None,
        }
    }

    const HELD: [(RunId, Fence); 2] = [(RunId(1), Fence(10)), (RunId(2), Fence(20))];

    fn dead(cause: Cause, marks: &[Mark], are_proof: bool) -> DeadWorker {
        DeadWorker::of(WorkerId(7), (cause, true), (marks, are_proof), &HELD)
    }

    fn started(dead: &DeadWorker) -> Vec<i64> {
        let death = dead.death([], |_| 5);
        let mut runs: Vec<i64> = death.started.keys().map(|(run, _)| run.0).collect();
        runs.sort_unstable();
        runs
    }

    #[test]
    fn only_start_marks_of_current_claims_count() {
        let marks = [mark(1, 10), mark(2, 19), mark(3, 30)];
        let dead = dead(Cause::Unknown, &marks, true);
        assert_eq!(started(&dead), [1]);
        // The other claim may have lost its mark, so its processes are searched too.
        let claims_to_search: Vec<i64> =
            dead.claims_to_search().iter().map(|it| it.run.0).collect();
        assert_eq!(claims_to_search, [1, 2]);
    }

    /// Proves: as `only_a_free_lock_or_an_ended_process_proves_a_death`.
    #[test]
    fn claims_count_as_started_if_a_missing_mark_proves_nothing() {
        assert_eq!(started(&dead(Cause::Unknown, &[], false)), [1, 2]);
        assert_eq!(started(&dead(Cause::Unknown, &[], true)), [0; 0]);
    }

    #[test]
    fn no_process_is_searched_after_a_reboot() {
        let dead = dead(Cause::Reboot, &[mark(1, 10)], true);
        assert_eq!(dead.claims_to_search(), []);
        assert_eq!(started(&dead), [1]);
    }

    #[test]
    fn a_run_with_several_leftover_processes_is_blocked_once() {
        let dead = dead(Cause::Unknown, &[], true);
        let death = dead.death([RunId(2), RunId(1), RunId(2)], |_| 5);
        assert_eq!(death.blocked, [RunId(1), RunId(2)]);
        assert_eq!((death.worker, death.cause), (WorkerId(7), Cause::Unknown));
    }
}
