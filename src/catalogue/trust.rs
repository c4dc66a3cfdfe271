//! Whether a file or directory can be trusted: who owns it, who can write it, what it is.
//!
//! Rule: what a catalogue says is executed with our rights, so nobody else may be able to change or replace it. A group may, at
//! the price of a warning; not where we are root.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::complaint::{Complaint, Level};
use crate::error::{Hinted, os_words};
use crate::owned::{is_private_group, resolve, user_words};

/// Largest file of a catalogue, bytes.
pub const FILE_MAX: u64 = 1 << 20;

/// A regular file of bounded size that nobody else can write.
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

/// Owned by root or by us.
pub(super) fn check_owner(path: &Path, metadata: &Metadata) -> Result<(), Box<Complaint>> {
    let us = rustix::process::geteuid().as_raw();
    if metadata.uid() == 0 || metadata.uid() == us {
        return Ok(());
    }
    let cause = format!(
        "it belongs to user {}, neither to root nor to us",
        user_words(metadata.uid())
    );
    Err(refused(
        path,
        &cause,
        "change its owner with `chown`, or run jobctl as its owner",
    ))
}

/// Not writable by anyone, for root not even by a group.
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

/// The warnings about what a group can write that is not ours alone, for the catalogue at `path`.
pub(super) fn group_warnings(path: &Path, shared: &[Shared]) -> Vec<Complaint> {
    let us = rustix::process::geteuid().as_raw();
    let others = shared.iter().filter(|(_, gid)| !is_private_group(us, *gid));
    let warning = |(writable, _): &Shared| {
        let shown = writable.display();
        let message =
            format!("a group may write to `{shown}`, and so run commands with our rights");
        let hint = format!("`chmod g-w {shown}`, if not all of them are trusted");
        Complaint {
            level: Level::Warning,
            ..Complaint::about_file(path, message, Some(hint))
        }
    };
    others.map(warning).collect()
}

/// Nobody else may replace a directory on the way, by the path as given and as it really is; returns those that a group can write.
///
/// A directory with the sticky bit, such as `/tmp`, lets nobody replace what is not theirs.
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

/// Whether what the catalogue says would be run as root.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A file that must not be used.
pub(super) fn refused(path: &Path, cause: &str, hint: &str) -> Box<Complaint> {
    let message = format!("cannot use `{}`: {cause}", path.display());
    Box::new(Complaint::about_file(path, message, Some(hint.to_owned())))
}

/// A file over [`FILE_MAX`].
pub(super) fn too_large(path: &Path) -> Box<Complaint> {
    refused(
        path,
        "it is larger than 1 MiB",
        "split it: `jobs.d/*.toml` beside the main file are read too",
    )
}

/// A file that the operating system does not give us.
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
