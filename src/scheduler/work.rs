//! The work that the loop gives out, and the answers.
//!
//! Rule: a piece of work is bounded and can be repeated. Its answer names it, so that work that was not done stays pending.

use std::sync::Arc;

use crate::catalogue::Catalogue;
use crate::error::Error;
use crate::policy::ClockGuard;
use crate::records::PeriodRow;

use super::agenda::Due;
use super::schedule_set::ScheduleSet;

/// A catalogue and its schedules.
pub struct Loaded {
    pub(super) catalogue: Catalogue,
    pub(super) schedules: Arc<ScheduleSet>,
}

/// A piece of work.
pub enum Work {
    /// Read the files of the catalogue.
    Read,
    /// Put the rules of queues and limits in force.
    SaveRules(Arc<Loaded>),
    /// Put the schedules with these indexes in force.
    Apply(Arc<ScheduleSet>, ClockGuard, Vec<usize>),
    /// Read whether the schedules with these indexes are in force, and when each is due.
    Follow(Arc<ScheduleSet>, Vec<usize>),
    /// Find the jobs that have a schedule in force and none in this set.
    FindRemoved(Arc<ScheduleSet>),
    /// Take the schedules of these jobs out of force.
    Remove(Arc<ScheduleSet>, ClockGuard, Vec<String>),
    /// Open the due periods of these schedules. The last field is the lag of a standby, milliseconds; 0 for the leader.
    Open(Arc<ScheduleSet>, ClockGuard, Vec<Due>, i64),
    /// Record in the store that this process leads.
    Lead,
    /// Save the state of the clock.
    SaveClock(ClockGuard),
    /// Read what other processes changed.
    Poll(LastPoll),
}

/// The state of the store at the last poll.
#[derive(Debug, Clone, Default)]
pub struct LastPoll {
    /// Changes when another connection commits; `None` before the first poll.
    pub data_version: Option<i64>,
    /// Path of our catalogue.
    pub path: String,
    /// Identity of its files.
    pub stamp: String,
    /// Read everything even if nothing was committed.
    pub force: bool,
}

/// The result of a poll.
#[derive(Debug, Clone, Default)]
pub struct PollResult {
    /// See [`LastPoll::data_version`].
    pub data_version: i64,
    /// `None` if nothing was committed since the last poll.
    pub changes: Option<StoreChanges>,
}

/// Catalogue and clock according to the store.
#[derive(Debug, Clone, Default)]
pub struct StoreChanges {
    /// Generation of our catalogue.
    pub generation: Option<i64>,
    /// Whether the version of our catalogue that was loaded last, by any process, is the one that we have.
    pub is_ours: bool,
    /// The catalogue whose schedules were put in force last.
    pub in_force: Option<String>,
    /// The clock that an operator accepted last, as JSON.
    pub accepted: Option<String>,
}

/// The error of a piece of work that was not done.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The error.
    pub error: Error,
    /// The database is gone or damaged, so a retry is useless.
    pub is_final: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error,
            is_final: false,
        }
    }
}

/// The result of a piece of work.
pub enum Answer {
    /// Of [`Work::Read`].
    Read(std::result::Result<Arc<Loaded>, Error>),
    /// Of [`Work::SaveRules`]: the generation of the catalogue.
    RulesSaved(Arc<Loaded>, std::result::Result<i64, Failure>),
    /// Of [`Work::Apply`] and [`Work::Follow`]: one result for each schedule that was reached.
    Applied(Vec<usize>, std::result::Result<Vec<ApplyResult>, Failure>),
    /// Of [`Work::FindRemoved`].
    FoundRemoved(std::result::Result<Vec<String>, Failure>),
    /// Of [`Work::Remove`]: one result for each job that was reached.
    Removed(Vec<String>, std::result::Result<Vec<RemoveResult>, Failure>),
    /// Of [`Work::Open`]: one result for each schedule that was reached.
    Opened(Vec<Due>, std::result::Result<Vec<OpenResult>, Failure>),
    /// Of [`Work::Lead`].
    Leads(std::result::Result<(), Failure>),
    /// Of [`Work::SaveClock`].
    ClockSaved(ClockGuard, std::result::Result<(), Failure>),
    /// Of [`Work::Poll`].
    Polled(std::result::Result<PollResult, Failure>),
}

