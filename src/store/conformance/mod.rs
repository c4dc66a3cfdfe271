//! The test suite that every kind of store must pass. It is compiled once for each kind, so that the name of a
//! failed test shows the kind.
//!
//! Rule: the suite only calls verbs of the store. Tests that need SQL are beside the statements.

#![expect(
    clippy::duplicate_mod,
    reason = "one suite for several kinds of stores"
)]

mod in_memory;
mod make;
pub(super) mod on_disk;
