//! The suite, run with stores on disk.

use super::make::OnDisk as Kind;

#[path = "suite/mod.rs"]
pub(in crate::store) mod suite;
