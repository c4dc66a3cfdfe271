//! The store's verbs in domain words, with plain values (`records`); no SQL here.
//!
//! Rule: nothing above this module uses SQL or SQLite, and the present time is always a parameter.

mod sqlite;

pub use crate::flow::explain::NO_QUEUES;
pub use crate::records::{
    Act, ActRow, Agenda, AttemptRow, Burial, Cause, ClaimRequest, Claimed, Claims, Closed,
    DeadFilter, DeadLetter, Death, Enqueued, ForeignRun, Handled, Handover, Holder, Lacking,
    NewDedup, NewRun, NewSequence, NewVersion, Outcome, PRIORITY_STEP_MS, PassedOver, Pause,
    PeriodFilter, PeriodRow, PruneRule, QueueRow, Recovered, RunDetail, RunFilter, RunRow,
    ScheduleRow, SchedulerRow, ServedQueue, Settings, Start, UnrecordedRun, VersionRow,
    VersionRows, Waiting, WorkerRow,
};
pub(crate) use sqlite::open_lock;
pub use sqlite::{
    Asked, Body, Create, Done, Entry, Finished, ImportProgress, Ledger, OpenOptions, Pruned,
    Pruning, ResetLimit, SCHEMA_VERSION, Store, Turns, Tx, UnknownLane, Violation, Watch, Write,
    as_owner, is_network, sqlite_version,
};
