//! Opens a store: creates it on first use, and refuses a foreign, damaged or newer one without changing it.
//!
//! Rule: a new database is completed under a temporary name and then linked into place, so an empty or incomplete `jobctl.db` is
//! always damage, and never taken for a new store.

use std::cell::{OnceCell, RefCell};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use super::connect::{back_up, connect, version_of};
use super::log::sync_log_name;
use super::migrate::{VERSION, migrate};
use super::{DATABASE, FileId, Files, LOCK, Store};
use crate::advice::{Advice, Text};
use crate::error::{Error, Kind, Result};
use crate::fail_point;
use crate::local::lock::{self, Mode};
use crate::local::{HINT_RIGHTS, Local, no_store};
use crate::owned::{Dir, Facts, Wanted, judge};
use crate::store::{Create, OpenOptions, Opened};
use crate::units::hex;

/// Whether there is, or was, a store in this directory.
pub fn is_begun(dir: &Path) -> bool {
    dir.join(LOCK).exists() || dir.join(DATABASE).exists()
}

/// Interval of attempts to lock exclusively.
const LOCK_STEP: Duration = Duration::from_millis(10);

impl OpenOptions {
    /// Opens the store, and the state directory that it is in.
    pub fn open(&self) -> Result<Opened> {
        let local = match self.create {
            Create::Never => Local::find(&self.dir)?,
            Create::IfMissing | Create::AndMigrate => Local::make(&self.dir)?,
        };
        let dir = local.dir();
        let files = Files {
            database: dir.join(DATABASE),
            write_lock: dir.join("write.lock"),
            local: local.clone(),
        };
        let lock_path = dir.join(LOCK);
        let mut lock = self.lock(&lock_path, Mode::Shared)?;
        let mut created = false;
        let mut alone = false;
        if missing(&files.database)? {
            drop(lock);
            let made = || Ok(!missing(&files.database)?);
            (lock, alone) = self.lock_exclusive_until(&lock_path, made)?;
            if alone && missing(&files.database)? {
                self.create(&files, &lock, &lock_path)?;
                created = true;
            }
        }
        if check_file(&files.write_lock)?.is_none() {
            drop(lock::open(&files.write_lock)?);
        }
        let mut identity = identify(&files)?;
        let mut conn = connect(&files.database, self.busy_wait)?;
        let version = version_of(&conn)?;
        if version < VERSION {
            if self.create != Create::AndMigrate {
                return Err(Error::new(
                    Kind::TryAgain,
                    format!(
                        "`jobctl.db` has schema {version} and this jobctl needs {VERSION}; the file was not changed"
                    ),
                )
                .hint(
                    Text::from("run ")
                        .and(Advice::Migrate)
                        .and(", or restart the workers with this version"),
                ));
            }
            drop(conn);
            drop(lock);
            let migrated =
                || Ok(version_of(&connect(&files.database, self.busy_wait)?)? >= VERSION);
            (lock, alone) = self.lock_exclusive_until(&lock_path, migrated)?;
            conn = connect(&files.database, self.busy_wait)?;
            let version = version_of(&conn)?;
            if version < VERSION {
                back_up(&conn, &files, version)?;
                sync_log_name(&files)?;
                fail_point::reach("backed_up");
                migrate(&mut conn, version)?;
            }
            identity = identify(&files)?;
        }
        let uuid: String = conn.query_row("SELECT uuid FROM store", [], |row| row.get(0))?;
        self.check_uuid(&files, &lock, &lock_path, &uuid)?;
        if alone {
            lock = lock::acquire(lock, Mode::Shared, self.busy_wait)
                .map_err(|error| Error::io("lock", &lock_path, &error))?
                .ok_or_else(|| busy_schema(self.busy_wait))?;
        }
        let store = Store {
            conn: OnceCell::from(conn),
            files,
            identity: Some(identity),
            uuid,
            busy_wait: self.busy_wait,
            rules: RefCell::default(),
            schema_lock: Some(lock),
        };
        if created {
            // A failure does not matter: without space for the reserve, enqueues fail as well.
            drop(local.ensure_reserve());
        }
        Ok(Opened {
            store,
            local,
            is_new: created,
        })
    }

    fn lock(&self, path: &Path, mode: Mode) -> Result<fs::File> {
        try_lock(path, mode, self.busy_wait)?.ok_or_else(|| busy_schema(self.busy_wait))
    }

