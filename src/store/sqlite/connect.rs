//! Opens connections, and checks that the database is ours and not newer.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::Files;
use super::migrate::{APPLICATION_ID, VERSION};
use crate::error::{Error, Kind, Result};
use crate::local::HINT_RIGHTS;
use crate::owned::Dir;

/// SQLite 3.7.0 to 3.51.2 can lose a commit when a log is reset while another process reads it.
const _: () = assert!(rusqlite::ffi::SQLITE_VERSION_NUMBER >= 3_051_003);

/// Opens a connection as every process of jobctl uses it.
pub(super) fn connect(path: &Path, busy_wait: Duration) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let conn = Connection::open_with_flags(path, flags).map_err(|error| {
        let rights = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK;
        if rustix::fs::access(path, rights).is_err() {
            let message = format!("the database `{}` cannot be opened", path.display());
            Error::new(Kind::Permission, message).hint(HINT_RIGHTS)
        } else {
            Error::from(error)
        }
    })?;
    set_up(&conn, busy_wait)?;
    Ok(conn)
}

/// Settings of every connection.
pub(super) fn set_up(conn: &Connection, busy_wait: Duration) -> Result<()> {
    conn.busy_timeout(busy_wait)?;
    // Otherwise the last process that closes the database would run a checkpoint.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // Plans must not depend on values: otherwise a statement that compares a parameter is prepared again for each value, to check
    // whether a partial index fits.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.set_prepared_statement_cache_capacity(128);
    conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0")?;
    Ok(())
}

/// Backs the database up before a migration, to `jobctl.db.schema-N.bak`.
pub(super) fn back_up(conn: &Connection, files: &Files, version: i64) -> Result<()> {
    let name = format!("jobctl.db.schema-{version}.bak");
    let temporary = format!("jobctl.db.schema-{version}.tmp");
    let dir = files.local.dir();
    let (path, temporary_path) = (dir.join(&name), dir.join(&temporary));
    let io = |error: std::io::Error| Error::io("write", &path, &error);
    let dir = Dir::open(dir).map_err(io)?;
    drop(dir.create_replacing(&temporary).map_err(io)?);
    conn.backup("main", &temporary_path, None::<fn(_)>)?;
    dir.open_read(&temporary)
        .and_then(|file| file.sync_all())
        .and_then(|()| dir.rename(&temporary, &name))
        .and_then(|()| Ok(rustix::fs::fsync(&dir)?))
        .map_err(io)
}

/// The schema version, after making sure that the file is ours and not newer.
pub(super) fn version_of(conn: &Connection) -> Result<i64> {
    let application: i64 = conn
        .query_row("PRAGMA application_id", [], |row| row.get(0))
        .map_err(|error| not_ours(Error::from(error)))?;
    // Cached: each write transaction uses the statement again.
    let version: i64 = conn
        .prepare_cached("PRAGMA user_version")?
        .query_row([], |row| row.get(0))?;
    if application != APPLICATION_ID {
        return Err(not_ours(Error::new(Kind::Unavailable, "")));
    }
    if version > VERSION {
        return Err(Error::new(
            Kind::Unavailable,
            format!(
                "`jobctl.db` has schema {version} and this jobctl knows up to {VERSION}; the file was not changed"
            ),
        )
        .hint("install the version of jobctl that last used it, or a newer one"));
    }
    Ok(version)
}

fn not_ours(error: Error) -> Error {
    match error.kind {
        Kind::Unavailable => Error::new(
            Kind::Unavailable,
            "`jobctl.db` was not made by jobctl, or is damaged; the file was not changed",
        )
        .hint("name another store directory with `--store`, or restore a backup"),
        _ => error,
    }
}

/// Inside a write transaction: the schema is still the one we opened.
pub(super) fn check_version(conn: &Connection) -> Result<()> {
    let version: i64 = conn
        .prepare_cached("PRAGMA user_version")?
        .query_row([], |row| row.get(0))?;
    if version == VERSION {
        return Ok(());
    }
    Err(Error::new(
        Kind::TryAgain,
        format!(
            "the schema changed from {VERSION} to {version} while the store was open; nothing was stored"
        ),
    )
    .hint("restart this process"))
}

/// Version of SQLite, which is compiled in.
pub fn sqlite_version() -> String {
    rusqlite::version().to_owned()
}
