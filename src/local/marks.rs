//! Start marks: `workers/<id>.started` records which claimed runs were started, and as which process.
//!
//! Rule: the mark of a run is written before its command is executed, so that a missing mark (in the same boot) proves that it was not.
//! Marks are not synced: they survive `kill -9`, and after a reboot no process is left.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::attempt::{Mark, Spawned};
use crate::owned;
use crate::run::{Fence, RunId};

/// A longer file is rewritten with the live marks only; this is some 8,000 starts.
const FILE_MAX: u64 = 256 << 10;

/// The start marks of one worker, shared by its slots.
#[derive(Debug)]
pub struct StartMarks {
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    length: u64,
    /// The last write failed; the next must begin a new line.
    torn: bool,
    /// Marks whose run is not yet recorded as ended.
    live: HashMap<Fence, Mark>,
}

impl StartMarks {
    /// Creates the file, private and empty.
    pub fn create(path: PathBuf) -> io::Result<Self> {
        let file = open(&path)?;
        Ok(Self {
            path,
            inner: Mutex::new(Inner {
                file,
                length: 0,
                torn: false,
                live: HashMap::new(),
            }),
        })
    }

    /// Writes the mark before the command is executed; on an error the command must not be executed.
    pub fn begin(&self, run: RunId, fence: Fence) -> io::Result<()> {
        self.put(Mark {
            run,
            fence,
            process: None,
        })
    }

    /// Adds the process to the mark, right after the command was started.
    pub fn spawned(&self, run: RunId, fence: Fence, process: Spawned) -> io::Result<()> {
        self.put(Mark {
            run,
            fence,
            process: Some(process),
        })
    }

    /// Drops a mark, because the end of its attempt is committed or the attempt certainly did not start.
    pub fn done(&self, fence: Fence) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.live.remove(&fence);
        if inner.length > FILE_MAX {
            // If this fails, for instance on a full disk, the long file stays valid; the next call retries.
            let _ = self.rewrite(&mut inner);
        }
    }

    fn put(&self, mark: Mark) -> io::Result<()> {
        let mut line = line(&mark);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.torn {
            line.insert(0, '\n');
        }
        inner.torn = true;
        inner.file.write_all(line.as_bytes())?;
        inner.torn = false;
        inner.length += line.len() as u64;
        inner.live.insert(mark.fence, mark);
        Ok(())
    }

    fn rewrite(&self, inner: &mut Inner) -> io::Result<()> {
        let new = self.path.with_extension("started.new");
        let mut file = open(&new)?;
        let text: String = inner.live.values().map(line).collect();
        file.write_all(text.as_bytes())?;
        std::fs::rename(&new, &self.path)?;
        inner.file = file;
        inner.torn = false;
        inner.length = text.len() as u64;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
}

fn line(mark: &Mark) -> String {
    let (run, fence) = (mark.run, mark.fence);
    match &mark.process {
        None => format!("begin {run} {fence}\n"),
        Some(Spawned {
            pid,
            start_ticks,
            session,
        }) => format!("spawned {run} {fence} {pid} {start_ticks} {session}\n"),
    }
}

/// Reads the marks of a worker, one per fence. An incomplete last line counts as not written.
///
/// # Errors
/// Also if there is no file, or it is not a regular file of our user: then a missing mark proves nothing.
pub fn read(path: &Path) -> io::Result<Vec<Mark>> {
    // A link is not followed, and a fifo does not block.
    let mut bytes = Vec::new();
    owned::open_read(path)?.read_to_end(&mut bytes)?;
    let mut marks: HashMap<Fence, Mark> = HashMap::new();
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        if let Some(mark) = parse(line) {
            marks.insert(mark.fence, mark);
        }
    }
    let mut marks: Vec<Mark> = marks.into_values().collect();
    marks.sort_by_key(|mark| mark.fence);
    Ok(marks)
}

fn parse(line: &[u8]) -> Option<Mark> {
    let text = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let mut words = text.split(' ');
    let kind = words.next()?;
    let run = RunId(words.next()?.parse().ok()?);
    let fence = Fence(words.next()?.parse().ok()?);
    let process = match kind {
        "begin" => None,
        "spawned" => Some(Spawned {
            pid: words.next()?.parse().ok()?,
            start_ticks: words.next()?.parse().ok()?,
            session: words.next()?.parse().ok()?,
        }),
        _ => return None,
    };
    Some(Mark {
        run,
        fence,
        process,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: Spawned = Spawned {
        pid: 70,
        start_ticks: 900,
        session: 70,
    };

    fn mark(run: i64, fence: i64, process: Option<Spawned>) -> Mark {
        Mark {
            run: RunId(run),
            fence: Fence(fence),
            process,
        }
    }

    #[test]
    fn a_torn_last_line_counts_as_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.started");
        let marks = StartMarks::create(path.clone()).unwrap();
        marks.begin(RunId(5), Fence(8)).unwrap();
        marks.begin(RunId(6), Fence(9)).unwrap();
        marks.spawned(RunId(6), Fence(9), PROCESS).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let expected = [mark(5, 8, None), mark(6, 9, Some(PROCESS))];
        assert_eq!(read(&path).unwrap(), expected);
        for cut in 1..12 {
            std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            assert_eq!(read(&path).unwrap(), [mark(5, 8, None), mark(6, 9, None)]);
        }
    }

    /// Proves: as `a_process_that_cannot_be_checked_counts_as_unknown`.
    #[test]
    fn marks_are_read_only_from_a_regular_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.started");
        let forged = dir.path().join("forged");
        std::fs::write(&forged, "spawned 5 8 1 1 1\n").unwrap();
        assert!(read(&path).is_err(), "a missing file");
        std::os::unix::fs::symlink(&forged, &path).unwrap();
        assert!(read(&path).is_err(), "a link");
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        assert!(read(&path).is_err(), "a fifo, which is not waited for");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(read(&path).is_err(), "a directory");
    }

    #[test]
    fn the_file_stays_short_and_retains_live_marks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.started");
        let marks = StartMarks::create(path.clone()).unwrap();
        marks.begin(RunId(1), Fence(1)).unwrap();
        marks.spawned(RunId(1), Fence(1), PROCESS).unwrap();
        for n in 2..20_000 {
            marks.begin(RunId(n), Fence(n)).unwrap();
            marks.spawned(RunId(n), Fence(n), PROCESS).unwrap();
            marks.done(Fence(n));
        }
        assert!(std::fs::metadata(&path).unwrap().len() <= FILE_MAX + 1024);
        assert_eq!(read(&path).unwrap()[0], mark(1, 1, Some(PROCESS)));
        marks.begin(RunId(30_000), Fence(30_000)).unwrap();
        assert_eq!(
            *read(&path).unwrap().last().unwrap(),
            mark(30_000, 30_000, None)
        );
    }
}
