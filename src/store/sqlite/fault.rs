//! Converts errors of SQLite to ours: "try again", "I/O", "not ours".

use rusqlite::ErrorCode;

use crate::advice::{Advice, Text};
use crate::error::{Error, Kind, StoreFault};

/// Whether SQLite found the database damaged.
pub(super) fn is_damaged(error: &Error) -> bool {
    error.fault == Some(StoreFault::Damaged)
}

/// Whether the disk is full. Then the commit record was not written, whichever statement failed.
pub(super) fn is_full(error: &Error) -> bool {
    error.fault == Some(StoreFault::DiskFull)
}

/// Whether a read has just failed. SQLite reports that as damage (`SQLITE_IOERR_CORRUPTFS` becomes `SQLITE_CORRUPT`) without an
/// error number, but `errno` of the thread still has it, because successful calls do not change it.
fn a_read_failed() -> bool {
    let errno = std::io::Error::last_os_error().raw_os_error();
    matches!(errno, Some(libc::EIO | libc::ENXIO | libc::ERANGE))
}

/// The error about a failed read that SQLite reports as damage.
pub(super) fn unreadable() -> Error {
    Error::new(
        Kind::Io,
        "the store failed: the database could not be read; nothing was stored",
    )
    .hint("try again; if this persists, check the disk (`dmesg`)")
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let rusqlite::Error::SqliteFailure(failure, _) = &error else {
            return Error::new(Kind::Bug, format!("unexpected value from SQLite: {error}"));
        };
        let words = rusqlite::ffi::code_to_str(failure.extended_code);
        match failure.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                Error::new(Kind::TryAgain, "the store is busy; nothing was stored")
                    .hint(
                        Text::from("try again; ")
                            .and(Advice::ListWorkers)
                            .and(" shows the workers"),
                    )
                    .retry_after_ms(1000)
            }
            ErrorCode::DiskFull => Error::new(Kind::Io, "the disk is full; nothing was stored")
                .fault(StoreFault::DiskFull)
                .hint("free space on the file system of the store directory"),
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
            .hint("run as the user that owns the store directory"),
            ErrorCode::DatabaseCorrupt if a_read_failed() => unreadable(),
            ErrorCode::DatabaseCorrupt => {
                Error::new(Kind::Io, "the database is damaged; nothing was stored")
                    .fault(StoreFault::Damaged)
                    .hint("stop all workers and restore a backup")
            }
            ErrorCode::NotADatabase => Error::new(
                Kind::Unavailable,
                "`jobctl.db` is not a database; it was not changed",
            )
            .hint("name another store directory with `--store`, or restore a backup"),
            // The file was checked before: a descriptor is missing, or the log cannot be created.
            ErrorCode::CannotOpen => Error::new(
                Kind::Io,
                "the database or its log cannot be opened; nothing was stored",
            )
            .hint("try again; check the limit of open files (`ulimit -n`) and the disk (`dmesg`)"),
            _ => Error::new(Kind::Bug, format!("the store failed unexpectedly: {error}")),
        }
    }
}

/// Whether it is unknown if SQLite rolled the whole transaction back.
pub(super) fn is_io(error: &Error) -> bool {
    error.kind == Kind::Io
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corrupt() -> Error {
        let failure = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        Error::from(rusqlite::Error::SqliteFailure(failure, None))
    }

    /// Leaves this error number in the thread, as a call does that fails with it.
    fn fail_with_enoent() {
        assert!(std::fs::metadata("/nowhere/at/all").is_err());
    }

    #[test]
    fn a_database_that_cannot_be_opened_is_an_io_error_not_damage() {
        let failure = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
        let error = Error::from(rusqlite::Error::SqliteFailure(failure, None));
        assert!(is_io(&error) && !is_damaged(&error), "{error:?}");
    }

    #[test]
    fn damage_and_a_full_disk_are_recognised_by_cause_not_by_message() {
        fail_with_enoent();
        let damaged = Error {
            message: "in other words".into(),
            ..corrupt()
        };
        assert!(is_damaged(&damaged) && !is_full(&damaged));
        let failure = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        let full = Error::from(rusqlite::Error::SqliteFailure(failure, None));
        assert!(is_full(&full) && !is_damaged(&full));
        let words = Error::new(Kind::Io, damaged.message);
        assert!(!is_damaged(&words) && !is_full(&words));
    }
}
