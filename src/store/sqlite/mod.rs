//! The store on SQLite: one file per group of operations; all SQL is below this module.
//!
//! Rule: each statement is a `const` in the function that runs it; every transition of a run is one statement whose WHERE names the
//! old state and, for claimed runs, the fence.

mod acts;
mod bury;
mod catalogue;
mod claim;
mod coalesce;
mod connect;
mod dead;
mod enqueue;
mod fault;
mod finish;
mod first_runs;
mod flow;
mod history;
mod known_rules;
mod labels;
mod lanes;
mod late_statement;
mod leave;
mod lock;
mod log;
mod memory;
mod migrate;
mod moves;
mod open;
mod operate;
mod overrides;
mod pause;
mod periods;
mod prune;
mod queues;
mod recover;
mod request;
mod reserves;
mod room;
mod run_list;
mod runs;
mod schedules;
mod sequence;
mod space;
#[cfg(test)]
mod tests;
mod unknown;
mod verify;
mod waiting;
mod watch;
mod why;
mod workers;
mod writer;

use std::cell::{OnceCell, RefCell};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

pub use connect::sqlite_version;
pub use migrate::VERSION as SCHEMA_VERSION;
pub use open::is_begun;
pub use watch::Watch;
pub use writer::Tx;

use crate::error::{Error, Kind, Result};
use crate::local::Local;

/// An open store. Each thread has its own; the worker's writer thread owns one inside its [`crate::store::Ledger`].
pub struct Store {
    /// Empty after a disk error; reopened at the next use.
    conn: OnceCell<Connection>,
    files: Files,
    /// Identity of the opened database file; `None` for a store in memory.
    identity: Option<FileId>,
    uuid: String,
    busy_wait: Duration,
    /// The flow control rules that were read last.
    rules: RefCell<known_rules::KnownRules>,
    /// Held shared as long as the store is open: a migration waits for it.
    schema_lock: Option<File>,
}

/// Name of the database.
const DATABASE: &str = "jobctl.db";

/// Name of the lock that is held shared by every process that has the store open, and exclusively while it is created or migrated.
const LOCK: &str = "store.lock";

/// The paths of the store's files in the state directory.
#[derive(Debug, Clone)]
struct Files {
    local: Local,
    database: PathBuf,
    write_lock: PathBuf,
}

impl Files {
    /// The path of a file that SQLite creates beside the database, with this suffix.
    fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.database.clone().into_os_string();
        path.push(suffix);
        path.into()
    }
}

/// Device and inode of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId(u64, u64);

impl FileId {
    fn of(path: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let meta = std::fs::symlink_metadata(path)?;
        Ok(Self(meta.dev(), meta.ino()))
    }
}

impl Store {
    /// Random name of this store, given at its creation.
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// Version of the schema.
    pub fn schema(&self) -> i64 {
        migrate::VERSION
    }

    fn connection(&self) -> Result<&Connection> {
        if let Some(conn) = self.conn.get() {
            return Ok(conn);
        }
        self.check_identity()?;
        let path = &self.files.database;
        let conn = match self.identity {
            Some(_) => connect::connect(path, self.busy_wait)?,
            None => memory::connect(path)?,
        };
        Ok(self.conn.get_or_init(|| conn))
    }

    /// A number that changes when another connection has committed.
    pub fn data_version(&self) -> Result<i64> {
        Ok(self
            .connection()?
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get(0))?)
    }

    /// Waits at most `wait` for the write lock, and releases it. If another process holds it all that time, returns the error that a
    /// writer would get, which names that process.
    pub fn blocking_writer(&self, wait: Duration) -> Result<Option<Error>> {
        match lock::WriteTurn::take(&self.files.write_lock, wait) {
            Ok(turn) => {
                drop(turn);
                Ok(None)
            }
            Err(error) if error.kind == Kind::TryAgain => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }

    /// Copies the log into the database as far as readers allow; with `restart`, waits for readers and restarts the log. Returns whether
    /// all of it was copied, and so is durable in the database itself.
    pub fn checkpoint(&self, restart: bool) -> Result<bool> {
        let sql = if restart {
            "PRAGMA wal_checkpoint(RESTART)"
        } else {
            "PRAGMA wal_checkpoint(PASSIVE)"
        };
        let all = self.connection()?.query_row(sql, [], |row| {
            let (busy, frames, copied): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(busy == 0 && frames == copied)
        })?;
        Ok(all)
    }

    /// Frees the page cache.
    pub fn shrink(&self) -> Result<()> {
        Ok(self.connection()?.release_memory()?)
    }

    /// Truncates the log file to this size when the log restarts, so that its size follows its content.
    pub fn limit_log(&self, bytes: u64) -> Result<()> {
        self.connection()?.pragma_update_and_check(
            None,
            "journal_size_limit",
            bytes as i64,
            |_| Ok(()),
        )?;
        Ok(())
    }

    /// Fails if the path of the database no longer leads to the opened file.
    pub fn check_identity(&self) -> Result<()> {
        let Some(identity) = self.identity else {
            return Ok(());
        };
        match FileId::of(&self.files.database) {
            Ok(id) if id == identity => Ok(()),
            Ok(_) => Err(self.gone("was replaced by another file")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(self.gone("was removed"))
            }
            Err(error) => Err(Error::io("look at", &self.files.database, &error)),
        }
    }

    /// Fails if the error is permanent: the database is damaged, or its path no longer leads to the opened file. Damage must be
    /// confirmed by a second check, which reads the whole database and may take seconds.
    pub fn ensure_recoverable(&self, error: &Error) -> Result<()> {
        if fault::is_damaged(error) && self.is_broken() {
            // The process ends with exit 74, even if the outcome of a COMMIT is unknown.
            return Err(Error {
                kind: Kind::Io,
                ..error.clone()
            });
        }
        self.check_identity()
    }

    /// Checks the whole database through a new connection. A read error does not count as damage.
    fn is_broken(&self) -> bool {
        let looked = connect::connect(&self.files.database, self.busy_wait).and_then(|conn| {
            let sql = "PRAGMA quick_check(1)";
            Ok(conn.query_row(sql, [], |row| row.get::<_, String>(0))?)
        });
        match looked {
            Ok(found) => found != "ok",
            Err(error) => fault::is_damaged(&error) || error.kind == Kind::Unavailable,
        }
    }

    fn gone(&self, how: &str) -> Error {
        Error::new(
            Kind::Io,
            format!(
                "the database `{}` {how} while it was open; nothing was acknowledged",
                self.files.database.display()
            ),
        )
        .hint("stop all jobctl processes, put the file with its `-wal` back, and start them again")
    }

    fn drop_connection(&mut self) {
        drop(self.conn.take());
    }
}
