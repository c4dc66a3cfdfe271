//! The store on SQLite: one file per aggregate, all SQL below here.
//!
//! Rule: each statement is a `const` in the function that runs it; every move of a run is one statement whose WHERE names
//! the state left and, for claimed runs, the fence.

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
mod lane_walk;
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
mod ring;
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
pub use finish::Finished;
pub use migrate::VERSION as SCHEMA_VERSION;
pub use open::is_begun;
pub use prune::{Pruned, Pruning};
pub use watch::Watch;
pub use writer::{Body, Tx};

use crate::error::{Error, Kind, Result};
use crate::local::Local;

/// An open store. One per thread; the worker's writer thread owns one inside its [`Ledger`].
pub struct Store {
    /// Empty after an error of the disk: whoever needs it next opens it anew.
    conn: OnceCell<Connection>,
    files: Files,
    /// What was opened; `None` for a store in memory, which has no files.
    identity: Option<FileId>,
    uuid: String,
    busy_wait: Duration,
    /// The rules of the flow, as they were read last.
    rules: RefCell<known_rules::KnownRules>,
    /// Held shared as long as the store is open: a migration waits for it.
    schema_lock: Option<File>,
}

/// Name of the database.
const DATABASE: &str = "jobctl.db";

/// Name of the lock that is held shared by whoever has the store open, and alone by who makes or migrates it.
const LOCK: &str = "store.lock";

/// What SQLite has in the state directory.
#[derive(Debug, Clone)]
struct Files {
    local: Local,
    database: PathBuf,
    write_lock: PathBuf,
}

impl Files {
    /// What SQLite keeps beside the database under its name with this suffix.
    fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.database.clone().into_os_string();
        path.push(suffix);
        path.into()
    }
}

/// Device and inode: what a path pointed to when it was opened.
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

    /// Waits for a turn to write, at most so long, and gives it back; the error that a writer would get then names who
    /// holds it.
    pub fn who_writes(&self, wait: Duration) -> Result<Option<Error>> {
        match lock::WriteTurn::take(&self.files.write_lock, wait) {
            Ok(turn) => {
                drop(turn);
                Ok(None)
            }
            Err(error) if error.kind == Kind::TryAgain => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }

    /// Copies the log into the database as far as readers allow; with `restart`, waits for them so that it starts anew.
    /// Whether all of it was copied, and so is durable in the database itself.
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

    /// Forgets what was read: the next reads fetch it again.
    pub fn shrink(&self) -> Result<()> {
        Ok(self.connection()?.release_memory()?)
    }

    /// Lets the log's file shrink to this when it starts anew, so that its size tells what is in it.
    pub fn limit_log(&self, bytes: u64) -> Result<()> {
        self.connection()?.pragma_update_and_check(
            None,
            "journal_size_limit",
            bytes as i64,
            |_| Ok(()),
        )?;
        Ok(())
    }

    /// Fails when the database is no longer the file that was opened.
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

    /// Whether this failure may pass: fails when the database is damaged or no longer the file that was opened. That it is
    /// damaged is believed when it still is on a second look, which reads all of it: for seconds, if it is large.
    pub fn may_heal(&self, error: &Error) -> Result<()> {
        if fault::is_damaged(error) && self.is_broken() {
            // Whatever was unknown about one COMMIT, this is what the process ends with.
            return Err(Error {
                kind: Kind::Io,
                ..error.clone()
            });
        }
        self.check_identity()
    }

    /// Reads the whole database anew. What cannot be read just now is not broken.
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
