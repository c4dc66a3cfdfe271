//! Starts commands, supervises them, and ends them with their leftover processes.
//!
//! Rule: a slot is a thread that calls [`supervise::supervise`] and blocks until the attempt is over. The main thread never starts a
//! command, so that its children are only adopted processes (see [`spawn::become_subreaper`]). Every wait is bounded, except the running
//! time of a command without a timeout.

pub mod alone;
pub mod capture;
pub mod command;
pub mod contract;
pub mod control;
pub mod descriptors;
pub mod environment;
mod family;
pub mod last_words;
pub mod leftovers;
pub mod marks;
pub mod memory;
mod proc_fs;
pub mod signals;
mod slot_dir;
pub mod spawn;
mod stuck;
pub mod supervise;
#[cfg(test)]
mod tests;
mod watch;
pub mod wrapper;

pub use capture::Capture;
pub use control::Control;
pub use slot_dir::SlotDir;
pub use stuck::Stuck;
pub use supervise::supervise;
