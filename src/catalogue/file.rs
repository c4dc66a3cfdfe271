//! Finds and opens the files of a catalogue as sudo does, and tells their identity.
//!
//! Rule: what a file says is executed with our rights, so nobody else may be able to write it: no symbolic link, regular,
//! at most 1 MiB, owned by root or us; when we are root, neither it nor its directories are writable by others.

use std::fs::{File, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::complaint::Complaint;
use crate::error::{Error, Kind, Result, os_words};

/// Largest file of a catalogue, bytes.
pub const FILE_MAX: u64 = 1 << 20;

/// Most files of one catalogue.
const FILES_MAX: usize = 1000;

/// A file changed twice within the clock's grain can keep its times; after this it can not.
const SETTLED_AFTER_MS: i64 = 2000;

/// Identity of all files of a catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Equal texts mean equal content, if both were settled.
    pub text: String,
    /// Whether every file is old enough that a later change must show in its times.
    pub settled: bool,
}

/// The identity of the catalogue at `path`, by stat alone, after the same checks as for reading it.
///
/// Errors are [`Kind::Config`]: a file is missing, not accessible or not safe.
pub fn stamp(path: &Path, now_ms: i64) -> Result<Stamp> {
    let found = find(path);
    if let Some(complaint) = found.complaints.into_iter().next() {
        let error = Error::new(Kind::Config, complaint.message);
        return Err(match complaint.hint {
            Some(hint) => error.hint(hint),
            None => error,
        });
    }
    let metadata: Vec<&Metadata> = found.files.iter().map(|(_, metadata)| metadata).collect();
    let all = metadata.iter().copied().chain(&found.directory);
    let settled = all
        .clone()
        .all(|m| changed_ms(m) < now_ms - SETTLED_AFTER_MS);
    Ok(Stamp {
        text: text_of(&metadata, found.directory.as_ref()),
        settled,
    })
}

/// The files that were read.
pub(super) struct Opened {
    /// Path and content; the main file first.
    pub(super) files: Vec<(PathBuf, Vec<u8>)>,
    /// As [`Stamp::text`].
    pub(super) stamp: String,
    /// Files that cannot be used, and why.
    pub(super) complaints: Vec<Complaint>,
}

/// Reads all files of the catalogue.
pub(super) fn open(path: &Path) -> Opened {
    let found = find(path);
    let mut complaints = found.complaints;
    let mut files = Vec::new();
    let mut metadata = Vec::new();
    for (path, _) in found.files {
        match read(&path) {
            Ok((content, identity)) => {
                files.push((path, content));
                metadata.push(identity);
            }
            Err(complaint) => complaints.push(*complaint),
        }
    }
    let metadata: Vec<&Metadata> = metadata.iter().collect();
    Opened {
        files,
        stamp: text_of(&metadata, found.directory.as_ref()),
        complaints,
    }
}

/// What a catalogue consists of.
struct Found {
    files: Vec<(PathBuf, Metadata)>,
    /// `jobs.d`, if there is one.
    directory: Option<Metadata>,
    complaints: Vec<Complaint>,
}

fn find(path: &Path) -> Found {
    let mut found = Found {
        files: Vec::new(),
        directory: None,
        complaints: Vec::new(),
    };
    if let Err(complaint) = found.add(path).and_then(|()| check_parents(path)) {
        found.complaints.push(*complaint);
        return found;
    }
    if let Err(complaint) = found.add_directory(&path.with_file_name("jobs.d")) {
        found.complaints.push(*complaint);
    }
    found
}

impl Found {
    fn add(&mut self, path: &Path) -> Result<(), Box<Complaint>> {
        let metadata = path
            .symlink_metadata()
            .map_err(|error| unreadable(path, &error))?;
        check_file(path, &metadata)?;
        self.files.push((path.to_owned(), metadata));
        Ok(())
    }

    /// `*.toml` of `jobs.d` in the order of their names; hidden files, as editors leave them, are not read.
    fn add_directory(&mut self, directory: &Path) -> Result<(), Box<Complaint>> {
        let metadata = match directory.symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|error| unreadable(directory, &error))?,
        };
        let refuse = |cause: &str, hint: &str| Err(refused(directory, cause, hint));
        if !metadata.is_dir() {
            return refuse("it is not a directory", "make it one or remove it");
        }
        check_owner(directory, &metadata)?;
        if is_root() && metadata.mode() & 0o022 != 0 {
            return refuse(
                "others may write to it",
                "take the write permission of group and others away",
            );
        }
        self.directory = Some(metadata);
        let list = || -> std::io::Result<Vec<PathBuf>> {
            let entries = std::fs::read_dir(directory)?;
            entries
                .take(10 * FILES_MAX)
                .map(|entry| Ok(entry?.path()))
                .collect()
        };
        let mut paths = list().map_err(|error| unreadable(directory, &error))?;
        paths.retain(|path| {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            name.ends_with(b".toml") && !name.starts_with(b".")
        });
        if paths.len() > FILES_MAX {
            return refuse("it has over 1000 files", "put several jobs into one file");
        }
        paths.sort();
        for path in paths {
            if let Err(complaint) = self.add(&path) {
                self.complaints.push(*complaint);
            }
        }
        Ok(())
    }
}

