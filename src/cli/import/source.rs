//! The source of the lines: a regular file, which can be read twice, or a stream.
//!
//! Rule: a file that changes during the import is refused: the lines to store would not be the checked ones.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::lines::Lines;
use crate::catalogue::PAYLOAD_MAX;
use crate::error::{Error, Kind, Result};

/// Longest line: the largest payload, and the other fields.
const LINE_MAX: usize = PAYLOAD_MAX as usize + (64 << 10);

/// Device, inode, size, modification and change time in nanoseconds.
type Identity = (u64, u64, u64, i128, i128);

/// An opened source.
pub(super) struct Source {
    name: String,
    file: File,
    /// Identity of a regular file when it was opened; `None` for a stream.
    identity: Option<Identity>,
}

impl Source {
    /// Opens a file, or standard input for `-`.
    pub(super) fn open(from: &str) -> Result<Self> {
        let path = Path::new(from);
        let opened = match from {
            "-" => std::io::stdin()
                .as_fd()
                .try_clone_to_owned()
                .map(File::from),
            _ => File::open(path),
        };
        let file = opened.map_err(|error| Error::io("read", path, &error))?;
        let meta = file
            .metadata()
            .map_err(|error| Error::io("read", path, &error))?;
        if meta.is_dir() {
            let message = format!("cannot read `{from}`: it is a directory");
            return Err(Error::new(Kind::Usage, message));
        }
        // Standard input stays a stream even where it is a file: it may not be at its start.
        let identity = (meta.is_file() && from != "-").then(|| identity(&meta));
        let name = if from == "-" {
            "standard input".to_owned()
        } else {
            format!("`{from}`")
        };
        Ok(Self {
            name,
            file,
            identity,
        })
    }

    /// Whether it can be read twice.
    pub(super) fn is_regular(&self) -> bool {
        self.identity.is_some()
    }

    /// Its lines, from the first.
    pub(super) fn lines(&mut self) -> Result<Lines> {
        if self.is_regular() {
            self.file
                .seek(SeekFrom::Start(0))
                .map_err(|error| self.unreadable(&error))?;
        }
        let source: OwnedFd = self
            .file
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| self.unreadable(&error))?;
        Ok(Lines::new(source, !self.is_regular(), LINE_MAX))
    }

    /// Fails if a regular file has changed since it was opened.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        let Some(before) = self.identity else {
            return Ok(());
        };
        let meta = self
            .file
            .metadata()
            .map_err(|error| self.unreadable(&error))?;
        if identity(&meta) == before {
            return Ok(());
        }
        Err(
            Error::new(Kind::Failed, format!("{self} changed during the import"))
                .hint("import a copy that is not written to"),
        )
    }

    /// The error about a failed read.
    pub(super) fn unreadable(&self, error: &std::io::Error) -> Error {
        let words = crate::error::os_words(error);
        Error::new(Kind::Io, format!("cannot read {self}: {words}"))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn identity(meta: &Metadata) -> Identity {
    let nanoseconds =
        |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    (
        meta.dev(),
        meta.ino(),
        meta.size(),
        nanoseconds(meta.mtime(), meta.mtime_nsec()),
        nanoseconds(meta.ctime(), meta.ctime_nsec()),
    )
}
