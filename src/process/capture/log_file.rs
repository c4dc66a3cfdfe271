//! One attempt's log file: the head of the output, a line that counts what was dropped, the tail.
//!
//! Rule: at most `output_max` bytes of output are on disk at any time. The tail is in two unlinked segment files of a
//! quarter each, which are overwritten in turn, and is appended to the log when the attempt ends. `runs logs -f` shows the head while it
//! grows.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::LogTarget;
use crate::owned::Dir;

/// Below this much free space output is dropped: the rest is reserved for storing ends of runs.
const MIN_FREE: u64 = 32 << 20;

/// Free space is checked once per this many bytes.
const CHECK_EVERY: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct LogFile {
    target: LogTarget,
    head: Option<File>,
    /// The last segment is being written.
    segments: Vec<Segment>,
    /// Bytes written to the head.
    head_bytes: u64,
    dropped: u64,
    until_check: u64,
    /// The disk is full or broken: nothing more is written.
    refuse: bool,
}

#[derive(Debug)]
struct Segment {
    file: File,
    bytes: u64,
}

impl LogFile {
    pub(super) fn new(target: LogTarget) -> Self {
        Self {
            target,
            head: None,
            segments: Vec::new(),
            head_bytes: 0,
            dropped: 0,
            until_check: 0,
            refuse: false,
        }
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) {
        let half = self.target.output_max / 2;
        if self.head_bytes < half && self.segments.is_empty() {
            let (head, rest) = bytes.split_at(bytes.len().min((half - self.head_bytes) as usize));
            match self.write_head(head) {
                Ok(()) => self.head_bytes += head.len() as u64,
                Err(_) => self.dropped += head.len() as u64,
            }
            bytes = rest;
        }
        let quarter = self.target.output_max / 4;
        if quarter == 0 {
            self.dropped += bytes.len() as u64;
            return;
        }
        while !bytes.is_empty() {
            let room = match self.segments.last() {
                Some(segment) if segment.bytes < quarter => quarter - segment.bytes,
                _ => {
                    if self.next_segment().is_err() {
                        self.dropped += bytes.len() as u64;
                        return;
                    }
                    quarter
                }
            };
            let (part, rest) = bytes.split_at(bytes.len().min(room as usize));
            match self.write_tail(part) {
                Ok(()) => {}
                Err(_) => self.dropped += part.len() as u64,
            }
            bytes = rest;
        }
    }

    fn write_head(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.check_space(bytes.len())?;
        if self.head.is_none() {
            let (dir, name) = self.place()?;
            self.head = Some(dir.create_replacing(name)?);
            // Free space can be checked only now that the file exists.
            self.check_space(bytes.len())?;
        }
        match &mut self.head {
            Some(file) => {
                let before = self.head_bytes;
                let written = file.write_all(bytes);
                if written.is_err() {
                    // A part may be written; truncate, so that the next write leaves no hole or repetition.
                    let _ = file
                        .set_len(before)
                        .and_then(|()| file.seek(SeekFrom::Start(before)));
                }
                written
            }
            None => Ok(()),
        }
    }

    fn write_tail(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.check_space(bytes.len())?;
        let Some(segment) = self.segments.last_mut() else {
            return Ok(());
        };
        let before = segment.bytes;
        let written = segment.file.write_all(bytes);
        match written {
            Ok(()) => segment.bytes += bytes.len() as u64,
            Err(_) => {
                segment.file.seek(SeekFrom::Start(before))?;
            }
        }
        written
    }

    /// Begins a segment: the second, or the older one again after dropping its content.
    fn next_segment(&mut self) -> io::Result<()> {
        if self.segments.len() < 2 {
            let (dir, name) = self.place()?;
            let name = format!("{name}.tail");
            let file = dir.create_replacing(&name)?;
            dir.remove_file(&name)?;
            self.segments.push(Segment { file, bytes: 0 });
            return Ok(());
        }
        self.segments.rotate_left(1);
        if let Some(oldest) = self.segments.last_mut() {
            self.dropped += oldest.bytes;
            oldest.bytes = 0;
            oldest.file.set_len(0)?;
            oldest.file.seek(SeekFrom::Start(0))?;
        }
        Ok(())
    }

