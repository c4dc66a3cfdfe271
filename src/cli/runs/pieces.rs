//! Reads the log of an attempt in pieces, so that it is never in memory as a whole.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// Bytes of one read.
pub(super) const PIECE_BYTES: usize = 64 * 1024;

/// The opened file; `None` if it does not exist.
pub(super) fn optional(opened: std::io::Result<File>, path: &Path) -> Result<Option<File>> {
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path, &error)),
    }
}

/// One read, repeated if a signal interrupts it.
pub(super) fn read_some(file: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
