//! The register of workers: `workers/<id>.lock`, which a worker holds locked as long as it lives, and its start marks.
//!
//! Rule: a lock file is locked before it gets its name, and lock files are created and removed under the write lock, so that the
//! file of a new worker is never taken for that of a dead one.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Life, Lock, ProcessState, Registration, life};
use crate::error::{Error, Result};
use crate::local::lock::{self, Mode};
use crate::local::{Local, WORK};
use crate::owned::Dir;
use crate::run::WorkerId;

/// Directory of the workers' lock files and start marks.
pub const WORKERS: &str = "workers";

fn lock_name(worker: WorkerId) -> String {
    format!("{worker}.lock")
}

fn marks_name(worker: WorkerId) -> String {
    format!("{worker}.started")
}

impl Local {
    /// The directory in which a lock file is closed or removed when a worker ends, to be watched.
    pub fn workers_dir(&self) -> PathBuf {
        self.dir().join(WORKERS)
    }

    fn lock_path(&self, worker: WorkerId) -> PathBuf {
        self.workers_dir().join(lock_name(worker))
    }

    /// Path of a worker's start marks.
    pub fn marks_path(&self, worker: WorkerId) -> PathBuf {
        self.workers_dir().join(marks_name(worker))
    }

    /// Opens a worker's lock file to check whether it is locked. Not for writing: the close would wake every reaper, also this one,
    /// and two workers would check each other without end.
    fn open_lock(&self, worker: WorkerId) -> io::Result<File> {
        self.open()?.dir(WORKERS)?.open_read(lock_name(worker))
    }

    /// Whether a worker is alive; `None` if that cannot be checked now.
    pub fn is_alive(&self, registered: &Registration<'_>) -> Option<bool> {
        match self.open_lock(registered.worker) {
            Ok(file) => lock::is_locked(&file),
            // The file was tampered with: the process itself decides.
            Err(error) if is_missing(&error) => match registered.process_state() {
                ProcessState::Exists(_) => Some(true),
                ProcessState::Gone => Some(false),
                ProcessState::Unknown => None,
            },
            Err(_) => None,
        }
    }

    /// Whether a worker holds its lock. File locks work across namespaces.
    pub fn is_locked(&self, worker: WorkerId) -> bool {
        let file = self.open_lock(worker);
        file.is_ok_and(|file| lock::is_locked(&file) == Some(true))
    }

    /// Whether this process holds the lock of a worker, by what the kernel shows of its descriptors.
    pub fn holds_lock(&self, pid: i32, worker: WorkerId) -> bool {
        lock::holds(pid, &self.lock_path(worker))
    }

    /// Whether a worker is alive. If it is dead, also its lock, which this process holds now: then no other process recovers it.
    pub fn seize(&self, registered: &Registration<'_>) -> (Life, Option<File>) {
        let (seen, lock) = self.try_lock(registered.worker);
        let has_ended = || match seen {
            Lock::Missing => registered.process_state() == ProcessState::Gone,
            _ => registered.has_ended(),
        };
        (life(seen, has_ended), lock)
    }

    /// Tries to lock a worker's lock file. Returns the locked file if it was free.
    fn try_lock(&self, worker: WorkerId) -> (Lock, Option<File>) {
        match self.open_lock(worker) {
            Ok(file) => {
                if !is_taken(&file) {
                    return (Lock::Held, None);
                }
                // Another reaper may have finished and removed the file between our open and our lock.
                let named = fs::symlink_metadata(self.lock_path(worker));
                let same = match (file.metadata(), named) {
                    (Ok(held), Ok(named)) => held.dev() == named.dev() && held.ino() == named.ino(),
                    _ => false,
                };
                if same {
                    (Lock::Ours, Some(file))
                } else {
                    (Lock::Replaced, None)
                }
            }
            Err(error) if is_missing(&error) => (Lock::Missing, None),
            // For lack of a descriptor, for example: the next check decides.
            Err(_) => (Lock::Unknown, None),
        }
    }

    /// Removes the files of a worker whose row is gone; its lock file last, which keeps other processes away.
    pub fn forget_worker(&self, worker: WorkerId, slots: i64) {
        let Ok(state) = self.open() else {
            return;
        };
        if let Ok(work) = state.dir(WORK) {
            for slot in 0..slots {
                drop(work.remove_tree(format!("{worker}.{slot}")));
            }
        }
        if let Ok(workers) = state.dir(WORKERS) {
            for name in [marks_name(worker), lock_name(worker)] {
                drop(workers.remove_file(name));
            }
        }
    }

    /// Removes the files of a dead worker that has no row. Returns whether nothing is left; files that this user may not open are
    /// not removed and do not count. The caller holds the write lock.
    pub fn forget_unregistered(&self, worker: WorkerId) -> bool {
        let lock = self.open_lock(worker);
        let is_dead = match &lock {
            Ok(file) => is_taken(file),
            Err(error) => error.kind() == ErrorKind::NotFound,
        };
        if is_dead {
            self.forget_worker(worker, self.slots_with_files(worker));
        }
        is_dead || lock.is_err()
    }

