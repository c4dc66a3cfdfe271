//! Writes the log entries of the machine as log lines.

use crate::observe::log::{Level, event, number, text};
use crate::worker::machine::{Note, Stop};

impl Note {
    /// Writes the log line.
    pub(super) fn log(&self) {
        match self {
            Note::Stored(ended, written) => {
                ended.log(written);
                written.log();
            }
            Note::GivenUp { run, error } => {
                let fields = [number("run", run.0), text("error", error)];
                event(Level::Error, "run_given_up", &fields);
            }
            Note::Blocked { run, pids } => {
                let pids = text("pids", format!("{pids:?}"));
                let fields = [number("run", run.0), pids];
                event(Level::Error, "run_blocked_by_processes", &fields);
            }
            Note::StoreFailed(error) => {
                event(Level::Warn, "store_failed", &[text("error", error)]);
            }
            Note::CancelRequested { run } => {
                event(Level::Info, "cancel_requested", &[number("run", run.0)]);
            }
            Note::DuplicateAdopted { run } => {
                event(
                    Level::Info,
                    "duplicate_is_worked_here",
                    &[number("run", run.0)],
                );
            }
            Note::DuplicateElsewhere { run, worker } => {
                let fields = [number("run", run.0), number("worker", worker.0)];
                event(Level::Info, "duplicate_is_worked_elsewhere", &fields);
            }
            Note::Stopping(stop) => {
                let how = match stop {
                    Stop::No | Stop::Graceful(_) => "drain",
                    Stop::Term => "terminate",
                    Stop::Kill => "kill",
                };
                event(Level::Info, "worker_stopping", &[text("how", how)]);
            }
            Note::LockTampered { worker } => {
                event(
                    Level::Error,
                    "lock_file_tampered",
                    &[number("worker", worker.0)],
                );
            }
            Note::ClockSteppedBack { by_ms } => {
                event(
                    Level::Warn,
                    "clock_stepped_back",
                    &[number("by_ms", *by_ms)],
                );
            }
            Note::Loaded { jobs } => {
                event(Level::Info, "catalogue_loaded", &[number("jobs", *jobs)]);
            }
            Note::RulesNotSaved(error) => {
                event(Level::Warn, "rules_not_in_force", &[text("error", error)]);
            }
            Note::RulesSaved => event(Level::Info, "rules_in_force", &[]),
            Note::Refused(error) => {
                event(Level::Error, "catalogue_refused", &[text("error", error)]);
            }
        }
    }
}
