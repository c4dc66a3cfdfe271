//! The notes of the machine as log lines.

use std::fmt::Display;

use crate::observe::log::{self, Level};
use crate::worker::machine::{Note, Stop};

impl Note {
    /// Logs it.
    pub(super) fn log(&self) {
        let event = |level, name, fields: &[(&str, &dyn Display)]| log::event(level, name, fields);
        match self {
            Note::Stored(ended, written) => {
                ended.log(written);
                written.log();
            }
            Note::GivenUp { run, error } => {
                let fields: [(&str, &dyn Display); 2] = [("run", run), ("error", error)];
                event(Level::Error, "run_given_up", &fields);
            }
            Note::Blocked { run, pids } => {
                let pids = format!("{pids:?}");
                let fields: [(&str, &dyn Display); 2] = [("run", run), ("pids", &pids)];
                event(Level::Error, "run_blocked_by_processes", &fields);
            }
            Note::StoreFailed(error) => {
                event(Level::Warn, "store_failed", &[("error", error)]);
            }
            Note::CancelRequested { run } => {
                event(Level::Info, "cancel_requested", &[("run", run)]);
            }
            Note::DuplicateAdopted { run } => {
                event(Level::Info, "duplicate_is_worked_here", &[("run", run)]);
            }
            Note::DuplicateElsewhere { run, worker } => {
                let fields: [(&str, &dyn Display); 2] = [("run", run), ("worker", worker)];
                event(Level::Info, "duplicate_is_worked_elsewhere", &fields);
            }
            Note::Stopping(stop) => {
                let how = match stop {
                    Stop::No | Stop::Graceful(_) => "drain",
                    Stop::Term => "terminate",
                    Stop::Kill => "kill",
                };
                event(Level::Info, "worker_stopping", &[("how", &how)]);
            }
            Note::LockTampered { worker } => {
                event(Level::Error, "lock_file_tampered", &[("worker", worker)]);
            }
            Note::ClockSteppedBack { by_ms } => {
                event(Level::Warn, "clock_stepped_back", &[("by_ms", by_ms)]);
            }
            Note::Loaded { jobs } => {
                event(Level::Info, "catalogue_loaded", &[("jobs", jobs)]);
            }
            Note::RulesNotSaved(error) => {
                event(Level::Warn, "rules_not_in_force", &[("error", error)]);
            }
            Note::RulesSaved => event(Level::Info, "rules_in_force", &[]),
            Note::Refused(error) => {
                event(Level::Error, "catalogue_refused", &[("error", error)]);
            }
        }
    }
}
