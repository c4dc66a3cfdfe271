//! Integration tests: one binary, one module per claim area.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::too_many_lines,
    clippy::duration_suboptimal_units,
    clippy::format_push_string,
    clippy::format_collect,
    reason = "tests start processes, look at the clock, and tell whole stories"
)]

mod cli;
mod crash;
mod dice;
mod enqueue;
mod faults;
mod flow;
mod idle;
mod invariants;
mod left_out;
mod log_events;
mod man;
mod needs;
mod readme;
mod schedule;
mod scheduler;
mod shifted;
mod simulation;
mod store;
mod systemd;
mod tidy;
mod user;
mod worker;
mod world;
