//! Reads the log of an attempt in pieces, so that it is never in memory as a whole.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// Read at once.
pub(super) const PIECE_BYTES: usize = 64 * 1024;

/// What was opened; `None` if it is not there.
pub(super) fn optional(opened: std::io::Result<File>, path: &Path) -> Result<Option<File>> {
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path, &error)),
    }
}

/// A reader that takes what is there.
pub(super) fn read_some(file: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
