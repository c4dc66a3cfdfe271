//! The store's verbs in domain words, with plain values (`records`); no SQL here.
//!
//! Rule: nothing above this module uses SQL or SQLite, and the present time is always a parameter.

pub use crate::flow::explain::NO_QUEUES;
pub use crate::records::{
    Act, ActRow, Agenda, Answer, Asked, AttemptRow, Burial, Cause, ClaimAnswer, ClaimOrder,
    ClaimRequest, Claimed, Claims, Closed, DeadFilter, DeadLetter, Death, EndedAttempt, Enqueued,
    Finished, ForeignRun, Handled, Handover, Holder, ImportProgress, Lacking, NewDedup, NewRun,
    NewSequence, NewVersion, Only, Outcome, PRIORITY_STEP_MS, PassedOver, Pause, PeriodFilter,
    PeriodRow, PruneRule, Pruned, Pruning, QueueRow, Recovered, Reset, RunDetail, RunFilter,
    RunRow, ScheduleRow, SchedulerRow, ServedQueue, Settings, Start, UnknownLane, UnrecordedRun,
    VersionRow, VersionRows, Violation, Waiting, WorkerRow,
};

#[cfg(test)]
mod conformance;
pub mod decide;
mod ledger;
mod opening;
mod order;
mod sqlite;

pub use decide::Turns;
pub use ledger::Ledger;
pub use opening::{Create, OpenOptions, Opened};
pub use order::{Order, Then};
pub use sqlite::{SCHEMA_VERSION, Store, Tx, Watch, is_begun, sqlite_version};
