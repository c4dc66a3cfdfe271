//! Takes a command's output from its pipe: the tail into memory, the rest into a log file within its cap.
//!
//! Rule: problems of the log (full disk, cap) never block or fail the job; the output is then counted and dropped. Memory is constant.
//! Secrets are redacted before anything is stored.

mod log_file;
mod redact;
mod tee;

use std::os::fd::BorrowedFd;

pub use redact::Redactor;
pub use tee::Tee;

use log_file::LogFile;

use crate::local::Local;
use crate::run::RunId;

/// Bytes of output held in memory, and stored with the attempt.
pub const TAIL_BYTES: usize = 4096;

/// The size of a pipe, so that one read takes everything.
const READ_BYTES: usize = 64 << 10;

/// Where an attempt's output goes.
#[derive(Debug, Clone)]
pub struct LogTarget {
    /// Where logs are.
    pub local: Local,
    /// The run.
    pub run: RunId,
    /// Number of the attempt.
    pub attempt: i64,
    /// Bytes kept, head and tail.
    pub output_max: u64,
}

/// The result of reading from the pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// Output.
    Some,
    /// Nothing now.
    Empty,
    /// No process has the other end open.
    End,
}

/// What was captured of an attempt.
#[derive(Debug, Default)]
pub struct Captured {
    /// The last [`TAIL_BYTES`], redacted.
    pub tail: Vec<u8>,
    /// Bytes printed in all.
    pub bytes: u64,
}

/// The output of one attempt after another; one per slot, so that its buffer is allocated once.
#[derive(Debug)]
pub struct Capture {
    buffer: Vec<u8>,
    tail: Vec<u8>,
    bytes: u64,
    log: Option<LogFile>,
    redactor: Option<Redactor>,
    tee: Option<Tee>,
}

impl Default for Capture {
    fn default() -> Self {
        Self::new()
    }
}

impl Capture {
    /// A capture that retains the tail only, until [`Capture::begin`].
    pub fn new() -> Self {
        Self {
            buffer: vec![0; READ_BYTES],
            tail: Vec::new(),
            bytes: 0,
            log: None,
            redactor: None,
            tee: None,
        }
    }

    /// Copies all later output of this slot also to `tee`.
    pub fn set_tee(&mut self, tee: Tee) {
        self.tee = Some(tee);
    }

    /// Takes the tee back, to wait for its end.
    pub fn take_tee(&mut self) -> Option<Tee> {
        self.tee.take()
    }

    /// Prepares for the next attempt. No file is created before there is output.
    pub fn begin(&mut self, log: Option<LogTarget>, redactor: Option<Redactor>) {
        self.tail.clear();
        self.bytes = 0;
        self.log = log.map(LogFile::new);
        self.redactor = redactor;
    }

    /// The redactor of the current attempt, for other texts of the command.
    pub fn redactor(&self) -> Option<&Redactor> {
        self.redactor.as_ref()
    }

    /// Whether the pipe must not be read now, because the reader of the tee is slow.
    pub(super) fn is_blocked(&self) -> bool {
        self.tee.as_ref().is_some_and(Tee::is_full)
    }

    /// Reads once.
    pub(super) fn read(&mut self, pipe: BorrowedFd<'_>) -> Read {
        let length = match rustix::io::read(pipe, &mut self.buffer) {
            Ok(0) => return Read::End,
            Ok(length) => length,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Read::Empty,
            Err(_) => return Read::End,
        };
        self.bytes += length as u64;
        // Taken out for the borrow checker and put back below.
        let buffer = std::mem::take(&mut self.buffer);
        if let Some(mut redactor) = self.redactor.take() {
            let clean = redactor.push(&buffer[..length]);
            self.store(&clean);
            self.redactor = Some(redactor);
        } else {
            self.store(&buffer[..length]);
        }
        self.buffer = buffer;
        Read::Some
    }

    fn store(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if bytes.len() >= TAIL_BYTES {
            self.tail.clear();
            self.tail
                .extend_from_slice(&bytes[bytes.len() - TAIL_BYTES..]);
        } else {
            let excess = (self.tail.len() + bytes.len()).saturating_sub(TAIL_BYTES);
            self.tail.drain(..excess);
            self.tail.extend_from_slice(bytes);
        }
        if let Some(log) = &mut self.log {
            log.write(bytes);
        }
        if let Some(tee) = &self.tee {
            tee.write(bytes);
        }
    }

    /// Ends the attempt: stores the bytes that the redactor held back and completes the log. The redactor stays until the next `begin`.
    pub fn finish(&mut self) -> Captured {
        if let Some(mut redactor) = self.redactor.take() {
            let rest = redactor.finish();
            self.store(&rest);
            self.redactor = Some(redactor);
        }
        if let Some(mut log) = self.log.take() {
            log.finish(&mut self.buffer);
        }
        Captured {
            tail: std::mem::take(&mut self.tail),
            bytes: std::mem::take(&mut self.bytes),
        }
    }
}