    /// The workers that have files in the state directory.
    pub fn workers_with_files(&self) -> Vec<WorkerId> {
        let mut workers: Vec<WorkerId> = Vec::new();
        for dir in [WORKERS, WORK] {
            let names = self.names(dir);
            let numbers = names.filter_map(|name| name.split('.').next()?.parse().ok());
            workers.extend(numbers.map(WorkerId));
        }
        workers.sort_unstable();
        workers.dedup();
        workers
    }

    /// One more than the highest slot of a worker that has a directory; 0 if none has.
    fn slots_with_files(&self, worker: WorkerId) -> i64 {
        let of_worker = format!("{worker}.");
        self.names(WORK)
            .filter_map(|name| name.strip_prefix(&of_worker)?.parse::<u32>().ok())
            .map(|slot| i64::from(slot) + 1)
            .max()
            .unwrap_or(0)
    }

    fn names(&self, dir: &str) -> impl Iterator<Item = String> {
        let names = self.open().and_then(|state| state.dir(dir)?.names());
        let names = names.unwrap_or_default().into_iter();
        names.filter_map(|name| name.into_string().ok())
    }

    /// Opens the register; it is created if it is missing.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn register(&self) -> Result<Register> {
        Ok(Register {
            dir: self.make_dir(WORKERS)?,
            local: self.clone(),
        })
    }
}

/// The register, held open.
#[derive(Debug)]
pub struct Register {
    dir: Dir,
    local: Local,
}

impl Register {
    /// Creates and locks a worker's lock file. A file that exists was left by a worker that died before it had a row, so its id is reused.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn enter(&self, worker: WorkerId) -> Result<WorkerLock> {
        let (name, temporary) = (lock_name(worker), format!("{worker}.new"));
        let failed = |what: &str, name: &str, error: &io::Error| {
            Error::io(what, &self.dir.path().join(name), error)
        };
        let file = self
            .dir
            .create_replacing(&temporary)
            .map_err(|error| failed("create", &temporary, &error))?;
        fs2::FileExt::try_lock_exclusive(&file)
            .and_then(|()| self.dir.rename(&temporary, &name))
            .map_err(|error| failed("lock", &name, &error))?;
        Ok(WorkerLock {
            file,
            path: self.local.lock_path(worker),
            marks_path: self.local.marks_path(worker),
        })
    }
}

/// The lock of a worker: it lives until this is dropped.
#[derive(Debug)]
pub struct WorkerLock {
    file: File,
    path: PathBuf,
    marks_path: PathBuf,
}

impl WorkerLock {
    /// The lock file, in which its worker writes its last words.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The lock file, for a thread that checks it without holding it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn held_file(&self) -> Result<HeldFile> {
        let failed = |error| Error::io("look at", &self.path, &error);
        let held = self.file.metadata().map_err(failed)?;
        Ok(HeldFile {
            held: (held.dev(), held.ino()),
            path: self.path.clone(),
        })
    }

    /// Removes the files of a worker whose row is gone.
    pub fn forget(self) {
        drop(fs::remove_file(&self.marks_path));
        drop(fs::remove_file(&self.path));
    }
}

/// The path of a held lock file and the identity of the file.
#[derive(Debug)]
pub struct HeldFile {
    held: (u64, u64),
    path: PathBuf,
}

impl HeldFile {
    /// Whether the path still names the locked file.
    pub fn is_intact(&self) -> bool {
        let named = fs::symlink_metadata(&self.path);
        named.is_ok_and(|named| (named.dev(), named.ino()) == self.held)
    }
}

/// Tries to take the lock. Returns whether it was free.
fn is_taken(file: &File) -> bool {
    lock::try_lock(file, Mode::Exclusive).unwrap_or(false)
}

/// Whether there is no lock file, or another kind of file in its place.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::PermissionDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::local::{pid_namespace, start_ticks};

    #[test]
    fn the_lock_decides_and_without_it_the_process() {
        let (dir, boot_id, pid) = (
            tempfile::tempdir().unwrap(),
            clock::boot_id(),
            std::process::id(),
        );
        let row = Registration {
            worker: WorkerId(7),
            host: "",
            boot_id: &boot_id,
            pid_ns: Some(pid_namespace()),
            pid: i64::from(pid),
            pid_start: start_ticks(pid).unwrap(),
        };
        let local = Local::unchecked(dir.path());
        assert_eq!(
            local.is_alive(&row),
            Some(true),
            "no file, but the process is there"
        );
        let other = Registration {
            pid_start: 1,
            ..row
        };
        assert_eq!(
            local.is_alive(&other),
            Some(false),
            "no file, and the pid is another's"
        );
        let rebooted = Registration {
            boot_id: "x",
            ..row
        };
        assert_eq!(local.is_alive(&rebooted), Some(false));
        std::fs::create_dir(dir.path().join("workers")).unwrap();
        let workers = Dir::open(&dir.path().join("workers")).unwrap();
        let lock = workers.create_new("7.lock").unwrap();
        assert_eq!(local.is_alive(&row), Some(false), "nobody holds the lock");
        lock::wait_for(&lock, Mode::Exclusive).unwrap();
        assert_eq!(local.is_alive(&other), Some(true), "the lock beats the pid");
    }
}
