//! Finds and opens the files of a catalogue with the checks of sudo, and computes their identity.
//!
//! Rule: the commands of a file run with our permissions, so nobody else may be able to write it: a regular file of at most
//! 1 MiB, not a symbolic link, owned by root or by us; neither it nor its directories are writable by everyone or, for root, by a
//! group.

use std::fs::{File, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::complaint::Complaint;
use super::trust::{
    FILE_MAX, Shared, check_file, check_mode, check_owner, check_parents, refused, shared,
    too_large, unreadable,
};
use crate::error::{Error, Kind, Result};

/// Largest number of files of one catalogue.
const FILES_MAX: usize = 1000;

/// A file that is changed twice within the resolution of the clock may keep its times; after this long a change always shows.
const SETTLED_AFTER_MS: i64 = 2000;

/// Identity of all files of a catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Equal texts mean equal content if both stamps are settled.
    pub text: String,
    /// Whether every file is old enough for a later change to show in its times.
    pub settled: bool,
}

/// The identity of the catalogue at `path`, from file metadata only, after the same checks as for reading it.
///
/// # Errors
/// [`Kind::Config`] if a file is missing, not accessible or not safe.
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

/// Reads a file that the catalogue refers to, with the same checks as for the catalogue itself.
pub(super) fn read_beside(path: &Path) -> Result<Vec<u8>, Box<Complaint>> {
    let metadata = path
        .symlink_metadata()
        .map_err(|error| unreadable(path, &error))?;
    check_file(path, &metadata)?;
    check_parents(path)?;
    read(path).map(|(content, _)| content)
}

/// The files that were read.
pub(super) struct Opened {
    /// Path and content; the main file first.
    pub(super) files: Vec<(PathBuf, Vec<u8>)>,
    /// See [`Stamp::text`].
    pub(super) stamp: String,
    /// The errors of files that cannot be used.
    pub(super) complaints: Vec<Complaint>,
    /// The files and directories that a group can write.
    pub(super) shared: Vec<Shared>,
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
        shared: found.shared,
    }
}

/// The files of a catalogue.
struct Found {
    files: Vec<(PathBuf, Metadata)>,
    /// `jobs.d`, if there is one.
    directory: Option<Metadata>,
    complaints: Vec<Complaint>,
    shared: Vec<Shared>,
}

