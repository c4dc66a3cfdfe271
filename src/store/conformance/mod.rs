//! What every store must do, however it keeps its rows: one suite, compiled once for each kind of store, so that the name of a
//! failed test tells the kind.
//!
//! Rule: the suite calls verbs of the store only. What needs SQL is tested beside the statements.

#![expect(
    clippy::duplicate_mod,
    reason = "one suite for several kinds of stores"
)]

mod in_memory;
mod make;
pub(super) mod on_disk;