/// Opens without following a link and without waiting for a writer of a pipe, checks again, reads.
fn read(path: &Path) -> Result<(Vec<u8>, Metadata), Box<Complaint>> {
    let open = || -> std::io::Result<(File, Metadata)> {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)?;
        let metadata = file.metadata()?;
        Ok((file, metadata))
    };
    let (file, metadata) = open().map_err(|error| unreadable(path, &error))?;
    check_file(path, &metadata)?;
    let mut content = Vec::new();
    file.take(FILE_MAX + 1)
        .read_to_end(&mut content)
        .map_err(|error| unreadable(path, &error))?;
    if content.len() as u64 > FILE_MAX {
        return Err(too_large(path));
    }
    Ok((content, metadata))
}

fn check_file(path: &Path, metadata: &Metadata) -> Result<(), Box<Complaint>> {
    let kind = metadata.file_type();
    if kind.is_symlink() {
        return Err(refused(
            path,
            "it is a symbolic link",
            "name the file itself",
        ));
    }
    if !kind.is_file() {
        let what = if kind.is_dir() {
            "it is a directory"
        } else {
            "it is not a regular file"
        };
        return Err(refused(path, what, "name a file"));
    }
    check_owner(path, metadata)?;
    if is_root() && metadata.mode() & 0o022 != 0 {
        let hint = format!("`chmod go-w {}`", path.display());
        return Err(refused(
            path,
            "others may write to it, and its commands would run as root",
            &hint,
        ));
    }
    if metadata.len() > FILE_MAX {
        return Err(too_large(path));
    }
    Ok(())
}

fn check_owner(path: &Path, metadata: &Metadata) -> Result<(), Box<Complaint>> {
    let us = rustix::process::geteuid().as_raw();
    if metadata.uid() == 0 || metadata.uid() == us {
        return Ok(());
    }
    let cause = format!(
        "it belongs to user {}, neither to root nor to us",
        metadata.uid()
    );
    Err(refused(
        path,
        &cause,
        "change its owner with `chown`, or run jobctl as its owner",
    ))
}

/// For root: nobody else may replace a directory on the way, by the path as given and as it really is.
///
/// A directory with the sticky bit, such as `/tmp`, lets nobody replace what is not theirs.
fn check_parents(path: &Path) -> Result<(), Box<Complaint>> {
    if !is_root() {
        return Ok(());
    }
    let absolute = std::path::absolute(path).map_err(|error| unreadable(path, &error))?;
    let real = absolute
        .parent()
        .map_or_else(|| Ok(PathBuf::from("/")), std::fs::canonicalize);
    let real = real.map_err(|error| unreadable(path, &error))?;
    let given = absolute.ancestors().skip(1);
    let other = real
        .ancestors()
        .filter(|directory| !absolute.starts_with(directory));
    for directory in given.chain(other) {
        let metadata = directory
            .metadata()
            .map_err(|error| unreadable(directory, &error))?;
        if metadata.uid() != 0 {
            let cause = format!(
                "its directory `{}` belongs to user {}",
                directory.display(),
                metadata.uid()
            );
            return Err(refused(
                path,
                &cause,
                "keep a catalogue that runs as root in a directory of root",
            ));
        }
        if metadata.mode() & 0o022 != 0 && metadata.mode() & 0o1000 == 0 {
            let cause = format!(
                "others may write to its directory `{}`",
                directory.display()
            );
            return Err(refused(
                path,
                &cause,
                &format!("`chmod go-w {}`", directory.display()),
            ));
        }
    }
    Ok(())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn refused(path: &Path, cause: &str, hint: &str) -> Box<Complaint> {
    let message = format!("cannot use `{}`: {cause}", path.display());
    Box::new(Complaint::about_file(path, message, Some(hint.to_owned())))
}

fn too_large(path: &Path) -> Box<Complaint> {
    refused(
        path,
        "it is larger than 1 MiB",
        "split it: `jobs.d/*.toml` beside the main file are read too",
    )
}

fn unreadable(path: &Path, error: &std::io::Error) -> Box<Complaint> {
    let message = format!("cannot read `{}`: {}", path.display(), os_words(error));
    let hint = match error.kind() {
        std::io::ErrorKind::NotFound => {
            Some("write it, or name another one with `--catalogue`".to_owned())
        }
        _ => None,
    };
    Box::new(Complaint::about_file(path, message, hint))
}

fn changed_ms(metadata: &Metadata) -> i64 {
    metadata
        .ctime()
        .saturating_mul(1000)
        .saturating_add(metadata.ctime_nsec() / 1_000_000)
}

/// Device, inode, size, mtime and ctime of each, after the version: another jobctl may read the same text differently.
fn text_of(files: &[&Metadata], directory: Option<&Metadata>) -> String {
    let one = |m: &Metadata| {
        let mtime = i128::from(m.mtime()) * 1_000_000_000 + i128::from(m.mtime_nsec());
        let ctime = i128::from(m.ctime()) * 1_000_000_000 + i128::from(m.ctime_nsec());
        format!(";{}:{}:{}:{mtime}:{ctime}", m.dev(), m.ino(), m.size())
    };
    let directory = directory.map_or_else(|| ";-".to_owned(), one);
    let files: String = files.iter().map(|m| one(m)).collect();
    format!("{}{files}{directory}", env!("CARGO_PKG_VERSION"))
}
