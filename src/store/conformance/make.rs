//! The kinds of stores that the suite tests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::store::{Create, OpenOptions, Store};

/// A place for one separate store, which is removed when this value is dropped.
pub(in crate::store) trait Make {
    fn make() -> Self;

    /// Opens the store once more, as another process would; the first call creates it.
    fn open(&self) -> Store;
}

/// A directory.
pub(in crate::store) struct OnDisk(tempfile::TempDir);

impl Make for OnDisk {
    fn make() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Store {
        let options = OpenOptions {
            dir: self.0.path().join("state"),
            create: Create::IfMissing,
            busy_wait: Duration::from_secs(20),
            now_ms: 0,
        };
        options.open().unwrap().store
    }
}

/// A name in the memory of this process.
pub(in crate::store) struct InMemory(String);

impl Make for InMemory {
    fn make() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let n = MADE.fetch_add(1, Ordering::Relaxed);
        Self(format!("conformance-{n}"))
    }

    fn open(&self) -> Store {
        Store::in_memory(&self.0, 0).unwrap()
    }
}
