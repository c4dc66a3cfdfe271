//! Integration tests: one binary, one module per claim area.

mod cli;
mod crash;
mod enqueue;
mod idle;
mod invariants;
mod man;
mod readme;
mod store;
mod tidy;
mod worker;
mod world;
