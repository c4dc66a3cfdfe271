//! What is decided about a dead worker and its runs.
//!
//! Rule: pure. What cannot be known counts as a start.

use crate::attempt::Mark;
use crate::records::{Cause, Death};
use crate::run::{Fence, RunId, WorkerId};

/// Why a worker died: by a boot since, by its parent as its last words say, or perhaps by one of its runs. An unknown boot is not
/// another one.
pub fn cause(same_boot: Option<bool>, was_ended_by_parent: bool) -> Cause {
    match (same_boot, was_ended_by_parent) {
        (Some(false), _) => Cause::Reboot,
        (_, true) => Cause::Parent,
        (_, false) => Cause::Unknown,
    }
}

/// Whether the recovery of a dead worker is left to the worker that started it: as long as that one lives, only it can say so soon
/// that one of them has died and not both.
pub fn is_left_to_parent(
    parent: Option<WorkerId>,
    own: Option<WorkerId>,
    parent_lives: bool,
) -> bool {
    parent.is_some() && parent != own && parent_lives
}

/// Whether the death of a worker may prove that a run ends workers: if it had no parent, or its parent outlived it and is the one
/// who recovers it.
pub fn proves(parent: Option<WorkerId>, own: Option<WorkerId>) -> bool {
    parent.is_none() || parent == own
}

/// What is known of the runs of a dead worker before what they left is ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquest {
    worker: WorkerId,
    cause: Cause,
    proves: bool,
    /// Every claim, with its process where that was marked.
    claims: Vec<Mark>,
    /// Those that were started.
    started: Vec<Fence>,
}

impl Inquest {
    /// From the start marks and the claims that the store knows. Marks of finished runs may still stand in the file: only
    /// those of claims matter. Where the lack of a mark proves nothing every claim counts as started: what was perhaps begun must not
    /// be given back as never started.
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

    /// The claims whose processes must be ended first; none are left after a boot. A command may have removed its mark, so every
    /// claim is looked for.
    pub fn looked_for(&self) -> &[Mark] {
        if self.cause == Cause::Reboot {
            return &[];
        }
        &self.claims
    }

    /// What is to be stored, given what could not be ended and when each start was marked.
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
    fn a_boot_is_the_cause_whatever_was_said_before_and_an_unknown_one_is_none() {
        assert_eq!(cause(Some(false), true), Cause::Reboot);
        for same_boot in [Some(true), None] {
            assert_eq!(cause(same_boot, true), Cause::Parent);
            assert_eq!(cause(same_boot, false), Cause::Unknown);
        }
    }

    /// Proves: as `the_death_of_a_worker_and_its_child_at_once_proves_nothing`.
    #[test]
    fn only_a_parent_that_lives_tells_the_death_of_its_child_from_the_end_of_both() {
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

    fn inquest(cause: Cause, marks: &[Mark], are_proof: bool) -> Inquest {
        Inquest::of(WorkerId(7), (cause, true), (marks, are_proof), &HELD)
    }

    fn started(inquest: &Inquest) -> Vec<i64> {
        let death = inquest.death([], |_| 5);
        let mut runs: Vec<i64> = death.started.keys().map(|(run, _)| run.0).collect();
        runs.sort_unstable();
        runs
    }

    #[test]
    fn marks_of_claims_are_starts_and_those_of_finished_runs_are_not() {
        let marks = [mark(1, 10), mark(2, 19), mark(3, 30)];
        let inquest = inquest(Cause::Unknown, &marks, true);
        assert_eq!(started(&inquest), [1]);
        // The other claim may have lost its mark: its processes are looked for all the same.
        let looked_for: Vec<i64> = inquest.looked_for().iter().map(|it| it.run.0).collect();
        assert_eq!(looked_for, [1, 2]);
    }

    /// Proves: as `only_a_lock_that_nobody_holds_or_a_process_that_is_gone_proves_a_death`.
    #[test]
    fn where_the_lack_of_a_mark_proves_nothing_every_claim_counts_as_started() {
        assert_eq!(started(&inquest(Cause::Unknown, &[], false)), [1, 2]);
        assert_eq!(started(&inquest(Cause::Unknown, &[], true)), [0; 0]);
    }

    #[test]
    fn after_a_boot_nothing_is_looked_for() {
        let inquest = inquest(Cause::Reboot, &[mark(1, 10)], true);
        assert_eq!(inquest.looked_for(), []);
        assert_eq!(started(&inquest), [1]);
    }

    #[test]
    fn a_run_is_blocked_once_however_many_of_its_processes_are_left() {
        let inquest = inquest(Cause::Unknown, &[], true);
        let death = inquest.death([RunId(2), RunId(1), RunId(2)], |_| 5);
        assert_eq!(death.blocked, [RunId(1), RunId(2)]);
        assert_eq!((death.worker, death.cause), (WorkerId(7), Cause::Unknown));
    }
}