fn find(path: &Path) -> Found {
    let mut found = Found {
        files: Vec::new(),
        directory: None,
        complaints: Vec::new(),
        shared: Vec::new(),
    };
    match found.add(path).and_then(|()| check_parents(path)) {
        Ok(shared) => found.shared.extend(shared),
        Err(complaint) => {
            found.complaints.push(*complaint);
            return found;
        }
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
        self.shared.extend(shared(path, &metadata));
        self.files.push((path.to_owned(), metadata));
        Ok(())
    }

    /// Adds `*.toml` of `jobs.d` in the order of their names; hidden files, such as backups of editors, are skipped.
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
        check_mode(directory, &metadata)?;
        self.shared.extend(shared(directory, &metadata));
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

/// Opens without following a link and without blocking on a pipe, checks the opened file again, and reads it.
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

fn changed_ms(metadata: &Metadata) -> i64 {
    metadata
        .ctime()
        .saturating_mul(1000)
        .saturating_add(metadata.ctime_nsec() / 1_000_000)
}

/// The version of jobctl, which decides how a text is read, then device, inode, size, mtime and ctime of each file.
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::super::trust::is_root;
    use super::*;

    /// A directory that only its owner can write, and a catalogue in it.
    fn world() -> (tempfile::TempDir, PathBuf) {
        let world = tempfile::tempdir().expect("a directory");
        set_mode(world.path(), 0o755);
        let path = world.path().join("jobs.toml");
        write(&path);
        (world, path)
    }

    fn write(path: &Path) {
        std::fs::write(path, "[worker]\n").expect("written");
        set_mode(path, 0o644);
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("a mode");
    }

    /// What the stamp and the reader say; they agree.
    fn refusal(path: &Path) -> String {
        let error = stamp(path, 0).expect_err("refused");
        assert_eq!(error.kind, Kind::Config);
        let opened = open(path);
        assert_eq!(opened.complaints[0].message, error.message);
        error.message
    }

    #[test]
    fn only_a_regular_file_of_bounded_size_is_read() {
        let (world, path) = world();
        let named = |name: &str| world.path().join(name);
        symlink(&path, named("link")).expect("a link");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            named("pipe"),
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .expect("a pipe");
        let large = File::create(named("large")).expect("a file");
        large.set_len(2 << 20).expect("2 MiB");
        set_mode(&named("large"), 0o600);
        for (path, cause) in [
            (named("link"), "it is a symbolic link"),
            (named("pipe"), "it is not a regular file"),
            (PathBuf::from("/dev/null"), "it is not a regular file"),
            (world.path().to_owned(), "it is a directory"),
            (named("large"), "it is larger than 1 MiB"),
        ] {
            assert_eq!(
                refusal(&path),
                format!("cannot use `{}`: {cause}", path.display())
            );
        }
        let missing = named("missing");
        assert_eq!(
            refusal(&missing),
            format!(
                "cannot read `{}`: no such file or directory",
                missing.display()
            )
        );
        assert!(refusal(&path.join("below")).ends_with("not a directory"));
        assert!(refusal(Path::new("")).starts_with("cannot read ``: "));
    }

    /// Proves (owner): a catalogue that anyone can write is refused for every user.
    #[test]
    fn files_writable_by_everyone_are_refused_for_every_user() {
        let (world, path) = world();
        set_mode(&path, 0o646);
        assert!(refusal(&path).ends_with(": anyone may write to it (mode 0646)"));
        set_mode(&path, 0o644);
        set_mode(world.path(), 0o757);
        assert!(refusal(&path).contains("anyone may write to its directory"));
        set_mode(world.path(), 0o1777);
        assert!(stamp(&path, 0).is_ok());
        set_mode(world.path(), 0o755);
        let directory = world.path().join("jobs.d");
        std::fs::create_dir(&directory).expect("a directory");
        set_mode(&directory, 0o1777);
        assert!(refusal(&path).ends_with("jobs.d`: anyone may write to it (mode 1777)"));
        set_mode(&directory, 0o755);
        assert!(stamp(&path, 0).is_ok());
    }

    #[test]
    fn files_writable_by_a_group_are_a_warning_unless_we_are_root() {
        let (world, path) = world();
        set_mode(&path, 0o664);
        set_mode(world.path(), 0o775);
        if is_root() {
            assert!(refusal(&path).contains("a group may write to it, and its commands would run"));
            set_mode(&path, 0o644);
            assert!(refusal(&path).contains("a group may write to its directory"));
            return;
        }
        assert!(stamp(&path, 0).is_ok());
        let opened = open(&path);
        assert!(opened.complaints.is_empty());
        let gid = path.metadata().expect("metadata").gid();
        let ours = crate::owned::is_private_group(rustix::process::geteuid().as_raw(), gid);
        let warnings = super::super::trust::group_warnings(&path, &opened.shared);
        assert_eq!(warnings.len(), if ours { 0 } else { 2 });
    }

    #[test]
    fn root_trusts_no_file_that_others_could_have_written() {
        if !is_root() {
            return;
        }
        let (world, path) = world();
        chown(&path, Some(12_345), None).expect("an owner");
        assert!(
            refusal(&path)
                .ends_with(": it belongs to user 12345, not to root or the user who runs jobctl")
        );
        chown(&path, Some(0), None).expect("an owner");
        assert!(stamp(&path, 0).is_ok());
        // A directory above it.
        set_mode(world.path(), 0o775);
        let below = world.path().join("a/b");
        std::fs::create_dir_all(&below).expect("directories");
        set_mode(&world.path().join("a"), 0o755);
        set_mode(&below, 0o755);
        write(&below.join("jobs.toml"));
        assert!(refusal(&below.join("jobs.toml")).contains("a group may write to its directory"));
        set_mode(world.path(), 0o755);
        assert!(stamp(&path, 0).is_ok());
        // A link on the way does not hide where the file really is.
        set_mode(&world.path().join("a"), 0o777);
        symlink(&below, world.path().join("short")).expect("a link");
        assert!(
            refusal(&world.path().join("short/jobs.toml"))
                .contains("anyone may write to its directory")
        );
        chown(world.path(), Some(12_345), None).expect("an owner");
        assert!(refusal(&path).contains("belongs to user 12345"));
    }

    #[test]
    fn jobs_d_passes_the_same_checks_as_the_main_file() {
        let (world, path) = world();
        let directory = world.path().join("jobs.d");
        std::fs::write(&directory, "").expect("a file");
        assert!(refusal(&path).ends_with("jobs.d`: it is not a directory"));
        std::fs::remove_file(&directory).expect("removed");
        std::fs::create_dir(&directory).expect("a directory");
        set_mode(&directory, 0o755);
        write(&directory.join("b.toml"));
        write(&directory.join("a.toml"));
        write(&directory.join(".c.toml"));
        let names: Vec<_> = open(&path)
            .files
            .into_iter()
            .map(|(path, _)| path)
            .collect();
        assert_eq!(
            names,
            [
                path.clone(),
                directory.join("a.toml"),
                directory.join("b.toml")
            ]
        );
        symlink(&path, directory.join("link.toml")).expect("a link");
        assert!(refusal(&path).ends_with("link.toml`: it is a symbolic link"));
        assert_eq!(open(&path).files.len(), 3);
    }

    #[test]
    fn the_stamp_changes_with_every_file() {
        let (world, path) = world();
        let of = || stamp(&path, 0).expect("a stamp").text;
        let mut seen = vec![of()];
        assert_eq!(of(), seen[0]);
        assert_eq!(open(&path).stamp, seen[0]);
        let mut changed = |what: &str| {
            let text = of();
            assert_eq!(open(&path).stamp, text);
            assert!(!seen.contains(&text), "{what}");
            seen.push(text);
        };
        std::fs::write(&path, "[worker]\nslots = 1\n").expect("written");
        changed("content");
        std::fs::rename(&path, world.path().join("old")).expect("renamed");
        write(&path);
        changed("another inode");
        let directory = world.path().join("jobs.d");
        std::fs::create_dir(&directory).expect("a directory");
        set_mode(&directory, 0o755);
        changed("a directory");
        write(&directory.join("a.toml"));
        changed("a file in it");
        std::fs::write(directory.join("a.toml"), "# other\n").expect("written");
        changed("its content");
        std::fs::remove_file(directory.join("a.toml")).expect("removed");
        changed("its end");
    }

    #[test]
    fn a_stamp_is_settled_two_seconds_after_the_last_change() {
        let (_world, path) = world();
        let changed = changed_ms(&path.metadata().expect("metadata"));
        let settled = |now| stamp(&path, now).expect("a stamp").settled;
        assert!(!settled(changed));
        assert!(!settled(changed + SETTLED_AFTER_MS));
        assert!(settled(changed + SETTLED_AFTER_MS + 1));
        assert!(!settled(0));
    }
}
