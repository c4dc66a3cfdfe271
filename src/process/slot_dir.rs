//! The directory of a slot: `dir/` for the command to work in, its payload, its output file; emptied between attempts.
//!
//! Rule: a command may have left anything here. Nothing is followed, nothing blocks, and what cannot be removed is moved
//! out of the way. The untouched case costs a handful of system calls.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, SeekFrom};
use rustix::io::Errno;

use super::capture::Redactor;
use super::contract;
use crate::attempt::Said;
use crate::clock;
use crate::run::WorkerId;

const DIR: &CStr = c"dir";
const OUTPUT: &CStr = c"output";
const PAYLOAD: &CStr = c"payload";

/// `work/<worker>.<slot>/` in the state directory, mode 0700.
#[derive(Debug)]
pub struct SlotDir {
    path: PathBuf,
    root: OwnedFd,
    dir: PathBuf,
    dir_c: CString,
    output: PathBuf,
    payload: PathBuf,
}

impl SlotDir {
    /// Opens the slot's directory, and creates it if it is not there.
    pub fn open(state_dir: &Path, worker: WorkerId, slot: u32) -> io::Result<Self> {
        let path = state_dir.join("work").join(format!("{worker}.{slot}"));
        let dir = path.join("dir");
        Ok(Self {
            root: open_root(&path)?,
            dir_c: CString::new(dir.as_os_str().as_bytes())?,
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

    /// The same for a system call.
    pub fn dir_c(&self) -> &CStr {
        &self.dir_c
    }

    /// `JOBCTL_RUN_OUTPUT`, which the command may write.
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// `JOBCTL_RUN_PAYLOAD_FILE`, there if the run has a payload.
    pub fn payload(&self) -> &Path {
        &self.payload
    }

    /// Empties the directory and writes the payload; returns it opened for standard input.
    pub fn prepare(&mut self, payload: Option<&[u8]>) -> io::Result<Option<OwnedFd>> {
        if !self.is_in_place() || self.empty().is_err() {
            // Removed, moved or replaced with its parents: begin anew.
            self.root = open_root(&self.path)?;
            self.empty()?;
        }
        payload
            .map(|payload| self.write_payload(payload))
            .transpose()
    }

    /// What the command wrote to its output file.
    pub fn said(&self, redactor: Option<&Redactor>) -> Said {
        contract::read_output(self.root.as_fd(), OUTPUT)
            .map(|text| contract::parse_output(&text, clock::wall_ms(), redactor))
            .unwrap_or_default()
    }

    /// Removes the directory: the slot is no longer used.
    pub fn remove(self) {
        let _ = remove_content(self.root.as_fd());
        let _ = std::fs::remove_dir(&self.path);
    }

    /// Whether the path still names the directory that we hold: a command may have moved it with its parents.
    fn is_in_place(&self) -> bool {
        let held = rustix::fs::fstat(&self.root);
        let named = rustix::fs::stat(&self.path);
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
        Ok(rustix::fs::mkdirat(&self.root, DIR, Mode::RWXU)?)
    }

    /// For what cannot be removed (a mount point, an immutable file): it goes to `work/lost`, for the operator.
    fn move_aside(&self, name: &CStr) -> io::Result<()> {
        let lost = self.path.with_file_name("lost");
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&lost)?;
        let unique = u64::from_le_bytes(clock::random_bytes());
        let target = lost.join(format!("{}.{unique:016x}", name.to_string_lossy()));
        Ok(rustix::fs::renameat(
            &self.root,
            name,
            rustix::fs::CWD,
            &target,
        )?)
    }

    fn write_payload(&self, payload: &[u8]) -> io::Result<OwnedFd> {
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let writer = rustix::fs::openat(&self.root, PAYLOAD, flags, Mode::RUSR | Mode::WUSR)?;
        let mut rest = payload;
        while !rest.is_empty() {
            match rustix::io::write(&writer, rest) {
                Ok(length) => rest = &rest[length..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // A second opening, for reading only: the command cannot write its payload through standard input.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(
            &self.root,
            PAYLOAD,
            flags,
            Mode::empty(),
        )?)
    }
}

fn open_root(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(root) => return Ok(root),
        Err(Errno::NOENT) => {}
        Err(Errno::NOTDIR | Errno::LOOP) => std::fs::remove_file(path)?,
        Err(error) => return Err(error.into()),
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Opens a directory that a command made, even one that it made unreadable.
fn open_dir(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Ok(dir) => return Ok(dir),
        Err(Errno::ACCESS) => {}
        Err(error) => return Err(error.into()),
    }
    let handle = rustix::fs::openat(parent, name, flags | OFlags::PATH, Mode::empty())?;
    make_ours(handle.as_fd())?;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

/// Through `/proc`, because a handle of an unreadable directory takes no `fchmod`, and a path could be swapped for a link.
fn make_ours(dir: BorrowedFd<'_>) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let link = format!("/proc/self/fd/{}", dir.as_raw_fd());
    Ok(rustix::fs::chmod(link, Mode::RWXU)?)
}

fn each_entry(dir: BorrowedFd<'_>, mut visit: impl FnMut(&CStr, FileType)) -> io::Result<()> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 2048];
    let mut entries = RawDir::new(dir, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            visit(name, entry.file_type());
        }
    }
    Ok(())
}

/// Removes an entry, and all below it if it is a directory.
fn remove(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let dir = open_dir(parent, name)?;
    remove_content(dir.as_fd())?;
    Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

/// Empties a directory. Constant depth and descriptors however deep it is: what a subdirectory holds is first moved up.
fn remove_content(root: BorrowedFd<'_>) -> io::Result<()> {
    let mut moved: u64 = 0;
    loop {
        let mut names = Vec::new();
        rustix::fs::seek(root, SeekFrom::Start(0))?;
        each_entry(root, |name, _| names.push(name.to_owned()))?;
        if names.is_empty() {
            return Ok(());
        }
        make_ours(root)?;
        for name in names {
            match rustix::fs::unlinkat(root, &*name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => continue,
                Err(Errno::ISDIR | Errno::PERM) => {}
                Err(error) => return Err(error.into()),
            }
            let dir = open_dir(root, &name)?;
            make_ours(dir.as_fd())?;
            let mut inner = Vec::new();
            each_entry(dir.as_fd(), |name, _| inner.push(name.to_owned()))?;
            for child in inner {
                match rustix::fs::unlinkat(&dir, &*child, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => continue,
                    Err(Errno::ISDIR | Errno::PERM) => {}
                    Err(error) => return Err(error.into()),
                }
                // A directory can only change its parent if we may write to it.
                make_ours(open_dir(dir.as_fd(), &child)?.as_fd())?;
                loop {
                    moved += 1;
                    let name = CString::new(format!(".jobctl-{moved}"))?;
                    let flags = rustix::fs::RenameFlags::NOREPLACE;
                    match rustix::fs::renameat_with(&dir, &*child, root, &*name, flags) {
                        Ok(()) => break,
                        Err(Errno::EXIST) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            rustix::fs::unlinkat(root, &*name, AtFlags::REMOVEDIR)?;
        }
    }
}
