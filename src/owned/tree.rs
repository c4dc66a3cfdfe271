//! Removes directory trees of commands, of any depth and with any modes, without following links.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, SeekFrom};
use rustix::io::Errno;

/// Opens a directory of a command, even if it is unreadable.
pub(crate) fn open_dir(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Ok(dir) => return Ok(dir),
        Err(Errno::ACCESS) => {}
        Err(error) => return Err(error.into()),
    }
    let handle = rustix::fs::openat(parent, name, flags | OFlags::PATH, Mode::empty())?;
    make_private(handle.as_fd())?;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

/// Sets mode 0700 on an open directory. Uses `/proc`, because `fchmod` fails for a handle of an unreadable directory, and a path could be
/// replaced by a link.
pub(crate) fn make_private(dir: BorrowedFd<'_>) -> io::Result<()> {
    let link = format!("/proc/self/fd/{}", dir.as_raw_fd());
    Ok(rustix::fs::chmod(link, Mode::RWXU)?)
}

/// Visits the entries of a directory, from the position of its descriptor.
pub(crate) fn each_entry(
    dir: BorrowedFd<'_>,
    mut visit: impl FnMut(&CStr, FileType),
) -> io::Result<()> {
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
pub(crate) fn remove(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let dir = open_dir(parent, name)?;
    remove_content(dir.as_fd())?;
    Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

/// Empties a directory. The recursion depth and the number of descriptors are constant: entries of subdirectories are moved up first.
pub(crate) fn remove_content(root: BorrowedFd<'_>) -> io::Result<()> {
    let mut moved: u64 = 0;
    loop {
        let mut names = Vec::new();
        rustix::fs::seek(root, SeekFrom::Start(0))?;
        each_entry(root, |name, _| names.push(name.to_owned()))?;
        if names.is_empty() {
            return Ok(());
        }
        make_private(root)?;
        for name in names {
            match rustix::fs::unlinkat(root, &*name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => continue,
                Err(Errno::ISDIR | Errno::PERM) => {}
                Err(error) => return Err(error.into()),
            }
            let dir = open_dir(root, &name)?;
            make_private(dir.as_fd())?;
            let mut inner = Vec::new();
            each_entry(dir.as_fd(), |name, _| inner.push(name.to_owned()))?;
            for child in inner {
                match rustix::fs::unlinkat(&dir, &*child, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => continue,
                    Err(Errno::ISDIR | Errno::PERM) => {}
                    Err(error) => return Err(error.into()),
                }
                // A directory can only change its parent if we may write to it.
                make_private(open_dir(dir.as_fd(), &child)?.as_fd())?;
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
