//! How a store is opened.

use std::path::PathBuf;
use std::time::Duration;

use super::Store;
use crate::local::Local;

/// What may happen to the store while it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    /// Make it if it does not exist.
    IfMissing,
    /// As `IfMissing`, and bring an older schema up to date.
    AndMigrate,
    /// It must exist.
    Never,
}

/// How to open a store.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// The store directory.
    pub dir: PathBuf,
    /// Whether it may be made or migrated.
    pub create: Create,
    /// Longest wait for other writers.
    pub busy_wait: Duration,
    /// Now, for the creation time.
    pub now_ms: i64,
}

/// A store that was opened.
pub struct Opened {
    /// It.
    pub store: Store,
    /// What this host has beside it.
    pub local: Local,
    /// Whether it was made just now.
    pub is_new: bool,
}
