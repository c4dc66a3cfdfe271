//! The parameters and results of the store's verbs, as plain data: runs, claims, deaths, rows of lists, schedules.
//!
//! Rule: nothing here uses the store, so code that decides about runs, or shows them, needs no store.

mod claims;
mod deaths;
mod ended;
mod labels;
mod new_run;
mod orders;
mod pruning;
mod rows;
#[doc(hidden)]
pub mod samples;
mod schedule_rows;

pub use claims::{
    ClaimRequest, Claimed, Claims, Finished, Handover, Holder, Outcome, PassedOver, ServedQueue,
    Start,
};
pub use deaths::{Burial, Cause, Death, Recovered};
pub use ended::EndedAttempt;
pub use labels::Labels;
pub use new_run::{Enqueued, NewDedup, NewRun, NewSequence, PRIORITY_STEP_MS, Settings};
pub use orders::{Answer, ClaimAnswer, ClaimOrder, ForegroundRun, Only, RunLocation};
pub(crate) use pruning::Phase;
pub use pruning::{Pruned, Pruning};
pub use rows::{
    Act, ActRow, Asked, AttemptRow, Closed, DeadFilter, DeadLetter, Handled, ImportProgress,
    Lacking, Pause, PruneRule, QueueRow, Reset, RunDetail, RunFilter, RunRow, UnknownLane,
    Violation, Waiting, WorkerRow,
};
pub use schedule_rows::{
    Agenda, ForeignRun, NewVersion, PeriodFilter, PeriodRow, ScheduleRow, SchedulerRow,
    UnrecordedRun, VersionRow, VersionRows,
};
