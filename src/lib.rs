//! jobctl: runs shell-command jobs in the background, durably, over one SQLite file.
//!
//! The library holds everything; the binary parses, dispatches and reports. See `ARCHITECTURE.md` for the map.

pub mod advice;
pub mod attempt;
pub mod catalogue;
pub mod cli;
pub mod clock;
pub mod crontab;
pub mod document;
pub mod error;
pub mod fail_point;
pub mod flow;
pub mod intake;
pub mod local;
pub mod observe;
pub mod operate;
pub mod owned;
pub mod policy;
pub mod process;
pub mod records;
pub mod recovery;
pub mod run;
pub mod schedule;
pub mod scheduler;
pub mod store;
pub mod units;
pub mod worker;
pub mod zone_files;