    fn check_space(&mut self, bytes: usize) -> io::Result<()> {
        if let (0, Some(file)) = (self.until_check, &self.head) {
            let free = rustix::fs::fstatvfs(file)?;
            self.refuse = free.f_bavail.saturating_mul(free.f_frsize) < MIN_FREE;
            self.until_check = CHECK_EVERY;
        }
        self.until_check = self.until_check.saturating_sub(bytes as u64);
        if self.refuse {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    /// Appends the tail to the head and returns how many bytes were dropped.
    pub(super) fn finish(&mut self, buffer: &mut [u8]) -> u64 {
        if self.dropped > 0 {
            let line = format!("\n[jobctl: {} bytes dropped]\n", self.dropped);
            if let Some(head) = &mut self.head {
                let _ = head.write_all(line.as_bytes());
            }
        }
        for segment in std::mem::take(&mut self.segments) {
            let copied = match &mut self.head {
                Some(head) => copy(segment, head, buffer),
                None => Err(segment.bytes),
            };
            if let Err(lost) = copied {
                self.dropped += lost;
            }
        }
        self.dropped
    }

    /// The directory of the log, created if it is missing, and the name of the log.
    fn place(&self) -> io::Result<(Dir, String)> {
        let LogTarget {
            local,
            run,
            attempt,
            ..
        } = &self.target;
        local.make_log_place(*run, *attempt)
    }
}

/// Appends a segment to the log; the error is the number of bytes that were not written.
fn copy(mut segment: Segment, to: &mut File, buffer: &mut [u8]) -> Result<(), u64> {
    let mut left = segment.bytes;
    if segment.file.seek(SeekFrom::Start(0)).is_err() {
        return Err(left);
    }
    while left > 0 {
        let part = buffer.len().min(left as usize);
        let Ok(length @ 1..) = segment.file.read(&mut buffer[..part]) else {
            return Err(left);
        };
        if to.write_all(&buffer[..length]).is_err() {
            return Err(left);
        }
        left -= length as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::local::Local;
    use crate::run::RunId;

    fn log(dir: &Path, output_max: u64) -> LogFile {
        LogFile::new(LogTarget {
            local: Local::unchecked(dir),
            run: RunId(12_345),
            attempt: 2,
            output_max,
        })
    }

    fn finished(mut log: LogFile) -> (u64, Vec<u8>) {
        let path = log
            .target
            .local
            .log_path(log.target.run, log.target.attempt);
        let dropped = log.finish(&mut [0; 7]);
        (dropped, std::fs::read(path).unwrap())
    }

    #[test]
    fn output_within_the_cap_is_stored_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        for length in [1usize, 49, 50, 51, 75, 100] {
            let text: Vec<u8> = (0..length).map(|n| b'a' + (n % 26) as u8).collect();
            let mut log = log(dir.path(), 100);
            for part in text.chunks(3) {
                log.write(part);
            }
            assert_eq!(finished(log), (0, text), "{length} bytes");
        }
        assert!(dir.path().join("output/12/12345.2.log").exists());
    }

    #[test]
    fn head_and_tail_are_stored_and_the_dropped_middle_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let text: Vec<u8> = (0..1000u32).map(|n| b'a' + (n % 26) as u8).collect();
        for step in [1, 7, 1000] {
            let mut log = log(dir.path(), 100);
            for part in text.chunks(step) {
                log.write(part);
            }
            let (dropped, kept) = finished(log);
            let line = format!("\n[jobctl: {dropped} bytes dropped]\n");
            assert!(kept.len() - line.len() <= 100);
            assert_eq!(dropped as usize + kept.len() - line.len(), 1000);
            assert_eq!(kept[..50], text[..50]);
            assert!(kept[50..].starts_with(line.as_bytes()));
            let tail = &kept[50 + line.len()..];
            assert!(tail.len() >= 25);
            assert!(text.ends_with(tail));
        }
    }

    #[test]
    fn no_directory_entry_of_a_segment_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 100);
        log.write(&[b'x'; 500]);
        let names: Vec<_> = std::fs::read_dir(dir.path().join("output/12"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["12345.2.log"]);
        finished(log);
    }

    #[test]
    fn a_link_in_the_way_is_replaced_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("output/12")).unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join("output/12/12345.2.log")).unwrap();
        let mut log = log(dir.path(), 100);
        log.write(b"hello");
        assert_eq!(finished(log), (0, b"hello".to_vec()));
        assert_eq!(std::fs::read(&victim).unwrap(), b"mine");
    }

    #[test]
    fn output_that_cannot_be_written_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("output"), "a file in the way").unwrap();
        let mut log = log(dir.path(), 100);
        log.write(&[b'x'; 500]);
        assert_eq!(log.finish(&mut [0; 64]), 500);
    }
}
