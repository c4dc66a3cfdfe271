//! A store without files, for simulations: all simulated processes of one test share it by its name.
//!
//! Rule: only what concerns files is left out (paths, modes, locks, identity); every statement and transaction is the real one.

use std::cell::{OnceCell, RefCell};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::migrate::migrate;
use super::{Files, Store, connect};
use crate::error::Result;
use crate::local::Local;

impl Store {
    /// Opens the store of this name in the memory of this process, and creates it if there is none. It is removed when the last user
    /// closes it. A user does not wait for the transaction of another: it gets the error that the store is busy at once.
    #[doc(hidden)]
    pub fn in_memory(name: &str, now_ms: i64) -> Result<Self> {
        let files = Files {
            database: PathBuf::from(format!("file:/{name}?vfs=memdb")),
            write_lock: PathBuf::new(),
            local: Local::unchecked(Path::new("")),
        };
        let mut conn = connect(&files.database)?;
        let made: Option<String> = conn
            .query_row(
                "SELECT name FROM sqlite_schema WHERE name = 'store'",
                [],
                |row| row.get(0),
            )
            .optional()?;
        if made.is_none() {
            migrate(&mut conn, 0)?;
            let sql = "INSERT INTO store (one, uuid, created_ms, fence) VALUES (1, ?1, ?2, 0)";
            conn.execute(sql, (name, now_ms))?;
        }
        Ok(Self {
            conn: OnceCell::from(conn),
            files,
            identity: None,
            uuid: name.to_owned(),
            busy_wait: Duration::ZERO,
            rules: RefCell::default(),
            schema_lock: None,
        })
    }
}

/// Opens a connection to a database in memory.
pub(super) fn connect(uri: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(uri, flags)?;
    connect::set_up(&conn, Duration::ZERO)?;
    Ok(conn)
}
