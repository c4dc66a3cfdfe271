//! Integration tests: one binary, one module per claim area.

mod cli;
mod enqueue;
mod crash;
mod invariants;
mod world;
