//! The suite, run with stores in memory.

use super::make::InMemory as Kind;

#[path = "suite/mod.rs"]
pub(in crate::store) mod suite;