impl Answer {
    /// The error, if the work failed.
    pub fn failure(&self) -> Option<Error> {
        let failure = match self {
            Self::Read(result) => return result.as_ref().err().cloned(),
            Self::RulesSaved(_, result) => result.as_ref().err(),
            Self::Applied(_, result) => result.as_ref().err(),
            Self::FoundRemoved(result) => result.as_ref().err(),
            Self::Removed(_, result) => result.as_ref().err(),
            Self::Opened(_, result) => result.as_ref().err(),
            Self::Leads(result) | Self::ClockSaved(_, result) => result.as_ref().err(),
            Self::Polled(result) => result.as_ref().err(),
        };
        failure.map(|failure| failure.error.clone())
    }

    /// Replaces the result by a failure, so that the outcome of the work is unknown: for simulations.
    #[doc(hidden)]
    #[must_use]
    pub fn into_failure(self, failure: Failure) -> Self {
        match self {
            Self::Read(_) => Self::Read(Err(failure.error)),
            Self::RulesSaved(loaded, _) => Self::RulesSaved(loaded, Err(failure)),
            Self::Applied(indexes, _) => Self::Applied(indexes, Err(failure)),
            Self::FoundRemoved(_) => Self::FoundRemoved(Err(failure)),
            Self::Removed(jobs, _) => Self::Removed(jobs, Err(failure)),
            Self::Opened(due, _) => Self::Opened(due, Err(failure)),
            Self::Leads(_) => Self::Leads(Err(failure)),
            Self::ClockSaved(guard, _) => Self::ClockSaved(guard, Err(failure)),
            Self::Polled(_) => Self::Polled(Err(failure)),
        }
    }
}

/// The result for one schedule that was to be put in force.
#[derive(Debug)]
pub(super) enum Applied {
    /// It was in force already, or its rule did not change.
    Kept {
        watermark_ms: i64,
        next_ms: Option<i64>,
    },
    /// It is in force from now on.
    Begun {
        next_ms: Option<i64>,
        /// It replaces another rule.
        changed: bool,
        /// Periods that the old rule decided last, and periods that the change would have lost.
        rows: Vec<PeriodRow>,
    },
    /// The old rule has more due periods than fit into one transaction; repeat the work.
    Unfinished(Vec<PeriodRow>),
    /// A rule cannot be evaluated, for this reason.
    Failed(String),
    /// The leader has not put it in force yet.
    NotInForce,
}

/// The result of putting one schedule in force, or of following it.
#[derive(Debug)]
pub struct ApplyResult(pub(super) Applied);

/// The result of taking one schedule out of force.
#[derive(Debug)]
pub enum RemoveResult {
    /// It is out of force.
    Done,
    /// More periods are left to decide; repeat the work.
    Unfinished,
    /// It failed, for this reason.
    Failed(String),
}

/// The result for one schedule whose periods were to be opened.
#[derive(Debug)]
pub(super) enum Opened {
    /// All due periods are decided, or as many as fit into the transaction.
    Done {
        /// More periods are due.
        more: bool,
        /// The next instant; `None` if there is none.
        next_ms: Option<i64>,
        /// The decided periods, for the log.
        rows: Vec<PeriodRow>,
    },
    /// Not due any more: the clock was set back while the process waited for the write lock.
    NotDue,
    /// The store has another schedule in force for this job.
    Stale,
    /// The rule or a run of the job is invalid, for this reason.
    Failed(String),
}

/// The result of opening one schedule.
#[derive(Debug)]
pub struct OpenResult(pub(super) Opened);
