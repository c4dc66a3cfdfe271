//! Starts commands, supervises them, and ends them with their leftover processes.
//!
//! Rule: a slot is a thread that calls [`supervise()`] and blocks until the attempt is over; the main thread
//! never starts a command, so that its children are only adopted processes (see [`spawn::become_subreaper`]).
//! Every wait is bounded, except the command's own running time where it has no timeout.

pub mod alone;
pub mod capture;
pub mod command;
pub mod contract;
pub mod control;
pub mod descriptors;
pub mod environment;
mod exit;
mod family;
pub mod last_words;
pub mod leftovers;
mod limits;
pub mod memory;
mod not_started;
mod proc_fs;
mod program;
pub mod signals;
pub mod spawn;
mod start;
mod stuck;
mod supervise;
#[cfg(test)]
mod tests;
mod watch;
pub mod wrapper;

pub use capture::Capture;
pub use control::Control;
pub use limits::Limits;
pub use start::Launch;
pub use stuck::Stuck;
pub use supervise::{Outcome, supervise};
