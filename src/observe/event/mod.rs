//! Every event of the log, as plain data: its name, level, fields and meaning.
//!
//! Rule: pure; [`super::log`] writes events. Scripts of operators read names, fields and levels, so a change must be announced.
//! `tests/log_events.rs` generates `docs/log.md` from this file.

mod fields;
mod meanings;

use crate::advice::Advice;
use crate::attempt::Class;
use crate::flow::Subject;
use crate::records::Cause;
use crate::run::{Reason, RunId, WorkerId};

use fields::Part;
pub use fields::{
    CatalogueSize, Field, FieldName, LoggedAttempt, LoggedPeriod, Text, UtcMs, Value,
};
pub use meanings::FIELD_MEANINGS;

/// The severity of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Frequent, such as each attempt; shown with `-v`.
    Debug,
    /// An event that an operator may want to find later.
    Info,
    /// An event that an operator should check.
    Warn,
    /// Something is lost, or has stopped.
    Error,
}

impl Level {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

/// The entry of an event in the documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub name: &'static str,
    /// Its usual level.
    pub level: Level,
    /// Its fields, in their order.
    pub fields: Vec<FieldName>,
    /// Its meaning.
    pub meaning: &'static str,
}

/// Makes the enum. An event is written as: its meaning, variant, level and name, and its parts in the order of its fields.
macro_rules! log_events {
    ($(
        $(#[doc = $meaning:literal])+
        $variant:ident = $level:ident $name:literal $({ $($part:ident: $type:ty),+ })?
    )+) => {
        /// An event of the log.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs, reason = "`FIELD_MEANINGS` says of each field what it means")]
        pub enum LogEvent<'a> {
            $($(#[doc = $meaning])+ $variant $({ $($part: $type),+ })?,)+
        }

        impl<'a> LogEvent<'a> {
            /// Its name.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $name,)+
                }
            }

            fn usual_level(&self) -> Level {
                match self {
                    $(Self::$variant { .. } => Level::$level,)+
                }
            }

            /// Its fields, in the order in which they are written.
            pub fn fields(&self) -> Vec<Field<'_>> {
                let mut fields = Vec::new();
                match self {
                    $(Self::$variant $({ $($part),+ })? => {
                        $($($part.add(stringify!($part), &mut fields);)+)?
                    })+
                }
                fields
            }

            /// All events, in the order of the documentation.
            pub fn descriptions() -> Vec<Description> {
                vec![$(Description {
                    name: $name,
                    level: Level::$level,
                    fields: <[Vec<FieldName>]>::concat(&[$($(<$type as Part>::names(stringify!($part))),+)?]),
                    meaning: concat!($($meaning),+).trim_start(),
                }),+]
            }
        }
    };
}

