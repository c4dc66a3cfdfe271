//! Removes what commands made, however deep it is and whatever its modes are, and never what a link points to.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, SeekFrom};
use rustix::io::Errno;

/// Opens a directory that a command made, even one that it made unreadable.
pub(crate) fn open_dir(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
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
pub(crate) fn make_ours(dir: BorrowedFd<'_>) -> io::Result<()> {
    let link = format!("/proc/self/fd/{}", dir.as_raw_fd());
    Ok(rustix::fs::chmod(link, Mode::RWXU)?)
}

/// Visits the names in a directory, from where its descriptor stands.
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

/// Empties a directory. Constant depth and descriptors however deep it is: what a subdirectory holds is first moved up.
pub(crate) fn remove_content(root: BorrowedFd<'_>) -> io::Result<()> {
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
