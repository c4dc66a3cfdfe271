//! SIGTERM, SIGINT and SIGHUP as bytes in a pipe that the poll loop reads.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use crate::error::{Error, Kind, Result};

/// A pipe that collects some signals.
pub struct SignalPipe {
    reader: UnixStream,
    ids: Vec<signal_hook::SigId>,
}

impl SignalPipe {
    /// Collects these signals; each one counts.
    pub fn new(signals: &[i32]) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::new(Kind::Failed, format!("cannot listen for signals: {error}"))
        };
        let (reader, writer) = UnixStream::pair().map_err(failed)?;
        reader.set_nonblocking(true).map_err(failed)?;
        writer.set_nonblocking(true).map_err(failed)?;
        let mut ids = Vec::new();
        for &signal in signals {
            let writer = writer.try_clone().map_err(failed)?;
            ids.push(signal_hook::low_level::pipe::register(signal, writer).map_err(failed)?);
        }
        Ok(Self { reader, ids })
    }

    /// The number of signals since the last call.
    pub fn take(&mut self) -> usize {
        let mut bytes = [0u8; 64];
        let mut count = 0;
        while let Ok(n @ 1..) = self.reader.read(&mut bytes) {
            count += n;
        }
        count
    }
}

impl Drop for SignalPipe {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}

impl AsFd for SignalPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}
