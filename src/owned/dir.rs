//! Directories that are held open, and operations on their entries: never through a link, never blocking on a fifo.
//!
//! Rule: an opened entry is checked by its descriptor before it is used. Modes are set explicitly, not left to the umask.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;

use super::flaw::{Facts, Flaw, Wanted, judge};
use super::tree;

/// Permissions of every file that jobctl makes in the store directory.
pub const FILE_MODE: u32 = 0o600;

const DIR_MODE: Mode = Mode::RWXU;

/// Open flags that do not follow links, block on fifos or take a controlling terminal.
const SAFE: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// A directory of ours, held open.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
    /// Its permissions when it was opened.
    mode: u32,
}

impl Dir {
    /// Opens a directory that belongs to us. Any mode is accepted: a directory above it may keep others out.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_at(CWD, path.as_os_str(), path.to_owned())
    }

    fn open_at(base: BorrowedFd<'_>, name: &OsStr, path: PathBuf) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | SAFE;
        let fd = rustix::fs::openat(base, name, flags, Mode::empty())
            .map_err(|error| explained(error, base, name, &path, Wanted::Directory))?;
        let stat = rustix::fs::fstat(&fd)?;
        match flaw_of(&stat, Wanted::Directory) {
            None | Some(Flaw::Open(_)) => Ok(Self {
                fd,
                path,
                mode: stat.st_mode & 0o777,
            }),
            Some(flaw) => Err(flaw.into_io(&path)),
        }
    }

    /// Its path when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its descriptor.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Opens a directory in it.
    pub fn dir(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let name = name.as_ref();
        Self::open_at(self.fd.as_fd(), name, self.path.join(name))
    }

    /// Opens a directory in it, and creates it if it is missing; with mode 0700 in any case.
    pub fn make_dir(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let name = name.as_ref();
        let made = match self.dir(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match rustix::fs::mkdirat(&self.fd, name, DIR_MODE) {
                    Ok(()) => {
                        let masked = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?
                            .st_mode
                            & 0o700
                            != 0o700;
                        if masked {
                            self.unmask(name)?;
                        }
                    }
                    Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                self.dir(name)?
            }
            opened => opened?,
        };
        if made.mode != 0o700 {
            rustix::fs::fchmod(&made.fd, DIR_MODE)?;
        }
        Ok(made)
    }

    /// Sets the mode of a new directory that a strict umask made inaccessible to us.
    fn unmask(&self, name: &OsStr) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(&self.fd, name, flags, Mode::empty())?;
        tree::make_private(handle.as_fd())
    }

    /// Opens a file in it for reading.
    pub fn open_read(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
        let name = name.as_ref();
        open_file(self.fd.as_fd(), name, &self.path.join(name), OFlags::RDONLY)
    }

    /// Creates a new file in it, opened for reading and writing.
    pub fn create_new(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
        let name = name.as_ref();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        open_file(self.fd.as_fd(), name, &self.path.join(name), flags)
    }

    /// Creates a new file in it; an existing entry of that name is removed.
    pub fn create_replacing(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
        let name = name.as_ref();
        match self.create_new(name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.remove_tree(name)?;
                self.create_new(name)
            }
            made => made,
        }
    }

    /// Renames an entry; an existing entry of the new name is replaced.
    pub fn rename(&self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) -> io::Result<()> {
        Ok(rustix::fs::renameat(
            &self.fd,
            from.as_ref(),
            &self.fd,
            to.as_ref(),
        )?)
    }

    /// Removes an entry that is not a directory.
    pub fn remove_file(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        let none = AtFlags::empty();
        Ok(rustix::fs::unlinkat(&self.fd, name.as_ref(), none)?)
    }

    /// Removes an empty directory.
    pub fn remove_dir(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        let flags = AtFlags::REMOVEDIR;
        Ok(rustix::fs::unlinkat(&self.fd, name.as_ref(), flags)?)
    }

    /// Removes an entry and, if it is a directory, everything below it. Links are not followed. A missing entry is no error.
    pub fn remove_tree(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        let name = CString::new(name.as_ref().as_bytes())?;
        tree::remove(self.fd.as_fd(), &name)
    }

    /// The names of its entries, in no particular order.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        rustix::fs::seek(&self.fd, SeekFrom::Start(0))?;
        let mut names = Vec::new();
        tree::each_entry(self.fd.as_fd(), |name, _| {
            names.push(OsString::from_vec(name.to_bytes().to_vec()));
        })?;
        Ok(names)
    }

    /// Size of an entry in bytes; links are not followed.
    pub fn size(&self, name: impl AsRef<OsStr>) -> io::Result<u64> {
        let stat = rustix::fs::statat(&self.fd, name.as_ref(), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(stat.st_size as u64)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Opens a file directly in a checked directory for reading.
pub fn open_read(path: &Path) -> io::Result<File> {
    open_file(CWD, path.as_os_str(), path, OFlags::RDONLY)
}

/// Opens a file directly in a checked directory for reading and writing, and makes it if it is missing.
pub fn open_write(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE;
    open_file(CWD, path.as_os_str(), path, flags)
}

/// Creates the missing directories at the end of a checked path, each with mode 0700.
pub fn make_dirs(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other.map(drop),
    }
    make_dirs(path.parent().unwrap_or(Path::new("/")))?;
    make_dir(path)
}

/// Creates a directory in a checked one, if it is missing, with mode 0700.
pub fn make_dir(path: &Path) -> io::Result<()> {
    match rustix::fs::mkdirat(CWD, path, DIR_MODE) {
        // Cannot follow a link: only we can create entries there.
        Ok(()) => Ok(rustix::fs::chmodat(CWD, path, DIR_MODE, AtFlags::empty())?),
        Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn open_file(base: BorrowedFd<'_>, name: &OsStr, path: &Path, flags: OFlags) -> io::Result<File> {
    let mode = Mode::from_raw_mode(FILE_MODE);
    let fd = rustix::fs::openat(base, name, flags | SAFE, mode)
        .map_err(|error| explained(error, base, name, path, Wanted::File))?;
    let stat = rustix::fs::fstat(&fd)?;
    if let Some(flaw) = flaw_of(&stat, Wanted::File) {
        return Err(flaw.into_io(path));
    }
    if flags.contains(OFlags::CREATE) && stat.st_mode & FILE_MODE != FILE_MODE {
        rustix::fs::fchmod(&fd, mode)?;
    }
    Ok(File::from(fd))
}

fn flaw_of(stat: &Stat, wanted: Wanted) -> Option<Flaw> {
    judge(
        Facts::from(stat),
        wanted,
        rustix::process::geteuid().as_raw(),
    )
}

/// The error of an open; if the kernel refused the kind of file, the kind is named.
fn explained(
    error: Errno,
    base: BorrowedFd<'_>,
    name: &OsStr,
    path: &Path,
    wanted: Wanted,
) -> io::Error {
    if matches!(
        error,
        Errno::LOOP | Errno::NOTDIR | Errno::ISDIR | Errno::NXIO
    ) && let Ok(stat) = rustix::fs::statat(base, name, AtFlags::SYMLINK_NOFOLLOW)
        && let Some(flaw @ Flaw::Kind(..)) = flaw_of(&stat, wanted)
    {
        return flaw.into_io(path);
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    /// A directory with something else than a file or directory of ours under each name.
    fn trap() -> (tempfile::TempDir, tempfile::TempDir, Dir) {
        let (victim, world) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(victim.path().join("file"), "mine").unwrap();
        fs::set_permissions(
            victim.path().join("file"),
            fs::Permissions::from_mode(0o600),
        )
        .unwrap();
        let at = |name: &str| world.path().join(name);
        symlink(victim.path(), at("to-dir")).unwrap();
        symlink(victim.path().join("file"), at("to-file")).unwrap();
        symlink(victim.path().join("new"), at("to-nothing")).unwrap();
        fs::hard_link(victim.path().join("file"), at("hard")).unwrap();
        rustix::fs::mkfifoat(CWD, at("fifo"), 0o600.into()).unwrap();
        fs::create_dir(at("dir")).unwrap();
        drop(std::os::unix::net::UnixListener::bind(at("socket")).unwrap());
        let dir = Dir::open(world.path()).unwrap();
        (victim, world, dir)
    }

    #[test]
    fn only_regular_files_with_one_name_are_opened() {
        let (victim, world, dir) = trap();
        for (name, words) in [
            ("to-file", "it is a symbolic link, not a regular file"),
            ("to-nothing", "it is a symbolic link, not a regular file"),
            ("to-dir", "it is a symbolic link, not a regular file"),
            ("hard", "it has 2 names (hard links)"),
            ("fifo", "it is a fifo, not a regular file"),
            ("dir", "it is a directory, not a regular file"),
            ("socket", "it is a socket, not a regular file"),
        ] {
            let path = world.path().join(name);
            for opened in [dir.open_read(name), open_read(&path), open_write(&path)] {
                let error = opened.unwrap_err();
                assert_eq!(error.to_string(), words, "{name}");
                assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
                assert!(crate::error::Hinted::hint_of(&error).is_some());
            }
            let error = dir.create_new(name).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{name}");
        }
        assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_directories_are_entered() {
        let (_victim, _world, dir) = trap();
        for name in ["to-dir", "to-file", "to-nothing", "hard", "fifo", "socket"] {
            for opened in [dir.dir(name), dir.make_dir(name)] {
                let error = opened.unwrap_err();
                assert!(error.to_string().ends_with("not a directory"), "{error}");
            }
        }
        assert!(dir.dir("dir").is_ok());
        assert_eq!(mode(&dir.make_dir("dir").unwrap().path), 0o700);
    }

    /// Proves: as `links_at_files_of_a_store_are_not_followed`.
    #[test]
    fn removing_or_replacing_a_link_never_touches_its_target() {
        let (victim, world, dir) = trap();
        fs::create_dir_all(world.path().join("dir/a/b")).unwrap();
        symlink(victim.path(), world.path().join("dir/a/b/link")).unwrap();
        for name in dir.names().unwrap() {
            dir.create_replacing(&name).unwrap();
            assert_eq!(fs::read(world.path().join(&name)).unwrap(), b"");
            dir.remove_tree(&name).unwrap();
            dir.remove_tree(&name).unwrap();
        }
        assert!(dir.names().unwrap().is_empty());
        assert_eq!(fs::read(victim.path().join("file")).unwrap(), b"mine");
    }
}
