//! How a store is opened.

use std::path::PathBuf;
use std::time::Duration;

use super::Store;
use crate::local::Local;

/// Whether opening may create or migrate the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    /// Create it if it does not exist.
    IfMissing,
    /// As `IfMissing`, and migrate an older schema.
    AndMigrate,
    /// It must exist.
    Never,
}

/// How to open a store.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// The store directory.
    pub dir: PathBuf,
    /// Whether it may be created or migrated.
    pub create: Create,
    /// Longest wait for other processes.
    pub busy_wait: Duration,
    /// Present time, milliseconds; the creation time of a new store.
    pub now_ms: i64,
}

/// A store that was opened.
pub struct Opened {
    /// It.
    pub store: Store,
    /// The state directory of this host.
    pub local: Local,
    /// Whether it was made just now.
    pub is_new: bool,
}
