//! The suite over stores in memory.

use super::make::InMemory as Kind;

#[path = "suite/mod.rs"]
pub(in crate::store) mod suite;
