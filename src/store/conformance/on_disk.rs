//! The suite over stores on a disk.

use super::make::OnDisk as Kind;

#[path = "suite/mod.rs"]
pub(in crate::store) mod suite;
