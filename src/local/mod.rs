//! The state of this host outside the database: the state directory with its locks, the space on its disk, and everything
//! that workers and commands have in it.
//!
//! Rule: nothing here knows a store or a command; every path below the state directory comes from here, except those of SQLite.

mod disk;
mod liveness;
pub mod lock;
pub mod marks;
mod output;
mod place;
mod slot_dir;

use std::io;
use std::path::Path;
use std::sync::Arc;

pub use liveness::{
    Candidate, HeldFile, Life, Lock, ProcessState, Register, Registration, WORKERS, WorkerLock,
    life, pid_namespace, start_ticks,
};
pub use output::remove_checkpoint;
pub use place::{HINT_RIGHTS, as_owner, is_network, no_store};
pub use slot_dir::SlotDir;

use crate::error::{Error, Result};
use crate::owned::Dir;

/// Directory of the slots of workers.
pub const WORK: &str = "work";

/// Directory of the logs of attempts.
pub const OUTPUT: &str = "output";

/// Directory of the checkpoints of runs, which only their commands read and write.
pub const CHECKPOINTS: &str = "checkpoints";

/// The state directory of this host.
#[derive(Debug, Clone)]
pub struct Local {
    /// Absolute, without links.
    dir: Arc<Path>,
}

impl Local {
    /// A directory that was not checked: for tests, and for a store in memory, which has none.
    #[doc(hidden)]
    pub fn unchecked(dir: &Path) -> Self {
        Self { dir: dir.into() }
    }

    /// Its path, absolute and without links.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Creates the directories of work, output and checkpoints that are missing.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn make_dirs(&self) -> Result<()> {
        for name in [WORK, OUTPUT, CHECKPOINTS] {
            self.make_dir(name)?;
        }
        Ok(())
    }

    fn make_dir(&self, name: &str) -> Result<Dir> {
        self.open()
            .and_then(|state| state.make_dir(name))
            .map_err(|error| Error::io("use", &self.dir.join(name), &error))
    }

    /// Opens it, as the start of relative paths.
    fn open(&self) -> io::Result<Dir> {
        Dir::open(&self.dir)
    }
}
