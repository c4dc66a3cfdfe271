//! The scheduler: exactly one run per period, despite events of processes, clocks and catalogues.

mod changes;
mod clock;
pub(crate) mod lab;
mod late;
mod overlap;
mod pauses;
mod pieces;
mod process;
mod simulation;
mod standby;