    /// Exclusive lock and `true`; or shared lock and `false` once `is_done`, that is once another process did the work. Processes hold
    /// their shared lock as long as they live.
    fn lock_exclusive_until(
        &self,
        path: &Path,
        is_done: impl Fn() -> Result<bool>,
    ) -> Result<(fs::File, bool)> {
        let mut waited = Duration::ZERO;
        loop {
            if let Some(lock) = try_lock(path, Mode::Exclusive, Duration::ZERO)? {
                return Ok((lock, true));
            }
            if let Some(lock) = try_lock(path, Mode::Shared, Duration::ZERO)?
                && is_done()?
            {
                return Ok((lock, false));
            }
            if waited >= self.busy_wait {
                return Err(busy_schema(self.busy_wait));
            }
            std::thread::park_timeout(LOCK_STEP);
            waited += LOCK_STEP;
        }
    }

    /// Creates the database under a temporary name, links it into place, and records its id in the lock file.
    fn create(&self, files: &Files, lock: &fs::File, lock_path: &Path) -> Result<()> {
        let known = read_uuid(lock, lock_path)?;
        if let Some(uuid) = known {
            return Err(Error::new(
                Kind::Io,
                format!(
                    "the database `{}` is missing, but store {uuid} existed here; nothing was created",
                    files.database.display()
                ),
            )
            .hint("put the file with its `-wal` back or restore a backup; to start empty, remove `store.lock` and `jobctl.db-wal`"));
        }
        if self.create == Create::Never {
            return Err(no_store(files.local.dir()));
        }
        refuse_old_log(files)?;
        let temporary = half_made(files.local.dir());
        remove_half_made(&temporary);
        let uuid = hex(&crate::clock::random_bytes::<16>());
        let made = (|| {
            Dir::open(files.local.dir())
                .and_then(|dir| dir.create_new(HALF_MADE))
                .map_err(|error| Error::io("create", &temporary, &error))?;
            let mut conn = Connection::open(&temporary)?;
            conn.pragma_update(None, "synchronous", "FULL")?;
            migrate(&mut conn, 0)?;
            conn.execute(
                "INSERT INTO store (one, uuid, created_ms, fence) VALUES (1, ?1, ?2, 0)",
                (&uuid, self.now_ms),
            )?;
            conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
            conn.close().map_err(|(_, error)| error)?;
            publish(&temporary, &files.database)
                .map_err(|error| Error::io("create", &files.database, &error))?;
            record_uuid(files.local.dir(), lock, lock_path, &uuid)
        })();
        remove_half_made(&temporary);
        made
    }

    fn check_uuid(
        &self,
        files: &Files,
        lock: &fs::File,
        lock_path: &Path,
        uuid: &str,
    ) -> Result<()> {
        match read_uuid(lock, lock_path)? {
            Some(known) if known == uuid => Ok(()),
            Some(known) => Err(Error::new(
                Kind::Io,
                format!(
                    "`{}` holds store {uuid}, but the store here was {known}; nothing was changed",
                    self.dir.join(DATABASE).display()
                ),
            )
            .hint("put the right file back; to use this one, remove `store.lock`")),
            // The process that created it died before this step.
            None => record_uuid(files.local.dir(), lock, lock_path, uuid),
        }
    }
}

fn try_lock(path: &Path, mode: Mode, wait: Duration) -> Result<Option<fs::File>> {
    let file = lock::open(path)?;
    lock::acquire(file, mode, wait).map_err(|error| Error::io("lock", path, &error))
}

/// Refuses a log without its database: SQLite would apply its old pages to the new database.
fn refuse_old_log(files: &Files) -> Result<()> {
    let log = files.beside("-wal");
    // An empty log remains after a process that died before it stored anything.
    if fs::symlink_metadata(&log).map_or(0, |meta| meta.len()) == 0 {
        return Ok(());
    }
    Err(Error::new(
        Kind::Io,
        format!(
            "the log `{}` exists without its database; nothing was created",
            log.display()
        ),
    )
    .hint("put `jobctl.db` back; to start empty, remove the log"))
}

/// Temporary name of a new database; its creator holds the exclusive lock.
const HALF_MADE: &str = ".jobctl.db.new";

fn half_made(dir: &Path) -> PathBuf {
    dir.join(HALF_MADE)
}

/// Gives a complete database its final name; never replaces an existing file.
fn publish(temporary: &Path, database: &Path) -> std::io::Result<()> {
    match fs::hard_link(temporary, database) {
        // Some file systems have no hard links.
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            Ok(renameat_with(
                CWD,
                temporary,
                CWD,
                database,
                RenameFlags::NOREPLACE,
            )?)
        }
        linked => linked,
    }
}

