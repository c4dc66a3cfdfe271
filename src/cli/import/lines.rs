//! Lines of a file or a stream, of bounded length, in bounded memory.
//!
//! Rule: never waits without a limit: a silent stream gives [`Next::Pending`], so that read lines can be stored and signals are
//! seen.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

/// Bytes of one read.
const CHUNK_BYTES: usize = 256 << 10;

/// Result of [`Lines::next`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// A line, without its end.
    Line(&'a [u8]),
    /// A line over the limit; the rest of it was not read.
    TooLong,
    /// No complete line arrived in time, or a signal did.
    Pending,
    /// Nothing more.
    End,
}

/// A reader of lines.
pub(super) struct Lines {
    source: OwnedFd,
    buffer: Vec<u8>,
    /// Start of the bytes that were not returned yet.
    start: usize,
    /// End of the bytes that were searched for an end of line.
    seen: usize,
    ended: bool,
    line_max: usize,
    /// Whether a read may block.
    is_stream: bool,
}

impl Lines {
    pub(super) fn new(source: OwnedFd, is_stream: bool, line_max: usize) -> Self {
        let buffer = Vec::with_capacity(CHUNK_BYTES);
        Self {
            source,
            buffer,
            start: 0,
            seen: 0,
            ended: false,
            line_max,
            is_stream,
        }
    }

    /// The next line; waits at most `patience`.
    pub(super) fn next(&mut self, patience: Duration) -> std::io::Result<Next<'_>> {
        loop {
            if let Some(at) = find_end(&self.buffer[self.seen..]) {
                let (start, end) = (self.start, self.seen + at);
                (self.start, self.seen) = (end + 1, end + 1);
                return Ok(match end - start {
                    length if length > self.line_max => Next::TooLong,
                    _ => Next::Line(&self.buffer[start..end]),
                });
            }
            self.seen = self.buffer.len();
            let rest = self.buffer.len() - self.start;
            if rest > self.line_max {
                return Ok(Next::TooLong);
            }
            if self.ended {
                let start = std::mem::replace(&mut self.start, self.buffer.len());
                return Ok(if rest == 0 {
                    Next::End
                } else {
                    Next::Line(&self.buffer[start..])
                });
            }
            if !self.read(patience)? {
                return Ok(Next::Pending);
            }
        }
    }

    /// Reads more bytes; `false` if none arrived.
    fn read(&mut self, patience: Duration) -> std::io::Result<bool> {
        if self.is_stream && !readable(&self.source, patience)? {
            return Ok(false);
        }
        self.buffer.drain(..self.start);
        self.seen -= self.start;
        self.start = 0;
        let length = self.buffer.len();
        self.buffer.resize(length + CHUNK_BYTES, 0);
        let read = rustix::io::read(&self.source, &mut self.buffer[length..]);
        self.buffer.truncate(length + read.unwrap_or(0));
        match read {
            Ok(n) => {
                self.ended = n == 0;
                Ok(true)
            }
            Err(Errno::INTR | Errno::AGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Position of a reader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct At {
    /// Lines read so far.
    pub(super) number: u64,
    /// Digest of these lines.
    pub(super) digest: [u8; 32],
}

/// A reader that counts lines and computes a digest of them.
pub(super) struct Numbered {
    lines: Lines,
    at: At,
}

impl Numbered {
    pub(super) fn new(lines: Lines) -> Self {
        Self {
            lines,
            at: At::default(),
        }
    }

    /// The next line and its position; waits at most `patience`. A byte order mark before the first line is skipped.
    pub(super) fn next(&mut self, patience: Duration) -> std::io::Result<(Next<'_>, At)> {
        let mut next = self.lines.next(patience)?;
        if let Next::Line(line) = &mut next {
            if self.at.number == 0 {
                *line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
            }
            let mut hasher = Sha256::new();
            hasher.update(self.at.digest);
            hasher.update(*line);
            self.at.digest = hasher.finalize().into();
        }
        if matches!(next, Next::Line(_) | Next::TooLong) {
            self.at.number += 1;
        }
        Ok((next, self.at))
    }
}

/// Whether there is something to read; waits at most `patience`. A signal ends the wait.
fn readable(source: &OwnedFd, patience: Duration) -> std::io::Result<bool> {
    let timeout = Timespec {
        tv_sec: patience.as_secs() as i64,
        tv_nsec: i64::from(patience.subsec_nanos()),
    };
    match poll(&mut [PollFd::new(source, PollFlags::IN)], Some(&timeout)) {
        Ok(n) => Ok(n > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn find_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], line_max: usize) -> Vec<String> {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let text = text.to_vec();
        let feeder = std::thread::spawn(move || {
            // In pieces, so that lines are cut anywhere.
            for piece in text.chunks(7) {
                if rustix::io::write(&writer, piece).is_err() {
                    return;
                }
            }
        });
        let mut lines = Lines::new(reader, true, line_max);
        let mut found = Vec::new();
        loop {
            match lines.next(Duration::from_secs(10)).unwrap() {
                Next::Line(line) => found.push(String::from_utf8(line.to_vec()).unwrap()),
                Next::TooLong => found.push("too long".to_owned()),
                Next::Pending => found.push("pending".to_owned()),
                Next::End => break,
            }
            if found.last().is_some_and(|last| last == "too long") {
                break;
            }
        }
        drop(lines);
        feeder.join().unwrap();
        found
    }

    #[test]
    fn lines_end_at_newlines_and_at_the_end() {
        assert_eq!(all(b"", 20), [""; 0]);
        assert_eq!(all(b"one\n\nthree", 20), ["one", "", "three"]);
        assert_eq!(all(b"one\r\n", 20), ["one\r"]);
        assert_eq!(all(b"exactly-ten\nx", 11), ["exactly-ten", "x"]);
    }

    #[test]
    fn a_line_over_the_limit_is_refused_without_reading_it_all() {
        assert_eq!(all(b"short\nexactly-ten\nx\n", 10), ["short", "too long"]);
        assert_eq!(all(&[b'x'; 3000], 1000), ["too long"]);
    }

    #[test]
    fn a_silent_stream_does_not_block() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let mut lines = Lines::new(reader, true, 100);
        rustix::io::write(&writer, b"one\ntw").unwrap();
        let brief = Duration::from_millis(1);
        assert_eq!(lines.next(brief).unwrap(), Next::Line(b"one"));
        assert_eq!(lines.next(brief).unwrap(), Next::Pending);
        rustix::io::write(&writer, b"o\n").unwrap();
        assert_eq!(lines.next(brief).unwrap(), Next::Line(b"two"));
        drop(writer);
        assert_eq!(lines.next(brief).unwrap(), Next::End);
    }
}