log_events! {
    /// The worker has started.
    WorkerStarted = Info "worker_started" { worker: WorkerId, queues: Text<'a>, slots: usize }
    /// A stop of the worker has begun or has reached its next stage.
    WorkerStopping = Info "worker_stopping" { how: &'static str }
    /// The worker has stopped.
    WorkerStopped = Info "worker_stopped" { worker: WorkerId, attempts: u64 }
    /// The served queues reserve every slot of the worker: runs of queues without a reserve may get none.
    NoSlotWithoutReserve = Warn "no_slot_without_reserve" { reserved: i64, slots: u32 }
    /// Commands may get descriptors that the worker inherited.
    DescriptorsNotSealed = Warn "descriptors_not_sealed" { error: Text<'a> }
    /// Processes that outlive their command may escape the worker.
    NoSubreaper = Warn "no_subreaper" { error: Text<'a> }
    /// The service manager cannot be notified.
    ServiceManagerUnreachable = Warn "service_manager_unreachable" { socket: Text<'a>, error: Text<'a> }
    /// The path of the worker's lock file names another file: the worker stops.
    LockFileTampered = Error "lock_file_tampered" { worker: WorkerId }
    /// The wall clock was set back; the waits of runs are adjusted.
    ClockSteppedBack = Warn "clock_stepped_back" { by_ms: i64 }

    /// The run has succeeded.
    RunSucceeded = Debug "run_succeeded" { attempt: LoggedAttempt<'a> }
    /// The attempt did not succeed; the run is tried again.
    RunDeferred = Info "run_deferred" { attempt: LoggedAttempt<'a>, class: Class, due: UtcMs, error: Text<'a> }
    /// The run is dead and has a dead letter.
    RunDead = Warn "run_dead" { attempt: LoggedAttempt<'a>, reason: Reason, error: Text<'a> }
    /// The worker stops: it ended the attempt, and the run goes back to its queue.
    RunReleased = Info "run_released" { attempt: LoggedAttempt<'a> }
    /// The run was cancelled, as an operator requested.
    RunCancelled = Info "run_cancelled" { attempt: LoggedAttempt<'a> }
    /// The attempt was stopped before its command started: the claim is given back, and no attempt is counted.
    RunUnclaimed = Info "run_unclaimed" { attempt: LoggedAttempt<'a> }
    /// The host lacks what a start needs: the claim is given back, and no attempt is counted.
    RunNotStarted = Warn "run_not_started" {
        run: RunId, job: Text<'a>, attempt: Option<i64>, ran_ms: Option<i64>, shortage: Text<'a>
    }
    /// The end of the attempt was not stored: its claim is no longer valid, for instance because another worker recovered the run.
    AttemptFenced = Warn "attempt_fenced" { attempt: LoggedAttempt<'a> }
    /// Processes of the attempt outlived its command; they were ended, or left running, as the job sets.
    Leftovers = Warn "leftovers" { attempt: LoggedAttempt<'a>, processes: u32 }
    /// Processes of the attempt survived SIGKILL: the run waits until they are gone.
    RunBlockedByProcesses = Error "run_blocked_by_processes" { run: RunId, pids: Vec<i32> }
    /// The store refused the end of an attempt several times; it is retried every ten seconds, or the run is recovered later.
    RunGivenUp = Error "run_given_up" { run: RunId, error: Text<'a> }
    /// The run is executed by a worker of its own.
    RunHandedOver = Info "run_handed_over" { run: RunId, job: Text<'a> }
    /// An operator requested the cancellation of a running run.
    CancelRequested = Info "cancel_requested" { run: RunId }
    /// `jobctl run` executes a run that was already waiting under the same key.
    DuplicateIsWorkedHere = Info "duplicate_is_worked_here" { run: RunId }
    /// `jobctl run` waits for a run with the same key, which another worker executes.
    DuplicateIsWorkedElsewhere = Info "duplicate_is_worked_elsewhere" { run: RunId, worker: WorkerId }
    /// The run that `on_dead` asks for cannot be enqueued.
    OnDeadRefused = Error "on_dead_refused" { run: RunId, error: Text<'a> }
    /// A dead worker was found: its processes were ended and its runs handed out again.
    WorkerDied = Warn "worker_died" {
        worker: WorkerId, pid: i64, cause: Cause, unclaimed: u32, lost: u32, dead: usize, blocked: usize,
        processes_ended: usize, cannot_end: Option<Text<'a>>
    }

    /// A breaker opened: runs of the limit or job wait.
    BreakerOpened = Warn "breaker_opened" { subject: &'a Subject, until: UtcMs }
    /// A breaker closed.
    BreakerClosed = Info "breaker_closed" { subject: &'a Subject }
    /// A service asked to wait: runs of the limit or job wait.
    LimitPaused = Info "limit_paused" { subject: &'a Subject, until: UtcMs }

    /// A write to the store or a read from it failed; it is retried.
    StoreFailed = Warn "store_failed" { error: Text<'a> }
    /// The disk is full; the reserve of the store was released so that ends can be stored.
    DiskReserveReleased = Warn "disk_reserve_released"
    /// Enqueues to these queues are refused because space is short.
    EnqueueRefused = Warn "enqueue_refused" { queues: Text<'a>, why: Text<'a> }
    /// Enqueues are no longer refused because of space.
    EnqueueAccepted = Info "enqueue_accepted"
    /// The housekeeping failed, such as the recovery of dead workers; it is retried.
    HousekeepingFailed = Warn "housekeeping_failed" { error: Text<'a> }
    /// Ended runs beyond the retention could not be removed; the prune is retried.
    PruneFailed = Warn "prune_failed" { error: Text<'a> }
    /// Ended runs beyond the retention were removed.
    Pruned = Info "pruned" { runs: usize }

    /// A catalogue was loaded and is used from now on.
    CatalogueLoaded = Info "catalogue_loaded" { size: CatalogueSize }
    /// The catalogue cannot be loaded; the old one stays in use.
    CatalogueRefused = Error "catalogue_refused" { error: Text<'a> }
    /// The store refused the rules of the catalogue: the old rules stay in force, and the new ones are retried.
    RulesNotInForce = Warn "rules_not_in_force" { error: Text<'a> }
    /// The rules that the store had refused are in force now.
    RulesInForce = Info "rules_in_force"
    /// The rules of a newer catalogue cannot be put in force: the old schedules stay in use, and the reload is retried each minute.
    ReloadFailed = Error "reload_failed" { error: Text<'a> }

    /// The scheduler has started: its first catalogue is in force.
    SchedulerStarted = Info "scheduler_started" { schedules: usize, role: &'static str }
    /// The standby has become the leader.
    SchedulerLeads = Info "scheduler_leads"
    /// The scheduler has stopped.
    SchedulerStopped = Info "scheduler_stopped"
    /// A schedule is new and in force.
    ScheduleAdded = Debug "schedule_added" { job: Text<'a> }
    /// The new version of a schedule is in force.
    ScheduleChanged = Debug "schedule_changed" { job: Text<'a> }
    /// The job has no schedule any more.
    ScheduleRemoved = Info "schedule_removed" { job: Text<'a> }
    /// A schedule cannot be put in force, or its periods cannot be opened; this is retried each minute.
    ScheduleFailed = Error "schedule_failed" { job: Text<'a>, error: Text<'a> }
    /// Schedules of another catalogue, or of another version of jobctl, are in force.
    SchedulesOverruled = Warn "schedules_overruled" { job: Option<Text<'a>>, catalogue: Text<'a>, by: Option<Text<'a>> }
    /// The wall clock jumped: no periods of calendar rules are opened until the clock is accepted.
    ClockJumped = Warn "clock_jumped" { jump: Text<'a>, held: &'static str, hint: Advice }
    /// An operator accepted the clock.
    ClockAccepted = Info "clock_accepted"
    /// Periods of calendar rules are opened again.
    CalendarRulesResumed = Info "calendar_rules_resumed"
    /// A period has its run.
    PeriodOpened = Debug "period_opened" { period: Box<LoggedPeriod> }
    /// A period was late and has its run.
    PeriodCaughtUp = Info "period_caught_up" { period: Box<LoggedPeriod> }
    /// Periods have no run. Equal outcomes of a schedule are at this level once a minute, and else at `debug`.
    PeriodSkipped = Info "period_skipped" { period: Box<LoggedPeriod> }
    /// Periods are covered by the run of another period. Equal outcomes as for `period_skipped`.
    PeriodMerged = Info "period_merged" { period: Box<LoggedPeriod> }
}

impl LogEvent<'_> {
    /// Its level.
    pub fn level(&self) -> Level {
        match self {
            Self::PeriodCaughtUp { period }
            | Self::PeriodSkipped { period }
            | Self::PeriodMerged { period }
                if period.is_repeated =>
            {
                Level::Debug
            }
            _ => self.usual_level(),
        }
    }
}

#[cfg(test)]
mod tests;