fn remove_half_made(temporary: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut path = temporary.to_owned().into_os_string();
        path.push(suffix);
        drop(fs::remove_file(path));
    }
}

/// Makes the name of a new database durable, and only then records its id in the lock file: a recorded database must exist, even
/// after a power cut.
fn record_uuid(dir: &Path, lock: &fs::File, lock_path: &Path, uuid: &str) -> Result<()> {
    remove_half_made(&half_made(dir));
    fsync_dir_and_parents(dir)?;
    lock.set_len(0)
        .and_then(|()| lock.write_all_at(format!("{uuid}\n").as_bytes(), 0))
        .and_then(|()| lock.sync_all())
        .map_err(|error| Error::io("write", lock_path, &error))
}

/// Fsyncs the directory and the directories above it, which may be new too.
fn fsync_dir_and_parents(dir: &Path) -> Result<()> {
    let failed = |dir: &Path, error| Error::io("write", dir, &error);
    let device = fs::metadata(dir).map_err(|error| failed(dir, error))?.dev();
    for above in dir.ancestors() {
        let opened = match fs::File::open(above) {
            Err(error) if above == dir => return Err(failed(above, error)),
            // A directory that we cannot read was not created by us.
            Err(_) => break,
            Ok(opened) => opened,
        };
        if opened.metadata().is_ok_and(|meta| meta.dev() != device) {
            break;
        }
        opened.sync_all().map_err(|error| failed(above, error))?;
    }
    Ok(())
}

fn busy_schema(wait: Duration) -> Error {
    Error::new(
        Kind::TryAgain,
        format!(
            "another process locked the whole store for {} s; nothing was stored",
            wait.as_secs()
        ),
    )
    .hint("wait for a running migration, or stop workers of another version")
    .retry_after_ms(1000)
}

/// The store id in the lock file, read through the descriptor that holds the lock.
fn read_uuid(lock: &fs::File, path: &Path) -> Result<Option<String>> {
    let mut bytes = [0u8; 64];
    let length = lock
        .read_at(&mut bytes, 0)
        .map_err(|error| Error::io("read", path, &error))?;
    let text = String::from_utf8_lossy(&bytes[..length]);
    let text = text.trim();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn missing(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(Error::io("look at", path, &error).hint(HINT_RIGHTS)),
    }
}

/// Checks the database and the files that SQLite keeps beside it.
fn identify(files: &Files) -> Result<FileId> {
    // The journal too: SQLite would block on a fifo, and would apply a foreign journal.
    for suffix in ["-wal", "-shm", "-journal"] {
        check_file(&files.beside(suffix))?;
    }
    let path = &files.database;
    let found = match check_file(path) {
        // Its creator may have died before it removed the temporary name, which is a second link.
        Err(_) if half_made(files.local.dir()).symlink_metadata().is_ok() => {
            remove_half_made(&half_made(files.local.dir()));
            check_file(path)?
        }
        found => found?,
    };
    let missing = || Error::io("look at", path, &std::io::ErrorKind::NotFound.into());
    let meta = found.ok_or_else(missing)?;
    Ok(FileId(meta.dev(), meta.ino()))
}

/// Checks a file of the store by its name; `None` if it is missing. It is not opened: closing a descriptor would cancel the locks of
/// SQLite.
fn check_file(path: &Path) -> Result<Option<fs::Metadata>> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("look at", path, &error).hint(HINT_RIGHTS)),
    };
    let us = rustix::process::geteuid().as_raw();
    match judge(Facts::from(&meta), Wanted::File, us) {
        None => Ok(Some(meta)),
        Some(flaw) => {
            let message = format!("cannot use `{}`: {flaw}; it was not opened", path.display());
            Err(Error::new(Kind::Permission, message).hint(flaw.hint(path)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_appeared_meanwhile_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("new"), "new").unwrap();
        fs::write(path("there"), "there").unwrap();
        assert!(publish(&path("new"), &path("there")).is_err());
        assert_eq!(fs::read_to_string(path("there")).unwrap(), "there");
        publish(&path("new"), &path("free")).unwrap();
        assert_eq!(fs::read_to_string(path("free")).unwrap(), "new");
        // Without hard links the file is renamed, and does not replace another one either.
        for name in ["dir", "other"] {
            fs::create_dir(path(name)).unwrap();
        }
        assert!(publish(&path("dir"), &path("other")).is_err());
        publish(&path("dir"), &path("named")).unwrap();
        assert!(path("named").is_dir() && !path("dir").exists());
    }
}
