//! Turns SQLite's errors into ours: which ones mean "try again", "I/O", "not ours".

use rusqlite::ErrorCode;

use crate::error::{Error, Kind};

const DISK_FULL: &str = "the disk is full; nothing was stored";

const DAMAGED: &str = "the database is damaged; nothing was stored";

/// Whether the database itself is broken, which no waiting heals.
pub(super) fn is_damaged(error: &Error) -> bool {
    error.message == DAMAGED
}

/// Whether there was no space. Then the commit record was not written, whatever statement says so.
pub(super) fn is_full(error: &Error) -> bool {
    error.message == DISK_FULL
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let rusqlite::Error::SqliteFailure(failure, _) = &error else {
            return Error::new(
                Kind::Bug,
                format!("the store answered what it cannot answer: {error}"),
            );
        };
        let words = rusqlite::ffi::code_to_str(failure.extended_code);
        match failure.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                Error::new(Kind::TryAgain, "the store is busy; nothing was stored")
                    .hint("try again; `jobctl workers list` shows who works on it")
                    .retry_after_ms(1000)
            }
            ErrorCode::DiskFull => Error::new(Kind::Io, DISK_FULL)
                .hint("free space on the file system of the state directory"),
            ErrorCode::SystemIoFailure => Error::new(
                Kind::Io,
                format!("the store failed: {}", words.to_lowercase()),
            ),
            ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::AuthorizationForStatementDenied => Error::new(
                Kind::Permission,
                "the store cannot be written; nothing was stored",
            )
            .hint("run as the user that owns the state directory"),
            ErrorCode::DatabaseCorrupt => {
                Error::new(Kind::Io, DAMAGED).hint("stop all workers and restore a backup")
            }
            ErrorCode::NotADatabase => Error::new(
                Kind::Unavailable,
                "`jobctl.db` is not a database; it was not changed",
            )
            .hint("name another state directory with `--state`, or restore a backup"),
            ErrorCode::CannotOpen => Error::new(Kind::Unavailable, "the database cannot be opened"),
            _ => Error::new(Kind::Bug, format!("the store failed unexpectedly: {error}")),
        }
    }
}

/// Whether SQLite may have rolled back, or kept, the whole transaction.
pub(super) fn is_io(error: &Error) -> bool {
    error.kind == Kind::Io
}
