//! The scheduler: exactly one run per period, whatever happens to processes, clocks and catalogues.

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
