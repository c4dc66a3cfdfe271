//! Whether a file or directory can be trusted: who owns it, who can write it, what it is.
//!
//! Rule: what a catalogue says is executed with our rights, so nobody else may be able to change or replace it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::complaint::Complaint;
use super::file::FILE_MAX;
use crate::error::os_words;

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

/// Owned by root or by us.
pub(super) fn check_owner(path: &Path, metadata: &Metadata) -> Result<(), Box<Complaint>> {
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
pub(super) fn check_parents(path: &Path) -> Result<(), Box<Complaint>> {
    if !is_root() {
        return Ok(());
    }
    let absolute = std::path::absolute(path).map_err(|error| unreadable(path, &error))?;
    let parent = absolute.parent().unwrap_or(Path::new("/"));
    let real = real_directory(parent).map_err(|error| unreadable(path, &error))?;
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

/// The directory without symbolic links on its way; each name is looked at once where there are none.
fn real_directory(directory: &Path) -> std::io::Result<PathBuf> {
    for part in directory.ancestors() {
        if part.ends_with("..") || part.symlink_metadata()?.is_symlink() {
            return directory.canonicalize();
        }
    }
    Ok(directory.to_owned())
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
