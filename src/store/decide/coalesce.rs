//! Decides how an enqueue coalesces with runs of its dedup key that have not ended.
//!
//! Rule: of the runs with one key, the one that starts last has the newest parameters; with `rerun` it starts after the others
//! have ended.

use crate::catalogue::Coalesce;
use crate::error::{Error, Kind, Result};
use crate::records::{Enqueued, NewRun};
use crate::run::{RunId, State};

/// A run with an equal key that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// Its id.
    pub run: RunId,
    /// Whether it is running; otherwise it is waiting.
    pub is_running: bool,
    /// Whether it waits for other runs to end.
    pub is_gated: bool,
    /// Its earliest start, milliseconds.
    pub due_ms: i64,
    /// Key of its sequence.
    pub sequence: Option<String>,
}

impl Live {
    /// The answer to an enqueue that duplicates this run.
    pub fn answer(&self, replaced: bool) -> Enqueued {
        Enqueued {
            run: self.run,
            duplicate: true,
            replaced,
            state: if self.is_running {
                State::Running
            } else {
                State::Waiting
            },
            due_ms: self.due_ms,
        }
    }

    /// Refuses an enqueue of another sequence, which would move this run out of its sequence.
    ///
    /// # Errors
    /// [`Kind::Refused`].
    pub fn check_sequence(&self, new: &NewRun) -> Result<()> {
        let sequence = new.sequence.as_ref().map(|sequence| &sequence.key);
        if sequence == self.sequence.as_ref() {
            return Ok(());
        }
        let message = format!(
            "run {} of job `{}` has this dedup key and is in another sequence; nothing was enqueued",
            self.run, new.job
        );
        Err(Error::new(Kind::Refused, message)
            .hint("give runs of different sequences different dedup keys"))
    }
}

/// How an enqueue is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CoalesceOutcome<'a> {
    /// As a new run: no other run matters.
    New,
    /// Not at all: it duplicates this run.
    Duplicate(&'a Live),
    /// This waiting run gets the parameters of the enqueue, and also waits for the end of these runs.
    TakenOver(&'a Live, Vec<RunId>),
    /// As a new run that waits for the end of these runs.
    Behind(Vec<RunId>),
}

/// Decides by the runs with the key, the newest first, and by the mode that the job sets.
pub fn coalesce(live: &[Live], how: Coalesce) -> CoalesceOutcome<'_> {
    // A run that waits for others with the key starts last, whatever its id.
    let waiting = live.iter().filter(|it| !it.is_running);
    let last = waiting.max_by_key(|it| (it.is_gated, it.run));
    let running = || live.iter().filter(|it| it.is_running);
    let all_running = || running().map(|it| it.run).collect();
    match (last, how) {
        (Some(last), Coalesce::DropWaiting | Coalesce::DropActive) => {
            CoalesceOutcome::Duplicate(last)
        }
        (Some(last), Coalesce::Replace) => CoalesceOutcome::TakenOver(last, Vec::new()),
        (Some(last), Coalesce::Rerun) => CoalesceOutcome::TakenOver(last, all_running()),
        (None, Coalesce::DropActive) => running()
            .next()
            .map_or(CoalesceOutcome::New, CoalesceOutcome::Duplicate),
        (None, Coalesce::Rerun) => CoalesceOutcome::Behind(all_running()),
        (None, Coalesce::DropWaiting | Coalesce::Replace) => CoalesceOutcome::New,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(run: i64, is_running: bool, is_gated: bool) -> Live {
        Live {
            run: RunId(run),
            is_running,
            is_gated,
            due_ms: 5,
            sequence: None,
        }
    }

    #[test]
    fn each_coalesce_mode_decides_by_the_waiting_and_running_runs() {
        use Coalesce::{DropActive, DropWaiting, Replace, Rerun};
        let (waits, runs) = (live(2, false, false), live(1, true, false));
        let both = [waits.clone(), runs.clone()];
        let ids = vec![RunId(1)];
        for (how, of_both, of_running, of_none) in [
            (
                DropWaiting,
                CoalesceOutcome::Duplicate(&waits),
                CoalesceOutcome::New,
                CoalesceOutcome::New,
            ),
            (
                DropActive,
                CoalesceOutcome::Duplicate(&waits),
                CoalesceOutcome::Duplicate(&runs),
                CoalesceOutcome::New,
            ),
            (
                Replace,
                CoalesceOutcome::TakenOver(&waits, vec![]),
                CoalesceOutcome::New,
                CoalesceOutcome::New,
            ),
            (
                Rerun,
                CoalesceOutcome::TakenOver(&waits, ids.clone()),
                CoalesceOutcome::Behind(ids.clone()),
                CoalesceOutcome::Behind(vec![]),
            ),
        ] {
            assert_eq!(coalesce(&both, how), of_both, "{how:?}");
            assert_eq!(coalesce(&both[1..], how), of_running, "{how:?}");
            assert_eq!(coalesce(&[], how), of_none, "{how:?}");
        }
    }

    #[test]
    fn of_several_waiting_runs_the_one_behind_the_others_gets_the_parameters() {
        let live = [
            live(3, false, false),
            live(2, false, true),
            live(1, false, false),
        ];
        let outcome = coalesce(&live, Coalesce::Replace);
        assert_eq!(outcome, CoalesceOutcome::TakenOver(&live[1], vec![]));
    }

    #[test]
    fn the_answer_to_a_duplicate_has_the_state_of_the_existing_run() {
        let answer = live(4, true, false).answer(false);
        assert_eq!((answer.run, answer.state), (RunId(4), State::Running));
        assert!(answer.duplicate && !answer.replaced);
        assert_eq!(live(4, false, false).answer(true).state, State::Waiting);
    }
}
