//! The directory of a slot: `dir/` for the command to work in, its payload, its output file; emptied between attempts.
//!
//! Rule: a command may have left anything here. No link is followed, nothing blocks, and entries that cannot be removed are moved away.
//! An unused directory costs only a few system calls.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::{Local, WORK};
use crate::clock;
use crate::owned::{each_entry, make_private, open_dir, remove, remove_content};
use crate::run::WorkerId;

const DIR: &CStr = c"dir";
const PAYLOAD: &CStr = c"payload";

/// `work/<worker>.<slot>/` in the store directory, mode 0700.
#[derive(Debug)]
pub struct SlotDir {
    local: Local,
    name: String,
    path: PathBuf,
    root: OwnedFd,
    dir: PathBuf,
    output: PathBuf,
    payload: PathBuf,
}

impl SlotDir {
    /// Name of the file that the command may write.
    pub const OUTPUT: &CStr = c"output";

    /// Opens the slot's directory, and creates it if it is not there.
    pub fn open(local: &Local, worker: WorkerId, slot: u32) -> io::Result<Self> {
        let name = format!("{worker}.{slot}");
        let path = local.dir().join(WORK).join(&name);
        let dir = path.join("dir");
        Ok(Self {
            root: open_root(local, &name)?,
            local: local.clone(),
            name,
            dir,
            output: path.join("output"),
            payload: path.join("payload"),
            path,
        })
    }

    /// `JOBCTL_RUN_DIR`, empty at the start of each attempt.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `JOBCTL_RUN_OUTPUT`, which the command may write.
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// `JOBCTL_RUN_PAYLOAD_FILE`; it exists if the run has a payload.
    pub fn payload(&self) -> &Path {
        &self.payload
    }

    /// Empties the directory and writes the payload; returns it opened for standard input.
    pub fn prepare(&mut self, payload: Option<&[u8]>) -> io::Result<Option<OwnedFd>> {
        if !self.is_in_place() || self.empty().is_err() {
            // It was removed, moved or replaced: create it again.
            self.root = open_root(&self.local, &self.name)?;
            self.empty()?;
        }
        payload
            .map(|payload| self.write_payload(payload))
            .transpose()
    }

    /// Removes the directory: the slot is no longer used.
    pub fn remove(self) {
        let _ = remove_content(self.root.as_fd());
        let work = self.local.open().and_then(|state| state.dir(WORK));
        let _ = work.and_then(|work| work.remove_dir(&self.name));
    }

    /// Whether the path still names the open directory: a command may have moved it with its parents.
    fn is_in_place(&self) -> bool {
        let held = rustix::fs::fstat(&self.root);
        let named = rustix::fs::lstat(&self.path);
        matches!((held, named), (Ok(held), Ok(named))
            if (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino))
    }

    fn empty(&self) -> io::Result<()> {
        rustix::fs::seek(&self.root, SeekFrom::Start(0))?;
        let mut has_dir = false;
        let mut others = Vec::new();
        each_entry(self.root.as_fd(), |name, kind| {
            if name == DIR && matches!(kind, FileType::Directory | FileType::Unknown) {
                has_dir = true;
            } else {
                others.push(name.to_owned());
            }
        })?;
        for name in others {
            remove(self.root.as_fd(), &name).or_else(|_| self.move_aside(&name))?;
        }
        if has_dir {
            let emptied =
                open_dir(self.root.as_fd(), DIR).and_then(|dir| remove_content(dir.as_fd()));
            if emptied.is_ok() {
                return Ok(());
            }
            self.move_aside(DIR)?;
        }
        rustix::fs::mkdirat(&self.root, DIR, Mode::RWXU)?;
        // The umask of the worker may be too strict for the command.
        make_private(open_dir(self.root.as_fd(), DIR)?.as_fd())
    }

    /// Moves an entry that cannot be removed (a mount point, an immutable file) to `work/lost`, for the operator.
    fn move_aside(&self, name: &CStr) -> io::Result<()> {
        let state = self.local.open()?;
        let lost = state.make_dir(WORK)?.make_dir("lost")?;
        let unique = u64::from_le_bytes(clock::random_bytes());
        let target = format!("{}.{unique:016x}", name.to_string_lossy());
        Ok(rustix::fs::renameat(&self.root, name, &lost, target)?)
    }

    fn write_payload(&self, payload: &[u8]) -> io::Result<OwnedFd> {
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let writer = rustix::fs::openat(&self.root, PAYLOAD, flags, mode)?;
        rustix::fs::fchmod(&writer, mode)?;
        let mut rest = payload;
        while !rest.is_empty() {
            match rustix::io::write(&writer, rest) {
                Ok(length) => rest = &rest[length..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // Opened again for reading only, so that the command cannot write its payload through standard input.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(
            &self.root,
            PAYLOAD,
            flags,
            Mode::empty(),
        )?)
    }
}

impl AsFd for SlotDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

fn open_root(local: &Local, name: &str) -> io::Result<OwnedFd> {
    let work = local.open()?.make_dir(WORK)?;
    let root = work.make_dir(name).or_else(|_| {
        // Another entry has that name; a command may have created it.
        work.remove_tree(name)?;
        work.make_dir(name)
    })?;
    Ok(root.into_fd())
}
