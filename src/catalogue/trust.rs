//! Checks owner, mode and type of the files and directories of a catalogue.
//!
//! Rule: the commands of a catalogue run with our permissions, so nobody else may be able to change or replace it. Write access
//! of a group is a warning; for root it is an error.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::complaint::{Complaint, Level};
use crate::error::{Hinted, os_words};
use crate::owned::{is_private_group, resolve, user_words};

/// Largest file of a catalogue, bytes.
pub const FILE_MAX: u64 = 1 << 20;

/// Fails unless this is a regular file of bounded size that nobody else can write.
pub(super) fn check_file(path: &Path, metadata: &Metadata) -> Result<(), Box<Complaint>> {
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
    check_mode(path, metadata)?;
    if metadata.len() > FILE_MAX {
        return Err(too_large(path));
    }
    Ok(())
}

/// Fails unless root or we own it.
pub(super) fn check_owner(path: &Path, metadata: &Metadata) -> Result<(), Box<Complaint>> {
    let us = rustix::process::geteuid().as_raw();
    if metadata.uid() == 0 || metadata.uid() == us {
        return Ok(());
    }
    let cause = format!(
        "it belongs to user {}, not to root or the user who runs jobctl",
        user_words(metadata.uid())
    );
    Err(refused(
        path,
        &cause,
        "change its owner with `chown`, or run jobctl as that user",
    ))
}

/// Fails if everyone can write it or, for root, a group.
pub(super) fn check_mode(path: &Path, metadata: &Metadata) -> Result<(), Box<Complaint>> {
    let path_shown = path.display();
    let mode = metadata.mode();
    if mode & 0o002 != 0 {
        let cause = format!("anyone may write to it (mode {:04o})", mode & 0o7777);
        return Err(refused(path, &cause, &format!("`chmod o-w {path_shown}`")));
    }
    if is_root() && mode & 0o020 != 0 {
        return Err(refused(
            path,
            "a group may write to it, and its commands would run as root",
            &format!("`chmod go-w {path_shown}`"),
        ));
    }
    Ok(())
}

/// A file or directory that a group can write, and the group.
pub(super) type Shared = (PathBuf, u32);

/// The file or directory itself, if a group can write it.
pub(super) fn shared(path: &Path, metadata: &Metadata) -> Option<Shared> {
    let is_shared = metadata.mode() & 0o020 != 0;
    is_shared.then(|| (path.to_owned(), metadata.gid()))
}

/// The warnings about files and directories that a group can write, except our own private group, for the catalogue at `path`.
pub(super) fn group_warnings(path: &Path, shared: &[Shared]) -> Vec<Complaint> {
    let us = rustix::process::geteuid().as_raw();
    let others = shared.iter().filter(|(_, gid)| !is_private_group(us, *gid));
    let warning = |(writable, _): &Shared| {
        let shown = writable.display();
        let message = format!(
            "a group may write to `{shown}`, and so run commands with the rights of the user who runs jobctl"
        );
        let hint = format!("`chmod g-w {shown}`, unless all members are trusted");
        Complaint {
            level: Level::Warning,
            ..Complaint::about_file(path, message, Some(hint))
        }
    };
    others.map(warning).collect()
}

/// Fails if somebody else can replace a directory above `path`, both of the path as given and of the resolved one. Returns the
/// directories that a group can write.
///
/// In a directory with the sticky bit, such as `/tmp`, users can replace only their own files.
pub(super) fn check_parents(path: &Path) -> Result<Vec<Shared>, Box<Complaint>> {
    let absolute = std::path::absolute(path).map_err(|error| unreadable(path, &error))?;
    let us = rustix::process::geteuid().as_raw();
    let way = resolve(&absolute, us).map_err(|error| match Hinted::hint_of(&error) {
        Some(hint) => refused(path, &error.to_string(), hint),
        None => unreadable(path, &error),
    })?;
    match way.group_writable.first() {
        Some((directory, _)) if is_root() => {
            let directory = directory.display();
            let cause = format!("a group may write to its directory `{directory}`");
            Err(refused(path, &cause, &format!("`chmod g-w {directory}`")))
        }
        _ => Ok(way.group_writable),
    }
}

/// Whether commands of the catalogue would run as root.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The error about a file that must not be used.
pub(super) fn refused(path: &Path, cause: &str, hint: &str) -> Box<Complaint> {
    let message = format!("cannot use `{}`: {cause}", path.display());
    Box::new(Complaint::about_file(path, message, Some(hint.to_owned())))
}

/// The error about a file over [`FILE_MAX`].
pub(super) fn too_large(path: &Path) -> Box<Complaint> {
    refused(
        path,
        "it is larger than 1 MiB",
        "split it: `jobs.d/*.toml` beside the main file are read too",
    )
}

/// The error about a file that cannot be read.
pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Box<Complaint> {
    let message = format!("cannot read `{}`: {}", path.display(), os_words(error));
    let hint = match error.kind() {
        std::io::ErrorKind::NotFound => {
            Some("write it, or name another one with `--catalogue`".to_owned())
        }
        _ => None,
    };
    Box::new(Complaint::about_file(path, message, hint))
}
